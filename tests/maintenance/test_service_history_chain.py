"""The service history on its whole way: asked of the driver, read over HTTP, recorded here."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from integrations.clients.readings import SERVICE_RECORDS
from integrations.models import PortalSettings, Vehicle
from maintenance.models import Rule
from tests.integrations.world import World, running
from tests.maintenance.cars import add_default_rules

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["v2", "v3"])
def world(request: pytest.FixtureRequest, settings: Settings) -> Iterator[World]:
    add_default_rules()
    Rule.objects.filter(topic="engine-oil").update(service_names="Oil Change")
    with running(settings, vehicles=2, version=request.param) as running_world:
        yield running_world


def test_an_oil_change_at_the_dealers_is_recorded_once(world: World) -> None:
    connected = world.connect()
    assert "read_service_history" in connected.connection.scope
    toyota = _find(world, "TOYOTA")
    world.car(toyota).change_oil()
    km, changed_on = world.car(toyota).odometer_km, world.car(toyota).recorded_at.date()
    fetched = set()
    for _ in range(3):
        world.poll(toyota)
        fetched.add(toyota.signals.get(code=SERVICE_RECORDS).fetched_at)
        world.pass_time(hours=12)
        world.car(toyota).recorded_at = world.now

    record = toyota.services.get()
    assert (record.topic, record.source) == ("engine-oil", "smartcar")
    assert record.odometer_km == pytest.approx(km, abs=0.1)
    assert record.done_on == changed_on
    assert len(fetched) == 2  # once a day


def test_a_maker_without_a_history_is_not_asked_again(world: World) -> None:
    world.connect()
    chevrolet = _find(world, "CHEVROLET")
    world.poll(chevrolet)

    signal = chevrolet.signals.get(code=SERVICE_RECORDS)
    assert (signal.support, bool(signal.recheck_at)) == ("not_capable", True)


def test_without_intervals_it_is_not_asked_of_the_driver(world: World) -> None:
    Rule.objects.filter(kind="service_interval").delete()
    PortalSettings(send_odometers=False).save()
    assert "read_service_history" not in world.connect().connection.scope


def _find(world: World, make: str) -> Vehicle:
    (key,) = [car.smartcar_id for car in world.sandbox.fleet.cars if car.make == make]
    return next(v for v in Vehicle.objects.all() if world.car(v).smartcar_id == key)
