"""What drivers see: the invitation, the way back from Connect, and their own page."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client, RequestFactory
from django.views import defaults
from pytest_django import Settings

from fleetportal import clock
from integrations.models import (
    Connection,
    ConnectLink,
    Driver,
    OAuthToken,
    PortalSettings,
    Vehicle,
    VehicleAccess,
)
from integrations.sandbox import Fault, Sandbox
from integrations.sandbox.smartcar_connect import CONNECT_ERRORS
from integrations.services import connect_links
from integrations.views import STATES_KEPT
from tests.portal import sandbox_for

CALLBACK = "/connect/callback/"
VIN = "1GCCR10E0NA100123"


@pytest.fixture(autouse=True)
def standing_clock(now: datetime) -> None:
    clock.set_source(lambda: now)


@pytest.fixture
def driver(db: None, now: datetime) -> Driver:
    PortalSettings(
        fleet_name="Northwind", contact_email="fleet@northwind.example", country="CA"
    ).save()
    return connect_links.invite(email="maria@example.com", name="Maria Lopez", now=now)


@pytest.fixture
def link(driver: Driver, now: datetime) -> ConnectLink:
    return connect_links.create(driver, now=now)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    with sandbox_for(settings, vehicles=2) as running:
        yield running


def make_connection(driver: Driver, now: datetime, **fields: Any) -> Connection:
    fields = {"scope": ["read_vin", "read_odometer"], "smartcar_user_id": f"user-{now}"} | fields
    return Connection.objects.create(
        driver=driver, connected_at=now, status_changed_at=now, **fields
    )


def make_car(connection: Connection, now: datetime, **fields: Any) -> VehicleAccess:
    car = Vehicle.objects.create(connection=connection, created_at=now, **fields)
    return VehicleAccess.objects.create(
        vehicle=car, connection=connection, smartcar_id=f"car-{car.pk}", connected_at=now
    )


def text(response: Any) -> str:
    return str(response.content.decode())


def start(client: Client, link: ConnectLink) -> str:
    """Press the button; returns the address at Connect."""
    response = client.post(connect_links.path(link))
    assert response.status_code == 302
    return str(response["Location"])


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def come_back(client: Client, link: ConnectLink, **query: str) -> Any:
    """Start with this link, and come back from Connect with its state and `query`."""
    state = query_of(start(client, link))["state"]
    return client.get(CALLBACK, {"state": state, **query})


def allow(client: Client, sandbox: Sandbox, link: ConnectLink) -> Any:
    """Press the button, allow at Connect, and come back."""
    back = urlsplit(sandbox.smartcar.connect.approve(start(client, link)))
    return client.get(f"{back.path}?{back.query}")


# --- The invitation ---------------------------------------------------------------------------


def test_invitation_says_who_asks_what_for_and_until_when(
    client: Client, link: ConnectLink
) -> None:
    response = client.get(connect_links.path(link))

    page = text(response)
    assert response.status_code == 200
    assert "Hello Maria Lopez," in page
    assert "<strong>Northwind</strong> asks to read maintenance data" in page
    assert "Odometer" in page
    assert "to know when a service is due" in page
    assert "March 9, 2026, noon UTC" in page
    assert 'href="mailto:fleet@northwind.example"' in page
    assert "withdraw" in page


def test_invitation_has_one_button_one_heading_and_the_marks_of_an_accessible_page(
    client: Client, link: ConnectLink
) -> None:
    page = text(client.get(connect_links.path(link)))

    assert page.count("<button") == 1
    assert page.count("<form") == 1
    assert 'name="csrfmiddlewaretoken"' in page
    assert page.count("<h1") == 1
    assert '<html lang="en-us">' in page
    assert 'name="viewport"' in page


def test_invitation_for_one_car_names_it(client: Client, driver: Driver, now: datetime) -> None:
    bound = connect_links.create(driver, vin=VIN, make="chevrolet", now=now)

    assert f"CHEVROLET, VIN {VIN}" in text(client.get(connect_links.path(bound)))


def test_promise_that_the_car_is_only_read_is_made_only_when_it_is_true(
    client: Client, link: ConnectLink
) -> None:
    promise = "cannot be unlocked, started or changed"
    assert promise in text(client.get(connect_links.path(link)))

    PortalSettings.objects.update(extra_permissions=["control_security"])

    page = text(client.get(connect_links.path(link)))
    assert promise not in page
    assert "Control security" in page


def test_name_with_markup_is_shown_as_text(client: Client, link: ConnectLink) -> None:
    Driver.objects.update(name="<b>Maria</b>")

    assert "&lt;b&gt;Maria&lt;/b&gt;" in text(client.get(connect_links.path(link)))


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_a_link_uses_nothing_up(client: Client, link: ConnectLink, method: str) -> None:
    for _ in range(3):
        assert getattr(client, method)(connect_links.path(link)).status_code == 200

    link.refresh_from_db()
    assert link.used_at is None
    assert "connect_states" not in client.session
    start(client, link)


def test_pressing_the_button_alone_does_not_use_the_link_up(
    client: Client, link: ConnectLink
) -> None:
    start(client, link)
    start(client, link)

    link.refresh_from_db()
    assert link.used_at is None


def test_button_goes_to_connect_with_all_it_has_to_know(
    client: Client, driver: Driver, now: datetime
) -> None:
    PortalSettings.objects.update(extra_permissions=["read_fuel"])
    bound = connect_links.create(driver, vin=VIN, make="chevrolet", now=now)

    url = start(client, bound)

    assert url.startswith("https://connect.smartcar.com/oauth/authorize?")
    query = query_of(url)
    assert {"read_vehicle_info", "read_vin", "read_odometer", "read_fuel"} <= set(
        query["scope"].split()
    )
    assert query["redirect_uri"] == "https://portal.example.com/connect/callback/"
    assert query["response_type"] == "code"
    assert query["client_id"] == "test-client-id"
    assert query["mode"] == "test"
    assert query["make"] == "CHEVROLET"
    assert query["flags"] == "country:CA"
    assert query["single_select_vin"] == VIN


def test_each_start_has_a_long_random_state_that_only_this_browser_knows(
    client: Client, link: ConnectLink
) -> None:
    first, second = (query_of(start(client, link))["state"] for _ in range(2))

    assert first != second
    assert min(len(first), len(second)) >= 32
    kept = client.session["connect_states"]
    assert [pk for _digest, pk in kept] == [link.pk] * 2
    assert first not in repr(kept)
    assert second not in repr(kept)


def test_oldest_of_very_many_starts_is_forgotten(client: Client, link: ConnectLink) -> None:
    states = [query_of(start(client, link))["state"] for _ in range(STATES_KEPT + 1)]

    answers = [
        client.get(CALLBACK, {"state": state, "error": "access_denied"}).status_code
        for state in states
    ]
    assert answers == [400] + [200] * STATES_KEPT


def test_button_needs_the_token_of_its_form(link: ConnectLink) -> None:
    response = Client(enforce_csrf_checks=True).post(connect_links.path(link))

    assert response.status_code == 403
    assert "Please try that again" in text(response)


CLOSED = {
    "used": "This link was used already",
    "expired": "This link has expired",
    "withdrawn": "This link was withdrawn",
    "inactive": "You cannot connect a car at the moment",
}


@pytest.mark.parametrize("state", CLOSED)
@pytest.mark.parametrize("method", ["get", "post"])
def test_closed_link_says_why_and_leads_nowhere(
    client: Client, link: ConnectLink, now: datetime, state: str, method: str
) -> None:
    if state == "inactive":
        Driver.objects.update(is_active=False)
    elif state == "expired":
        ConnectLink.objects.update(expires_at=now - timedelta(seconds=1))
    else:
        ConnectLink.objects.update(**{f"{state}_at": now})

    response = getattr(client, method)(connect_links.path(link))

    assert response.status_code == 410
    assert f"<h1>{CLOSED[state]}</h1>" in text(response)
    assert "<form" not in text(response)


def test_link_closes_at_the_moment_it_expires(
    client: Client, link: ConnectLink, now: datetime
) -> None:
    clock.set_source(lambda: link.expires_at - timedelta(microseconds=1))
    assert client.get(connect_links.path(link)).status_code == 200

    clock.set_source(lambda: link.expires_at)
    assert client.get(connect_links.path(link)).status_code == 410


def test_unknown_and_tampered_and_foreign_tokens_are_not_found(
    client: Client, link: ConnectLink, driver: Driver
) -> None:
    token = connect_links.token(link)
    other = connect_links.driver_path(driver).split("/")[2]
    swapped = str(link.pk + 1) + token.removeprefix(str(link.pk))

    for wrong in ("abc", token[:-1], token + "x", swapped, token.upper(), other):
        response = client.get(f"/connect/{wrong}/")
        assert response.status_code == 404, wrong
        assert "We do not know this link" in text(response)
    assert client.get(f"/driver/{token}/").status_code == 404


def test_without_credentials_the_portal_says_that_it_is_not_ready(
    client: Client, link: ConnectLink, settings: Settings
) -> None:
    settings.SMARTCAR_CLIENT_ID = ""

    for response in (client.get(connect_links.path(link)), client.post(connect_links.path(link))):
        assert response.status_code == 503
        assert "The portal is not ready yet" in text(response)


# --- The way back from Connect ----------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"state": ""}, {"state": "guessed", "code": "x"}])
def test_missing_or_guessed_state_is_refused(
    client: Client, link: ConnectLink, query: dict[str, str]
) -> None:
    start(client, link)

    response = client.get(CALLBACK, query)

    assert response.status_code == 400
    assert "Please start again" in text(response)


def test_state_of_another_browser_is_refused_and_not_spent(
    client: Client, link: ConnectLink, sandbox: Sandbox
) -> None:
    back = urlsplit(sandbox.smartcar.connect.approve(start(client, link)))
    other = Client()
    start(other, link)

    assert other.get(f"{back.path}?{back.query}").status_code == 400
    assert not Connection.objects.exists()
    assert client.get(f"{back.path}?{back.query}").status_code == 200


def test_state_works_once(client: Client, link: ConnectLink, sandbox: Sandbox) -> None:
    back = urlsplit(sandbox.smartcar.connect.approve(start(client, link)))
    assert client.get(f"{back.path}?{back.query}").status_code == 200

    again = client.get(f"{back.path}?{back.query}")

    assert again.status_code == 400
    assert Connection.objects.count() == 1


def test_head_of_the_callback_spends_nothing(
    client: Client, link: ConnectLink, sandbox: Sandbox
) -> None:
    back = urlsplit(sandbox.smartcar.connect.approve(start(client, link)))

    assert client.head(f"{back.path}?{back.query}").status_code == 405
    assert client.get(f"{back.path}?{back.query}").status_code == 200


@pytest.mark.parametrize("code", ["", "x" * 513])
def test_missing_or_absurd_code_is_refused(client: Client, link: ConnectLink, code: str) -> None:
    assert come_back(client, link, code=code).status_code == 400


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("access_denied", "You did not share the data"),
        ("vehicle_incompatible", "This car cannot be connected"),
        ("invalid_subscription", "online services are not active"),
        ("no_vehicles", "No car in this account"),
        ("configuration_error", "The portal is not set up correctly"),
        ("server_error", "That did not work"),
        ("something_new", "That did not work"),
    ],
)
def test_error_of_connect_is_said_in_words_with_a_way_to_try_again(
    client: Client, link: ConnectLink, error: str, words: str
) -> None:
    response = come_back(client, link, error=error, error_description="<b>raw words</b>")

    page = text(response)
    assert response.status_code == 200
    assert words in page
    assert f'href="{connect_links.path(link)}"' in page
    assert "raw words" not in page
    link.refresh_from_db()
    assert link.used_at is None


def test_every_documented_error_of_connect_comes_back_through_the_stand_in(
    client: Client, link: ConnectLink, sandbox: Sandbox
) -> None:
    for error in CONNECT_ERRORS:
        back = urlsplit(sandbox.smartcar.connect.refuse(start(client, link), error))
        response = client.get(f"{back.path}?{back.query}")
        assert response.status_code == 200
        assert "Start again" in text(response)


def test_car_that_cannot_be_connected_is_named_and_never_trusted(
    client: Client, link: ConnectLink
) -> None:
    response = come_back(
        client, link, error="vehicle_incompatible", year="2024", make="FORD", model="<i>Transit"
    )

    assert "2024 FORD &lt;i&gt;Transit does not support it." in text(response)


def test_error_after_the_link_closed_offers_no_second_try(
    client: Client, link: ConnectLink, now: datetime
) -> None:
    state = query_of(start(client, link))["state"]
    connect_links.withdraw(link, now=now)

    page = text(client.get(CALLBACK, {"state": state, "error": "access_denied"}))

    assert "Start again" not in page
    assert "Ask your fleet for a new one" in page


def test_allowing_connects_all_cars_and_uses_the_link_up(
    client: Client, link: ConnectLink, sandbox: Sandbox, driver: Driver
) -> None:
    response = allow(client, sandbox, link)

    page = text(response)
    assert response.status_code == 200
    assert "Your 2 cars are connected." in page
    assert f'href="{connect_links.driver_path(driver)}"' in page
    assert Vehicle.objects.count() == 2
    assert Connection.objects.get().driver == driver
    assert client.session["connect_states"] == []
    assert client.get(connect_links.path(link)).status_code == 410


def test_cars_that_were_not_listed_yet_follow_by_themselves(
    client: Client, link: ConnectLink, sandbox: Sandbox
) -> None:
    sandbox.smartcar.faults.add(Fault(path="/v2.0/vehicles", status=500, body={}))

    response = allow(client, sandbox, link)

    assert response.status_code == 200
    assert "follow by themselves" in text(response)
    assert Connection.objects.get().vehicles_listed_at is None


def test_failing_smartcar_gives_the_link_back(
    client: Client, link: ConnectLink, sandbox: Sandbox
) -> None:
    sandbox.smartcar.faults.add(Fault(path="/oauth/token", status=502, body={}))

    failed = allow(client, sandbox, link)

    assert failed.status_code == 502
    assert "That did not work" in text(failed)
    assert f'href="{connect_links.path(link)}"' in text(failed)
    assert allow(client, sandbox, link).status_code == 200


def test_refused_credentials_are_the_portals_fault(
    client: Client, link: ConnectLink, sandbox: Sandbox, settings: Settings
) -> None:
    settings.SMARTCAR_CLIENT_SECRET = "wrong"

    response = allow(client, sandbox, link)

    assert response.status_code == 502
    assert "The portal is not set up correctly" in text(response)


def test_second_tab_that_comes_back_later_finds_the_link_used(
    client: Client, link: ConnectLink, sandbox: Sandbox
) -> None:
    late = urlsplit(sandbox.smartcar.connect.approve(start(client, link)))
    assert allow(client, sandbox, link).status_code == 200

    response = client.get(f"{late.path}?{late.query}")

    assert response.status_code == 410
    assert "This link was used already" in text(response)
    assert Connection.objects.count() == 1


# --- The driver's own page --------------------------------------------------------------------


def test_driver_sees_the_cars_what_is_read_and_since_when(
    client: Client, driver: Driver, now: datetime
) -> None:
    connection = make_connection(driver, now)
    make_car(connection, now, make="FORD", model="TRANSIT", year=2021, name="Van 7", vin=VIN)
    make_car(connection, now)

    page = text(client.get(connect_links.driver_path(driver)))

    assert "Hello Maria Lopez" in page
    assert "Van 7 (2021 FORD TRANSIT)" in page
    assert f"VIN {VIN}" in page
    assert "Makes and models of new cars follow soon" in page
    assert "Connected since March 2, 2026" in page
    assert "to know when a service is due" in page


def test_connection_that_stopped_working_asks_to_connect_again(
    client: Client, driver: Driver, now: datetime
) -> None:
    make_connection(driver, now, status=Connection.Status.NEEDS_RECONNECT)

    page = text(client.get(connect_links.driver_path(driver)))

    assert "Not working since March 2, 2026" in page
    assert '<button class="button">Connect again</button>' in page


def test_what_was_withdrawn_or_is_no_longer_shared_is_not_shown(
    client: Client, driver: Driver, now: datetime
) -> None:
    make_connection(driver, now, smartcar_user_id="a", status=Connection.Status.REVOKED)
    assert "You share nothing with Northwind" in text(client.get(connect_links.driver_path(driver)))

    connection = make_connection(driver, now, smartcar_user_id="b")
    way = make_car(connection, now, name="Sold van")
    VehicleAccess.objects.filter(pk=way.pk).update(ended_at=now)
    assert "Sold van" not in text(client.get(connect_links.driver_path(driver)))


def test_connect_again_makes_a_fresh_link(client: Client, driver: Driver) -> None:
    response = client.post(connect_links.driver_path(driver), {"action": "reconnect"})

    assert response.status_code == 302
    assert response["Location"] == connect_links.path(ConnectLink.objects.get())
    assert client.get(response["Location"]).status_code == 200


def test_inactive_driver_may_withdraw_but_not_connect(
    client: Client, driver: Driver, now: datetime, sandbox: Sandbox
) -> None:
    connection = make_connection(driver, now)
    Driver.objects.update(is_active=False)
    path = connect_links.driver_path(driver)

    assert "Connect" not in text(client.get(path)).partition("</h1>")[2].partition("<form")[2]
    assert client.post(path, {"action": "reconnect"}).status_code == 410
    assert client.post(path, {"action": "withdraw", "connection": connection.pk}).status_code == 200
    connection.refresh_from_db()
    assert connection.status == Connection.Status.REVOKED


def test_withdrawing_asks_first_and_changes_nothing_by_looking(
    client: Client, driver: Driver, now: datetime
) -> None:
    connection = make_connection(driver, now)
    make_car(connection, now, name="Van 7")
    path = connect_links.driver_path(driver)
    assert f'href="?withdraw={connection.pk}"' in text(client.get(path))

    page = text(client.get(path, {"withdraw": connection.pk}))

    assert "<h1>Stop sharing?</h1>" in page
    assert "Van 7" in page
    assert page.count("<form") == 1
    assert f'name="connection" value="{connection.pk}"' in page
    connection.refresh_from_db()
    assert connection.status == Connection.Status.ACTIVE


def test_withdrawing_ends_the_reading_erases_the_tokens_and_tells_smartcar(
    client: Client, link: ConnectLink, sandbox: Sandbox, driver: Driver
) -> None:
    allow(client, sandbox, link)
    connection = Connection.objects.get()
    path = connect_links.driver_path(driver)

    for _ in range(2):  # pressed twice: nothing more happens
        response = client.post(path, {"action": "withdraw", "connection": connection.pk})
        assert response.status_code == 200
        assert "You no longer share this" in text(response)

    connection.refresh_from_db()
    assert connection.status == Connection.Status.REVOKED
    assert OAuthToken.objects.get().refresh_token == ""
    assert [entry.method for entry in sandbox.smartcar.requests].count("DELETE") == 2


@pytest.mark.parametrize("pk", ["", "x", "²", "-1", "9" * 30])
def test_withdrawing_something_unknown_changes_nothing(
    client: Client, driver: Driver, now: datetime, pk: str
) -> None:
    connection = make_connection(driver, now)

    client.post(connect_links.driver_path(driver), {"action": "withdraw", "connection": pk})

    connection.refresh_from_db()
    assert connection.status == Connection.Status.ACTIVE


def test_driver_can_neither_see_nor_withdraw_what_another_shares(
    client: Client, driver: Driver, now: datetime
) -> None:
    other = connect_links.invite(email="olga@example.com", name="Olga", now=now)
    theirs = make_connection(other, now)
    make_car(theirs, now, name="Olga's van")
    path = connect_links.driver_path(driver)

    assert "van" not in text(client.get(path, {"withdraw": theirs.pk}))
    client.post(path, {"action": "withdraw", "connection": theirs.pk})

    theirs.refresh_from_db()
    assert theirs.status == Connection.Status.ACTIVE


@pytest.mark.parametrize("action", ["", "delete"])
def test_unknown_action_is_refused(client: Client, driver: Driver, action: str) -> None:
    response = client.post(connect_links.driver_path(driver), {"action": action})

    assert response.status_code == 400
    assert "That request was not understood" in text(response)


def test_new_nonce_makes_the_old_address_of_the_page_useless(
    client: Client, driver: Driver
) -> None:
    old = connect_links.driver_path(driver)
    Driver.objects.update(nonce="another")

    assert client.get(old).status_code == 404
    assert client.get(old[:-2] + "x/").status_code == 404


# --- All pages --------------------------------------------------------------------------------


def test_pages_are_guarded_and_not_kept(client: Client, link: ConnectLink, driver: Driver) -> None:
    paths = [connect_links.path(link), connect_links.driver_path(driver), CALLBACK, "/connect/x/"]
    for path in paths:
        response = client.get(path)
        policy = response["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self' https://connect.smartcar.com" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response["Referrer-Policy"] == "same-origin"
        assert response["X-Frame-Options"] == "DENY"
        assert "no-store" in response["Cache-Control"]
        assert "private" in response["Cache-Control"]


def test_pages_bring_nothing_that_their_policy_forbids(
    client: Client, link: ConnectLink, driver: Driver
) -> None:
    for path in (connect_links.path(link), connect_links.driver_path(driver), CALLBACK, "/nope"):
        page = text(client.get(path))
        assert "<script" not in page
        assert "<style" not in page
        assert " style=" not in page
        assert "http://" not in page
        assert "https://" not in page
        assert page.count("<h1") == 1


@pytest.mark.django_db
def test_missing_page_looks_like_the_others(client: Client) -> None:
    response = client.get("/nope")

    assert response.status_code == 404
    assert "This page does not exist" in text(response)
    assert "portal.css" in text(response)


def test_error_pages_need_no_database_and_no_context() -> None:
    request = RequestFactory().get("/")
    answers = [
        (defaults.server_error(request), 500, "Something went wrong on our side"),
        (defaults.bad_request(request, ValueError()), 400, "was not understood"),
        (defaults.permission_denied(request, ValueError()), 403, "You may not see this"),
    ]

    for response, status, words in answers:
        assert response.status_code == status
        assert words in text(response)
        assert '<p class="brand">Fleet Portal</p>' in text(response)


def test_stylesheet_is_served_without_collectstatic(client: Client) -> None:
    response: Any = client.get("/static/fleetportal/portal.css")

    assert response.status_code == 200
    assert b"prefers-color-scheme" in b"".join(response.streaming_content)
