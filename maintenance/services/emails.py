"""Mails about alerts: one opened or got worse, one is over, many at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string

from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import mail
from maintenance.models import NoticeTemplate, Recipient
from maintenance.services import fleet_words, links, notice_content, notice_delivery
from maintenance.services.notice_content import Item

Name = NoticeTemplate.Name
TEMPLATES = {
    Name.ALERT: "maintenance/emails/alert",
    Name.RESOLVED: "maintenance/emails/resolved",
    Name.SUMMARY: "maintenance/emails/summary",
}


def deliver(
    entries: Sequence[OutboxEntry], *, unclear: bool, now: datetime
) -> list[Sent | Postponed]:
    """Handler of the mails about alerts: one parcel is one mail."""
    key = entries[0].parcel or entries[0].dedupe_key

    def send(recipient: Recipient, items: Sequence[Item]) -> str:
        return send_items(recipient, items, message_key=key, now=now)

    return notice_delivery.deliver(entries, unclear=unclear, now=now, send=send)


def send_items(
    recipient: Recipient, items: Sequence[Item], *, message_key: str, now: datetime
) -> str:
    """One mail about these alerts, in the fleet's words or in ours; says to whom it went."""
    name = notice_content.name_of(items)
    headers = {
        "List-Unsubscribe": f"<{links.unsubscribe_url(recipient)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    with mail.reading_as(time_zone=recipient.time_zone, language=recipient.language):
        known = notice_content.context(items, recipient, now=now)
        words = fleet_words.render(name, known, now=now)
        if words:
            wrapped = {**known, "title": words.subject, "text": words.body}
            html = render_to_string("maintenance/emails/fleet_words_body.html", wrapped)
            text = render_to_string("maintenance/emails/fleet_words_body.txt", wrapped)
            mail.post(
                words.subject,
                text,
                html,
                to=recipient.email,
                message_key=message_key,
                headers=headers,
            )
            return recipient.email
    mail.send(
        TEMPLATES[name],
        to=recipient.email,
        message_key=message_key,
        time_zone=recipient.time_zone,
        language=recipient.language,
        context=known,
        headers=headers,
    )
    return recipient.email


def send_to(
    recipient: Recipient, template: str, entry: OutboxEntry, context: Mapping[str, Any]
) -> Sent:
    """Send one mail as its reader likes it."""
    mail.send(
        template,
        to=recipient.email,
        message_key=entry.dedupe_key,
        time_zone=recipient.time_zone,
        language=recipient.language,
        context=context,
    )
    return Sent(recipient.email)
