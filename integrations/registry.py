"""What `maintenance` tells `integrations` when it is ready: how to send each kind of outgoing
message, and which signals the rules want from a car that is not known yet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from django.utils.functional import Promise

if TYPE_CHECKING:
    from integrations.models import OutboxEntry

MAIL = "mail"
FLEETIO = "fleetio"


@dataclass(frozen=True, slots=True)
class Sent:
    """The effect is in the world; `result` says what it is called there."""

    result: str = ""


@dataclass(frozen=True, slots=True)
class Postponed:
    """Nothing was sent: something has to happen first. Tried again at `until`."""

    until: datetime
    reason: str


class Handler(Protocol):
    def __call__(self, entry: "OutboxEntry", *, unclear: bool, now: datetime) -> Sent | Postponed:
        """Make one attempt. `unclear`: an earlier attempt may have arrived, so look first.

        Raises ClientError (or an SMTP error) when the attempt failed.
        """


@dataclass(frozen=True, slots=True)
class Kind:
    lane: str
    handler: Handler
    label: str | Promise


_kinds: dict[str, Kind] = {}
_wanted: list[Callable[[], Mapping[str, int]]] = []


def register_kind(name: str, *, lane: str, handler: Handler, label: str | Promise) -> None:
    """Say how outbox entries of this kind are sent."""
    _kinds[name] = Kind(lane=lane, handler=handler, label=label)


def kind(name: str) -> Kind:
    """The registered kind; KeyError when nothing registered it."""
    return _kinds[name]


def kinds() -> Mapping[str, Kind]:
    return _kinds


def register_wanted_signals(source: Callable[[], Mapping[str, int]]) -> None:
    """Say which signals (code to urgency) any car may be asked for."""
    _wanted[:] = [source]


def wanted_signals() -> dict[str, int]:
    """Signal codes and urgency for a car of which nothing is known yet."""
    return dict(_wanted[0]()) if _wanted else {}
