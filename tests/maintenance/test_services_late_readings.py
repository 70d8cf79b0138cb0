"""Readings in any order, repeated and at once: the same state and the same alerts remain."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from integrations.clients.readings import (
    ODOMETER,
    OIL_LIFE,
    SYSTEM_PREFIX,
    TROUBLE_CODES,
    SignalReading,
)
from integrations.models import Vehicle
from integrations.services.ingest import ingest
from maintenance.models import Alert
from maintenance.services import acts, evaluation
from tests.factories import NOW, make_service, make_user, make_vehicle
from tests.maintenance.cars import (
    HOUR,
    add_default_rules,
    alerts_of,
    open_alert,
    say,
    states,
)
from tests.maintenance.test_services_evaluation import at_once

pytestmark = pytest.mark.django_db

CODES = ["P0301", "P0420", "C1201"]
SYSTEMS = ["oilpressure", "absbrake"]


@pytest.fixture(autouse=True)
def rules(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("transactional_db" if "threads" in request.node.name else "db")
    add_default_rules()


# --- A car's days, as it says them --------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """What a car says at once: one webhook with up to several signals."""

    name: str
    at: datetime
    bodies: tuple[tuple[str, dict[str, Any]], ...]

    def readings(self) -> list[SignalReading]:
        return [
            SignalReading(code=code, body=body, recorded_at=self.at, fetched_at=self.at + HOUR / 60)
            for code, body in self.bodies
        ]


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  the same days each time


def history(chance: random.Random) -> list[Event]:
    """Less than three days of a car in trouble, in the order of its clock."""
    hours = sorted(chance.sample(range(1, 70), chance.randint(2, 9)), reverse=True)
    oil, km = chance.choice([3.0, 15.0, 28.0, 35.0, 50.0]), 50_000.0
    events = []
    for number, hour in enumerate(hours):
        oil = chance.choice([0, 3, 4, 10, 18, 19, 24, 29, 33, 38, 45, 50, oil, oil, oil])
        km += chance.randint(0, 60)
        said = km if chance.random() > 0.15 else chance.choice([70.0, 900_000.0])
        codes = [code for code in CODES if chance.random() < 0.5]
        states = ["OK", "ALERT"]
        bodies: dict[str, dict[str, Any]] = {
            OIL_LIFE: {"value": oil, "unit": "percent"},
            ODOMETER: {"value": said, "unit": "km"},
            TROUBLE_CODES: {"values": [{"code": code, "timestamp": None} for code in codes]},
            **{
                SYSTEM_PREFIX + name: {"status": chance.choice(states), "description": ""}
                for name in SYSTEMS
            },
        }
        chosen = chance.sample(sorted(bodies), chance.randint(1, len(bodies)))
        at = NOW - hour * HOUR
        events.append(Event(f"e{number}", at, tuple((code, bodies[code]) for code in chosen)))
    return events


def bring(car: Vehicle, *events: Event) -> None:
    """All of it arrives now, so that only the order differs."""
    for event in events:
        ingest(car, event.readings(), source="webhook", now=NOW, event_id=event.name)


def shuffled(events: Iterable[Event], chance: random.Random) -> list[Event]:
    """Each event up to four times, in any order."""
    many = [event for event in events for _ in range(chance.randint(1, 4))]
    chance.shuffle(many)
    return many


def state(car: Vehicle) -> list[Any]:
    return sorted(car.signals.values_list("code", "value", "data", "recorded_at"), key=repr)


def unresolved(car: Vehicle) -> list[Any]:
    columns = ("topic", "subject", "status", "stage", "firing_count", "clear_count", "worst")
    return sorted(car.alerts.unresolved().values_list(*columns))


def said_by(car: Vehicle) -> list[Any]:
    """Doubt and belief of each odometer that was kept."""
    rows = car.readings.filter(code=ODOMETER).order_by("recorded_at", "pk")
    return list(rows.values_list("recorded_at", "value", "quality"))


def everything(car: Vehicle) -> list[Any]:
    return [
        list(car.signals.order_by("pk").values()),
        list(car.readings.order_by("pk").values()),
        list(car.alerts.order_by("pk").values()),
    ]


@pytest.mark.parametrize("seed", [*range(36), 261, 1470])
def test_any_order_and_repetition_ends_as_the_order_of_the_cars_clock(seed: int) -> None:
    chance = dice(seed)
    events = history(chance)
    cars = [make_vehicle() for _ in range(3)]
    if seed % 3 == 0:  # two rules of one topic, which read different signals
        for car in cars:
            make_service(vehicle=car, odometer_km=42_000, done_on=NOW.date())
    bring(cars[0], *events)
    for car in cars[1:]:
        bring(car, *shuffled(events, chance))

        assert state(car) == state(cars[0])
        assert said_by(car) == said_by(cars[0])
        assert unresolved(car) == unresolved(cars[0])
    assert not Vehicle.objects.exclude(evaluation_error="").exists()


@pytest.mark.parametrize("seed", [*range(100, 112), 5006, 5016])
def test_late_and_new_readings_that_come_together_end_the_same(seed: int) -> None:
    chance = dice(seed)
    events = history(chance)
    one, other = make_vehicle(), make_vehicle()
    for event in events:
        ingest(one, event.readings(), source="poll", now=NOW)
    many = shuffled(events, chance)
    while many:
        taken = [many.pop() for _ in range(min(len(many), chance.randint(1, 4)))]
        ingest(other, [r for event in taken for r in event.readings()], source="poll", now=NOW)

    assert (state(other), said_by(other), unresolved(other)) == (
        state(one),
        said_by(one),
        unresolved(one),
    )


@pytest.mark.parametrize("seed", range(200, 206))
def test_what_was_put_in_order_stays_so(seed: int) -> None:
    chance = dice(seed)
    events, car = history(chance), make_vehicle()
    bring(car, *shuffled(events, chance))
    before = everything(car)

    bring(car, *shuffled(events, chance))
    again(car)

    assert everything(car) == before


def again(car: Vehicle, now: datetime = NOW) -> None:
    signals = list(car.signals.all())
    with transaction.atomic():
        evaluation.evaluate(car, signals, late={signal.code for signal in signals}, now=now)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(300, 304))
def test_threads_that_bring_the_same_events_in_different_orders_end_the_same(seed: int) -> None:
    chance = dice(seed)
    events = history(chance)
    one, other = make_vehicle(), make_vehicle()
    bring(one, *events)
    orders = [chance.sample(events, len(events)) for _ in range(4)]

    at_once(4, lambda number: bring(Vehicle.objects.get(pk=other.pk), *orders[number]))

    assert state(other) == state(one)
    assert said_by(other) == said_by(one)
    assert unresolved(other) == unresolved(one)
    assert not Vehicle.objects.exclude(evaluation_error="").exists()


# --- What a late reading does -------------------------------------------------------------------


@pytest.fixture
def car(rules: None) -> Vehicle:
    return make_vehicle(make="CHEVROLET")


def late(car: Vehicle, hour: float, **said: Any) -> None:
    """What the car recorded at this hour comes in two days after NOW."""
    say(car, NOW + hour * HOUR, now=NOW + 48 * HOUR, **said)


def test_a_late_reading_counts_towards_the_hold(car: Vehicle) -> None:
    say(car, NOW + 12 * HOUR, oil=14)
    assert alerts_of(car) == [("engine-oil", "pending", "due")]

    late(car, 0, oil=14)

    assert alerts_of(car) == [("engine-oil", "open", "due")]
    assert states("mail_alert") == states("fleetio_issue") == ["pending"]


def test_a_late_reading_disproves_an_alert_and_withdraws_what_was_not_sent(car: Vehicle) -> None:
    say(car, NOW, codes=["P0301"])
    say(car, NOW + 2 * HOUR, codes=["P0301"])

    late(car, 1, codes=[])

    assert alerts_of(car) == [("P0301", "resolved", "due"), ("P0301", "pending", "due")]
    assert car.alerts.get(status="resolved").resolution == Alert.Resolution.CLEARED
    assert states("mail_alert") == states("fleetio_issue") == ["cancelled"]

    say(car, NOW + 49 * HOUR, codes=["P0301"])
    assert alerts_of(car) == [("P0301", "open", "due")]


def test_a_late_reading_disproves_a_wait(car: Vehicle) -> None:
    say(car, NOW, systems={"mil": "ALERT"})
    late(car, -1, systems={"mil": "OK"})
    assert alerts_of(car) == [("mil", "pending", "due")]
    say(car, NOW + 3 * HOUR, codes=[])

    late(car, 1, systems={"mil": "OK"})

    assert alerts_of(car) == []


def test_a_late_clear_is_the_second_one(car: Vehicle) -> None:
    for hour in (0, 1):
        say(car, NOW + hour * HOUR, codes=["P0301"])
    say(car, NOW + 3 * HOUR, codes=[])

    late(car, 2, codes=[])

    assert alerts_of(car) == [("P0301", "resolved", "due")]


def test_a_late_reading_brings_back_what_was_cleared_too_soon(car: Vehicle) -> None:
    for hour in (0, 1):
        say(car, NOW + hour * HOUR, codes=["P0301"])
    for hour in (2, 4):
        say(car, NOW + hour * HOUR, codes=[])
    assert alerts_of(car) == [("P0301", "resolved", "due")]

    late(car, 3, codes=["P0301"])

    assert alerts_of(car) == [("P0301", "open", "due")]


def test_a_late_reading_is_told_when_it_is_worse(car: Vehicle) -> None:
    open_alert(car, oil=14)
    say(car, NOW + 10 * HOUR, oil=14)

    late(car, 5, oil=3)

    assert alerts_of(car) == [("engine-oil", "open", "overdue")]
    assert car.alerts.get().evidence["value"] == 3


def test_what_a_person_did_stays_on_the_alert(car: Vehicle) -> None:
    alert = open_alert(car)
    acts.acknowledge(alert, user=make_user(), now=NOW + HOUR)

    say(car, NOW + 10 * HOUR, oil=14)

    late(car, -6, oil=18)
    late(car, 5, oil=3)

    assert alerts_of(car) == [("engine-oil", "acknowledged", "overdue")]


def test_what_a_person_closed_stays_closed(car: Vehicle) -> None:
    acts.resolve(open_alert(car), user=make_user(), now=NOW + HOUR)
    for hour, oil in ((13, 13), (26, 13)):
        say(car, NOW + hour * HOUR, oil=oil)

    for hour, oil in ((-20, 14), (-2, 95), (5, 12)):
        late(car, hour, oil=oil)
    assert alerts_of(car) == [("engine-oil", "resolved", "due")]

    late(car, 6, oil=95)  # after that the car was well, and is not again
    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_that_it_was_well_since_a_person_closed_it_is_noted(car: Vehicle) -> None:
    acts.resolve(open_alert(car), user=make_user(), now=NOW + HOUR)
    say(car, NOW + 10 * HOUR, oil=35)

    late(car, 6, oil=95)

    assert alerts_of(car) == [("engine-oil", "resolved", "due")]
    assert car.alerts.get().cleared_since_resolved


def test_an_episode_that_is_older_than_readings_count_is_left_alone(car: Vehicle) -> None:
    open_alert(car, NOW - 60 * HOUR)  # it began 72 hours ago, and three days later it is over
    say(car, NOW + 10 * HOUR, oil=14)

    late(car, -13, oil=95)
    late(car, 1, oil=95)

    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_what_comes_after_three_days_opens_and_closes_nothing(car: Vehicle) -> None:
    say(car, NOW + 48 * HOUR, oil=14)
    late(car, -24.1, oil=14)
    assert alerts_of(car) == [("engine-oil", "pending", "due")]

    late(car, -24, oil=14)
    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_a_stage_that_never_was_is_taken_back(car: Vehicle) -> None:
    for hour, oil in ((0, 3), (12, 3), (20, 28), (32, 28)):
        say(car, NOW + hour * HOUR, oil=oil)
    assert alerts_of(car) == [("engine-oil", "open", "overdue")]

    late(car, 16, oil=95)

    assert alerts_of(car) == [("engine-oil", "open", "soon")]
    assert "cancelled" in states("mail_alert")


def test_a_correction_of_the_same_instant_takes_the_place_of_what_it_corrects(
    car: Vehicle,
) -> None:
    for hour in (0, 1):
        say(car, NOW + hour * HOUR, codes=["P0301"])
    say(car, NOW + 2 * HOUR, codes=[])
    assert alerts_of(car) == [("P0301", "open", "due")]

    late(car, 1, codes=[])

    # Seen once, and then gone: it never was an alert.
    assert alerts_of(car) == [("P0301", "resolved", "due")]


def test_an_odometer_that_is_taken_back_ends_the_alert_it_opened(car: Vehicle) -> None:
    make_service(vehicle=car, odometer_km=50_000, done_on=NOW.date())
    say(car, NOW + 2 * HOUR, km=900_000)
    assert alerts_of(car) == [("engine-oil", "open", "overdue")]

    late(car, 1, km=50_100)

    assert alerts_of(car) == [("engine-oil", "resolved", "overdue")]
    assert car.alerts.get().resolution == Alert.Resolution.CLEARED
    assert car.signals.get(code=ODOMETER).value == 50_100


def test_what_came_late_while_the_rules_failed_is_put_in_order_after(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(car, NOW + 12 * HOUR, oil=14)
    monkeypatch.setattr("maintenance.engine.history.judge", lambda *args: 1 / 0)
    late(car, 0, oil=14)
    car.refresh_from_db()
    assert car.evaluation_error.startswith("ZeroDivisionError")
    assert alerts_of(car) == [("engine-oil", "pending", "due")]
    monkeypatch.undo()

    evaluation.evaluate_all(now=NOW + 48 * HOUR)

    assert alerts_of(car) == [("engine-oil", "open", "due")]
