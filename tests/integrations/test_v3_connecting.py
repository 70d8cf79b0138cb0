"""Connecting under v3 through the real pages: the browser brings the driver's id, not a code."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from pytest_django import Settings

from integrations import tasks
from integrations.models import Activity, Connection, ConnectLink, OAuthToken, Vehicle
from integrations.sandbox import Driver
from integrations.services import connect_links, connections, revoking
from integrations.services.connections import NotVouchedError
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

CALLBACK = "/connect/callback/"
LIST = "/v3/connections"
NOTHING = {"data": [], "meta": {"totalCount": 0}}


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=4, drivers=2, version="v3") as running_world:
        yield running_world


@pytest.fixture
def link(world: World) -> ConnectLink:
    return world.make_link()


def start(client: Client, link: ConnectLink) -> str:
    """Press the button; returns the address at Connect."""
    response = client.post(connect_links.path(link))
    assert response.status_code == 302
    return str(response["Location"])


def allow(world: World, client: Client, link: ConnectLink, person: Driver | None = None) -> Any:
    """Press the button, allow at Connect, and come back."""
    who = (person or world.sandbox.fleet.drivers[0]).email
    back = urlsplit(world.sandbox.smartcar.connect.approve(start(client, link), driver=who))
    return client.get(f"{back.path}?{back.query}")


def come_back(client: Client, link: ConnectLink, **query: str) -> Any:
    """Press the button, and come back with its state and whatever the browser says."""
    (state,) = parse_qs(urlsplit(start(client, link)).query)["state"]
    return client.get(CALLBACK, {"state": state, **query})


def everything() -> list[Any]:
    return [
        list(Connection.objects.order_by("pk").values()),
        list(Vehicle.objects.order_by("pk").values()),
        list(OAuthToken.objects.filter(connection__isnull=False).values()),
        list(ConnectLink.objects.order_by("pk").values_list("pk", "used_at")),
    ]


# --- The way there and back -------------------------------------------------------------------


def test_the_button_leads_to_connect_with_the_applications_id(
    world: World, client: Client, link: ConnectLink, settings: Settings
) -> None:
    query = parse_qs(urlsplit(start(client, link)).query)

    assert query["client_id"] == [settings.SMARTCAR_APPLICATION_ID]
    assert query["client_id"] != [settings.SMARTCAR_V3_CLIENT_ID]


@pytest.mark.parametrize("name", ["user_id", "userId"])
def test_a_driver_connects_with_the_id_that_connect_gives_whatever_its_name(
    world: World, client: Client, link: ConnectLink, name: str
) -> None:
    world.sandbox.smartcar.connect.gives_user_id = name
    person = world.sandbox.fleet.drivers[0]

    page = allow(world, client, link)

    assert page.status_code == 200
    assert "Your 2 cars are connected." in page.content.decode()
    connection = Connection.objects.get()
    assert (connection.smartcar_user_id, connection.driver) == (person.user_id, link.driver)
    assert (connection.listed_through, connection.vehicles_listed_at) == ("v3", world.now)
    assert {car.smartcar_id for car in Vehicle.objects.all()} == {
        car.smartcar_id for car in world.sandbox.fleet.cars_of(person)
    }
    granted = Vehicle.objects.earliest("pk").accesses.get().permissions
    assert granted
    assert set(granted) == set(connection.scope)
    assert not OAuthToken.objects.filter(connection__isnull=False).exists()
    assert world.token_calls() == 0, "the code is of no use under v3"
    link.refresh_from_db()
    assert link.used_at == world.now


def test_what_was_granted_stands_on_the_cars(world: World, link: ConnectLink) -> None:
    connection = world.connect(link, untick=["read_engine_oil"]).connection

    for way in connection.accesses.all():
        assert way.permissions
        assert set(connection.scope) - set(way.permissions) == {"read_engine_oil"}


def test_a_return_without_the_drivers_id_is_refused(
    world: World, client: Client, link: ConnectLink
) -> None:
    world.sandbox.smartcar.connect.gives_user_id = ""
    before = everything()

    page = allow(world, client, link)

    assert page.status_code == 400
    assert everything() == before


@pytest.mark.parametrize("user_id", ["", " ", "x" * 65, "a b", "a\nb", "ü"])
def test_an_id_that_cannot_be_one_is_refused_and_nothing_is_asked(
    world: World, client: Client, link: ConnectLink, user_id: str
) -> None:
    before = everything()

    page = come_back(client, link, code="c", user_id=user_id)

    assert page.status_code == 400
    assert everything() == before
    assert world.sandbox.smartcar.requests.count(path="/v3/") == 0


def test_a_return_that_this_browser_did_not_start_is_refused(
    world: World, client: Client, link: ConnectLink
) -> None:
    user_id = world.sandbox.fleet.drivers[0].user_id
    (state,) = parse_qs(urlsplit(start(Client(), link)).query)["state"]
    before = everything()

    for query in ({}, {"state": ""}, {"state": "guessed"}, {"state": state}):
        page = client.get(CALLBACK, {"user_id": user_id, **query})
        assert page.status_code == 400

    assert everything() == before
    assert world.sandbox.smartcar.requests.count(path="/v3/") == 0


def test_the_same_return_works_once(world: World, client: Client, link: ConnectLink) -> None:
    back = urlsplit(world.sandbox.smartcar.connect.approve(start(client, link)))
    address = f"{back.path}?{back.query}"

    assert client.get(address).status_code == 200
    assert client.get(address).status_code == 400
    assert Connection.objects.count() == 1


@pytest.mark.parametrize("path", ["/oauth2/token", LIST])
def test_while_smartcar_is_down_the_link_stays_open(
    world: World, client: Client, link: ConnectLink, path: str
) -> None:
    world.smartcar_fault(path=path, status=502)

    assert allow(world, client, link).status_code == 502
    link.refresh_from_db()
    assert (link.used_at, link.claimed_until) == (None, None)
    assert not Connection.objects.exists()

    world.pass_time(seconds=10)
    assert allow(world, client, link).status_code == 200
    assert Connection.objects.get().status == "active"


def test_a_refused_application_token_is_renewed_for_the_driver_who_waits(
    world: World, client: Client, link: ConnectLink
) -> None:
    world.connect(driver=world.sandbox.fleet.drivers[1].email)
    world.sandbox.smartcar.iam.expire()

    assert allow(world, client, link).status_code == 200
    assert world.sandbox.smartcar.iam.exchanges == 2


def test_connecting_again_updates_and_a_withdrawn_consent_is_good_again(world: World) -> None:
    connected = world.connect()
    revoking.revoke(connected.connection, client=world.smartcar, reason="Sold", now=world.now)
    world.pass_time(days=1)

    again = world.connect(world.make_link(driver=connected.connection.driver))

    assert again.connection == connected.connection
    assert (again.connection.status, again.connection.is_ending) == ("active", False)
    assert [car.pk for car in again.vehicles] == [car.pk for car in connected.vehicles]
    assert Vehicle.objects.readable().count() == 2


# --- Somebody else's id -----------------------------------------------------------------------


@pytest.fixture
def victim(world: World) -> Connection:
    """Connected some days ago."""
    connection = world.connect(driver=world.sandbox.fleet.drivers[0].email).connection
    world.pass_time(days=3)
    return connection


def test_the_id_of_another_drivers_consent_is_refused_and_changes_nothing(
    world: World, client: Client, victim: Connection
) -> None:
    link = world.make_link()
    before = everything()

    page = come_back(client, link, code="made-up", user_id=victim.smartcar_user_id)

    assert page.status_code == 400
    assert everything() == before
    assert not Activity.objects.filter(what__startswith="Now belongs to").exists()


def test_the_id_of_another_drivers_consent_of_a_moment_ago_is_refused_too(
    world: World, client: Client, victim: Connection
) -> None:
    """What he consented to is on his own link; only a newer consent can be another driver's."""
    world.pass_time(minutes=1)
    person = world.sandbox.fleet.drivers[0]
    back = world.allowed(world.make_link(driver=victim.driver), driver=person.email)
    world.pass_time(seconds=20)
    connections.finish(
        world.make_link(driver=victim.driver),
        user_id=back["user_id"][0],
        client=world.smartcar,
        mode="test",
        now=world.now,
    )
    world.pass_time(minutes=10)
    before = everything()
    link = world.make_link()

    page = come_back(client, link, code="made-up", user_id=victim.smartcar_user_id)

    assert page.status_code == 400
    assert everything()[:3] == before[:3]
    link.refresh_from_db()
    assert link.used_at is None


@pytest.mark.parametrize("status", ["needs_reconnect", "revoked"])
def test_nor_is_a_consent_that_has_ended_to_be_had_by_its_id_alone(
    world: World, client: Client, victim: Connection, status: str
) -> None:
    Connection.objects.update(status=status)

    page = come_back(client, world.make_link(), code="c", user_id=victim.smartcar_user_id)

    assert page.status_code == 400
    victim.refresh_from_db()
    assert victim.status == status


def test_an_id_that_v3_lists_no_consent_of_is_not_taken_from_its_driver(
    world: World, client: Client, victim: Connection
) -> None:
    world.smartcar_fault(path=LIST, body=NOTHING)

    page = come_back(client, world.make_link(), code="c", user_id=victim.smartcar_user_id)

    assert page.status_code == 400
    victim.refresh_from_db()
    assert victim.driver != ConnectLink.objects.latest("pk").driver


def test_another_driver_who_really_consents_now_takes_the_consent_over(
    world: World, client: Client, victim: Connection
) -> None:
    link = world.make_link()

    page = allow(world, client, link)

    assert page.status_code == 200
    victim.refresh_from_db()
    assert (victim.driver, victim.status) == (link.driver, "active")
    assert Activity.objects.filter(what=f"Now belongs to {link.driver}").count() == 1


def test_a_consent_of_long_ago_is_no_proof_for_another_driver(
    world: World, victim: Connection
) -> None:
    link = world.make_link()
    said = world.allowed(link, driver=world.sandbox.fleet.drivers[0].email)
    world.pass_time(hours=2)

    with pytest.raises(NotVouchedError):
        connections.finish(
            link,
            user_id=said["user_id"][0],
            client=world.smartcar,
            mode="test",
            now=world.now,
        )

    victim.refresh_from_db()
    assert victim.driver != link.driver


# --- v3 lists a consent some time after it was given ------------------------------------------


def test_cars_that_are_not_listed_yet_follow_by_themselves(
    world: World, client: Client, link: ConnectLink
) -> None:
    fault = world.smartcar_fault(path=LIST, body=NOTHING, times=None)

    page = allow(world, client, link)

    assert page.status_code == 200
    assert "they follow by themselves" in page.content.decode()
    connection = Connection.objects.get()
    assert (connection.status, connection.vehicles_listed_at) == ("active", None)
    assert tasks.list_missing_vehicles() == 0
    world.sandbox.smartcar.faults.remove(fault)

    assert tasks.list_missing_vehicles() == 1

    connection.refresh_from_db()
    assert connection.vehicles_listed_at == world.now
    assert Vehicle.objects.readable().count() == 2
    assert tasks.list_missing_vehicles() == 0


def test_a_driver_who_connects_again_keeps_the_cars_until_they_are_listed(
    world: World, client: Client
) -> None:
    connected = world.connect()
    world.pass_time(days=1)
    world.smartcar_fault(path=LIST, body=NOTHING)

    assert (
        allow(world, client, world.make_link(driver=connected.connection.driver)).status_code == 200
    )

    assert Vehicle.objects.readable().count() == 2
    assert tasks.list_missing_vehicles() == 1
    assert Vehicle.objects.readable().count() == 2
