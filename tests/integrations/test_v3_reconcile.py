"""The daily look at v3's list: the token that reads it is everybody's, so it is believed less."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from integrations import tasks
from integrations.clients.errors import ClientError
from integrations.models import Activity, Connection, OutboxEntry, VehicleAccess
from integrations.services.reconcile import Reconciled, reconcile
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

LIST = "/v3/connections"
NOTHING = {"data": [], "meta": {"totalCount": 0}}


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=4, drivers=2, version="v3") as running_world:
        yield running_world


@pytest.fixture
def connection(world: World) -> Connection:
    """One driver with two cars; another one has two as well."""
    fleet = world.sandbox.fleet
    world.connect(driver=fleet.drivers[1].email)
    connection: Connection = world.connect(driver=fleet.drivers[0].email).connection
    return connection


def look(world: World) -> Reconciled:
    world.pass_time(minutes=10)
    return reconcile(client=world.smartcar, now=world.now)


def end_at_smartcar(world: World, connection: Connection) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)


def status(connection: Connection) -> str:
    connection.refresh_from_db()
    return connection.status


def shared_ways() -> int:
    return VehicleAccess.objects.filter(ended_at__isnull=True).count()


def statuses() -> list[str]:
    return list(Connection.objects.values_list("status", flat=True))


def test_where_both_agree_one_list_is_all_that_is_asked(
    world: World, connection: Connection
) -> None:
    world.sandbox.smartcar.requests.clear()

    assert look(world) == Reconciled(looked_at=0, ended=0)

    assert [r.path for r in world.sandbox.smartcar.requests] == [LIST]
    assert statuses() == ["active", "active"]


def test_a_consent_that_its_owner_ended_at_smartcar_ends_here(
    world: World, connection: Connection
) -> None:
    end_at_smartcar(world, connection)

    assert look(world) == Reconciled(looked_at=1, ended=1)

    assert status(connection) == "revoked"
    assert connection.status_reason == "Ended at Smartcar"
    assert not connection.is_ending, "there is nothing to tell"
    assert not connection.accesses.filter(ended_at__isnull=True).exists()
    assert set(OutboxEntry.objects.values_list("kind", flat=True)) == {"mail_alert"}
    assert sorted(statuses()) == ["active", "revoked"]
    assert look(world) == Reconciled()


def test_cars_come_and_go_with_the_list(world: World, connection: Connection) -> None:
    gone = connection.accesses.earliest("pk")
    world.sandbox.smartcar.tokens.disconnect(vehicle_id=gone.smartcar_id)

    assert look(world) == Reconciled(looked_at=1, ended=0)
    gone.refresh_from_db()
    assert gone.ended_at == world.now
    assert shared_ways() == 3

    world.allowed(world.make_link(), driver=world.sandbox.fleet.drivers[0].email)
    assert look(world) == Reconciled(looked_at=1, ended=0)
    assert shared_ways() == 4
    assert statuses() == ["active", "active"]


def test_a_car_that_two_drivers_share_does_not_go_to_and_fro(
    world: World, connection: Connection
) -> None:
    other = Connection.objects.exclude(pk=connection.pk).get()
    way = connection.accesses.earliest("pk")
    world.sandbox.smartcar.tokens.connect(
        user_id=other.smartcar_user_id,
        vehicle_ids=[way.smartcar_id],
        permissions=["read_vin"],
        redirect_uri="",
        mode="test",
    )
    for _ in range(3):
        assert look(world) == Reconciled(looked_at=0, ended=0)
        way.refresh_from_db()
        assert way.connection == connection

    end_at_smartcar(world, connection)
    assert look(world).ended == 1
    look(world)
    way.refresh_from_db()
    assert (way.connection, way.ended_at) == (other, None), "it is still shared by the other one"


def test_a_list_without_this_driver_is_not_believed_when_he_is_there_when_asked_for(
    world: World, connection: Connection
) -> None:
    def forget(body: dict[str, Any]) -> dict[str, Any]:
        user = connection.smartcar_user_id
        rows = [one for one in body["data"] if one["attributes"]["user"]["id"] != user]
        return {"data": rows, "meta": {"totalCount": len(rows)}}

    world.smartcar_fault(path=LIST, alter=forget)

    assert look(world) == Reconciled(looked_at=1, ended=0)
    assert statuses() == ["active", "active"]
    assert shared_ways() == 4


def test_a_list_that_forgets_everybody_ends_nobody(world: World, connection: Connection) -> None:
    world.smartcar_fault(path=LIST, body=NOTHING, times=None)

    assert look(world).ended == 0
    assert statuses() == ["active", "active"]
    assert shared_ways() == 4


def test_the_list_of_another_application_ends_nobody(world: World, connection: Connection) -> None:
    """The credentials were changed: it lists drivers, and not one is ours."""
    Connection.objects.update(listed_as="another application")
    world.sandbox.smartcar.tokens.disconnect()
    stranger = {
        "id": "c",
        "attributes": {"user": {"id": "a-stranger"}},
        "relationships": {"vehicle": {"data": {"id": "a-car"}}},
    }

    def theirs(body: dict[str, Any]) -> dict[str, Any]:
        return {"data": [*body["data"], stranger]}

    world.smartcar_fault(path=LIST, alter=theirs, times=None)

    assert look(world).ended == 0
    assert statuses() == ["active", "active"]
    assert shared_ways() == 4
    assert not OutboxEntry.objects.exists()


def test_the_only_consent_that_there_is_ends_too(world: World, connection: Connection) -> None:
    Connection.objects.exclude(pk=connection.pk).update(status="revoked")
    world.sandbox.smartcar.tokens.disconnect()

    assert look(world) == Reconciled(looked_at=1, ended=1)
    assert status(connection) == "revoked"


def test_a_consent_that_v3_never_listed_is_left_alone(
    world: World, connection: Connection, settings: Settings
) -> None:
    """It was given under v2, and not moved: that v3 does not know it says nothing."""
    Connection.objects.filter(pk=connection.pk).update(listed_through="v2")
    end_at_smartcar(world, connection)

    assert look(world) == Reconciled()
    assert status(connection) == "active"


def test_a_consent_that_v3_has_not_listed_yet_is_not_over(
    world: World, connection: Connection
) -> None:
    end_at_smartcar(world, connection)
    fault = world.smartcar_fault(path=LIST, body=NOTHING, times=None)
    person = world.sandbox.fleet.drivers[0].email
    fresh = world.connect(world.make_link(driver=connection.driver), driver=person)
    assert not fresh.complete
    world.sandbox.smartcar.faults.remove(fault)
    end_at_smartcar(world, connection)  # as if it still was not listed

    assert look(world) == Reconciled()
    assert status(connection) == "active"


@pytest.mark.parametrize(("listed", "ended"), [(True, 0), (False, 1)])
def test_a_lost_consent_waits_for_its_driver_as_long_as_smartcar_has_it(
    world: World, connection: Connection, listed: bool, ended: int
) -> None:
    Connection.objects.filter(pk=connection.pk).update(status="needs_reconnect")
    if not listed:
        end_at_smartcar(world, connection)

    assert look(world).ended == ended
    assert status(connection) == ("needs_reconnect" if listed else "revoked")


def test_an_outage_while_one_driver_is_asked_for_ends_nobody(
    world: World, connection: Connection
) -> None:
    end_at_smartcar(world, connection)
    world.smartcar_fault(path=LIST, skip=1, status=502, times=None)

    assert look(world) == Reconciled(looked_at=1, ended=0)
    assert status(connection) == "active"


@pytest.mark.parametrize(
    "fault",
    [
        {"path": LIST, "status": 500},
        {"path": LIST, "body": {"data": [], "meta": {"totalCount": 4}}},
        {"path": "/oauth2/token", "status": 503},
    ],
    ids=["no list", "not whole", "no token"],
)
def test_without_a_whole_list_nothing_changes(
    world: World, connection: Connection, fault: dict[str, Any]
) -> None:
    end_at_smartcar(world, connection)
    world.sandbox.smartcar.iam.expire()
    world.smartcar_fault(times=None, **fault)

    with pytest.raises(ClientError):
        look(world)

    assert status(connection) == "active"
    assert shared_ways() == 4
    assert tasks.reconcile_connections() == 0, "and the beat goes on"


def test_a_driver_who_consents_again_while_we_look_is_not_ended(
    world: World, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_at_smartcar(world, connection)
    client = world.smartcar
    person = world.sandbox.fleet.drivers[0].email

    def too_late(access_token: str, user_id: str = "") -> list[Any]:
        world.pass_time(seconds=1)
        world.connect(world.make_link(driver=connection.driver), driver=person)
        return []

    monkeypatch.setattr(client, "list_vehicles", too_late)
    world.pass_time(minutes=10)

    assert reconcile(client=client, now=world.now).ended == 0
    assert status(connection) == "active"
    assert look(world).ended == 0
    assert shared_ways() == 4, "what the late answer took away is back"


def test_the_task_needs_no_management_token_under_v3(
    world: World, connection: Connection, settings: Settings
) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = []
    end_at_smartcar(world, connection)

    assert tasks.reconcile_connections() == 1
    assert Activity.objects.filter(what__contains="Ended at Smartcar").count() == 1
