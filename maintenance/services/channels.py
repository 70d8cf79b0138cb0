"""Other ways than mail to reach a recipient, through Apprise: chats, messengers, plain webhooks.

An address holds tokens: it stands in no error, no log and no page.
"""

import ipaddress
import logging
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyBase, OverflowMode, PersistentStoreMode
from django.conf import settings
from django.template.loader import render_to_string

from integrations.clients.errors import ClientError, Outcome
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import mail
from maintenance.models import Channel, Recipient
from maintenance.services import emails, fleet_words, notice_content, notice_delivery
from maintenance.services.notice_content import Item

CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
# Services that are reached by HTTP. Apprise knows others that run programs or speak to this
# machine: they are nobody's phone.
# fmt: off
SCHEMES = {
    "bark", "barks", "discord", "flock", "form", "forms", "gchat", "googlechat", "gotify",
    "gotifys", "guilded", "json", "jsons", "line", "mastodon", "mastodons", "matrix", "matrixs",
    "mmost", "mmosts", "msteams", "nexmo", "ntfy", "ntfys", "opsgenie", "pagerduty", "pover",
    "power_automate", "pushy", "rocket", "rockets", "signal", "signals", "signl4", "sinch",
    "slack", "teams", "telegram", "tgram", "threema", "toot", "toots", "twilio", "twist",
    "victorops", "vonage", "webexteams", "workflow", "workflows", "wxteams", "xml", "xmls",
    "zulip",
}
# fmt: on
_ASSET = AppriseAsset(
    app_id="Fleet Portal",
    app_desc="Fleet Portal",
    app_url="",
    http_redirects=False,  # where they lead nobody has looked at
    storage_mode=PersistentStoreMode.MEMORY,
)
# It writes whole addresses.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


class ChannelError(Exception):
    """A channel cannot be used, or did not take a message. The text never holds its address."""


def check(url: str) -> None:
    """Raise ChannelError unless the address is one that messages may be sent to."""
    _open(url)


def send(url: str, *, title: str, body: str) -> None:
    """Send one message to one address. Raises ChannelError when it was not taken."""
    plugin = _open(url)
    _refuse_private(plugin)
    try:
        taken = plugin.notify(title=title, body=body)
    except Exception as exc:  # noqa: BLE001  a plugin may quote the address in what it raises
        raise ChannelError(f"the message was not taken: {type(exc).__name__}") from None
    if not taken:
        raise ChannelError("the service refused the message or did not answer")


def _open(url: str) -> NotifyBase:
    scheme = url.strip().partition("://")[0].lower()
    if scheme not in SCHEMES | {"https"}:
        raise ChannelError("this kind of address is not allowed")
    try:
        plugin = Apprise.instantiate(url.strip(), asset=_ASSET)
    except Exception as exc:  # noqa: BLE001
        raise ChannelError(f"the address is not understood: {type(exc).__name__}") from None
    if not isinstance(plugin, NotifyBase) or not _schemes(plugin) & SCHEMES:
        raise ChannelError("the address is not understood")
    plugin.socket_connect_timeout = CONNECT_SECONDS
    plugin.socket_read_timeout = READ_SECONDS
    plugin.overflow_mode = OverflowMode.TRUNCATE  # one message stays one
    plugin.redirects = False
    if host := _host(plugin):
        _refuse_local_name(host)
    return plugin


def _schemes(plugin: NotifyBase) -> set[str]:
    """All that its kind of service is called in addresses; "https" stands for several kinds."""
    known: set[str] = set()
    kinds: tuple[Any, ...] = (plugin.protocol, plugin.secure_protocol)  # one name, or several
    for names in kinds:
        known |= {names} if isinstance(names, str) else set(names or ())
    return known


def _host(plugin: NotifyBase) -> str:
    """Where the address itself says that messages go; empty when the service is a fixed one."""
    is_fixed = "host" not in plugin.template_tokens or getattr(plugin, "mode", "") == "cloud"
    return "" if is_fixed else str(plugin.host or "").strip("[]").lower().rstrip(".")


def _refuse_local_name(host: str) -> None:
    if settings.CHANNELS_ALLOW_PRIVATE:
        return
    try:
        is_public = ipaddress.ip_address(host).is_global
    except ValueError:
        is_public = "." in host and not host.endswith((".localhost", ".local", ".internal"))
    if not is_public:
        raise ChannelError("the address leads into a private network")


def _refuse_private(plugin: NotifyBase) -> None:
    """A public name may lead to a private place."""
    host = _host(plugin)
    if not host or settings.CHANNELS_ALLOW_PRIVATE:
        return
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        raise ChannelError("the host is not found") from None
    if not all(ipaddress.ip_address(str(address[4][0])).is_global for address in found):
        raise ChannelError("the address leads into a private network")


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
