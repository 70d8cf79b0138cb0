"""Tires and services that are due once, from the reading to the alert."""

import random
from datetime import timedelta

import pytest

from integrations.clients.readings import TIRES
from integrations.models import Vehicle
from maintenance.models import Alert, Rule, ServiceRecord
from maintenance.services import evaluation, services
from tests.factories import NOW, make_rule, make_service, make_vehicle
from tests.maintenance.cars import DAY, HOUR, MILE, add_default_rules, alerts_of, say
from tests.maintenance.test_services_late_readings import (
    Event,
    bring,
    dice,
    shuffled,
    state,
    unresolved,
)

pytestmark = pytest.mark.django_db
WELL, LOW = 240.0, 165.0


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()
    Rule.objects.filter(kind="stale_data").delete()


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def wheels(front_left: float = WELL, rear_right: float = WELL) -> dict[tuple[int, int], float]:
    return {(0, 0): front_left, (0, 1): WELL, (1, 0): WELL, (1, 1): rear_right}


def test_a_low_tire_is_told_after_two_readings_and_over_when_it_is_filled(car: Vehicle) -> None:
    say(car, NOW, tires=wheels(LOW))
    assert alerts_of(car) == [("front-left", "pending", "due")]
    say(car, NOW + 6 * HOUR, tires=wheels(LOW))

    alert = Alert.objects.get()
    assert (alert.status, alert.summary) == ("open", "Front left tire low: 24 psi")
    assert (alert.worst, alert.evidence["pressure_kpa"]) == (LOW, LOW)

    say(car, NOW + 12 * HOUR, tires=wheels(200))
    assert alerts_of(car) == [("front-left", "open", "due")], "not filled yet"
    say(car, NOW + 18 * HOUR, tires=wheels())
    assert alerts_of(car) == [("front-left", "resolved", "due")]


def test_each_wheel_has_its_own_life(car: Vehicle) -> None:
    for hours in (0, 6):
        say(car, NOW + hours * HOUR, tires=wheels(LOW, 130))
    say(car, NOW + 12 * HOUR, tires=wheels(WELL, 130))

    assert alerts_of(car) == [("front-left", "resolved", "due"), ("rear-right", "open", "overdue")]


def test_a_low_tire_that_is_blown_up_too_far_is_another_matter(car: Vehicle) -> None:
    Rule.objects.filter(kind="tire_pressure").update(placard_front_kpa=240)
    for hours, kpa in ((0, LOW), (6, LOW), (12, 320.0), (18, 320.0)):
        say(car, NOW + hours * HOUR, tires=wheels(kpa))

    assert alerts_of(car) == [("front-left", "resolved", "due"), ("front-left-high", "open", "due")]


def test_a_reading_of_tires_that_comes_late_counts_in_its_place(car: Vehicle) -> None:
    say(car, NOW, tires=wheels(LOW))
    say(car, NOW + 12 * HOUR, tires=wheels(LOW))
    assert alerts_of(car) == [("front-left", "open", "due")]

    say(car, NOW + 6 * HOUR, now=NOW + 13 * HOUR, tires=wheels())
    assert [status for _, status, _ in alerts_of(car)] == ["resolved", "pending"]


def test_what_comes_late_leaves_a_topic_alone_that_knows_only_the_present(car: Vehicle) -> None:
    Rule.objects.filter(kind="tire_pressure").update(topic="connection")
    say(car, NOW, tires=wheels(LOW))
    say(car, NOW + 12 * HOUR, tires=wheels(LOW))
    say(car, NOW + 6 * HOUR, now=NOW + 13 * HOUR, tires=wheels())

    assert alerts_of(car) == [("front-left", "open", "due")]


@pytest.mark.parametrize("seed", range(2000, 2024))
def test_any_order_of_tire_readings_ends_as_the_order_of_the_cars_clock(seed: int) -> None:
    Rule.objects.filter(kind="tire_pressure").update(placard_front_kpa=240, placard_rear_kpa=240)
    chance = dice(seed)
    events = [
        Event(f"e{hour}", NOW - hour * HOUR, ((TIRES, {"values": _some_wheels(chance)}),))
        for hour in sorted(chance.sample(range(1, 70), chance.randint(2, 9)), reverse=True)
    ]
    cars = [make_vehicle() for _ in range(3)]
    bring(cars[0], *events)
    for other in cars[1:]:
        bring(other, *shuffled(events, chance))

        assert state(other) == state(cars[0])
        assert unresolved(other) == unresolved(cars[0])
    assert not Vehicle.objects.exclude(evaluation_error="").exists()


def _some_wheels(chance: random.Random) -> list[dict[str, float]]:
    pressures = [0.0, 100.0, 180.0, 180.0, 180.0, 205.0, 230.0, 290.0, 310.0, 310.0]
    places = [place for place in wheels() if chance.random() < 0.9] or [(0, 0)]
    return [
        {"row": row, "column": column, "tirePressure": chance.choice(pressures)}
        for row, column in places
    ]


# --- Once -------------------------------------------------------------------------------------


def test_a_service_once_on_a_day_is_over_when_it_was_done(car: Vehicle) -> None:
    day = NOW.date() + timedelta(days=20)
    make_rule(topic="inspection", distance_km=None, due_on=day)
    make_service(vehicle=car, topic="inspection", done_on=NOW.date() - timedelta(days=300))
    stages = {}
    for days in (5, 6, 20, 34):
        evaluation.evaluate_all(now=NOW + days * DAY)
        stages[days] = [stage for _, _, stage in alerts_of(car)]
    assert stages == {5: [], 6: ["soon"], 20: ["due"], 34: ["overdue"]}
    alert = Alert.objects.get()
    assert alert.evidence["rule"]["due_on"] == day.isoformat()
    assert alert.summary == "Inspection service"

    services.mark_serviced(alert, now=NOW + 35 * DAY)
    alert.refresh_from_db()
    assert (alert.status, alert.resolution) == ("resolved", "serviced")
    evaluation.evaluate_all(now=NOW + 400 * DAY)
    assert [status for _, status, _ in alerts_of(car)] == ["resolved"], "once is once"


def test_a_service_once_at_an_odometer_is_over_when_it_was_done(car: Vehicle) -> None:
    make_rule(topic="belt", distance_km=None, due_odometer_km=60_000 * MILE)
    say(car, NOW, km=59_400 * MILE)
    assert alerts_of(car) == []
    say(car, NOW + HOUR, km=59_500 * MILE)
    assert alerts_of(car) == [("belt", "open", "soon")]
    say(car, NOW + 2 * HOUR, km=60_000 * MILE)
    assert alerts_of(car) == [("belt", "open", "due")]

    services.record(car, topic="belt", now=NOW + 3 * HOUR, source=ServiceRecord.Source.ADMIN)
    say(car, NOW + DAY, km=60_900 * MILE)
    assert alerts_of(car) == [("belt", "resolved", "due")]
