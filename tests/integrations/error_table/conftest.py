"""Two drivers and three cars that are due, and a provider that can be made to fail."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from integrations.models import Activity, Signal, Vehicle
from tests.integrations.error_table.table import AT
from tests.integrations.world import World, running, without_rules


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two drivers; the first has two cars. All were read half an hour ago and are due."""
    without_rules(monkeypatch)
    with running(settings, vehicles=3, drivers=2) as running_world:
        for driver in running_world.sandbox.fleet.drivers:
            for vehicle in running_world.connect(driver=driver.email).vehicles:
                assert running_world.poll(vehicle)
        running_world.now = AT
        for car in running_world.sandbox.fleet.cars:
            car.report(AT, odometer_km=car.odometer_km + 40)
        Vehicle.objects.update(next_poll_at=AT)
        Activity.objects.all().delete()
        running_world.sandbox.smartcar.requests.clear()
        yield running_world


@pytest.fixture
def car(world: World) -> Vehicle:
    """A Chevrolet that gives all that is wanted; its driver has another car."""
    vehicle = Vehicle.objects.get(smartcar_id=world.sandbox.fleet.cars[0].smartcar_id)
    Signal.objects.filter(vehicle=vehicle).update(is_wanted=True)
    return vehicle


@pytest.fixture
def sibling(world: World) -> Vehicle:
    return Vehicle.objects.get(smartcar_id=world.sandbox.fleet.cars[2].smartcar_id)


@pytest.fixture
def stranger(world: World) -> Vehicle:
    """The car of another driver."""
    return Vehicle.objects.get(smartcar_id=world.sandbox.fleet.cars[1].smartcar_id)
