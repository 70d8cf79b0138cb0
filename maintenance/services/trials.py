"""Messages that a person asks for, to see whether they arrive and how they look."""

from datetime import datetime
from smtplib import SMTPException
from typing import Any

from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from integrations.clients.errors import ClientError
from integrations.models import PortalSettings
from integrations.services import mail
from maintenance.models import Alert, Channel, NoticeTemplate, Recipient, Stage
from maintenance.services import channels, fleet_words, notice_content
from maintenance.services.fleet_words import Words
from maintenance.services.notice_content import Item
from maintenance.services.notifying import Event

Name = NoticeTemplate.Name


def try_recipient(recipient: Recipient, *, now: datetime) -> list[str]:
    """Send a test by mail and to every channel that is on; what went wrong, in words."""
    with mail.reading_as(time_zone=recipient.time_zone, language=recipient.language):
        problems = _mail(recipient.email, _test(), now=now)
    for channel in recipient.channels.filter(is_enabled=True):
        problems += try_channel(channel, now=now)
    return problems


def try_channel(channel: Channel, *, now: datetime) -> list[str]:
    words = _test()
    try:
        channels.send_text(channel, title=words.subject, body=words.body, now=now)
    except ClientError as exc:
        return [f"{channel}: {exc}"]
    return []


def try_template(template: NoticeTemplate, *, email: str, now: datetime) -> list[str]:
    """Send the template, filled in with real data, to this address."""
    return _mail(email, preview(template, now=now), now=now)


def preview(template: NoticeTemplate, *, now: datetime) -> Words:
    """The template on the newest alerts, or on an example while there are none.

    Raises what a template raises when it is broken.
    """
    values = _newest(Name(template.name), now) or fleet_words.sample(Name(template.name))
    return fleet_words.fill_in(template, values)


def _newest(name: NoticeTemplate.Name, now: datetime) -> dict[str, Any] | None:
    alerts = Alert.objects.filter(opened_at__isnull=False).select_related("vehicle", "rule")
    if name == Name.RESOLVED:
        alerts = alerts.filter(resolved_at__isnull=False)
    newest = list(alerts.order_by("-opened_at", "-pk")[: 5 if name == Name.SUMMARY else 1])
    event = None if name == Name.RESOLVED else Event.OPENED
    items = [Item(alert=alert, stage=Stage(alert.stage), event=event) for alert in newest]
    if not items or (name == Name.SUMMARY and len(items) == 1):
        return None
    nobody = Recipient(email="")  # whose links would act is not known here
    return fleet_words.plain(name, notice_content.context(items, nobody, now=now, is_private=False))


def _test() -> Words:
    fleet = PortalSettings.load().fleet_name
    return Words(
        _("Test from Fleet Portal"),
        _("This is a test. Alerts of %(fleet)s will arrive like this.") % {"fleet": fleet},
    )


def _mail(email: str, words: Words, *, now: datetime) -> list[str]:
    known = {"title": words.subject, "text": words.body, "portal": PortalSettings.load()}
    html = render_to_string("maintenance/emails/fleet_words_body.html", known)
    key = f"test:{email}:{now.isoformat()}"
    try:
        mail.post(words.subject, words.body, html, to=email, message_key=key)
    except (SMTPException, OSError) as exc:
        return [f"{email}: {type(exc).__name__}"]
    return []
