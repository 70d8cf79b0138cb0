"""Odometers on their way to Fleetio: over real HTTP against the stand-in."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from integrations.clients.readings import ODOMETER, OIL_LIFE
from integrations.models import OutboxEntry, PortalSettings, Signal, Vehicle
from integrations.sandbox.faults import dropped_after, dropped_before
from integrations.services import delivery, fleetio_odometers, fleetio_vehicles, outbox
from integrations.services.delivery import DeliveryCount
from integrations.services.fleetio_odometers import KIND
from tests.factories import make_signal, make_vehicle
from tests.integrations.fleetio_account import VIN, fresh, in_fleetio, match
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db

KM_PER_MILE = 1.609344


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """An account without vehicles; tests put in what they need."""
    with running(settings, vehicles=0) as running_world:
        yield running_world


@pytest.fixture
def car(world: World) -> Vehicle:
    """A matched car with 50,000 miles that Fleetio does not know of yet."""
    made = make_vehicle(vin=VIN)
    in_fleetio(world)
    match(world)
    make_signal(vehicle=made, value=50_000 * KM_PER_MILE)
    return fresh(made)


def queue(world: World) -> int:
    return fleetio_odometers.queue_odometers(now=world.now)


def deliver(world: World) -> DeliveryCount:
    return delivery.deliver_due(clock=world.clock, lanes=["fleetio"])


def entries(world: World) -> list[tuple[float, bool]]:
    rows = world.sandbox.fleetio.records.rows("meter_entries")
    return [(float(row["value"]), row["void"]) for row in rows]


def drive(world: World, miles: float, **time: float) -> None:
    at = world.pass_time(**time or {"days": 1})
    signal = Signal.objects.get(code=ODOMETER)
    Signal.objects.update(value=(signal.value or 0) + miles * KM_PER_MILE, recorded_at=at)


@pytest.mark.parametrize(("unit", "shown"), [("mi", 50_000.1), ("km", 80_467.3)])
def test_an_odometer_reaches_fleetio_in_its_unit_with_one_decimal(
    world: World, car: Vehicle, unit: str, shown: float
) -> None:
    Vehicle.objects.update(fleetio_meter_unit=unit)
    Signal.objects.update(value=80_467.32)

    assert queue(world) == 1
    assert deliver(world).done == 1

    assert entries(world) == [(shown, False)]
    assert fresh(car).fleetio_odometer_km == 80_467.32
    done = OutboxEntry.objects.get()
    assert done.result.startswith(f"{shown:,.1f} {unit} (meter entry ")
    row = world.sandbox.fleetio.records.rows("meter_entries")[0]
    assert world.sandbox.fleetio.records.measured_at[row["id"]] == world.now


def test_only_an_odometer_that_changed_is_sent(world: World, car: Vehicle) -> None:
    queue(world)
    assert queue(world) == 0
    deliver(world)
    world.pass_time(days=1)
    assert queue(world) == 0
    drive(world, 0.04)
    assert queue(world) == 0, "Fleetio would show the same number"
    drive(world, 0.1)
    assert queue(world) == 1
    deliver(world)
    assert len(entries(world)) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"fleetio_id": None},
        {"fleetio_meter_unit": "hr"},
        {"fleetio_meter_unit": ""},
    ],
    ids=["unmatched", "counts hours", "counts nothing"],
)
def test_without_a_match_or_a_distance_meter_nothing_is_queued(
    world: World, car: Vehicle, fields: dict[str, Any]
) -> None:
    Vehicle.objects.update(**fields)

    assert queue(world) == 0


def test_doubtful_odometers_and_other_signals_are_not_queued(world: World, car: Vehicle) -> None:
    Signal.objects.update(value=None, candidate_value=99_999.0, candidate_recorded_at=world.now)
    make_signal(vehicle=car, code=OIL_LIFE, value=50.0)

    assert queue(world) == 0


def test_an_admin_may_switch_odometers_off(world: World, car: Vehicle) -> None:
    PortalSettings(send_odometers=False).save()

    assert queue(world) == 0


def test_a_newer_odometer_supersedes_one_that_waits(world: World, car: Vehicle) -> None:
    queue(world)
    drive(world, 30)

    assert queue(world) == 1

    states = list(OutboxEntry.objects.order_by("pk").values_list("state", "last_error"))
    assert states == [("cancelled", "a newer odometer followed"), ("pending", "")]
    deliver(world)
    assert entries(world) == [(50_030.0, False)]


def test_one_who_queues_from_an_older_reading_takes_nothing_back(
    world: World, car: Vehicle
) -> None:
    older = Signal.objects.select_related("vehicle").get(vehicle=car, code=ODOMETER)
    drive(world, 30)
    queue(world)

    assert not fleetio_odometers._queue(older, world.now)

    deliver(world)
    assert entries(world) == [(50_030.0, False)]


def test_an_odometer_whose_row_was_cancelled_is_queued_again(world: World, car: Vehicle) -> None:
    queue(world)
    outbox.cancel(OutboxEntry.objects.all(), reason="a newer odometer followed", now=world.now)

    assert queue(world) == 1

    deliver(world)
    assert entries(world) == [(50_000.0, False)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fleetio_id": 999}, "not this Fleetio vehicle any more"),
        ({"fleetio_id": None}, "not this Fleetio vehicle any more"),
        ({"fleetio_meter_unit": "hr"}, "the meter counts hr"),
        ({"fleetio_meter_unit": ""}, "the meter counts nothing"),
    ],
)
def test_what_changed_since_it_was_queued_is_not_guessed_around(
    world: World, car: Vehicle, change: dict[str, Any], reason: str
) -> None:
    queue(world)
    Vehicle.objects.update(**change)

    deliver(world)

    assert entries(world) == []
    assert reason in OutboxEntry.objects.get().result


def test_an_odometer_of_a_car_that_is_gone_is_not_sent(world: World, car: Vehicle) -> None:
    queue(world)
    car.delete()

    deliver(world)

    assert entries(world) == []


def test_the_unit_that_counts_is_the_one_at_the_time_of_sending(world: World, car: Vehicle) -> None:
    queue(world)
    Vehicle.objects.update(fleetio_meter_unit="km")

    deliver(world)

    assert entries(world) == [(80_467.2, False)]


def test_a_void_entry_is_a_refusal_and_no_success(world: World, car: Vehicle) -> None:
    queue(world)
    deliver(world)
    drive(world, 9_000)
    queue(world)

    assert deliver(world).dead == 1

    assert entries(world)[-1] == (59_000.0, True)
    dead = OutboxEntry.objects.get(state="dead")
    assert dead.last_error == "Fleetio voided the odometer: Exceeds Max. Daily Usage"
    assert fresh(car).fleetio_odometer_km == pytest.approx(50_000 * KM_PER_MILE)
    world.pass_time(days=1)
    assert queue(world) == 0, "the same value would be voided again"
    assert deliver(world).attempted == 0


def test_an_entry_out_of_sequence_is_refused_with_fleetios_own_words(
    world: World, car: Vehicle
) -> None:
    queue(world)
    deliver(world)
    drive(world, -10)
    queue(world)

    assert deliver(world).dead == 1
    assert "value: must be between 50,000" in OutboxEntry.objects.get(state="dead").last_error


@pytest.mark.parametrize("day", ["", "2026-03-01", "2026-03-03"], ids=["same", "before", "after"])
def test_a_lost_answer_is_looked_for_and_not_repeated(world: World, car: Vehicle, day: str) -> None:
    world.sandbox.fleetio.faults.add(dropped_after(method="POST", path="/api/meter_entries"))
    queue(world)
    assert deliver(world).unclear == 1
    if day:  # the account's own zone may call it another day than UTC does
        world.sandbox.fleetio.records.rows("meter_entries")[0]["date"] = day

    world.pass_time(minutes=10)
    assert deliver(world).done == 1

    assert len(entries(world)) == 1
    assert fresh(car).fleetio_odometer_km == pytest.approx(50_000 * KM_PER_MILE)


def test_a_request_that_never_arrived_is_made_again(world: World, car: Vehicle) -> None:
    world.sandbox.fleetio.faults.add(dropped_before(method="POST", path="/api/meter_entries"))
    queue(world)
    deliver(world)
    world.pass_time(minutes=10)

    assert deliver(world).done == 1
    assert len(entries(world)) == 1


def test_another_cars_entry_is_never_taken_for_ours(world: World, car: Vehicle) -> None:
    world.sandbox.fleetio.faults.add(dropped_before(method="POST", path="/api/meter_entries"))
    queue(world)
    deliver(world)
    other = in_fleetio(world, VIN[:-1] + "2")
    world.fleetio.create_meter_entry(vehicle_id=other["id"], value=50_000.0, recorded_at=world.now)
    world.pass_time(minutes=10)

    deliver(world)

    assert [value for value, _void in entries(world)] == [50_000.0, 50_000.0]


def test_a_void_entry_that_is_found_again_is_a_refusal_too(world: World, car: Vehicle) -> None:
    queue(world)
    deliver(world)
    drive(world, 9_000)
    world.sandbox.fleetio.faults.add(dropped_after(method="POST", path="/api/meter_entries"))
    queue(world)
    deliver(world)
    world.pass_time(minutes=10)

    assert deliver(world).dead == 1
    assert len(entries(world)) == 2


@pytest.mark.parametrize(
    ("fault", "paused"),
    [
        ({"status": 429, "retry_after": 30, "body": {}}, 30),
        ({"status": 429, "body": {}}, 60),
        ({"status": 401, "body": {}}, 300),
    ],
    ids=["429 with Retry-After", "429 without", "401"],
)
def test_fleetio_may_pause_the_account_and_no_odometer_is_lost(
    world: World, car: Vehicle, fault: dict[str, Any], paused: int
) -> None:
    world.fleetio_fault(method="POST", path="/api/meter_entries", **fault)
    queue(world)

    count = deliver(world)

    assert (count.waiting, count.refused) == (1, fault["status"] == 401)
    world.pass_time(seconds=paused - 1)
    assert deliver(world).attempted == 0
    world.pass_time(seconds=1)
    assert deliver(world).done == 1
    assert OutboxEntry.objects.get(kind=KIND).attempts == 1


def test_the_fleets_own_limit_stops_before_fleetio_has_to(
    world: World, car: Vehicle, settings: Settings
) -> None:
    settings.FLEETIO_REQUESTS_PER_MINUTE = 1
    other = make_vehicle(vin=VIN[:-1] + "2")
    in_fleetio(world, other.vin)
    world.pass_time(minutes=1)
    fleetio_vehicles.match(client=world.fleetio, now=world.now)
    make_signal(vehicle=other)
    queue(world)
    world.pass_time(minutes=1)

    count = deliver(world)
    assert (count.done, count.waiting) == (1, 1)
    assert "our own rate limit" in count.stopped
    world.pass_time(minutes=1)
    assert deliver(world).done == 1
    assert world.sandbox.fleetio.requests.count(status=429) == 0
