"""A year of a fleet on the portal's clock: each service is announced soon, due and overdue, once,
on the right local day, across the leap day and both clock changes, west and east of UTC.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from integrations.models import OutboxEntry, Vehicle
from maintenance.models import Alert, Rule, ServiceRecord
from maintenance.services import evaluation, notifying, services, tending
from tests.factories import make_rule, make_vehicle
from tests.maintenance.cars import say

pytestmark = pytest.mark.django_db

FIRST, LAST = date(2027, 7, 1), date(2028, 6, 30)
CARS = 6
STAGES = ["soon", "due", "overdue"]


@dataclass
class Plan:
    """One car: how far it drives a day, its interval, and how long after overdue it is serviced."""

    car: Vehicle
    km_a_day: float
    days: int | None
    distance_km: float | None
    late_days: int
    hour: int
    odometer_km: float = 30_000.0
    serviced_on: date = FIRST

    def expected(self) -> dict[str, date]:
        """The local day on which each stage is reached, counted from the last service."""
        return {stage: self._reached(stage) for stage in STAGES}

    def _reached(self, stage: str) -> date:
        by = []
        if self.days:
            lead = min(self.days * 0.9, self.days - 14)
            used = {"soon": lead, "due": self.days, "overdue": self.days + 14}[stage]
            by.append(self.serviced_on + timedelta(days=-(-used // 1)))
        if self.distance_km:
            km = self.distance_km
            lead = min(km * 0.9, km - 804.672)
            used = {"soon": lead, "due": km, "overdue": km + 804.672}[stage]
            by.append(self.serviced_on + timedelta(days=-(-(used - 1e-6) // self.km_a_day)))
        return min(by)


def fleet(chance: random.Random) -> list[Plan]:
    plans = []
    for number in range(CARS):
        days = chance.choice([60, 91, 120, 180])
        plan = Plan(
            car=make_vehicle(),
            km_a_day=float(chance.randint(20, 160)),
            days=days if number % 3 != 1 else None,
            distance_km=float(chance.choice([4000, 8000, 12_000])) if number % 3 else None,
            late_days=chance.randint(1, 9),
            hour=chance.choice([0, 1, 2, 3, 12, 22, 23]),
        )
        make_rule(
            vehicle=plan.car, topic="inspection", days=plan.days, distance_km=plan.distance_km
        )
        plans.append(plan)
    return plans


def days_of_the_year() -> Iterator[date]:
    for number in range((LAST - FIRST).days + 1):
        yield FIRST + timedelta(days=number)


def at(day: date, hour: int, zone: ZoneInfo) -> datetime:
    """That hour of that local day; one that the clock change skips is the next there is."""
    return datetime.combine(day, time(hour, 30), zone).astimezone(ZoneInfo("UTC"))


def announced() -> dict[tuple[int, str], list[tuple[str, date]]]:
    """By alert and life: each stage that was announced, with the local day."""
    found = defaultdict(list)
    for row in OutboxEntry.objects.filter(kind=notifying.MAIL).order_by("pk"):
        _kind, alert, life, stage, *rest = row.dedupe_key.split(":")
        if len(rest) == 1:  # not a reminder
            found[int(alert), life].append((stage, timezone.localdate(row.created_at)))
    return found


@pytest.mark.parametrize("name", ["America/Denver", "Australia/Sydney"])
def test_every_service_of_a_year_is_announced_once(name: str, settings: object) -> None:
    settings.MAINTENANCE_EMAILS = ["shop@example.com"]  # type: ignore[attr-defined]
    zone = ZoneInfo(name)
    Rule.objects.all().delete()
    with timezone.override(zone):
        plans = fleet(random.Random(name))  # noqa: S311
        for plan in plans:
            services.record(
                plan.car,
                topic="inspection",
                odometer_km=plan.odometer_km,
                done_on=FIRST,
                now=at(FIRST, 0, zone),
            )
        wanted = [plan.expected() for plan in plans]
        due: list[tuple[Plan, dict[str, date]]] = list(zip(plans, wanted, strict=True))
        done: list[dict[str, date]] = []
        for day in days_of_the_year():
            for hour in range(24):
                for index, (plan, expected) in enumerate(due):
                    if plan.hour != hour:
                        continue
                    now = at(day, hour, zone)
                    plan.odometer_km = 30_000 + plan.km_a_day * (day - FIRST).days
                    say(plan.car, now, km=plan.odometer_km)
                    if day >= expected["overdue"] + timedelta(days=plan.late_days):
                        services.record(
                            plan.car,
                            topic="inspection",
                            odometer_km=plan.odometer_km,
                            done_on=day,
                            now=now,
                        )
                        done.append(expected)
                        plan.serviced_on = day
                        due[index] = (plan, plan.expected())
            evaluation.evaluate_all(now=at(day, 23, zone) + timedelta(minutes=20))
            tending.tend(now=at(day, 23, zone) + timedelta(minutes=20))

        lives = announced()
        said = sorted((dict(stages) for stages in lives.values()), key=str)
        unfinished = [
            {stage: day for stage, day in expected.items() if day <= LAST}
            for _plan, expected in due
        ]
        expected_all = done + [each for each in unfinished if each]
        assert all(len(stages) == len(dict(stages)) for stages in lives.values())
        assert said == sorted(expected_all, key=str)
        assert len(done) > CARS
        assert Alert.objects.unresolved().count() == len([u for u in unfinished if u])
        assert ServiceRecord.objects.count() == CARS + len(done)
