"""Services that were done restart intervals."""

from datetime import date
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from integrations.models import Activity, Vehicle
from maintenance.models import Alert, Rule, ServiceRecord
from maintenance.services import proposals, services
from tests.factories import (
    NOW,
    make_alert,
    make_reading,
    make_rule,
    make_service,
    make_user,
    make_vehicle,
)
from tests.integrations.world import together
from tests.maintenance.cars import DAY, HOUR, MILE, add_default_rules, alerts_of, open_alert, say

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def due(car: Vehicle) -> Alert:
    make_service(vehicle=car, odometer_km=50_000, done_on=(NOW - 90 * DAY).date())
    say(car, NOW, km=50_000 + 5100 * MILE)
    return Alert.objects.get(vehicle=car)


def test_marking_serviced_records_today_and_the_odometer_and_ends_the_alert(car: Vehicle) -> None:
    alert, user = due(car), make_user(username="alex")

    assert services.mark_serviced(alert, now=NOW + HOUR, user=user)

    record = ServiceRecord.objects.order_by("pk").last()
    assert record
    assert (record.topic, record.source, record.created_by) == ("engine-oil", "admin", user)
    assert record.done_on == NOW.date()
    assert record.odometer_km == pytest.approx(50_000 + 5100 * MILE)
    alert.refresh_from_db()
    assert (alert.status, alert.resolution) == ("resolved", "serviced")
    assert Activity.objects.filter(what__startswith="Service recorded", actor="alex").exists()


def test_marking_serviced_twice_records_one_service(car: Vehicle) -> None:
    alert = due(car)
    stale = Alert.objects.get(pk=alert.pk)

    assert services.mark_serviced(alert, now=NOW + HOUR)
    assert not services.mark_serviced(alert, now=NOW + HOUR)
    assert not services.mark_serviced(stale, now=NOW + HOUR)
    assert car.services.count() == 2


def test_the_next_service_is_due_a_whole_interval_later(car: Vehicle) -> None:
    services.mark_serviced(due(car), now=NOW + HOUR)
    base = 50_000 + 5100 * MILE
    for day, miles in enumerate((1500, 3000, 4400), start=1):
        say(car, NOW + day * DAY, km=base + miles * MILE)
    assert Alert.objects.unresolved().count() == 0

    say(car, NOW + 9 * DAY, km=base + 5001 * MILE)
    # Within the reopen window it is the same alert.
    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_a_record_of_the_past_keeps_its_own_day_and_odometer(car: Vehicle) -> None:
    say(car, NOW, km=90_000)
    record = services.record(
        car, topic="tire-rotation", done_on=date(2026, 1, 5), odometer_km=85_000, now=NOW
    )
    assert (record.done_on, record.odometer_km) == (date(2026, 1, 5), 85_000)

    by_day = services.record(car, topic="tire-rotation", done_on=date(2026, 1, 5), now=NOW)
    assert by_day.odometer_km is None  # nobody knows what it showed then


def test_a_record_looks_at_the_rules_at_once(car: Vehicle) -> None:
    say(car, NOW, km=90_000)
    services.record(car, topic="engine-oil", done_on=date(2025, 1, 5), odometer_km=80_000, now=NOW)
    assert alerts_of(car) == [("engine-oil", "open", "overdue")]


def test_a_record_of_another_topic_ends_nothing(car: Vehicle) -> None:
    due(car)
    services.record(car, topic="tire-rotation", now=NOW + HOUR)

    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_a_car_without_an_odometer_can_be_serviced(car: Vehicle) -> None:
    alert = open_alert(car)
    assert services.mark_serviced(alert, now=NOW + HOUR)
    assert car.services.get().odometer_km is None


def test_an_impossible_record_is_refused_and_leaves_nothing(car: Vehicle) -> None:
    for values in ({"odometer_km": -1.0}, {"topic": "no topic!"}):
        with pytest.raises(ValidationError):
            services.record(car, **{"topic": "engine-oil", "now": NOW, **values})  # type: ignore[arg-type]
    assert not ServiceRecord.objects.exists()
    assert not Activity.objects.exists()


def test_an_alert_without_a_car_cannot_be_serviced() -> None:
    assert not services.mark_serviced(make_alert(vehicle=None), now=NOW)


def test_the_latest_service_counts_whatever_order_they_were_entered_in(car: Vehicle) -> None:
    say(car, NOW, km=58_500)
    services.record(car, topic="engine-oil", done_on=date(2026, 3, 1), odometer_km=58_000, now=NOW)
    services.record(car, topic="engine-oil", done_on=date(2025, 3, 1), odometer_km=40_000, now=NOW)

    assert alerts_of(car) == []


# --- What was taken from elsewhere ------------------------------------------------------------


def test_the_same_reference_is_recorded_once_for_a_topic(car: Vehicle) -> None:
    first = services.record(car, topic="engine-oil", reference="issue:17", now=NOW)
    again = services.record(car, topic="engine-oil", reference="issue:17", now=NOW + DAY)
    other = services.record(car, topic="tire-rotation", reference="issue:17", now=NOW)

    assert again == first != other
    assert again.done_on == first.done_on
    assert car.services.count() == 2
    assert Activity.objects.filter(what__startswith="Service recorded").count() == 2


def test_without_a_reference_every_call_is_a_service_of_its_own(car: Vehicle) -> None:
    for _ in range(2):
        services.record(car, topic="engine-oil", now=NOW)
    assert car.services.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_who_record_one_reference_at_once_record_one_service(car: Vehicle) -> None:
    def work(_: int) -> Any:
        return services.record(car, topic="engine-oil", reference="issue:17", now=NOW).pk

    results = together(8, work)
    assert results == [car.services.get().pk] * 8


def test_what_is_withdrawn_never_happened(car: Vehicle) -> None:
    due(car)
    services.record(car, topic="engine-oil", reference="issue:17", now=NOW + HOUR)
    assert alerts_of(car) == [("engine-oil", "resolved", "due")]

    assert services.withdraw(car, reference="issue:17", now=NOW + 2 * HOUR) == 1
    assert alerts_of(car) == [("engine-oil", "open", "due")]
    assert car.services.count() == 1
    assert Activity.objects.filter(what__startswith="Service withdrawn").count() == 1
    assert services.withdraw(car, reference="issue:17", now=NOW + 2 * HOUR) == 0


def test_an_empty_reference_withdraws_nothing(car: Vehicle) -> None:
    make_service(vehicle=car)
    assert services.withdraw(car, reference="", now=NOW) == 0
    assert car.services.count() == 1


# --- What is only proposed ----------------------------------------------------------------------


def propose(car: Vehicle, **values: Any) -> ServiceRecord:
    typed = {"topic": "engine-oil", "now": NOW, "is_proposed": True, "reference": "x:1", **values}
    return services.record(car, **typed)


def test_a_proposed_service_counts_only_when_it_is_confirmed(car: Vehicle) -> None:
    due(car)
    entry = propose(car)
    assert alerts_of(car) == [("engine-oil", "open", "due")]

    assert proposals.confirm(entry, now=NOW + HOUR, user=make_user(username="alex"))
    assert alerts_of(car) == [("engine-oil", "resolved", "due")]
    assert Activity.objects.filter(what__startswith="Service confirmed", actor="alex").exists()
    assert not proposals.confirm(entry, now=NOW + HOUR)
    assert not proposals.dismiss(entry, now=NOW + HOUR)


def test_a_dismissed_service_never_counts_nor_comes_back(car: Vehicle) -> None:
    due(car)
    entry = propose(car)
    assert proposals.dismiss(entry, now=NOW)
    assert not proposals.confirm(entry, now=NOW)

    assert propose(car) == entry
    assert not ServiceRecord.objects.proposed().exists()
    assert list(car.services.shown()) == list(car.services.counting())
    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_a_service_that_is_recorded_answers_the_proposal_of_the_same_week(car: Vehicle) -> None:
    propose(car, done_on=NOW.date() - 3 * DAY)
    old = propose(car, done_on=NOW.date() - 30 * DAY, reference="x:2")
    services.record(car, topic="engine-oil", now=NOW)

    assert list(ServiceRecord.objects.proposed()) == [old]


def test_what_came_from_elsewhere_and_is_deleted_does_not_come_back(car: Vehicle) -> None:
    due(car)
    entry = services.record(car, topic="engine-oil", reference="issue:17", now=NOW)
    services.delete(entry, now=NOW + HOUR)
    assert alerts_of(car) == [("engine-oil", "open", "due")]

    services.record(car, topic="engine-oil", reference="issue:17", now=NOW + HOUR)
    assert car.services.counting().count() == 1


# --- The odometer of a day ------------------------------------------------------------------------


def shown(car: Vehicle, days_ago: float, km: float, quality: str = "clean") -> None:
    make_reading(vehicle=car, value=km, recorded_at=NOW - days_ago * DAY, quality=quality)


@pytest.mark.parametrize(
    ("readings", "km"),
    [
        ([], None),
        ([(20, 1000)], 1000),
        ([(20.2, 1000), (19, 1500)], 1000),  # of the day itself
        ([(30, 1000), (10, 3000)], 2000),
        ([(22, 1000), (6, 1800)], 1100),
        ([(35, 1000), (18, 3000)], 3000),  # too far on one side
        ([(22, 3000), (18, 40)], 3000),  # another clock between them
        ([(35, 1000), (17, 3000)], None),
        ([(22.5, 1000)], None),
    ],
)
def test_a_day_without_an_odometer_gets_what_the_readings_say(
    car: Vehicle, readings: list[tuple[float, float]], km: float | None
) -> None:
    for days_ago, value in readings:
        shown(car, days_ago, value)
    shown(car, 20.01, 77, quality="doubtful")
    day = (NOW - 20 * DAY).date()

    assert services.odometer_on(car, day) == (None if km is None else pytest.approx(km))
    entry = services.record(car, topic="tire-rotation", done_on=day, now=NOW)
    assert entry.odometer_km == services.odometer_on(car, day)


# --- What services are called ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Oil Change", "OIL-CHANGE", " oil  change. ", "engine oil"])
def test_case_blanks_and_punctuation_do_not_matter(name: str) -> None:
    Rule.objects.filter(topic="engine-oil").update(service_names="Oil Change, Öl & Filter")
    assert services.topics_called(name) == ["engine-oil"]
    assert services.topics_called("öl + FILTER") == ["engine-oil"]


@pytest.mark.parametrize("name", ["", " ", "&", "oil", "oil changes"])
def test_what_nobody_is_called_is_nobody(name: str) -> None:
    Rule.objects.filter(topic="engine-oil").update(service_names="Oil Change,, & ,")
    assert services.topics_called(name) == []


def test_only_enabled_rules_have_names_and_several_may_share_one() -> None:
    make_rule(topic="coolant", service_names="Flush", name="Coolant every year")
    make_rule(topic="brake-fluid", service_names="flush", name="B")
    make_rule(topic="gearbox", service_names="flush", is_enabled=False)

    assert services.topics_called("Flush!") == ["brake-fluid", "coolant"]
    assert services.topics_called("coolant every year") == ["coolant"]
