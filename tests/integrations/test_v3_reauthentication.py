"""Signing in at the maker again: a mail, a page, Connect, and back without a code."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core import mail as outgoing
from django.test import Client
from pytest_django import Settings

from integrations import registry
from integrations.clients.errors import Outcome
from integrations.models import Activity, Connection, ConnectLink, OutboxEntry, VehicleAccess
from integrations.services import connect_links, connection_status, delivery, revoking
from integrations.services.vehicles import reached_by
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

CALLBACK = "/connect/callback/"
SIGNED_OUT = ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")
LINK = re.compile(r"https://portal\.example\.com(/connect/[^\s/]+/)")


@pytest.fixture(params=["v2", "v3"])
def world(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=2, version=request.param) as running_world:
        yield running_world


@pytest.fixture
def way(world: World) -> VehicleAccess:
    """A car whose maker no longer accepts the sign-in; its driver is to be mailed."""
    connected = world.connect()
    for car in connected.vehicles:
        world.poll(car)
    world.pass_time(hours=1)
    way: VehicleAccess = connected.vehicles[0].accesses.get()
    world.car(way.vehicle).error = SIGNED_OUT
    assert connection_status.needs_reconnect(
        way.connection, reason="Smartcar reports it", now=world.now, way=way
    )
    return way


@pytest.fixture
def path(world: World, way: VehicleAccess) -> str:
    """The address in the mail."""
    delivery.deliver_due(clock=world.clock, lanes=[registry.MAIL])
    (text,) = mailed_to(way)
    found = LINK.search(text)
    assert found, text
    assert "Sign in at your car's maker again" in text
    return found[1]


def mailed_to(way: VehicleAccess) -> list[str]:
    driver = way.connection.driver.email
    return [str(message.body) for message in outgoing.outbox if driver in message.to]


def start(client: Client, path: str) -> str:
    response = client.post(path)
    assert response.status_code == 302
    return str(response["Location"])


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["state"][0]


def sign_in(world: World, client: Client, path: str) -> Any:
    """Press the button, sign in at Connect, and come back."""
    back = urlsplit(world.sandbox.smartcar.connect.reauthenticate(start(client, path)))
    assert "code=" not in back.query
    return client.get(f"{back.path}?{back.query}")


def status(way: VehicleAccess) -> str:
    return Connection.objects.get(pk=way.connection_id).status


def test_the_driver_follows_the_mail_signs_in_and_the_cars_are_read_again(
    world: World, client: Client, way: VehicleAccess, path: str
) -> None:
    assert world.poll(way.vehicle) is None
    page = client.get(path)
    assert page.status_code == 200
    assert "Please sign in at your car's maker again" in page.content.decode()

    page = sign_in(world, client, path)

    assert page.status_code == 200
    assert "Your 2 cars are connected." in page.content.decode()
    assert status(way) == "active"
    link = ConnectLink.objects.latest("pk")
    assert link.used_at == world.now
    assert {car.next_poll_at for car in reached_by(way.connection)} == {world.now}
    polled = world.poll(way.vehicle, scheduled=True)
    assert polled
    assert polled.outcome is None
    assert Activity.objects.filter(what__endswith="signed in at the maker again").exists()


def test_the_button_leads_to_the_page_for_this_car_and_asks_for_no_consent(
    world: World, client: Client, way: VehicleAccess, path: str, settings: Settings
) -> None:
    url = urlsplit(start(client, path))

    assert url.path == "/oauth/reauthenticate"
    query = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert len(query.pop("state")) > 30
    assert query == {
        "response_type": "vehicle_id",
        "client_id": settings.SMARTCAR_APPLICATION_ID,
        "vehicle_id": way.smartcar_id,
        "redirect_uri": settings.SMARTCAR_REDIRECT_URI,
    }


def test_signing_in_touches_neither_the_consent_nor_its_tokens(
    world: World, client: Client, way: VehicleAccess, path: str
) -> None:
    def consent() -> list[Any]:
        rows = Connection.objects.values("smartcar_user_id", "connected_at", "scope", "driver")
        return [*rows, *VehicleAccess.objects.order_by("pk").values()]

    before = consent()
    world.sandbox.smartcar.requests.clear()

    sign_in(world, client, path)

    assert consent() == before
    assert world.token_calls() == 0


@pytest.mark.parametrize("given", ["", "another-car", "the other car of the driver"])
def test_a_return_about_another_car_is_refused(
    world: World, client: Client, way: VehicleAccess, path: str, given: str
) -> None:
    other = VehicleAccess.objects.exclude(pk=way.pk).get()
    vehicle_id = other.smartcar_id if given.startswith("the other") else given
    state = state_of(start(client, path))

    page = client.get(CALLBACK, {"state": state, "vehicle_id": vehicle_id})

    assert page.status_code == 400
    assert status(way) == "needs_reconnect"
    assert ConnectLink.objects.latest("pk").used_at is None


def test_a_return_in_another_browser_is_refused(
    world: World, client: Client, way: VehicleAccess, path: str
) -> None:
    state = state_of(start(client, path))

    page = Client().get(CALLBACK, {"state": state, "vehicle_id": way.smartcar_id})

    assert page.status_code == 400
    assert status(way) == "needs_reconnect"


def test_the_link_works_once(world: World, client: Client, way: VehicleAccess, path: str) -> None:
    second = state_of(start(client, path))
    assert sign_in(world, client, path).status_code == 200
    Connection.objects.update(status="needs_reconnect")

    assert client.get(path).status_code == 410
    assert client.post(path).status_code == 410
    late = client.get(CALLBACK, {"state": second, "vehicle_id": way.smartcar_id})
    assert late.status_code == 410
    assert status(way) == "needs_reconnect"


def test_a_driver_who_refuses_to_sign_in_may_try_again(
    world: World, client: Client, way: VehicleAccess, path: str
) -> None:
    state = state_of(start(client, path))

    page = client.get(CALLBACK, {"state": state, "error": "access_denied"})

    assert page.status_code == 200
    assert path in page.content.decode()
    assert status(way) == "needs_reconnect"
    assert sign_in(world, client, path).status_code == 200
    assert status(way) == "active"


def test_a_link_that_has_expired_opens_nothing(
    world: World, client: Client, way: VehicleAccess, path: str
) -> None:
    state = state_of(start(client, path))
    ConnectLink.objects.update(expires_at=world.now)

    assert client.post(path).status_code == 410
    late = client.get(CALLBACK, {"state": state, "vehicle_id": way.smartcar_id})
    assert late.status_code == 410
    assert status(way) == "needs_reconnect"


def test_a_consent_that_was_withdrawn_meanwhile_stays_withdrawn(
    world: World, client: Client, way: VehicleAccess, path: str
) -> None:
    """Signing in is no consent: an old link must not undo what the driver or the fleet ended."""
    state = state_of(start(client, path))
    revoking.revoke(way.connection, client=world.smartcar, reason="Withdrawn", now=world.now)

    page = client.get(CALLBACK, {"state": state, "vehicle_id": way.smartcar_id})

    assert page.status_code == 400
    assert status(way) == "revoked"


def test_the_driver_is_asked_again_when_it_did_not_help(
    world: World, client: Client, way: VehicleAccess, path: str
) -> None:
    """Whoever only says that he signed in gains nothing."""
    state = state_of(start(client, path))
    page = client.get(CALLBACK, {"state": state, "vehicle_id": way.smartcar_id})
    assert page.status_code == 200
    world.pass_time(minutes=1)

    polled = world.poll(way.vehicle)

    assert polled
    assert polled.outcome is Outcome.RECONNECT
    assert status(way) == "needs_reconnect"
    assert OutboxEntry.objects.filter(kind="mail_reconnect", state="pending").count() == 1


def test_a_mail_that_is_not_needed_any_more_is_not_sent(world: World, way: VehicleAccess) -> None:
    connection_status.mark_active(way.connection, now=world.now, reason="It reports again")
    world.pass_time(minutes=1)

    delivery.deliver_due(clock=world.clock, lanes=[registry.MAIL])

    assert mailed_to(way) == []


def test_a_link_whose_car_is_gone_asks_for_the_whole_consent(
    world: World, client: Client, way: VehicleAccess
) -> None:
    link = ConnectLink.objects.latest("pk")
    way.delete()
    link.refresh_from_db()

    url = start(client, connect_links.path(link))

    assert urlsplit(url).path == "/oauth/authorize"
    assert link.expires_at - link.created_at >= timedelta(days=1)
