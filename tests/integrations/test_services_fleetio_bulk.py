"""Many odometers in one job: each is done only when its entry was read back."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from integrations.models import OutboxEntry, Vehicle
from integrations.sandbox import FOREVER, Fault
from integrations.sandbox.faults import dropped_after, dropped_before
from integrations.services import delivery, fleetio_odometers
from integrations.services.fleetio_bulk import FEWEST
from tests.factories import make_connection, make_signal, make_vehicle
from tests.integrations.fleetio_account import in_fleetio, match
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db

KM_PER_MILE = 1.609344
JOBS: dict[str, Any] = {"method": "POST", "path": "/api/bulk_api_jobs"}


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with running(settings, vehicles=0) as running_world:
        yield running_world


def add_cars(world: World, count: int, *, miles: float = 50_000) -> None:
    connection = make_connection()
    for number in range(count):
        vin = f"1FTBW2CM0KKB{number:05d}"
        in_fleetio(world, vin, name=f"Bus {vin}")
        car = make_vehicle(vin=vin, connection=connection)
        make_signal(vehicle=car, value=(miles + number) * KM_PER_MILE)
    match(world)
    fleetio_odometers.queue_odometers(now=world.now)


def deliver(world: World) -> None:
    delivery.deliver_due(clock=world.clock, lanes=["fleetio"])


def deliver_all(world: World) -> None:
    for _ in range(40):
        deliver(world)
        waiting = OutboxEntry.objects.filter(state__in=["pending", "sending", "unknown"])
        first = waiting.order_by("next_attempt_at").first()
        if first is None:
            return
        world.now = max(world.now, first.next_attempt_at) + timedelta(seconds=5)
    raise AssertionError([(row.state, row.last_error) for row in waiting])


def calls(world: World, path: str) -> int:
    return world.sandbox.fleetio.requests.count("POST", path)


def states() -> list[str]:
    return sorted(set(OutboxEntry.objects.values_list("state", flat=True)))


def assert_each_once(world: World, count: int) -> None:
    rows = world.sandbox.fleetio.records.rows("meter_entries")
    assert len({row["vehicle_id"] for row in rows}) == len(rows) == count
    assert states() == ["done"]
    assert not Vehicle.objects.filter(fleetio_odometer_km=None).exists()


def test_few_are_sent_each_by_itself(world: World) -> None:
    add_cars(world, FEWEST - 1)
    deliver(world)
    assert_each_once(world, FEWEST - 1)
    assert calls(world, "/api/bulk_api_jobs") == 0


def test_many_are_one_job_and_done_when_they_were_read_back(world: World) -> None:
    world.sandbox.fleetio.bulk.delay = 200
    add_cars(world, FEWEST + 5)
    deliver(world)
    assert states() == ["unknown"]
    assert OutboxEntry.objects.earliest("pk").last_error.startswith("In bulk job ")
    deliver_all(world)

    assert_each_once(world, FEWEST + 5)
    assert calls(world, "/api/bulk_api_jobs") == 1
    assert calls(world, "/api/meter_entries") == 0


def test_a_job_takes_a_hundred(world: World) -> None:
    add_cars(world, 121)
    deliver_all(world)
    assert_each_once(world, 121)
    assert calls(world, "/api/bulk_api_jobs") == 2


@pytest.mark.parametrize(
    "fault",
    [
        dropped_after(**JOBS),
        dropped_before(**JOBS),
        Fault(**JOBS, status=500, carried_out=True),
        Fault(**JOBS, status=403, times=FOREVER),
        Fault(**JOBS, status=429, retry_after=20, times=2),
        Fault(**JOBS, status=201, body=b"", carried_out=True),
        Fault(**JOBS, status=201, body={"id": 5}),
        Fault(method="GET", path="/api/meter_entries", status=502, times=2),
    ],
    ids=str,
)
def test_each_odometer_is_there_once_whatever_goes_wrong(world: World, fault: Fault) -> None:
    add_cars(world, FEWEST)
    world.sandbox.fleetio.faults.add(fault)
    deliver_all(world)
    assert_each_once(world, FEWEST)


def test_what_is_void_or_refused_in_a_job_is_given_up(world: World) -> None:
    add_cars(world, FEWEST)
    deliver_all(world)
    world.pass_time(days=1)
    cars = list(Vehicle.objects.order_by("pk"))
    for place, car in enumerate(cars):
        miles = {0: 90_000, 1: 10}.get(place, 50_100 + place)
        car.signals.update(value=miles * KM_PER_MILE, recorded_at=world.now)
    fleetio_odometers.queue_odometers(now=world.now)
    deliver_all(world)

    dead = OutboxEntry.objects.filter(state="dead").order_by("vehicle")
    assert [row.vehicle for row in dead] == cars[:2]
    voided, refused = (row.last_error for row in dead)
    assert "Exceeds Max. Daily Usage" in voided
    assert "must be between" in refused
    assert OutboxEntry.objects.filter(state="done").count() == 2 * FEWEST - 2


def test_what_a_job_did_not_bring_is_sent_by_itself_after_a_while(world: World) -> None:
    add_cars(world, FEWEST)
    world.sandbox.fleetio.faults.add(Fault(**JOBS, status=201, body={"id": 9}))
    began = world.now
    deliver(world)
    world.pass_time(minutes=10)
    deliver(world)
    assert states() == ["unknown"]
    assert calls(world, "/api/meter_entries") == 0
    deliver_all(world)

    assert_each_once(world, FEWEST)
    assert world.now - began >= timedelta(minutes=15)
