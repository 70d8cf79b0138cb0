"""What staff see and do of webhooks: events, the set-up, and which cars report by themselves."""

import json
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from fleetportal import clock
from integrations.clients import readings as codes
from integrations.models import (
    Activity,
    Connection,
    Make,
    Vehicle,
    VehicleAccess,
    WebhookEndpoint,
    WebhookEvent,
)
from integrations.services import webhook_setup
from tests import factories as make
from tests.factories import NOW
from tests.integrations.deliveries import (
    deliver,
    error,
    later,
    odometer,
    process,
    state,
    store,
    verify,
)

pytestmark = pytest.mark.django_db

SETUP = "/admin/integrations/webhookendpoint/"
EVENTS = "/admin/integrations/webhookevent/"
VEHICLES = "/admin/integrations/vehicle/"
SUBSCRIBED: dict[str, Any] = {"subscription": "subscribed", "subscribed_to": "webhook-1"}
REFUSED: dict[str, Any] = {
    "subscription": "refused",
    "subscribed_to": "webhook-1",
    "subscription_error": "Smartcar: POST subscriptions: HTTP 403 BILLING:INVALID_PLAN",
    "subscription_at": NOW,
}
Verify = WebhookEndpoint.Verify


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


@pytest.fixture(autouse=True)
def complete(settings: Settings) -> None:
    settings.SITE_URL = "https://fleet.example.com"
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["test-management-token"]
    settings.SMARTCAR_WEBHOOK_ID = "webhook-1"


def make_event(**overrides: Any) -> WebhookEvent:
    values = {
        "provider": "smartcar",
        "event_id": f"made-{WebhookEvent.objects.count()}",
        "kind": "VEHICLE_STATE",
        "state": "processed",
        "body": "{}",
        "occurred_at": NOW,
        "received_at": NOW,
    }
    return WebhookEvent.objects.create(**{**values, **overrides})


def make_car(*, webhook_at: datetime | None = None, **access: Any) -> Vehicle:
    """A car that is shared, with this subscription."""
    vehicle = make.make_vehicle(last_webhook_at=webhook_at)
    make.make_access(vehicle=vehicle, **access)
    return vehicle


def page_of(client: Client, row: Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return text_of(client, reverse(name, args=[row.pk]))


def text_of(client: Client, address: str) -> str:
    page = client.get(address)
    assert page.status_code == 200
    return unescape(page.content.decode()).replace("\xa0", " ")


def read(html: str) -> str:
    """What a person reads."""
    return " ".join(strip_tags(html).split())


def staff(client: Client, *permissions: str) -> Client:
    client.force_login(make.make_user(*(f"integrations.{name}" for name in permissions)))
    return client


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def seen(**fields: Any) -> None:
    webhook_setup.endpoint()
    WebhookEndpoint.objects.update(**fields)


def queries_of(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in asked.captured_queries]


# --- The list of events -------------------------------------------------------------------------


def listed(client: Client, **query: Any) -> list[WebhookEvent]:
    return list(client.get(EVENTS, query).context["cl"].queryset)


def test_the_list_says_in_words_what_came_and_what_it_came_to(admin_client: Client) -> None:
    process(state(make_car().accesses.get(), odometer(1)))
    make_event(
        kind="VEHICLE_ERROR", state="failed", error="KeyError: 'x'\nmore", smartcar_id="car?"
    )

    text = text_of(admin_client, EVENTS)

    for part in ("Values of a car", "Trouble with a car", "1 new", "KeyError: 'x'", "car?"):
        assert part in text
    assert "more" not in text.split("KeyError: 'x'")[1].split("</td>")[0]
    assert "just now" in text


def test_an_empty_list_leads_to_the_set_up(admin_client: Client) -> None:
    assert f'<a href="{SETUP}">Webhook set-up</a>' in text_of(admin_client, EVENTS)


@pytest.mark.parametrize(
    "query",
    [
        {"q": "needle"},
        {"state__exact": "failed"},
        {"kind": "trouble"},
        {"provider__exact": "fleetio"},
    ],
    ids=str,
)
def test_events_are_found_and_filtered(admin_client: Client, query: dict[str, str]) -> None:
    make_event()
    wanted = make_event(event_id="needle", state="failed", kind="VEHICLE_ERROR", provider="fleetio")

    assert listed(admin_client, **query) == [wanted]


def test_events_are_found_by_their_car(admin_client: Client) -> None:
    car = make.make_vehicle(name="Van 7")
    make_event(smartcar_id="another")
    event = make_event(vehicle=car, smartcar_id="car-at-smartcar")

    assert listed(admin_client, q="Van 7") == [event]
    assert listed(admin_client, q=car.vin) == [event]
    assert listed(admin_client, q="car-at-smartcar") == [event]


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("VEHICLE_STATE", "values"),
        ("schedule", "values"),
        ("VEHICLE_ERROR", "trouble"),
        ("eventBased", "happening"),
        ("NEVER_HEARD_OF", "other"),
    ],
)
def test_every_kind_is_in_one_of_the_filters(admin_client: Client, kind: str, group: str) -> None:
    make_event(kind=kind)

    groups = ("values", "trouble", "happening", "other")
    assert [name for name in groups if listed(admin_client, kind=name)] == [group]


def test_a_list_asks_as_much_for_many_events_and_never_for_their_bodies(
    admin_client: Client,
) -> None:
    make_event(vehicle=make.make_vehicle())
    admin_client.get(EVENTS)
    few = queries_of(admin_client, EVENTS)
    for _ in range(20):
        make_event(vehicle=make.make_vehicle())

    assert len(queries_of(admin_client, EVENTS)) == len(few)
    assert not any('"body"' in sql for sql in few)


def test_who_may_not_look_at_events_sees_none(client: Client) -> None:
    assert staff(client, "view_vehicle").get(EVENTS).status_code == 403


# --- One event ----------------------------------------------------------------------------------


def test_a_page_shows_the_whole_error_and_what_to_do(admin_client: Client) -> None:
    text = page_of(admin_client, make_event(state="failed", error="KeyError: 'x'\nin line 7"))

    assert "in line 7" in text
    assert "choose “Replay”" in text


def test_a_hostile_body_is_shown_and_does_nothing(admin_client: Client) -> None:
    body = json.dumps({"a": "</pre><script>alert(1)</script>", "b": "x\u202ey\x00\ud800"})
    event = make_event(
        body=body, kind="<b>", note="<i>", error="<u>", smartcar_id="<s>", event_id="<em>"
    )

    for address in (EVENTS, f"{EVENTS}{event.pk}/change/"):
        page = admin_client.get(address)
        text = page.content.decode()
        for tag in ("<script>alert", "<b>", "<i>", "<u>", "<s>", "<em>"):
            assert tag not in text
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)" in text
    assert "x\\u202ey" in text  # would turn the text around it
    assert 'style="' not in text


@pytest.mark.parametrize("body", ["no JSON {", "[" * 100_000, f'{{"a": {"9" * 5000}}}'])
def test_a_body_that_cannot_be_made_readable_is_shown_as_it_came(
    admin_client: Client, body: str
) -> None:
    assert body[:500] in page_of(admin_client, make_event(body=body))


def test_a_very_long_body_is_cut_and_says_so(admin_client: Client) -> None:
    text = page_of(admin_client, make_event(body=json.dumps({"a": "x" * 30_000, "b": "the end"})))

    assert "Only the first 20000 characters are shown." in text
    assert "the end" not in text


def test_a_body_is_reached_with_the_keyboard(admin_client: Client) -> None:
    assert '<pre class="fp-body" tabindex="0"' in page_of(admin_client, make_event())


# --- Replay -------------------------------------------------------------------------------------


def replay(client: Client, *events: WebhookEvent, **typed: Any) -> Any:
    data = {"action": "replay", ACTION_CHECKBOX_NAME: [event.pk for event in events], **typed}
    return client.post(EVENTS, data)


def test_replaying_asks_first_and_is_written_down(admin_client: Client) -> None:
    event = make_event(state="failed", error="KeyError")

    page = replay(admin_client, event)
    event.refresh_from_db()
    assert "What is known already stays as it is" in page.content.decode()
    assert event.state == "failed"

    answer = replay(admin_client, event, confirmed="yes")
    event.refresh_from_db()
    assert event.state == "received"
    assert "1 event is worked off again" in said(answer)
    assert "To be worked off again" in page_of(admin_client, event)
    assert Activity.objects.get().actor == "admin"


def test_what_waits_already_is_not_replayed(admin_client: Client) -> None:
    answer = replay(admin_client, make_event(state="received"), confirmed="yes")

    assert "0 events" in said(answer)
    assert Activity.objects.count() == 0


def test_staff_who_may_only_look_cannot_replay(client: Client) -> None:
    event = make_event(state="failed")

    replay(staff(client, "view_webhookevent"), event, confirmed="yes")

    event.refresh_from_db()
    assert event.state == "failed"


def test_only_so_many_are_replayed_at_once(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.admin.webhook_events.REPLAYED_AT_ONCE", 2)
    events = [make_event(state="ignored") for _ in range(3)]

    answer = replay(admin_client, *events, confirmed="yes")

    assert WebhookEvent.objects.filter(state="received").count() == 2
    assert "Only the first 2 were taken." in said(answer)


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


# --- Vehicles -----------------------------------------------------------------------------------


def test_a_car_says_when_it_was_polled_and_when_it_reported(admin_client: Client) -> None:
    car = make_car(webhook_at=later(minutes=-5), **SUBSCRIBED)
    Vehicle.objects.filter(pk=car.pk).update(last_read_at=later(hours=-3))

    for text in (text_of(admin_client, VEHICLES), page_of(admin_client, car)):
        assert "3 hours ago" in text
        assert "5 minutes ago" in text
    assert "polled once a day" in text
    assert "Subscribed" in text


def test_a_car_that_went_quiet_says_since_when(admin_client: Client) -> None:
    text = page_of(admin_client, make_car(webhook_at=later(days=-2), **SUBSCRIBED))

    assert "Its webhook has been quiet since Feb. 28, 2026, noon, so it is polled again." in text


def test_a_car_that_never_reported_has_nothing_to_explain(admin_client: Client) -> None:
    text = page_of(admin_client, make_car())

    assert "never" in text
    assert "quiet since" not in text


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ({}, "Not subscribed to the webhook yet"),
        ({"subscription": "asked", "subscribed_to": "webhook-1"}, "was asked to subscribe it"),
        (SUBSCRIBED | {"subscribed_to": "webhook-0"}, "Subscribed to another webhook"),
        (REFUSED, "Smartcar refuses to subscribe it"),
        (REFUSED | {"subscribed_to": "webhook-0"}, "Not subscribed to the webhook yet"),
    ],
)
def test_a_car_that_is_not_subscribed_is_named_in_the_list_and_on_its_page(
    admin_client: Client, settings: Settings, access: dict[str, Any], words: str
) -> None:
    car = make_car(**access)

    assert words in text_of(admin_client, VEHICLES)
    assert words in page_of(admin_client, car)

    settings.SMARTCAR_WEBHOOK_ID = ""
    assert words not in text_of(admin_client, VEHICLES)
    assert "No webhook is set up" in page_of(admin_client, car)


@pytest.mark.parametrize("status", [Connection.Status.REVOKED, Connection.Status.NEEDS_RECONNECT])
def test_a_car_that_nobody_shares_need_not_be_subscribed(
    admin_client: Client, status: Connection.Status
) -> None:
    car = make_car(**REFUSED)
    Connection.objects.update(status=status)

    assert "refuses to subscribe" not in text_of(admin_client, VEHICLES)
    assert "nobody shares it now" in page_of(admin_client, car)
    assert admin_client.get(VEHICLES, {"reports": "no"}).context["cl"].result_count == 0


def test_a_page_says_what_smartcar_reports_by_itself(admin_client: Client) -> None:
    access = make_car(**SUBSCRIBED).accesses.get()
    long_ago = later(days=-9)
    Connection.objects.update(connected_at=long_ago, status_changed_at=long_ago)
    process(error(access, "VEHICLE_STATE", "ASLEEP", signals=[codes.ODOMETER, codes.OIL_LIFE]))
    process(error(access, "CONNECTED_SERVICES_ACCOUNT", "SUBSCRIPTION", at=later(hours=-1)))
    process(error(access, "VEHICLE_STATE", "UNREACHABLE", is_over=True))
    process(error(access, "NEW_TYPE", "NEVER_HEARD_OF"))

    text = read(page_of(admin_client, access.vehicle))
    said_there = text.split("Smartcar reports:")[1].split("Calls this month")[0]

    assert "The car is asleep: Oil life, Odometer" in said_there
    assert "The subscription at the maker has ended or is too small" in said_there
    assert "NEW_TYPE:NEVER_HEARD_OF" in said_there
    assert "no network" not in said_there  # it is over
    assert "1 hour ago" in said_there


def test_the_latest_events_of_a_car_stand_on_its_page(admin_client: Client) -> None:
    car = make_car()
    for n in range(12):
        make_event(vehicle=car, note=f"note number {n}", received_at=later(minutes=n))
    address = reverse("admin:integrations_vehicle_change", args=[car.pk])
    page = admin_client.get(address)

    (panel,) = (panel for panel in page.context["panels"] if panel.title == "Webhook events")

    assert len(panel.rows) == 10
    assert panel.rows[0][-1] == "note number 11"
    assert len(admin_client.get(panel.more).context["cl"].queryset) == 12
    few = len(queries_of(admin_client, address))
    WebhookEvent.objects.filter(note__gt="note number 2").delete()
    assert len(queries_of(admin_client, address)) == few


@pytest.mark.parametrize("which", ["yes", "no", "quiet"])
def test_cars_are_filtered_by_whether_they_report(admin_client: Client, which: str) -> None:
    cars = {
        "yes": [make_car(webhook_at=later(hours=-6), **SUBSCRIBED)],
        "no": [make_car(webhook_at=NOW), make_car(**REFUSED)],
        "quiet": [make_car(webhook_at=later(hours=-7), **SUBSCRIBED), make_car(**SUBSCRIBED)],
    }
    make.make_vehicle(connection=None)  # nobody shares it

    page = admin_client.get(VEHICLES, {"reports": which})

    assert list(page.context["cl"].queryset) == cars[which]


def test_a_make_that_seldom_refreshes_is_quiet_later(admin_client: Client) -> None:
    Make.objects.update_or_create(name="FORD", defaults={"refresh_minutes": 240})
    car = make_car(webhook_at=later(hours=-11), **SUBSCRIBED)

    assert "polled once a day" in page_of(admin_client, car)
    assert admin_client.get(VEHICLES, {"reports": "yes"}).context["cl"].result_count == 1
    assert admin_client.get(VEHICLES, {"reports": "quiet"}).context["cl"].result_count == 0


def test_without_a_webhook_there_is_no_filter(admin_client: Client, settings: Settings) -> None:
    make_car()
    assert "reports by itself" in text_of(admin_client, VEHICLES)

    settings.SMARTCAR_WEBHOOK_ID = ""
    assert "reports by itself" not in text_of(admin_client, VEHICLES)
    assert admin_client.get(VEHICLES, {"reports": "no"}).status_code == 200


@pytest.mark.parametrize("query", ["", "?reports=yes", "?reports=no", "?reports=quiet"])
def test_the_list_of_vehicles_asks_as_much_for_many(admin_client: Client, query: str) -> None:
    for access in (SUBSCRIBED, REFUSED):
        make_car(webhook_at=NOW, **access)
        make_car(**access)
    admin_client.get(VEHICLES + query)
    few = len(queries_of(admin_client, VEHICLES + query))
    for access in (SUBSCRIBED, REFUSED) * 5:
        make_car(webhook_at=NOW, **access)
        make_car(**access)

    assert len(queries_of(admin_client, VEHICLES + query)) == few


# --- Ways, connections, overview ----------------------------------------------------------------


def test_the_ways_to_a_car_show_their_subscription(admin_client: Client) -> None:
    car = make_car(**REFUSED)
    (way,) = VehicleAccess.objects.all()

    for text in (
        page_of(admin_client, car),
        page_of(admin_client, way.connection),
        text_of(admin_client, "/admin/integrations/vehicleaccess/"),
    ):
        assert '<span class="fp-badge fp-due">Refused</span>' in text
    assert "BILLING:INVALID_PLAN" in page_of(admin_client, way)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, ">v2<"),
        ({"listed_through": "v3"}, "v3; v2, which is in use now, has not listed them yet"),
    ],
)
def test_a_connection_says_which_generation_listed_its_cars(
    admin_client: Client, fields: dict[str, Any], shown: str
) -> None:
    assert shown in page_of(admin_client, make.make_connection(**fields))


def tiles(client: Client) -> dict[str, Any]:
    return {tile.label: tile for tile in client.get("/admin/").context["tiles"]}


def test_the_overview_is_silent_while_all_is_well(admin_client: Client) -> None:
    make_car(**SUBSCRIBED)
    make_car(subscription="asked", subscribed_to="webhook-1", subscription_at=later(minutes=-5))
    make_event()
    make_event(state="received", received_at=later(minutes=-4))

    assert not {"Webhook events not worked off", "Cars not subscribed to the webhook"} & {
        *tiles(admin_client)
    }


def test_the_overview_tells_of_events_that_failed_or_wait(admin_client: Client) -> None:
    make_event(state="failed")
    make_event(state="received", received_at=later(minutes=-6))

    tile = tiles(admin_client)["Webhook events not worked off"]

    assert tile.value == "2"
    assert [text for text, _url in tile.lines] == [
        "Failed: 1",
        "Waiting for more than 5 minutes: 1",
    ]
    assert [len(admin_client.get(url).context["cl"].queryset) for _text, url in tile.lines] == [
        1,
        1,
    ]


def test_the_overview_tells_of_cars_that_are_not_subscribed(
    admin_client: Client, settings: Settings
) -> None:
    make_car(**REFUSED)
    make_car()

    tile = tiles(admin_client)["Cars not subscribed to the webhook"]
    assert tile.value == "2"
    assert len(admin_client.get(tile.url).context["cl"].queryset) == 2

    settings.SMARTCAR_WEBHOOK_ID = ""
    assert "Cars not subscribed to the webhook" not in tiles(admin_client)


def test_tiles_are_for_those_who_may_see_what_they_tell_of(client: Client) -> None:
    make_event(state="failed")
    make_car(**REFUSED)

    looker = staff(client, "view_webhookevent")
    assert [*tiles(looker)] == ["Webhook events not worked off"]


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
