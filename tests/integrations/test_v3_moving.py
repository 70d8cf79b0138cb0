"""A fleet moves from v2 to v3 by its settings, and back: nobody is asked, nothing is lost."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from integrations import conf, tasks
from integrations.clients.errors import ClientError
from integrations.clients.readings import ODOMETER
from integrations.models import (
    Activity,
    Connection,
    ConnectLink,
    OAuthToken,
    OutboxEntry,
    Reading,
    Vehicle,
    VehicleAccess,
)
from integrations.services import moving
from maintenance.models import Alert
from tests.integrations.world import World, running, without_rules
from tests.portal import run

pytestmark = pytest.mark.django_db

LIST = "/v3/connections"
TO_DRIVERS = ["mail_connect_link", "mail_reconnect"]


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with running(settings, vehicles=4, drivers=2, version="v2") as running_world:
        yield running_world


@pytest.fixture
def fleet(world: World) -> list[Vehicle]:
    """Four cars of two drivers, connected and read twice under v2; one has a trouble code."""
    drivers = world.sandbox.fleet.drivers
    cars = [car for one in drivers for car in world.connect(driver=one.email).vehicles]
    world.car(cars[0]).trouble_codes = ["P0420"]
    for _ in range(2):
        drive(world, hours=13)
        for car in cars:
            assert world.poll(car)
    assert Alert.objects.filter(vehicle=cars[0], subject="P0420", status="open").count() == 1
    assert Vehicle.objects.filter(vin__isnull=False).count() == 4
    return cars


def drive(world: World, **time: float) -> None:
    world.pass_time(**time)
    for car in world.sandbox.fleet.cars:
        car.report(world.now, odometer_km=car.odometer_km + 40)


def use(settings: Settings, version: str) -> None:
    settings.SMARTCAR_API_VERSION = version


def move(world: World) -> int:
    world.pass_time(minutes=5)
    return tasks.list_missing_vehicles()


def poll_all(world: World) -> list[str]:
    """What went wrong."""
    results = [world.poll(car) for car in Vehicle.objects.readable()]
    return [result.error for result in results if result and result.outcome]


def kept() -> list[Any]:
    """All that must be the same afterwards."""
    return [
        list(Connection.objects.order_by("pk").values("pk", "driver", "status", "connected_at")),
        list(Vehicle.objects.order_by("pk").values("pk", "vin", "make", "connection")),
        list(Reading.objects.order_by("pk").values_list("pk", "value", "recorded_at")),
        list(Alert.objects.order_by("pk").values("pk", "status", "subject", "opened_at")),
        list(OAuthToken.objects.filter(connection__isnull=False).order_by("pk").values()),
        OutboxEntry.objects.filter(kind__in=TO_DRIVERS).count(),
        ConnectLink.objects.count(),
    ]


def through() -> set[str]:
    return set(Connection.objects.values_list("listed_through", flat=True))


def odometers() -> dict[str | None, Any]:
    rows = Vehicle.objects.filter(signals__code=ODOMETER)
    return dict(rows.values_list("vin", "signals__value"))


def driven(world: World) -> dict[str | None, Any]:
    return {car.vin: pytest.approx(car.odometer_km) for car in world.sandbox.fleet.cars}


# --- The same ids -----------------------------------------------------------------------------


def test_a_fleet_moves_with_all_it_has_and_asks_no_driver(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    before = kept()
    use(settings, "v3")

    assert move(world) == 2

    assert kept() == before
    assert through() == {"v3"}
    assert VehicleAccess.objects.filter(ended_at__isnull=True).count() == 4
    assert move(world) == 0, "once is enough"


def test_after_the_move_cars_are_read_through_v3_and_their_history_goes_on(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    use(settings, "v3")
    move(world)
    world.sandbox.smartcar.requests.clear()
    readings = Reading.objects.filter(code=ODOMETER).count()
    drive(world, hours=12)

    assert poll_all(world) == []

    assert odometers() == driven(world)
    assert Reading.objects.filter(code=ODOMETER).count() == readings + 4
    log = world.sandbox.smartcar.requests
    assert (world.signal_calls(), log.count(path="/v2.0/")) == (4, 0)
    assert world.token_calls() == 0
    assert Vehicle.objects.count() == 4


def test_an_alert_lives_on_under_v3_and_ends_by_what_v3_says(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    use(settings, "v3")
    move(world)
    drive(world, hours=12)
    poll_all(world)
    alert = Alert.objects.get(vehicle=fleet[0], subject="P0420")
    assert alert.status == "open"

    world.car(fleet[0]).trouble_codes = []
    for _ in range(2):
        drive(world, hours=12)
        poll_all(world)

    alert.refresh_from_db()
    assert alert.status == "resolved"


def test_a_poll_that_comes_before_the_move_reads_the_car_all_the_same(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    use(settings, "v3")
    drive(world, hours=12)

    assert poll_all(world) == []

    assert odometers() == driven(world)
    assert move(world) == 2


def test_the_command_that_reads_moves_the_fleet_first(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    use(settings, "v3")
    drive(world, hours=12)

    printed = run("poll", "--all")

    assert printed.splitlines()[-1].startswith("4 of 4 vehicles read")
    assert through() == {"v3"}


def test_a_car_that_is_not_shared_any_more_goes_and_a_new_one_comes(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    gone = VehicleAccess.objects.get(vehicle=fleet[0])
    world.sandbox.smartcar.tokens.disconnect(vehicle_id=gone.smartcar_id)
    use(settings, "v3")

    assert move(world) == 2

    gone.refresh_from_db()
    assert gone.ended_at == world.now
    assert Vehicle.objects.readable().count() == 3
    assert Alert.objects.filter(vehicle=fleet[0], status="open").exists()


# --- Other ids --------------------------------------------------------------------------------


@pytest.fixture
def renamed(world: World, fleet: list[Vehicle]) -> dict[str, str]:
    """v3 calls every car by another id."""
    ids = {car.smartcar_id: f"v3-{car.smartcar_id}" for car in world.sandbox.fleet.cars}
    world.sandbox.smartcar.v3_ids = ids
    return ids


def test_cars_with_other_ids_are_found_by_their_vin(
    world: World, fleet: list[Vehicle], renamed: dict[str, str], settings: Settings
) -> None:
    before = kept()
    use(settings, "v3")

    assert move(world) == 2

    assert kept() == before
    assert set(Vehicle.objects.values_list("smartcar_id", flat=True)) == set(renamed.values())
    for way in VehicleAccess.objects.filter(ended_at__isnull=False):
        now = way.vehicle.accesses.get(ended_at__isnull=True)
        assert now.smartcar_id == renamed[way.smartcar_id]
        assert now.connection == way.connection
    drive(world, hours=12)
    assert poll_all(world) == []
    assert odometers() == driven(world)
    assert Vehicle.objects.count() == 4


def test_a_car_whose_vin_does_not_come_is_one_car_after_its_first_read(
    world: World, fleet: list[Vehicle], renamed: dict[str, str], settings: Settings
) -> None:
    world.smartcar_fault(pattern="/signals", status=502, times=4)
    use(settings, "v3")
    assert move(world) == 2
    drive(world, hours=12)

    assert poll_all(world) == []

    assert Vehicle.objects.count() == 4
    assert odometers() == driven(world)
    assert {car.pk for car in Vehicle.objects.all()} == {car.pk for car in fleet}
    alert = Alert.objects.get(subject="P0420")
    assert (alert.vehicle, alert.status) == (fleet[0], "open")


def test_a_driver_with_another_user_id_is_found_by_the_cars(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    connection = Connection.objects.earliest("pk")
    true_id = connection.smartcar_user_id
    Connection.objects.filter(pk=connection.pk).update(smartcar_user_id="of-v2")
    use(settings, "v3")

    assert move(world) == 2

    connection.refresh_from_db()
    assert connection.smartcar_user_id == true_id
    drive(world, hours=12)
    assert poll_all(world) == []


def test_a_car_that_two_drivers_share_stays_with_the_one_who_connected_last(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    early, late = Connection.objects.order_by("pk")
    Connection.objects.filter(pk=late.pk).update(connected_at=world.now)
    (way, _other) = late.accesses.order_by("pk")
    world.sandbox.smartcar.tokens.connect(
        user_id=early.smartcar_user_id,
        vehicle_ids=[way.smartcar_id],
        permissions=["read_vin", "read_odometer"],
        redirect_uri="",
        mode="test",
    )
    use(settings, "v3")

    assert move(world) == 2

    way.refresh_from_db()
    assert (way.connection, way.ended_at) == (late, None)
    assert way.vehicle.accesses.count() == 1


# --- Not listed -------------------------------------------------------------------------------


def test_a_consent_that_v3_does_not_list_stays_as_it_is_and_is_named(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    lost, other = Connection.objects.order_by("pk")
    user = lost.smartcar_user_id

    def forget(body: dict[str, Any]) -> dict[str, Any]:
        rows = [one for one in body["data"] if one["attributes"]["user"]["id"] != user]
        return {"data": rows, "meta": {"totalCount": len(rows)}}

    world.smartcar_fault(path=LIST, alter=forget, times=None)
    before = kept()
    use(settings, "v3")

    assert move(world) == 1

    assert kept() == before
    lost.refresh_from_db()
    other.refresh_from_db()
    assert (lost.listed_through, other.listed_through) == ("v2", "v3")
    assert VehicleAccess.objects.filter(ended_at__isnull=True).count() == 4
    listed = moving.list_all(client=client_of_v3(), now=world.now)
    (found,) = moving.lost_under_v3(listed)
    assert found.connection == lost
    assert "lists no car of this driver" in found.why
    assert tasks.reconcile_connections() == 0
    assert kept() == before


def client_of_v3() -> Any:
    return conf.get_smartcar_client()


def test_a_consent_of_which_v3_lists_less_is_named_with_how_much(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    way = VehicleAccess.objects.earliest("pk")
    world.sandbox.smartcar.tokens.disconnect(vehicle_id=way.smartcar_id)
    use(settings, "v3")

    listed = moving.list_all(client=client_of_v3(), now=world.now)

    (found,) = moving.lost_under_v3(listed)
    assert found.connection == way.connection
    assert found.why == "v3 does not list 1 of its 2 cars"


def test_where_v3_lists_all_nobody_would_be_lost_whatever_the_ids(
    world: World, fleet: list[Vehicle], renamed: dict[str, str], settings: Settings
) -> None:
    use(settings, "v3")

    listed = moving.list_all(client=client_of_v3(), now=world.now)

    assert moving.lost_under_v3(listed) == []
    users = Connection.objects.values_list("smartcar_user_id", flat=True)
    assert set(listed) == set(users)


def test_without_a_whole_list_nothing_moves_and_the_reading_goes_on(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    before = kept()
    fault = world.smartcar_fault(path=LIST, status=500, times=None)
    use(settings, "v3")

    with pytest.raises(ClientError):
        moving.take_over(client=client_of_v3(), now=world.now)
    assert move(world) == 0
    drive(world, hours=12)
    assert run("poll", "--all").splitlines()[-1].startswith("4 of 4 vehicles read")

    assert kept()[0] == before[0]
    assert through() == {"v2"}
    world.sandbox.smartcar.faults.remove(fault)
    assert move(world) == 2


def test_a_consent_that_needs_its_driver_is_not_moved_before_he_connects(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    lost = Connection.objects.earliest("pk")
    Connection.objects.filter(pk=lost.pk).update(status="needs_reconnect")
    use(settings, "v3")

    assert move(world) == 1

    person = world.sandbox.fleet.driver(lost.smartcar_user_id)
    world.connect(world.make_link(driver=lost.driver), driver=person.email)
    lost.refresh_from_db()
    assert (lost.status, lost.listed_through) == ("active", "v3")
    assert Vehicle.objects.count() == 4


# --- And back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["the same", "others"])
def test_a_fleet_that_goes_back_to_v2_is_read_with_its_old_tokens(
    world: World, fleet: list[Vehicle], settings: Settings, ids: str
) -> None:
    if ids == "others":
        cars = world.sandbox.fleet.cars
        world.sandbox.smartcar.v3_ids = {car.smartcar_id: f"v3-{car.vin}" for car in cars}
    use(settings, "v3")
    move(world)
    for _ in range(4):
        drive(world, days=25)
        tasks.refresh_due_tokens()
        assert poll_all(world) == []
    use(settings, "v2")

    assert move(world) == 2

    assert through() == {"v2"}
    drive(world, hours=12)
    assert poll_all(world) == []
    assert odometers() == driven(world)
    assert set(Connection.objects.values_list("status", flat=True)) == {"active"}
    assert not OutboxEntry.objects.filter(kind__in=TO_DRIVERS).exists()
    assert {car.pk for car in Vehicle.objects.readable()} == {car.pk for car in fleet}
    assert set(Vehicle.objects.values_list("smartcar_id", flat=True)) == {
        car.smartcar_id for car in world.sandbox.fleet.cars
    }


def test_a_driver_who_connected_under_v3_has_no_way_back_and_is_left_as_he_is(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rules(monkeypatch)
    use(settings, "v3")
    car = world.connect().vehicles[0]
    use(settings, "v2")

    assert move(world) == 0
    polled = world.poll(car)

    assert polled
    assert polled.outcome == "reconnect"
    assert Connection.objects.get().status == "needs_reconnect", "under v2 only he can help"
    assert OutboxEntry.objects.filter(kind="mail_reconnect").count() == 1


def test_what_moved_is_written_down_once(
    world: World, fleet: list[Vehicle], settings: Settings
) -> None:
    use(settings, "v3")
    move(world)
    move(world)

    told = Activity.objects.filter(what="Read through Smartcar v3 now")
    assert {one.object_id for one in told} == {one.pk for one in Connection.objects.all()}
    assert told.count() == 2
