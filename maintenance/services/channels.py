"""Other ways than mail to reach a recipient, through Apprise: chats, messengers, plain webhooks.

An address holds tokens: it stands in no error, no log and no page.
"""

from collections.abc import Sequence
from datetime import datetime

from django.template.loader import render_to_string

from integrations.clients.errors import ClientError, Outcome
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import mail
from maintenance.models import Channel, Recipient
from maintenance.services import (
    channel_addresses,
    emails,
    fleet_words,
    notice_content,
    notice_delivery,
)
from maintenance.services.channel_addresses import ChannelError
from maintenance.services.notice_content import Item

__all__ = ["ChannelError", "check", "deliver", "send", "send_items", "send_text"]

# Nobody says whether a message that was not answered arrived, or knows that it comes again.
MOST_ATTEMPTS = 3


def check(url: str) -> None:
    """Raise ChannelError unless the address is one that messages may be sent to."""
    channel_addresses.read(url)


def send(url: str, *, title: str, body: str) -> None:
    """Send one message to one address. Raises ChannelError when it was not taken."""
    plugin = channel_addresses.read(url)
    channel_addresses.refuse_private(plugin)
    try:
        taken = plugin.notify(title=title, body=body)
    except Exception as exc:  # noqa: BLE001  a plugin may quote the address in what it raises
        raise ChannelError(f"the message was not taken: {type(exc).__name__}") from None
    if not taken:
        raise ChannelError("the service refused the message or did not answer")


def deliver(
    entries: Sequence[OutboxEntry], *, unclear: bool, now: datetime
) -> list[Sent | Postponed]:
    """Handler of what goes to channels: one parcel is one message."""
    channel = Channel.objects.filter(pk=entries[0].payload["channel"]).first()
    if channel is None or not channel.is_enabled:
        return [Sent("not sent: the channel was removed or switched off")] * len(entries)

    def send_to_it(recipient: Recipient, items: Sequence[Item]) -> str:
        send_items(channel, recipient, items, now=now)
        return channel.name

    return notice_delivery.deliver(entries, unclear=unclear, now=now, send=send_to_it)


def send_items(
    channel: Channel, recipient: Recipient, items: Sequence[Item], *, now: datetime
) -> None:
    """One message about these alerts, in the fleet's words or in ours.

    Raises ClientError when it was not taken; whatever happened is written on the channel.
    """
    name = notice_content.name_of(items)
    with mail.reading_as(time_zone=recipient.time_zone, language=recipient.language):
        # Many may read a channel: nothing in it acts in this recipient's name.
        known = notice_content.context(items, recipient, now=now, is_private=False)
        words = fleet_words.render(name, known, now=now)
        if words:
            title, body = words.subject, words.body
        else:
            title = render_to_string(f"{emails.TEMPLATES[name]}_subject.txt", known)
            body = render_to_string("maintenance/channels/notice.txt", known)
    send_text(channel, title=" ".join(title.split()), body=body.strip(), now=now)


def send_text(channel: Channel, *, title: str, body: str, now: datetime) -> None:
    row = Channel.objects.filter(pk=channel.pk)
    try:
        send(channel.url, title=title, body=body)
    except ChannelError as exc:
        row.update(last_error=str(exc)[:255])
        raise ClientError(f"Channel: {exc}", outcome=Outcome.RETRY) from exc
    row.update(last_sent_at=now, last_error="")
