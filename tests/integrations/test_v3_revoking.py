"""A consent ends: Smartcar hears of it, however often it takes, and no car is left behind."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from integrations import tasks
from integrations.clients.smartcar_v3 import SmartcarV3
from integrations.models import Activity, Connection, OAuthToken, Vehicle, VehicleAccess
from integrations.services import connect_links, revoking
from tests.factories import make_user
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

LIST, SUBSCRIPTIONS = "/v3/connections", "/v3/subscriptions"


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=4, drivers=2, version="v3", webhooks=True) as running_world:
        yield running_world


@pytest.fixture
def connection(world: World) -> Connection:
    """One driver with two cars that report to the webhook; another driver has two as well."""
    fleet = world.sandbox.fleet
    world.connect(driver=fleet.drivers[1].email)
    connection: Connection = world.connect(driver=fleet.drivers[0].email).connection
    assert left(world, connection) == (2, 2)
    world.pass_time(hours=2)
    return connection


def left(world: World, connection: Connection) -> tuple[int, int]:
    """How many connections and subscriptions Smartcar has of this driver."""
    smartcar, user = world.sandbox.smartcar, connection.smartcar_user_id
    return (
        sum(one.user_id == user for one in smartcar.tokens.all_connections()),
        sum(one.user_id == user for one in smartcar.subscriptions.all()),
    )


def others_are_untouched(world: World, connection: Connection) -> bool:
    other = Connection.objects.exclude(pk=connection.pk).get()
    return other.status == "active" and left(world, other) == (2, 2)


def revoke(world: World, connection: Connection) -> bool:
    return revoking.revoke(connection, client=world.smartcar, reason="Sold", now=world.now)


def finish(world: World) -> int:
    world.pass_time(minutes=5)
    return tasks.finish_revoking()


def is_ending(connection: Connection) -> bool:
    return Connection.objects.get(pk=connection.pk).is_ending


def test_ending_a_consent_ends_it_at_smartcar_too(world: World, connection: Connection) -> None:
    user = make_user()

    assert revoking.revoke(
        connection, client=world.smartcar, reason="Sold", now=world.now, user=user
    )

    connection.refresh_from_db()
    assert (connection.status, connection.status_reason) == ("revoked", "Sold")
    assert not connection.is_ending
    assert left(world, connection) == (0, 0)
    assert others_are_untouched(world, connection)
    assert Vehicle.objects.readable().count() == 2
    ways = VehicleAccess.objects.filter(connection=connection)
    assert {(way.subscription, way.subscribed_to) for way in ways} == {("", "")}
    assert OAuthToken.objects.get(connection__isnull=True).access_token, "it is everybody's"
    assert finish(world) == 0


def test_the_driver_withdraws_on_the_page(
    world: World, connection: Connection, client: Client
) -> None:
    page = client.post(
        connect_links.driver_path(connection.driver),
        {"action": "withdraw", "connection": connection.pk},
    )

    assert page.status_code == 200
    assert left(world, connection) == (0, 0)
    assert Activity.objects.filter(what__contains="Withdrawn by the driver").exists()


def test_ending_it_twice_is_ending_it_once(world: World, connection: Connection) -> None:
    assert revoke(world, connection)
    world.sandbox.smartcar.requests.clear()

    assert not revoke(world, connection)

    assert Activity.objects.filter(what__startswith="Connection is now: Revoked").count() == 1
    assert world.sandbox.smartcar.requests.count("DELETE") == 0
    assert others_are_untouched(world, connection)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"path": LIST, "status": 502}, id="no list"),
        pytest.param({"path": LIST, "method": "DELETE", "status": 500}, id="not deleted"),
        pytest.param({"path": LIST, "error": ("RATE_LIMIT", "SMARTCAR_API")}, id="told to wait"),
        pytest.param({"path": LIST, "error": ("RATE_LIMIT", "VEHICLE")}, id="later"),
        pytest.param({"path": LIST, "error": ("AUTHENTICATION", None)}, id="every token refused"),
        pytest.param({"path": SUBSCRIPTIONS, "drop": True}, id="no subscriptions"),
        pytest.param({"path": "/oauth2/token", "status": 503}, id="no token"),
    ],
)
def test_what_smartcar_did_not_hear_is_told_again(
    world: World, connection: Connection, fault: dict[str, Any]
) -> None:
    armed = world.smartcar_fault(times=None, **fault)

    assert revoke(world, connection)

    connection.refresh_from_db()
    assert connection.status == "revoked"
    assert not Vehicle.objects.readable().filter(connection=connection).exists()
    assert is_ending(connection)
    told = Activity.objects.filter(what__startswith="Smartcar could not be told")
    assert told.count() == 1
    assert finish(world) == 1
    assert is_ending(connection), "nor now"
    world.sandbox.smartcar.faults.remove(armed)
    world.pass_time(minutes=1)  # a pause may stand

    assert finish(world) == 1

    assert left(world, connection) == (0, 0)
    assert not is_ending(connection)
    assert others_are_untouched(world, connection)
    assert told.count() == 1
    assert finish(world) == 0


def test_a_refused_application_token_is_renewed_to_tell_it(
    world: World, connection: Connection
) -> None:
    world.now = world.now.replace(minute=30)  # nothing is due by the clock
    tasks.refresh_due_tokens()
    world.sandbox.smartcar.iam.expire()

    assert revoke(world, connection)

    assert left(world, connection) == (0, 0)
    assert not is_ending(connection)


@pytest.mark.parametrize("error", [("VALIDATION", None), ("PERMISSION", None)])
def test_a_subscription_that_cannot_be_ended_does_not_keep_the_consent(
    world: World, connection: Connection, error: tuple[str, str | None]
) -> None:
    world.smartcar_fault(path=SUBSCRIPTIONS, error=error, times=None)

    assert revoke(world, connection)

    assert left(world, connection)[0] == 0
    assert not is_ending(connection)


def test_nor_does_it_under_v2_without_a_management_token(world: World, settings: Settings) -> None:
    settings.SMARTCAR_API_VERSION = "v2"
    connection = world.connect().connection
    assert left(world, connection) == (2, 2)
    settings.SMARTCAR_MANAGEMENT_TOKENS = []

    assert revoke(world, connection)

    assert left(world, connection) == (0, 0)


def test_one_cars_refusal_says_nothing_of_the_next(world: World, connection: Connection) -> None:
    first = VehicleAccess.objects.filter(connection=connection).earliest("pk")
    world.smartcar_fault(
        path=LIST,
        method="DELETE",
        vehicle=first.smartcar_id,
        error=("PERMISSION", None),
        times=None,
    )

    revoke(world, connection)

    assert left(world, connection)[0] == 1
    assert not is_ending(connection), "asking once more changes nothing"


@pytest.mark.parametrize("after", [0, 1])
def test_a_worker_that_is_killed_in_between_is_followed(
    world: World, connection: Connection, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    disconnect: Callable[..., None] = SmartcarV3.disconnect
    done: list[str] = []

    def dying(client: SmartcarV3, **car: Any) -> None:
        if len(done) == after:
            raise Killed
        done.append(car["smartcar_id"])
        disconnect(client, **car)

    with monkeypatch.context() as patch:
        patch.setattr(SmartcarV3, "disconnect", dying)
        with pytest.raises(Killed):
            revoke(world, connection)
    assert left(world, connection)[0] == 2 - after
    assert not Vehicle.objects.readable().filter(connection=connection).exists()
    assert tasks.finish_revoking() == 0, "it may still be under way"

    assert finish(world) == 1

    assert left(world, connection) == (0, 0)
    assert not is_ending(connection)


def test_who_consents_again_meanwhile_is_not_disconnected(
    world: World, connection: Connection
) -> None:
    fault = world.smartcar_fault(path=LIST, status=502, times=None)
    revoke(world, connection)
    world.sandbox.smartcar.faults.remove(fault)
    world.pass_time(minutes=1)

    world.connect(world.make_link(driver=connection.driver))

    assert finish(world) == 0
    connection.refresh_from_db()
    assert (connection.status, connection.is_ending) == ("active", False)
    assert left(world, connection) == (2, 2)
    assert Vehicle.objects.readable().count() == 4


def test_a_consent_that_smartcar_has_no_more_needs_no_telling(
    world: World, connection: Connection
) -> None:
    world.sandbox.smartcar.tokens.disconnect(user_id=connection.smartcar_user_id)

    assert revoke(world, connection)

    assert not is_ending(connection)
    assert not Activity.objects.filter(what__startswith="Smartcar could not be told").exists()
