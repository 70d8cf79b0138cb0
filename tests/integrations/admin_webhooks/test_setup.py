"""The page that leads an admin through setting up the webhook."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from fleetportal import clock
from integrations.models import WebhookEndpoint
from integrations.services import webhook_setup
from tests import factories as make
from tests.factories import NOW
from tests.integrations.admin_webhooks.pages import (
    EVENTS,
    REFUSED,
    SETUP,
    SUBSCRIBED,
    VEHICLES,
    Verify,
    make_car,
    make_event,
    page_of,
    queries_of,
    read,
    seen,
    staff,
    text_of,
)
from tests.integrations.deliveries import deliver, later, odometer, process, state, store, verify

pytestmark = pytest.mark.django_db


# --- The page of the set-up ---------------------------------------------------------------------


def steps(client: Client) -> list[str]:
    return [step.state for step in client.get(SETUP).context["steps"]]


def test_at_the_beginning_everything_is_to_be_done(
    admin_client: Client, settings: Settings
) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = []
    settings.SMARTCAR_WEBHOOK_ID = ""

    assert steps(admin_client) == ["todo"] * 7
    text = text_of(admin_client, SETUP)
    assert "https://fleet.example.com/webhooks/smartcar/" in text
    assert "Set the management token first" in text
    assert "Open for 15 minutes" not in text
    assert "Nothing ever arrived from Smartcar." in text  # what is wrong


def test_at_the_end_everything_is_done(admin_client: Client) -> None:
    seen(verify_seen_at=NOW, verified_at=NOW, verify_outcome=Verify.ANSWERED, test_seen_at=NOW)
    process(state(make_car(**SUBSCRIBED).accesses.get(), odometer(1)))

    assert steps(admin_client) == ["done"] * 7
    text = text_of(admin_client, SETUP)
    assert "webhook-1" in text
    assert "1 of 1 shared cars are subscribed." in text
    assert '<p class="fp-none">Nothing.</p>' in text


def test_an_address_that_the_world_cannot_reach_is_wrong(
    admin_client: Client, settings: Settings
) -> None:
    settings.SITE_URL = "http://localhost:8000"

    assert steps(admin_client)[0] == "wrong"


def test_the_token_is_never_shown(admin_client: Client, settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["new-management-secret", "old-management-secret"]
    event = store(state("car"))

    for address in (SETUP, EVENTS, f"{EVENTS}{event.pk}/change/", VEHICLES, "/admin/"):
        assert "management-secret" not in text_of(admin_client, address)
    assert "2 are set, as during a change." in text_of(admin_client, SETUP)


def test_looking_changes_nothing(admin_client: Client) -> None:
    webhook_setup.open_window(now=NOW, user=None)
    before = list(WebhookEndpoint.objects.values())

    asked = queries_of(admin_client, f"{SETUP}?window=close")

    assert list(WebhookEndpoint.objects.values()) == before
    assert all(sql.startswith("SELECT") for sql in asked)


def test_an_admin_opens_and_closes_the_window(admin_client: Client) -> None:
    answer = admin_client.post(SETUP, {"window": "open"})
    assert (answer.status_code, answer["Location"]) == (302, SETUP)
    assert webhook_setup.endpoint().window_until == later(minutes=15)
    text = text_of(admin_client, SETUP)
    assert "open until 12:15 p.m., it closes in 15 minutes" in read(text)
    assert "Verification window opened for 15 minutes" in text  # what happened

    admin_client.post(SETUP, {"window": "close"})
    assert webhook_setup.endpoint().window_until is None
    assert "Open for 15 minutes" in text_of(admin_client, SETUP)


def test_who_may_only_look_cannot_open_the_window(client: Client) -> None:
    looker = staff(client, "view_webhookendpoint")

    assert looker.post(SETUP, {"window": "open"}).status_code == 403
    assert webhook_setup.endpoint().window_until is None
    text = text_of(looker, SETUP)
    assert "You may look at this page" in text
    assert 'name="window"' not in text


def test_who_may_not_look_at_the_set_up_gets_nothing(client: Client) -> None:
    row = webhook_setup.endpoint()
    other = staff(client, "view_vehicle")

    assert other.get(SETUP).status_code == 403
    assert other.get(f"{SETUP}{row.pk}/change/").status_code == 403
    assert other.post(SETUP, {"window": "open"}).status_code == 403


def test_a_button_that_does_not_exist_does_nothing(admin_client: Client) -> None:
    assert admin_client.post(SETUP, {"window": "wide"}).status_code == 400
    assert webhook_setup.endpoint().window_until is None


def test_another_site_cannot_open_the_window(admin_user: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)

    assert client.post(SETUP, {"window": "open"}).status_code == 403
    assert webhook_setup.endpoint().window_until is None


def test_the_page_looks_again_while_the_window_is_open(admin_client: Client) -> None:
    assert 'http-equiv="refresh"' not in text_of(admin_client, SETUP)
    webhook_setup.open_window(now=NOW, user=None)
    assert '<meta http-equiv="refresh" content="5">' in text_of(admin_client, SETUP)
    assert 'http-equiv="refresh"' not in text_of(admin_client, f"{SETUP}?still")

    clock.set_source(lambda: later(minutes=16))
    assert 'http-equiv="refresh"' not in text_of(admin_client, SETUP)


@pytest.mark.parametrize(
    ("fields", "expected", "words"),
    [
        ({"verify_outcome": Verify.ANSWERED, "verified_at": NOW}, "done", "and was answered"),
        ({"verify_outcome": Verify.CLOSED}, "wrong", "the window was closed"),
        ({"verify_outcome": Verify.IMPLAUSIBLE}, "wrong", "does not look like one"),
        ({"verify_outcome": Verify.NO_TOKEN}, "wrong", "SMARTCAR_MANAGEMENT_TOKEN is not set"),
    ],
)
def test_it_says_how_smartcars_check_went(
    admin_client: Client, fields: dict[str, Any], expected: str, words: str
) -> None:
    seen(verify_seen_at=NOW, **fields)

    assert steps(admin_client)[2] == expected
    assert words in text_of(admin_client, SETUP)


def test_a_stranger_who_asked_days_ago_spoils_nothing(admin_client: Client) -> None:
    seen(verified_at=later(days=-9), verify_seen_at=later(days=-2), verify_outcome=Verify.CLOSED)

    assert steps(admin_client)[2] == "done"


def test_a_refused_delivery_makes_the_test_wrong_until_a_good_one_comes(
    admin_client: Client,
) -> None:
    seen(test_seen_at=later(hours=-2), refused_at=later(hours=-1), refused_why="it is too large")
    assert steps(admin_client)[4] == "wrong"
    assert "it is too large" in text_of(admin_client, SETUP)

    make_event()
    assert steps(admin_client)[4] == "done"


def test_cars_that_are_not_subscribed_are_named_with_the_reason(admin_client: Client) -> None:
    make_car(**SUBSCRIBED)
    car = make_car(**REFUSED)

    text = text_of(admin_client, SETUP)

    assert steps(admin_client)[5] == "wrong"
    assert "1 of 2 shared cars are subscribed." in text
    assert f'<a href="{VEHICLES}{car.pk}/change/">' in text
    assert "Smartcar's plan does not include what is asked for" in text


def test_of_very_many_cars_some_are_named(admin_client: Client) -> None:
    for _ in range(22):
        make_car()

    assert steps(admin_client)[5] == "todo"
    assert "And 2 more." in text_of(admin_client, SETUP)


def test_a_car_that_reports_another_way_is_not_missing(admin_client: Client) -> None:
    car = make_car(**SUBSCRIBED)
    make.make_access(
        vehicle=car, connection=make.make_connection(), smartcar_id="other-way", **REFUSED
    )

    assert steps(admin_client)[5] == "done"
    assert list(admin_client.get(VEHICLES, {"reports": "no"}).context["cl"].queryset) == []


@pytest.mark.parametrize(
    ("fields", "expected", "words"),
    [
        ({}, "done", "The last good event came just now."),
        ({"received_at": later(days=-2)}, "wrong", "No car has reported for a day"),
        ({"state": "failed"}, "wrong", "Failed: 1"),
        ({"state": "received"}, "todo", "Waiting: 1"),
        ({"state": "received", "received_at": later(minutes=-6)}, "wrong", "worker and beat run"),
        ({"state": "ignored"}, "todo", "when something changes"),
    ],
)
def test_it_says_whether_events_arrive(
    admin_client: Client, fields: dict[str, Any], expected: str, words: str
) -> None:
    make_event(**fields)

    assert steps(admin_client)[6] == expected
    assert words in read(text_of(admin_client, SETUP))


def test_the_set_up_asks_as_much_for_many_cars_and_its_links_open(admin_client: Client) -> None:
    make_car()
    make_event()
    admin_client.get(SETUP)
    few = len(queries_of(admin_client, SETUP))
    for _ in range(10):
        make_car(**REFUSED)
        make_event(state="failed")

    assert len(queries_of(admin_client, SETUP)) == few
    for step in admin_client.get(SETUP).context["steps"]:
        for _text, address in step.links:
            assert admin_client.get(address).status_code == 200


def test_the_set_up_has_no_style_or_script_of_its_own(admin_client: Client) -> None:
    webhook_setup.open_window(now=NOW, user=None)
    text = admin_client.get(SETUP).content.decode()

    assert 'style="' not in text
    assert "<style" not in text
    assert "<script>" not in text


def test_the_page_of_the_row_is_the_same_page(admin_client: Client) -> None:
    webhook_setup.open_window(now=NOW, user=None)
    row = webhook_setup.endpoint()

    assert "Let Smartcar verify the address" in page_of(admin_client, row)


# --- In a real browser --------------------------------------------------------------------------


def test_an_admin_with_a_phone_and_no_mouse_sees_the_check_arrive(
    page: Page, live_server: LiveServer
) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    cookie = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page.set_viewport_size({"width": 390, "height": 800})
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.goto(live_server.url + SETUP)

    button = page.get_by_role("button", name="Open for 15 minutes")
    button.focus()
    button.press("Enter")
    expect(page.get_by_role("button", name="Close")).to_be_visible()
    deliver(Client(), verify(), token=None)

    # It looks again by itself.
    expect(page.get_by_text("and was answered")).to_be_visible(timeout=15_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert heard == []
