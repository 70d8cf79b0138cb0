"""The daily look at Smartcar's own list: what ended there ends here, and nothing else does."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from integrations import tasks
from integrations.clients.errors import ClientError, Outcome
from integrations.models import Activity, Connection, OAuthToken, OutboxEntry, VehicleAccess
from integrations.services.reconcile import Reconciled, reconcile
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db
LIST = "/v2.0/management/connections/"


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=4, drivers=2) as running_world:
        settings.SMARTCAR_MODE = "simulated"  # the list knows live and simulated cars only
        yield running_world


@pytest.fixture
def connection(world: World) -> Connection:
    """One driver with two cars."""
    return world.connect().connection


def look(world: World) -> Reconciled:
    world.pass_time(minutes=10)
    return reconcile(client=world.smartcar, now=world.now)


def status(connection: Connection) -> str:
    connection.refresh_from_db()
    return connection.status


def test_where_both_agree_nothing_is_asked(world: World, connection: Connection) -> None:
    world.sandbox.smartcar.requests.clear()

    assert look(world) == Reconciled(looked_at=0, ended=0)
    assert [r.path for r in world.sandbox.smartcar.requests] == [LIST]
    assert status(connection) == "active"


def test_a_consent_that_its_owner_ended_at_smartcar_ends_here(
    world: World, connection: Connection
) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)

    assert look(world).ended == 1

    assert status(connection) == "revoked"
    assert connection.status_reason == "Ended at Smartcar"
    token = OAuthToken.objects.get()
    assert (token.access_token, token.refresh_token) == ("", "")
    assert not connection.vehicles.filter(connection__status="active").exists()
    kinds = list(OutboxEntry.objects.values_list("kind", flat=True))
    assert kinds == ["mail_alert"] * 2, "staff are told of each car, the owner is not asked back"
    assert look(world) == Reconciled()
    assert OutboxEntry.objects.count() == 2


def test_a_car_that_was_taken_out_at_smartcar_is_not_read_any_more(
    world: World, connection: Connection
) -> None:
    gone = VehicleAccess.objects.earliest("pk")
    world.sandbox.smartcar.tokens.disconnect(vehicle_id=gone.smartcar_id)

    assert look(world).ended == 0

    assert status(connection) == "active"
    gone.refresh_from_db()
    assert gone.ended_at == world.now
    assert VehicleAccess.objects.filter(ended_at__isnull=True).count() == 1


def test_a_list_that_forgets_everybody_ends_nobody(world: World, connection: Connection) -> None:
    world.smartcar_fault(path=LIST, body={"connections": [], "paging": {"cursor": None}})

    assert look(world) == Reconciled(looked_at=1, ended=0)
    assert status(connection) == "active"
    assert VehicleAccess.objects.filter(ended_at__isnull=True).count() == 2


def test_one_refused_access_token_ends_nobody_whose_pair_still_works(
    world: World, connection: Connection
) -> None:
    world.smartcar_fault(path=LIST, body={"connections": [], "paging": {"cursor": None}})
    world.smartcar_fault(path="/v2.0/vehicles", error=("AUTHENTICATION", None))

    assert look(world) == Reconciled(looked_at=1, ended=0)

    assert status(connection) == "active"
    assert OAuthToken.objects.get().version == 2


@pytest.mark.parametrize("hours", [0, 3], ids=["good", "expired"])
def test_an_owner_who_ended_it_is_not_asked_back_whatever_the_access_token(
    world: World, connection: Connection, hours: int
) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)
    world.pass_time(hours=hours)

    assert look(world).ended == 1

    assert set(OutboxEntry.objects.values_list("kind", flat=True)) == {"mail_alert"}


def test_a_driver_who_consents_again_meanwhile_is_not_ended(
    world: World, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)
    client = world.smartcar

    def refused_too_late(access_token: str, user_id: str = "") -> list[str]:
        world.connect()
        raise ClientError("Smartcar: over", outcome=Outcome.RECONNECT)

    monkeypatch.setattr(client, "list_vehicles", refused_too_late)
    world.pass_time(minutes=10)

    assert reconcile(client=client, now=world.now).ended == 0

    assert status(connection) == "active"
    assert OAuthToken.objects.get().refresh_token


@pytest.mark.parametrize(("path", "hours"), [("/v2.0/vehicles", 0), ("/oauth/token", 3)])
def test_an_outage_ends_nobody(world: World, connection: Connection, path: str, hours: int) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)
    world.smartcar_fault(path=path, status=502, times=None)
    world.pass_time(hours=hours)

    assert look(world).ended == 0
    assert status(connection) == "active"
    assert OAuthToken.objects.get().refresh_token


def test_a_list_that_is_not_whole_changes_nothing(world: World, connection: Connection) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)
    world.smartcar_fault(path=LIST, status=500, times=None)

    with pytest.raises(ClientError):
        look(world)
    assert status(connection) == "active"


def test_a_lost_connection_that_smartcar_has_no_more_is_over(
    world: World, connection: Connection
) -> None:
    Connection.objects.update(status="needs_reconnect")
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)

    assert look(world).ended == 1
    assert status(connection) == "revoked"


def test_a_lost_connection_that_smartcar_still_has_waits_for_its_driver(
    world: World, connection: Connection
) -> None:
    Connection.objects.update(status="needs_reconnect")

    assert look(world) == Reconciled()
    assert status(connection) == "needs_reconnect"


def test_a_refused_management_token_is_told_and_stops_no_car(
    world: World, connection: Connection, settings: Settings
) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["wrong"]

    with pytest.raises(ClientError) as caught:
        look(world)

    assert caught.value.outcome is Outcome.STOP
    assert OutboxEntry.objects.filter(kind="mail_provider_refuses").count() == 1
    car = connection.vehicles.earliest("pk")
    polled = world.poll(car)
    assert polled
    assert polled.outcome is None


def test_the_task_needs_a_management_token_and_survives_an_outage(
    world: World, connection: Connection, settings: Settings
) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)
    settings.SMARTCAR_MANAGEMENT_TOKENS = []
    assert tasks.reconcile_connections() == 0
    settings.SMARTCAR_MANAGEMENT_TOKENS = [world.sandbox.smartcar.management.token]
    fault = world.smartcar_fault(path=LIST, status=500, times=None)
    assert tasks.reconcile_connections() == 0
    world.sandbox.smartcar.faults.remove(fault)

    assert tasks.reconcile_connections() == 1
    assert Activity.objects.filter(what__contains="Ended at Smartcar").count() == 1


def test_who_dies_before_the_tokens_are_erased_leaves_it_to_the_next_look(
    world: World, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)
    with monkeypatch.context() as dying:
        dying.setattr("integrations.services.tokens.erase", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            look(world)
    assert status(connection) == "active"

    assert look(world).ended == 1
    assert OAuthToken.objects.get().refresh_token == ""
