"""Whatever cars, people and the clock do, in whatever order: what holds of every alert."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from django.db.models import Count

from integrations.models import OutboxEntry, Reading, Vehicle
from integrations.services import delivery
from maintenance.models import Alert, MaintenanceMode, Rule
from maintenance.services import acts, evaluation, modes, notifying, services, tending
from tests.factories import NOW, make_vehicle
from tests.maintenance.cars import HOUR, say

pytestmark = pytest.mark.django_db

CODES = ["P0301", "P0420"]
STEPS = 60


@dataclass
class World:
    """Two cars, and everything that may happen to them at a moment."""

    chance: random.Random
    now: datetime = NOW
    cars: list[Vehicle] = field(default_factory=lambda: [make_vehicle(), make_vehicle()])
    said: list[Callable[[], None]] = field(default_factory=list)

    def car(self) -> Vehicle:
        return self.chance.choice(self.cars)

    def alert(self) -> Alert | None:
        rows = list(Alert.objects.order_by("pk"))
        return self.chance.choice(rows) if rows else None

    def time_passes(self) -> None:
        self.now += self.chance.choice([HOUR, 7 * HOUR, 13 * HOUR, 60 * HOUR])

    def car_speaks(self) -> None:
        """Now, or what it recorded days ago."""
        car, at = self.car(), self.now - self.chance.choice([0, 0, 0, 5, 30, 90]) * HOUR
        oil = self.chance.choice([None, 0, 3, 12, 25, 35, 90])
        codes = [code for code in CODES if self.chance.random() < 0.5]
        km = 50_000 + (at - NOW) / HOUR * 30
        systems = {"oilpressure": self.chance.choice(["OK", "ALERT"])}
        chosen = {"oil": oil, "codes": codes, "km": km, "systems": systems}
        for name in self.chance.sample(sorted(chosen), 2):
            del chosen[name]
        now = self.now
        self.said.append(lambda: say(car, at, now=self.now, **chosen))  # type: ignore[arg-type]
        say(car, at, now=now, **chosen)  # type: ignore[arg-type]

    def car_repeats_itself(self) -> None:
        if self.said:
            self.chance.choice(self.said)()

    def service_is_done(self) -> None:
        topic = self.chance.choice(["engine-oil", "tire-rotation"])
        services.record(self.car(), topic=topic, now=self.now)

    def person_acts(self) -> None:
        alert = self.alert()
        if alert is None:
            return
        act = self.chance.choice(["acknowledge", "snooze", "waive", "resolve", "reopen", "done"])
        if act == "snooze":
            until = self.now + timedelta(hours=self.chance.randint(1, 100))
            acts.snooze(alert, until=until, now=self.now)
        elif act == "done":
            services.mark_serviced(alert, now=self.now)
        else:
            getattr(acts, act)(alert, now=self.now)

    def shop_opens_or_closes(self) -> None:
        mode = MaintenanceMode.objects.in_force(self.now).first()
        if mode is None:
            modes.begin(vehicle=self.car(), now=self.now)
        else:
            modes.end(mode, now=self.now)

    def rule_changes(self) -> None:
        rule = self.chance.choice(list(Rule.objects.order_by("pk")))
        Rule.objects.filter(pk=rule.pk).update(is_enabled=not rule.is_enabled)

    def clock_ticks(self) -> None:
        evaluation.evaluate_all(now=self.now)
        tending.tend(now=self.now)

    def post_goes_out(self) -> None:
        delivery.deliver_due(clock=lambda: self.now, lanes=["mail"])

    def step(self) -> None:
        happenings = {
            self.time_passes: 6,
            self.car_speaks: 8,
            self.car_repeats_itself: 2,
            self.service_is_done: 1,
            self.person_acts: 4,
            self.shop_opens_or_closes: 1,
            self.rule_changes: 1,
            self.clock_ticks: 3,
            self.post_goes_out: 3,
        }
        (happening,) = self.chance.choices(list(happenings), list(happenings.values()))
        happening()

    def everything_ends(self) -> None:
        """The shop is closed, each alert is resolved, and time goes on."""
        for mode in MaintenanceMode.objects.in_force(self.now):
            modes.end(mode, now=self.now)
        for alert in Alert.objects.unresolved():
            acts.resolve(alert, now=self.now)
        for _ in range(3):
            self.now += timedelta(days=2)
            tending.tend(now=self.now)
            self.post_goes_out()


def lives(kind: str) -> Counter[tuple[str, str, str]]:
    """How often each recipient was sent this, by alert and life."""
    rows = OutboxEntry.objects.filter(kind=kind, state=OutboxEntry.State.DONE)
    if kind == notifying.MAIL:  # an end that a return overtook is left out, but each life has one
        rows = rows.exclude(result__startswith=notifying.LEFT_OUT)
    counts: Counter[tuple[str, str, str]] = Counter()
    for key, recipient in rows.values_list("dedupe_key", "payload__recipient"):
        _kind, alert, life, *_rest = key.split(":")
        counts[alert, life, str(recipient)] += 1
    return counts


@pytest.mark.parametrize("seed", range(40))
def test_lives_of_alerts(seed: int, settings: object) -> None:
    settings.MAINTENANCE_EMAILS = ["a@example.com", "b@example.com"]  # type: ignore[attr-defined]
    world = World(random.Random(seed))  # noqa: S311  the same world each time
    services.record(world.cars[0], topic="engine-oil", odometer_km=45_000, now=NOW)
    for _ in range(STEPS):
        world.step()
        twins = (
            Alert.objects.unresolved()
            .values("vehicle", "topic", "subject")
            .annotate(count=Count("pk"))
            .filter(count__gt=1)
        )
        assert not twins.exists()
    world.everything_ends()

    assert not Alert.objects.unresolved().exists()
    assert not Vehicle.objects.exclude(evaluation_error="").exists()
    announced, ended = lives(notifying.MAIL), lives(notifying.RESOLVED_MAIL)
    assert set(ended) == set(announced)
    assert set(ended.values()) <= {1}
    assert not Alert.objects.exclude(held_because="").exists()


@pytest.mark.parametrize("seed", range(10))
def test_unknown_changes_nothing(seed: int) -> None:
    world = World(random.Random(seed))  # noqa: S311
    for _ in range(STEPS):
        world.step()
    later = world.now + timedelta(days=30)  # by then every reading is too old to say anything
    by_the_calendar = [Rule.Kind.SERVICE_INTERVAL, Rule.Kind.STALE_DATA]
    Rule.objects.filter(kind__in=by_the_calendar).update(is_enabled=False)
    Alert.objects.filter(kind__in=by_the_calendar).delete()
    evaluation.evaluate_all(now=world.now)
    columns = ("pk", "status", "stage", "firing_count", "clear_count", "summary")
    before = list(Alert.objects.order_by("pk").values_list(*columns))

    evaluation.evaluate_all(now=later)

    assert list(Alert.objects.order_by("pk").values_list(*columns)) == before
    assert Reading.objects.exists()
