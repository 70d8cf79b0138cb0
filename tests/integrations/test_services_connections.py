"""Connecting, connecting again, and ending: over real HTTP against the stand-in Smartcar."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import ODOMETER
from integrations.models import (
    Activity,
    Connection,
    ConnectLink,
    OAuthToken,
    PortalSettings,
    Signal,
    Vehicle,
    VehicleAccess,
)
from integrations.sandbox.faults import bad_gateway, dropped_before
from integrations.services import connection_status, connections, revoking, tokens
from integrations.services.connections import LinkUsedError
from tests.factories import make_driver, make_group, make_signal, make_user
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

CARS = 23


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=CARS) as running_world:
        yield running_world


def vins(world: World, *numbers: int) -> list[str]:
    return [world.sandbox.fleet.cars[number].vin for number in numbers]


def shared(world: World) -> int:
    return len(world.sandbox.smartcar.tokens.all_connections())


# --- The callback -----------------------------------------------------------------------------


def test_the_callback_writes_connection_tokens_and_all_pages_of_cars(world: World) -> None:
    group = make_group()
    link = world.make_link(group=group)

    connected = world.connect(link)

    connection = Connection.objects.get()
    assert connected.complete
    assert connected.connection == connection
    assert len(connected.vehicles) == Vehicle.objects.count() == CARS
    assert {v.smartcar_id for v in Vehicle.objects.all()} == {
        car.smartcar_id for car in world.sandbox.fleet.cars
    }
    assert {(v.group, v.connection, v.next_poll_at) for v in Vehicle.objects.all()} == {
        (group, connection, world.now)
    }
    assert connection.smartcar_user_id == world.sandbox.fleet.drivers[0].user_id
    assert (connection.driver, connection.status, connection.mode) == (
        link.driver,
        "active",
        "test",
    )
    assert connection.vehicles_listed_at == world.now
    assert connection.token.access_expires_at == world.now + timedelta(hours=2)
    link.refresh_from_db()
    assert link.used_at == world.now


def test_the_scope_is_what_rules_the_car_itself_and_the_admin_need(world: World) -> None:
    PortalSettings(extra_permissions=["read_fuel"]).save()

    connection = world.connect().connection

    assert connection.scope == [
        "read_diagnostics",
        "read_engine_oil",
        "read_fuel",
        "read_odometer",
        "read_vehicle_info",
        "read_vin",
    ]


def test_a_link_for_one_car_connects_that_car(world: World) -> None:
    (vin,) = vins(world, 2)

    connected = world.connect(world.make_link(vin=vin))

    assert [v.smartcar_id for v in connected.vehicles] == [world.sandbox.fleet.cars[2].smartcar_id]


def test_a_used_link_connects_nothing_and_spends_no_code(world: World) -> None:
    link = world.make_link()
    code = world.consent(link)
    world.connect(link)
    asked = world.token_calls()

    with pytest.raises(LinkUsedError):
        connections.finish(link, code=code, client=world.smartcar, mode="test", now=world.now)

    assert world.token_calls() == asked


@pytest.mark.parametrize("path", ["/oauth/token", "/v2.0/user"])
def test_the_link_is_given_back_when_smartcar_gives_nothing(world: World, path: str) -> None:
    link = world.make_link()
    world.sandbox.smartcar.faults.add(bad_gateway(path=path))

    with pytest.raises(ClientError):
        world.connect(link)

    assert not Connection.objects.exists()
    assert not OAuthToken.objects.exists()
    assert ConnectLink.objects.get().used_at is None
    assert len(world.connect(link).vehicles) == CARS


def test_cars_that_could_not_be_listed_follow_by_themselves(world: World) -> None:
    # The second page fails: some of the cars are never taken for all of them.
    fault = world.smartcar_fault(path="/v2.0/vehicles", skip=1, times=1, status=502)
    connected = world.connect()

    assert world.sandbox.smartcar.faults.committed(fault) == 1
    assert not connected.complete
    assert Connection.objects.get().vehicles_listed_at is None
    assert not Vehicle.objects.exists()

    assert connections.list_missing(client=world.smartcar, now=world.now) == 1
    assert Vehicle.objects.count() == CARS
    assert connections.list_missing(client=world.smartcar, now=world.now) == 0


def test_listing_what_is_missing_goes_on_past_one_failure(settings: Settings) -> None:
    with running(settings, vehicles=4, drivers=2) as world:
        world.smartcar_fault(path="/v2.0/vehicles", times=3, status=502)
        for driver in world.sandbox.fleet.drivers:
            world.connect(driver=driver.email)

        assert connections.list_missing(client=world.smartcar, now=world.now) == 1
        assert connections.list_missing(client=world.smartcar, now=world.now) == 1
        assert Vehicle.objects.count() == 4


def test_listing_what_is_missing_stops_when_smartcar_says_so(settings: Settings) -> None:
    with running(settings, vehicles=4, drivers=2) as world:
        world.smartcar_fault(path="/v2.0/vehicles", times=2, status=502)
        for driver in world.sandbox.fleet.drivers:
            world.connect(driver=driver.email)
        world.sandbox.smartcar.requests.clear()
        world.smartcar_fault(path="/v2.0/vehicles", error=("RATE_LIMIT", "SMARTCAR_API"))

        assert connections.list_missing(client=world.smartcar, now=world.now) == 0
        assert world.sandbox.smartcar.requests.count("GET", "/v2.0/vehicles") == 1


def test_connections_that_ended_are_not_listed(world: World) -> None:
    world.smartcar_fault(path="/v2.0/vehicles", status=502)
    world.connect()
    Connection.objects.update(status="needs_reconnect")

    assert connections.list_missing(client=world.smartcar, now=world.now) == 0


# --- Connecting again -------------------------------------------------------------------------


def test_a_new_consent_does_not_end_on_the_day_of_the_one_before(world: World) -> None:
    world.connect()
    Connection.objects.update(consent_ends_on=world.now.date())

    assert world.connect().connection.consent_ends_on is None


def test_connecting_again_updates_and_never_duplicates(world: World) -> None:
    first = world.connect()
    car = first.vehicles[0]
    make_signal(vehicle=car, code="other", support="not_granted", recheck_at=world.now)
    kept = make_signal(vehicle=car, code=ODOMETER, value=10.0)
    old_pair = OAuthToken.objects.get().refresh_token
    Vehicle.objects.update(not_before=world.now + timedelta(days=9), poll_failures=4)
    world.pass_time(days=1)

    again = world.connect()

    assert again.connection == first.connection
    assert (Connection.objects.count(), Vehicle.objects.count()) == (1, CARS)
    assert VehicleAccess.objects.count() == CARS
    token = OAuthToken.objects.get()
    assert (token.version, token.refresh_token != old_pair) == (2, True)
    assert tokens.get_access_token(token, client=world.smartcar, now=world.now)
    car.refresh_from_db()
    assert (car.not_before, car.poll_failures, car.next_poll_at) == (None, 0, world.now)
    assert car.identified_at is None, "the new consent is asked what it grants"
    assert Signal.objects.get(code="other").support == "unknown"
    assert Signal.objects.get(code="other").recheck_at is None
    kept.refresh_from_db()
    assert (kept.support, kept.value) == ("ok", 10.0)


@pytest.mark.parametrize("status", ["needs_reconnect", "revoked"])
def test_connecting_again_heals_an_ended_connection(world: World, status: str) -> None:
    world.connect()
    Connection.objects.update(status=status, status_reason="it broke")

    connection = world.connect().connection

    connection.refresh_from_db()
    assert (connection.status, connection.status_reason) == ("active", "")
    assert Vehicle.objects.readable().count() == CARS
    assert Activity.objects.filter(what="Connection is now: Active").count() == 1


def test_the_same_account_connected_by_another_driver_moves_to_them(world: World) -> None:
    world.connect()
    other = make_driver(name="Bob")

    connection = world.connect(world.make_link(driver=other)).connection

    assert connection.driver == other
    assert Connection.objects.count() == 1
    assert Activity.objects.filter(what="Now belongs to Bob").count() == 1
    assert set(Vehicle.objects.values_list("connection", flat=True)) == {connection.pk}


def test_cars_no_longer_shared_keep_their_history_and_are_not_read(world: World) -> None:
    world.connect()
    dropped = Vehicle.objects.get(smartcar_id=world.sandbox.fleet.cars[0].smartcar_id)
    make_signal(vehicle=dropped)
    Vehicle.objects.filter(pk=dropped.pk).update(vin=vins(world, 0)[0])
    world.pass_time(days=1)

    world.connect(vehicles=vins(world, 1, 2))

    dropped.refresh_from_db()
    assert (dropped.connection, dropped.smartcar_id) == (None, "")
    assert dropped.accesses.get().ended_at == world.now
    assert dropped.signals.count() == 1
    assert Vehicle.objects.readable().count() == 2
    said = Activity.objects.filter(what="No longer shared by the driver", vehicle=dropped)
    assert said.count() == 1

    world.pass_time(days=1)
    world.connect()
    dropped.refresh_from_db()
    assert dropped.connection is not None
    assert dropped.accesses.get().ended_at is None
    assert Vehicle.objects.count() == CARS


# --- Ending -----------------------------------------------------------------------------------


def test_ending_tells_smartcar_erases_the_tokens_and_stops_reading(world: World) -> None:
    connection = world.connect().connection
    user = make_user(username="anna")
    assert shared(world) == CARS

    assert revoking.revoke(
        connection, client=world.smartcar, reason="left the fleet", now=world.now, user=user
    )

    assert shared(world) == 0
    connection.refresh_from_db()
    assert (connection.status, connection.status_reason) == ("revoked", "left the fleet")
    token = OAuthToken.objects.get()
    assert (token.access_token, token.refresh_token) == ("", "")
    assert token.refresh_expires_at is None
    assert not Vehicle.objects.readable().exists()
    assert not OAuthToken.objects.refreshable().exists()
    assert Activity.objects.get(what__startswith="Connection is now: Revoked").user == user


def test_ending_twice_is_told_once_and_asks_smartcar_nothing(world: World) -> None:
    connection = world.connect().connection
    revoking.revoke(connection, client=world.smartcar, reason="over", now=world.now)
    world.sandbox.smartcar.requests.clear()

    assert not revoking.revoke(connection, client=world.smartcar, reason="again", now=world.now)

    assert len(world.sandbox.smartcar.requests) == 0
    assert Activity.objects.filter(what__startswith="Connection is now").count() == 1


def test_ending_refreshes_a_token_that_has_run_out_to_tell_smartcar(world: World) -> None:
    connection = world.connect().connection
    world.pass_time(days=2)

    revoking.revoke(connection, client=world.smartcar, reason="over", now=world.now)

    assert shared(world) == 0
    assert OAuthToken.objects.get().refresh_token == ""


def test_tokens_are_erased_even_when_smartcar_does_not_listen(world: World) -> None:
    connection = world.connect().connection
    world.sandbox.smartcar.faults.add(dropped_before(times=None))

    revoking.revoke(connection, client=world.smartcar, reason="over", now=world.now)

    assert OAuthToken.objects.get().refresh_token == ""
    assert Activity.objects.filter(what__startswith="Smartcar could not be told").count() == 1


def test_one_car_that_smartcar_no_longer_knows_does_not_keep_the_others_connected(
    world: World,
) -> None:
    connection = world.connect().connection
    for access in connection.accesses.order_by("-connected_at", "-pk")[:2]:
        world.sandbox.smartcar.tokens.disconnect(vehicle_id=access.smartcar_id)

    revoking.revoke(connection, client=world.smartcar, reason="over", now=world.now)

    assert shared(world) == 0


def test_what_a_killed_process_left_of_an_ending_is_finished_soon(world: World) -> None:
    connection = world.connect().connection
    # It died right after the first thing that ending does.
    connection_status.mark_revoked(connection, reason="over", now=world.now)
    assert revoking.finish_revoking(client=world.smartcar, now=world.now) == 0  # perhaps it lives
    world.pass_time(minutes=6)

    assert revoking.finish_revoking(client=world.smartcar, now=world.now) == 1

    assert shared(world) == 0
    token = OAuthToken.objects.get()
    assert (token.access_token, token.refresh_token) == ("", "")
    assert revoking.finish_revoking(client=world.smartcar, now=world.now) == 0


def test_a_consent_that_was_given_again_is_not_ended_by_what_was_left(world: World) -> None:
    connection = world.connect().connection
    connection_status.mark_revoked(connection, reason="over", now=world.now)
    world.pass_time(minutes=6)
    stale = Connection.objects.get()
    world.connect()

    tokens.erase(stale, now=world.now)

    assert revoking.finish_revoking(client=world.smartcar, now=world.now) == 0
    assert Connection.objects.get().status == "active"
    assert OAuthToken.objects.get().refresh_token
    assert shared(world) == CARS


def test_ending_by_a_driver_names_the_driver(world: World) -> None:
    connection = world.connect().connection

    revoking.revoke(
        connection, client=world.smartcar, reason="withdrawn", now=world.now, actor="Maria"
    )

    assert Activity.objects.get(what__startswith="Connection is now").actor == "Maria"


def test_a_connection_that_needs_the_driver_can_be_ended(world: World) -> None:
    connection = world.connect().connection
    Connection.objects.update(status="needs_reconnect")

    assert revoking.revoke(connection, client=world.smartcar, reason="over", now=world.now)
    assert shared(world) == 0


def test_errors_of_the_exchange_are_handed_on_as_they_are(world: World) -> None:
    link = world.make_link()

    def finish(code: str) -> Any:
        return connections.finish(
            link, code=code, client=world.smartcar, mode="test", now=world.now
        )

    with pytest.raises(ClientError) as caught:
        finish("forged")
    assert caught.value.outcome is Outcome.RECONNECT
