"""Mails to drivers, and how every mail of the portal is built."""

from datetime import datetime, timedelta
from email.message import Message

import pytest
from django.core import mail as outgoing
from django.core.mail import EmailMultiAlternatives
from pytest_django import Settings

from integrations.models import ConnectLink, Driver, OutboxEntry, PortalSettings
from integrations.services import connect_links, link_mails, mail

pytestmark = pytest.mark.django_db

NAME = "Ann O'Hara & <Sons>"
FLEET = 'Smith & Sons\' "Fleet"'


@pytest.fixture
def link(now: datetime) -> ConnectLink:
    PortalSettings(fleet_name=FLEET, contact_email="fleet@example.com").save()
    driver = Driver.objects.create(email="ann@example.com", name=NAME)
    return connect_links.create(driver, now=now)


def deliver(link: ConnectLink, now: datetime) -> tuple[EmailMultiAlternatives, str]:
    """Send the mail with this link; returns it, and its HTML."""
    entry = link_mails.send(link, now=now)
    link_mails.deliver_invite(entry, unclear=False, now=now)
    message = outgoing.outbox[-1]
    assert isinstance(message, EmailMultiAlternatives)
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    return message, str(html)


def test_link_goes_to_the_driver_with_a_one_line_subject(link: ConnectLink, now: datetime) -> None:
    message, _html = deliver(link, now)

    assert message.to == ["ann@example.com"]
    assert message.subject == f"{FLEET} asks you to connect your car"
    assert message.from_email == "Fleet Portal <portal@example.com>"
    link.refresh_from_db()
    assert link.sent_at == now


def test_both_parts_carry_the_whole_link_and_the_contact(link: ConnectLink, now: datetime) -> None:
    message, html = deliver(link, now)

    url = "https://portal.example.com" + connect_links.path(link)
    assert f"\n{url}\n" in str(message.body)
    assert f'href="{url}"' in html
    assert "fleet@example.com" in str(message.body)
    assert "fleet@example.com" in html


def test_text_is_plain_and_html_is_escaped_once(link: ConnectLink, now: datetime) -> None:
    message, html = deliver(link, now)

    body = str(message.body)
    assert body.startswith(f"Hello {NAME},\n")
    assert FLEET in body
    assert "&amp;" not in body + message.subject
    assert "&#x27;" not in body + message.subject
    assert "Ann O&#x27;Hara &amp; &lt;Sons&gt;" in html
    assert "&amp;amp;" not in html
    assert "\n\n\n" not in body


def test_expiry_is_shown_in_the_portals_zone_with_its_name(
    link: ConnectLink, now: datetime, settings: Settings
) -> None:
    settings.TIME_ZONE = "America/Denver"

    message, html = deliver(link, now)

    # Daylight saving begins in between: noon UTC a week later is 6 a.m. there.
    for part in (str(message.body), html):
        assert "March 9, 2026, 6 a.m. MDT" in part


def test_fleet_without_a_contact_gets_no_empty_line_about_it(
    link: ConnectLink, now: datetime
) -> None:
    PortalSettings.objects.update(contact_email="")

    message, html = deliver(link, now)

    assert "Questions" not in str(message.body) + html


def test_closed_link_is_not_mailed(link: ConnectLink, now: datetime) -> None:
    entry = link_mails.send(link, now=now)
    connect_links.withdraw(link, now=now)

    sent = link_mails.deliver_invite(entry, unclear=False, now=now)

    assert sent.result == "not sent: the link is withdrawn"
    assert outgoing.outbox == []


def test_outbox_keeps_no_link(link: ConnectLink, now: datetime) -> None:
    deliver(link, now)

    token = connect_links.token(link)
    for row in OutboxEntry.objects.values("dedupe_key", "payload", "last_error", "result"):
        assert token not in str(row)
        assert link.nonce not in str(row)


def test_mail_sent_twice_is_recognised_as_one(link: ConnectLink, now: datetime) -> None:
    entry = link_mails.send(link, now=now)
    for minutes in (0, 5):
        link_mails.deliver_invite(entry, unclear=True, now=now + timedelta(minutes=minutes))
    other, _html = deliver(link, now)

    first, again = (sent.extra_headers["Message-ID"] for sent in outgoing.outbox[:2])
    assert first == again
    assert first.endswith("@portal.example.com>")
    assert other.extra_headers["Message-ID"] != first


def test_line_breaks_in_a_name_cannot_add_headers(link: ConnectLink, now: datetime) -> None:
    PortalSettings.objects.update(fleet_name="A\r\nBcc: everyone@example.com")

    message, _html = deliver(link, now)

    built: Message = message.message()
    assert built["Bcc"] is None
    assert built["Subject"] == "A Bcc: everyone@example.com asks you to connect your car"
    assert built["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd"])
def test_unknown_zone_falls_back_to_the_portals(
    link: ConnectLink, now: datetime, zone: str
) -> None:
    context = {"driver": link.driver, "link_url": "x", "expires_at": now}

    mail.send(
        "integrations/emails/connect_link",
        to="ann@example.com",
        message_key="k",
        context=context,
        time_zone=zone,
    )

    assert "March 2, 2026, noon UTC" in str(outgoing.outbox[0].body)
