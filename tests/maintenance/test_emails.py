"""Mails about alerts: what they say, in whose time, and where they lead."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail as outgoing
from django.core.mail import EmailMultiAlternatives

from integrations.models import Driver, OutboxEntry, PortalSettings, Vehicle
from integrations.registry import Sent
from integrations.services import outbox
from maintenance.models import Alert, FleetioIssue, Recipient, Rule
from maintenance.services import emails, notice_content, notifying

pytestmark = pytest.mark.django_db

DASH = "\N{EN DASH}"


@pytest.fixture
def alert(now: datetime) -> Alert:
    PortalSettings(fleet_name="Smith & Sons").save()
    vehicle = Vehicle.objects.create(
        name="Van 7",
        year=2021,
        make="FORD",
        model="TRANSIT",
        vin="1GCCR10E0NA100123",
        created_at=now,
    )
    return Alert.objects.create(
        vehicle=vehicle,
        kind=Rule.Kind.OIL_LIFE,
        topic="engine-oil",
        summary="Engine oil life 14 %",
        status=Alert.Status.OPEN,
        stage="due",
        pending_since=now,
        opened_at=now,
        reported_at=now - timedelta(hours=10),
        evidence={"value": 14.0, "due_below": 20, "clear_at": 40, "rule": {"name": "Oil & filter"}},
    )


def deliver(
    alert: Alert, now: datetime, *, stage: str = "due", **recipient: Any
) -> tuple[EmailMultiAlternatives, str]:
    """Send a mail about the alert (a stage, or its end); returns it, and its HTML."""
    person, _created = Recipient.objects.update_or_create(
        email="staff@example.com", defaults=recipient
    )
    payload = {"alert": alert.pk, "recipient": person.pk, "stage": stage}
    kind = notifying.RESOLVED_MAIL if stage == "resolved" else notifying.MAIL
    entry = outbox.enqueue(kind, dedupe_key=f"{payload}", payload=payload, about=alert, now=now)
    emails.deliver([entry], unclear=False, now=now)
    message = outgoing.outbox[-1]
    assert isinstance(message, EmailMultiAlternatives)
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    return message, str(html)


def resolve(alert: Alert, now: datetime, **fields: Any) -> None:
    fields = {"resolution": Alert.Resolution.SERVICED} | fields
    Alert.objects.filter(pk=alert.pk).update(
        status=Alert.Status.RESOLVED, resolved_at=now, **fields
    )


@pytest.mark.parametrize(
    ("stage", "words"), [("soon", "Due soon"), ("due", "Due"), ("overdue", "Overdue")]
)
def test_subject_says_stage_what_and_vehicle(
    alert: Alert, now: datetime, stage: str, words: str
) -> None:
    message, html = deliver(alert, now, stage=stage)

    assert message.subject == f"{words}: Engine oil life 14 % {DASH} Van 7 (2021 FORD TRANSIT)"
    assert str(message.body).startswith(f"{words}: Engine oil life 14 %\n")
    assert words in html


def test_subject_of_the_end_says_so(alert: Alert, now: datetime) -> None:
    resolve(alert, now)

    message, _html = deliver(alert, now, stage="resolved")

    assert message.subject == f"Resolved: Engine oil life 14 % {DASH} Van 7 (2021 FORD TRANSIT)"


def test_subject_is_one_line_and_plain_whatever_the_car_is_called(
    alert: Alert, now: datetime
) -> None:
    Vehicle.objects.update(name="Joe's\r\nBcc: x@example.com & <Van>", make="", model="", year=None)

    message, html = deliver(alert, now)

    assert message.subject == f"Due: Engine oil life 14 % {DASH} Joe's Bcc: x@example.com & <Van>"
    assert message.message()["Bcc"] is None
    assert "Joe&#x27;s" in html
    assert "&amp; &lt;Van&gt;" in html


@pytest.mark.parametrize(
    ("zone", "reported", "opened"),
    [
        ("America/Denver", "March 1, 2026, 7 p.m. MST", "March 2, 2026, 5 a.m. MST"),
        ("Asia/Tokyo", "March 2, 2026, 11 a.m. JST", "March 2, 2026, 9 p.m. JST"),
        ("Pacific/Auckland", "March 2, 2026, 3 p.m. NZDT", "March 3, 2026, 1 a.m. NZDT"),
        ("", "March 2, 2026, 2 a.m. UTC", "March 2, 2026, noon UTC"),
    ],
)
def test_times_are_the_recipients_with_the_name_of_the_zone(
    alert: Alert, now: datetime, zone: str, reported: str, opened: str
) -> None:
    message, html = deliver(alert, now, time_zone=zone)

    assert f"Recorded by the car: {reported}\n" in str(message.body)
    assert f"Alert since: {opened}\n" in str(message.body)
    assert reported in html
    assert opened in html


def test_evidence_stands_in_both_parts(alert: Alert, now: datetime) -> None:
    message, html = deliver(alert, now)

    for line in (
        "Vehicle: Van 7 (2021 FORD TRANSIT)",
        "VIN: 1GCCR10E0NA100123",
        "Remaining oil life: 14 %",
        "Due below: 20 %",
        "Rule: Oil & filter",
    ):
        assert f"{line}\n" in str(message.body)
    assert "Remaining oil life</th>" in html
    assert ">14 %</td>" in html
    assert "Oil &amp; filter" in html


@pytest.mark.parametrize(("units", "distance"), [("mi", "10,000 mi"), ("km", "16,093 km")])
def test_distances_are_in_the_unit_that_the_recipient_chose(
    alert: Alert, now: datetime, units: str, distance: str
) -> None:
    Alert.objects.update(kind=Rule.Kind.SERVICE_INTERVAL, evidence={"odometer_km": 16093.44})

    message, html = deliver(alert, now, units=units)

    assert f"Odometer: {distance}\n" in str(message.body)
    assert distance in html


@pytest.mark.parametrize("stage", ["due", "resolved"])
def test_text_is_never_escaped_and_html_only_once(alert: Alert, now: datetime, stage: str) -> None:
    Alert.objects.update(note='Driver\'s "note" & <more>')
    if stage == "resolved":
        resolve(alert, now)

    message, html = deliver(alert, now, stage=stage)

    plain = str(message.body) + message.subject
    for escaped in ("&amp;", "&#x27;", "&lt;", "&quot;", "&#39;"):
        assert escaped not in plain
    assert f"Smith & Sons {DASH} Fleet Portal" in plain
    assert "Smith &amp; Sons" in html
    assert "&amp;amp;" not in html
    assert "<more>" not in html
    assert "\n\n\n" not in plain


def test_mail_leads_to_the_alert(alert: Alert, now: datetime) -> None:
    message, html = deliver(alert, now)

    url = f"https://portal.example.com/admin/maintenance/alert/{alert.pk}/change/"
    assert f"\n{url}\n" in str(message.body)
    assert f'href="{url}"' in html
    assert "Fleetio" not in str(message.body) + html


@pytest.mark.parametrize("stage", ["due", "resolved"])
def test_mail_leads_to_the_issue_when_there_is_one(alert: Alert, now: datetime, stage: str) -> None:
    FleetioIssue.objects.create(alert=alert, fleetio_id=7001, number="42", created_at=now)
    if stage == "resolved":
        resolve(alert, now)

    message, html = deliver(alert, now, stage=stage)

    url = notice_content.of_alert(alert, Recipient.objects.get())["issue_url"]
    assert url.startswith("https://portal.example.com/admin/")
    assert f"Issue #42 in Fleetio:\n{url}\n" in str(message.body)
    assert f'href="{url}"' in html
    assert "Open issue #42 in Fleetio" in html


def test_end_says_how_and_when(alert: Alert, now: datetime) -> None:
    resolve(alert, now, note="Done by Joe.")

    message, html = deliver(alert, now, stage="resolved", time_zone="America/Denver")

    for part in (str(message.body), html):
        assert "A service was recorded." in part
        assert "Done by Joe." in part
        assert "March 2, 2026, 5 a.m. MST" in part


def test_alert_of_no_vehicle_has_a_subject_without_one(alert: Alert, now: datetime) -> None:
    Alert.objects.update(vehicle=None)

    message, html = deliver(alert, now)

    assert message.subject == "Due: Engine oil life 14 %"
    assert "None" not in str(message.body) + html


@pytest.mark.parametrize("gone", [Alert, Recipient])
def test_nothing_is_sent_about_what_was_deleted(
    alert: Alert, now: datetime, gone: type[Alert] | type[Recipient]
) -> None:
    deliver(alert, now)
    gone.objects.all().delete()

    (sent,) = emails.deliver([OutboxEntry.objects.get()], unclear=False, now=now)

    assert isinstance(sent, Sent)
    assert sent.result.startswith("not sent")
    assert len(outgoing.outbox) == 1


def test_driver_gets_no_link_into_the_admin(alert: Alert, now: datetime) -> None:
    FleetioIssue.objects.create(alert=alert, fleetio_id=7001, number="42", created_at=now)
    driver = Driver.objects.create(email="driver@example.com", name="Dana")

    message, html = deliver(alert, now, driver=driver)

    assert "/admin/" not in str(message.body)
    assert "/admin/" not in html


def test_code_is_dated_in_the_readers_zone(alert: Alert, now: datetime) -> None:
    alert.kind = Rule.Kind.TROUBLE_CODE
    alert.evidence = {"code": "P0301", "timestamp": "2026-03-02T02:00:00+00:00"}
    alert.save()

    message, _html = deliver(alert, now, time_zone="America/Denver")

    assert "Active since: March 1, 2026, 7 p.m. MST" in str(message.body)
