"""Where channels may lead: addresses of Apprise, of which some would open files, ask this machine,
or send one message to many.
"""

import ipaddress
import logging
import socket
from collections.abc import Iterable
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyBase, OverflowMode, PersistentStoreMode
from apprise.plugins import url_to_dict
from django.conf import settings

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
# What may follow the question mark: whose it is, and how a message looks there. Apprise knows
# more: files that it opens and addresses that it asks (template), how often it tries (retry).
PARAMETERS = {
    "api-version", "apikey", "avatar", "click", "emojis", "format", "from", "group", "gwid", "id",
    "image", "key", "level", "method", "mode", "msgtype", "overflow", "priority", "region",
    "route", "secret", "severity", "sid", "sig", "sound", "sp", "spi", "sv", "tags", "thread",
    "to", "token", "topic", "ver", "verify", "version", "visibility", "webhook", "workspace",
    "xtags",
}
# fmt: on
FOR_WEBHOOKS = ("+", "-", ":")  # headers, parameters and fields of a plain one
# IPv6 addresses whose last 32 bits say which IPv4 address is meant: NAT64, and IPv4-compatible.
HOLD_IPV4 = [ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96")]
NAT64_OF_A_NETWORK = ipaddress.IPv6Network("64:ff9b:1::/48")
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


def read(url: str) -> NotifyBase:
    """What sends to this address. Raises ChannelError unless messages may be sent to it."""
    scheme = url.strip().partition("://")[0].lower()
    if scheme not in SCHEMES | {"https"}:
        raise ChannelError("this kind of address is not allowed")
    try:
        parts = url_to_dict(url.strip()) or {}  # type: ignore[no-untyped-call]
        _refuse_parameters(parts.get("qsd", {}))
        if "discovery" in parts:
            parts["discovery"] = False  # the server would say where else to send
        plugin = Apprise.instantiate(parts, asset=_ASSET)
    except ChannelError:
        raise
    except Exception as exc:  # noqa: BLE001
        raise ChannelError(f"the address is not understood: {type(exc).__name__}") from None
    if not isinstance(plugin, NotifyBase) or not _schemes(plugin) & SCHEMES:
        raise ChannelError("the address is not understood")
    if len(plugin) > 1:
        # When one of them refuses, all of them would get the message again.
        raise ChannelError("the address names several places: enter one address for each")
    plugin.socket_connect_timeout = CONNECT_SECONDS
    plugin.socket_read_timeout = READ_SECONDS
    plugin.overflow_mode = OverflowMode.TRUNCATE  # one message stays one
    plugin.redirects = False
    if host := _host(plugin):
        _refuse_local_name(host)
    return plugin


def _refuse_parameters(names: Iterable[str]) -> None:
    if not all(name in PARAMETERS or name.startswith(FOR_WEBHOOKS) for name in names if name):
        raise ChannelError("the address holds a setting that is not allowed")


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
        is_public = _is_public(host)
    except ValueError:
        is_public = "." in host and not host.endswith((".localhost", ".local", ".internal"))
    if not is_public:
        raise ChannelError("the address leads into a private network")


def refuse_private(plugin: NotifyBase) -> None:
    """A public name may lead to a private place: raises ChannelError."""
    host = _host(plugin)
    if not host or settings.CHANNELS_ALLOW_PRIVATE:
        return
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except OSError:
        raise ChannelError("the host is not found") from None
    if not all(_is_public(str(address[4][0])) for address in found):
        raise ChannelError("the address leads into a private network")


def _is_public(host: str) -> bool:
    """Raises ValueError when it is no IP address."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address in NAT64_OF_A_NETWORK:
            return False
        inner = address.sixtofour or address.ipv4_mapped
        if any(address in network for network in HOLD_IPV4):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global
    return address.is_global
