"""What staff see and do of the events that arrived."""

import json
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client

from integrations.models import Activity, WebhookEvent
from tests import factories as make
from tests.integrations.admin_webhooks.pages import (
    EVENTS,
    SETUP,
    make_car,
    make_event,
    page_of,
    queries_of,
    said,
    staff,
    text_of,
)
from tests.integrations.deliveries import odometer, process, state

pytestmark = pytest.mark.django_db


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
