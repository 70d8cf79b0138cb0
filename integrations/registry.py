"""What `maintenance` tells `integrations` when it is ready: how to send each kind of outgoing
message, what to do about Fleetio's events, and which signals the rules want from a car that is
not known yet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from django.utils.functional import Promise

from integrations.clients.errors import ClientError

if TYPE_CHECKING:
    from integrations.clients.fleetio_webhooks import FleetioEvent
    from integrations.models import OutboxEntry, Vehicle

MAIL = "mail"
FLEETIO = "fleetio"
PUSH = "push"  # channels beside mail: chats, messengers, plain webhooks
MOST = 10_000  # rows of one parcel, for kinds that name no number
MOST_ATTEMPTS = 20  # before a row is given up, for kinds that name no number


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


class BundleHandler(Protocol):
    def __call__(
        self, entries: "Sequence[OutboxEntry]", *, unclear: bool, now: datetime
    ) -> Sequence[Sent | Postponed | ClientError]:
        """Make one attempt at all rows of a parcel; one outcome for each, in their order.

        Raises like a `Handler` when the attempt failed for all of them. `entries[0].parcel` names
        the parcel: it is the same when what is unclear goes out again.
        """


class Split(Protocol):
    def __call__(
        self, entries: "Sequence[OutboxEntry]", *, now: datetime
    ) -> "list[list[OutboxEntry]]":
        """Which of a bundle's waiting rows go out together; each row in one list."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What an event came to, in words for people; `matters` is False when nothing depends on it."""

    note: str
    vehicle: "Vehicle | None" = None
    matters: bool = True


class EventHandler(Protocol):
    def __call__(self, event: "FleetioEvent", *, now: datetime) -> Heard:
        """Ask Fleetio for the record that the event is about, and take that over.

        Several events about one record come as the newest of them. Safe to repeat, in any order.
        Raises ClientError when Fleetio did not answer: the events go on waiting then.
        """


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind is sent: each row by itself, or as parcels of rows of one bundle."""

    lane: str
    handler: Handler | None
    label: str | Promise
    bundle_handler: BundleHandler | None = None
    split: Split | None = None
    most: int = MOST
    most_attempts: int = MOST_ATTEMPTS


_kinds: dict[str, Kind] = {}
_events: dict[str, EventHandler] = {}
_wanted: list[Callable[[], Mapping[str, int]]] = []


@overload
def register_kind(
    name: str,
    *,
    lane: str,
    handler: Handler,
    label: str | Promise,
    most_attempts: int = MOST_ATTEMPTS,
) -> None: ...


@overload
def register_kind(
    name: str,
    *,
    lane: str,
    handler: BundleHandler,
    label: str | Promise,
    bundled: Literal[True],
    split: Split | None = None,
    most: int = MOST,
    most_attempts: int = MOST_ATTEMPTS,
) -> None: ...


def register_kind(
    name: str,
    *,
    lane: str,
    handler: Any,
    label: str | Promise,
    bundled: bool = False,
    split: Split | None = None,
    most: int = MOST,
    most_attempts: int = MOST_ATTEMPTS,
) -> None:
    """Say how outbox entries of this kind are sent.

    Rows of a `bundled` kind go out together when they name the same bundle, up to `most` in one
    parcel, or as `split` says. Kinds that share their handler share their bundles too. After
    `most_attempts` that failed a row is given up.
    """
    _kinds[name] = Kind(
        lane=lane,
        handler=None if bundled else handler,
        label=label,
        bundle_handler=handler if bundled else None,
        split=split,
        most=most,
        most_attempts=most_attempts,
    )


def kind(name: str) -> Kind:
    """The registered kind; KeyError when nothing registered it."""
    return _kinds[name]


def kinds() -> Mapping[str, Kind]:
    return _kinds


def most_attempts(name: str) -> int:
    """Also of a kind that is gone."""
    return _kinds[name].most_attempts if name in _kinds else MOST_ATTEMPTS


def register_event(name: str, handler: EventHandler) -> None:
    """Say what to do about Fleetio's events of this name, such as issue_updated."""
    _events[name] = handler


def event_handler(name: str) -> EventHandler | None:
    """None when nothing depends on events of this name."""
    return _events.get(name)


def lanes() -> list[str]:
    """Who there is to send to: every lane that some kind uses, mail first."""
    used = {kind.lane for kind in _kinds.values()}
    return [lane for lane in (MAIL, PUSH, FLEETIO) if lane in used]


def register_wanted_signals(source: Callable[[], Mapping[str, int]]) -> None:
    """Say which signals (code to urgency) any car may be asked for."""
    _wanted[:] = [source]


def wanted_signals() -> dict[str, int]:
    """Signal codes and urgency for a car of which nothing is known yet."""
    return dict(_wanted[0]()) if _wanted else {}
