"""What staff do from their mails: a look does nothing, a button acts, a stranger gets nowhere."""

import logging
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client

from fleetportal import clock
from fleetportal.logs import HideKeys
from integrations.models import Activity
from maintenance.models import Alert, Recipient
from maintenance.services import links
from tests.factories import NOW, make_alert, make_recipient, make_user

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def at_noon() -> None:
    clock.set_source(lambda: NOW)


@pytest.fixture
def reader() -> Recipient:
    return make_recipient(email="mona@example.com", time_zone="America/Denver")


def path(url: str) -> str:
    return urlsplit(url).path


def link_to(reader: Recipient, *alerts: Alert, now: datetime = NOW) -> str:
    return path(links.alerts_url(reader, alerts, now=now))


# --- Alerts -----------------------------------------------------------------------------------


def test_a_look_shows_the_alert_and_does_nothing(client: Client, reader: Recipient) -> None:
    alert = make_alert(summary="Engine oil <b>service</b>")

    for method in (client.get, client.head):
        assert method(link_to(reader, alert)).status_code == 200
    page = client.get(link_to(reader, alert))

    assert "Engine oil &lt;b&gt;service" in page.text
    assert "mona@example.com" in page.text
    assert "MST" in page.text, "times are the reader's"
    assert page["Cache-Control"].count("no-store")
    assert page["Referrer-Policy"] == "same-origin"
    assert not Activity.objects.exists()


def act(client: Client, where: str, *alerts: Alert, **form: str) -> str:
    page = client.post(where, {"alert": [alert.pk for alert in alerts], **form})
    assert page.status_code == 200
    for alert in alerts:
        alert.refresh_from_db()
    return page.text


def test_it_is_acknowledged_with_a_note_in_the_readers_name(
    client: Client, reader: Recipient
) -> None:
    alert = make_alert()

    text = act(client, link_to(reader, alert), alert, action="acknowledge", note=" Booked. ")

    assert (alert.status, alert.note, alert.acknowledged_name) == (
        "acknowledged",
        "Booked.",
        "mona@example.com",
    )
    assert Activity.objects.get().actor == "mona@example.com"
    assert "Done" in text
    again = act(client, link_to(reader, alert), alert, action="acknowledge")
    assert "Nothing had to be done" in again


@pytest.mark.parametrize(
    ("form", "until"),
    [
        ({"action": "1"}, NOW + DAY),
        ({"action": "3"}, NOW + 3 * DAY),
        ({"action": "7"}, NOW + 7 * DAY),
        ({"action": "date", "date": "2026-03-06"}, NOW.replace(day=6, hour=14)),
    ],
)
def test_it_is_put_off(
    client: Client, reader: Recipient, form: dict[str, str], until: datetime
) -> None:
    alert = make_alert()

    act(client, link_to(reader, alert), alert, **form)

    assert (alert.status, alert.snoozed_until) == ("snoozed", until)


@pytest.mark.parametrize("day", ["", "2026-03-02", "2026-02-30", "2030-01-01", "soon"])
def test_a_day_that_cannot_be_is_asked_for_again(
    client: Client, reader: Recipient, day: str
) -> None:
    alert = make_alert()

    text = act(client, link_to(reader, alert), alert, action="date", date=day, note="keep me")

    assert alert.status == "open"
    assert "Choose a day after today" in text
    assert "keep me" in text


def test_it_is_said_that_it_stays_so(client: Client, reader: Recipient) -> None:
    alert = make_alert()

    act(client, link_to(reader, alert), alert, action="waive")

    assert (alert.waived_at, alert.waived_name) == (NOW, "mona@example.com")


def test_only_what_the_link_names_and_the_reader_chose_is_acted_on(
    client: Client, reader: Recipient
) -> None:
    first, second, foreign = (make_alert() for _ in range(3))
    where = link_to(reader, first, second)

    act(client, where, first, foreign, action="acknowledge")

    second.refresh_from_db()
    assert [alert.status for alert in (first, second, foreign)] == [
        "acknowledged",
        "open",
        "open",
    ]
    assert "Choose an alert first" in act(client, where, action="acknowledge")


def test_an_unknown_button_is_refused(client: Client, reader: Recipient) -> None:
    alert = make_alert()
    where = link_to(reader, alert)

    assert client.post(where, {"alert": alert.pk, "action": "delete"}).status_code == 400


def test_what_is_over_is_shown_without_buttons(client: Client, reader: Recipient) -> None:
    alert = make_alert(status="resolved", resolved_at=NOW)

    page = client.get(link_to(reader, alert))

    assert "Over since" in page.text
    assert "<button name" not in page.text
    assert 'class="button' not in page.text


def test_who_left_acts_no_more(client: Client, reader: Recipient) -> None:
    where = link_to(reader, make_alert())
    reader.user = make_user()
    reader.save()
    assert client.get(where).status_code == 200

    reader.user.is_active = False
    reader.user.save()

    assert client.get(where).status_code == 404


def test_a_foreign_browser_needs_the_form(reader: Recipient) -> None:
    alert = make_alert()
    strict = Client(enforce_csrf_checks=True)

    answer = strict.post(link_to(reader, alert), {"alert": alert.pk, "action": "waive"})

    assert answer.status_code == 403


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_link_that_is_old_or_not_ours_opens_nothing(
    client: Client, reader: Recipient, method: str
) -> None:
    alert = make_alert()
    call = getattr(client, method)
    form = {"alert": alert.pk, "action": "acknowledge"}

    assert call(link_to(reader, alert, now=NOW - links.AGE), form).status_code == 200
    old = link_to(reader, alert, now=NOW - links.AGE - timedelta(seconds=1))
    assert call(old, form).status_code == 410
    good = link_to(reader, alert)
    for broken in (good[:-2] + "x/", "/alerts/1_1_1/", "/alerts/x.y/", good.replace("_", "-")):
        assert call(broken, form).status_code == 404
    swapped = path(links.unsubscribe_url(reader)).replace("unsubscribe", "alerts")
    assert call(swapped, form).status_code == 404
    alert.delete()
    assert call(good, form).status_code == 404


def test_no_log_shows_a_link(reader: Recipient) -> None:
    addresses = links.alerts_url(reader, [make_alert()], now=NOW), links.unsubscribe_url(reader)
    for address in addresses:
        record = logging.LogRecord("x", logging.INFO, "", 0, 'GET "%s" 200', (address,), None)
        assert address.split("/")[-2] not in HideKeys().format(record)


# --- Unsubscribing ----------------------------------------------------------------------------


def test_a_look_does_not_unsubscribe(client: Client, reader: Recipient) -> None:
    page = client.get(path(links.unsubscribe_url(reader)))

    reader.refresh_from_db()
    assert page.status_code == 200
    assert reader.unsubscribed_at is None


def test_a_mail_providers_one_click_unsubscribes_without_cookies(reader: Recipient) -> None:
    strict = Client(enforce_csrf_checks=True)
    where = path(links.unsubscribe_url(reader))

    for _ in range(2):
        answer = strict.post(where, {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200

    reader.refresh_from_db()
    assert reader.unsubscribed_at == NOW
    assert [each.actor for each in Activity.objects.all()] == ["mona@example.com"]

    answer = strict.post(where, {"action": "subscribe"})
    reader.refresh_from_db()
    assert reader.unsubscribed_at is None
    assert "again" in answer.text


def test_nobody_is_unsubscribed_by_a_forged_link(client: Client, reader: Recipient) -> None:
    assert client.post(f"/unsubscribe/{reader.pk}.forged/").status_code == 404
    reader.refresh_from_db()
    assert reader.unsubscribed_at is None
