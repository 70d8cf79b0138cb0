"""What Smartcar sends by itself: whether it is genuine, and what it is about.

All of this runs before Smartcar gets its answer; what the event says is read later, in
`smartcar_webhooks_content`. Documentation and recorded traffic disagree on where things stand:
every place is looked at. https://smartcar.com/docs/integrations/webhooks/best-practices/security
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from integrations.clients import smartcar_webhooks_v2 as v2
from integrations.clients.signed_events import (
    NotAnEventError,
    first_text,
    id_of_body,
    is_genuine,
    load,
    sign,
)
from integrations.clients.smartcar_signals import object_of, parse_moment

__all__ = [
    "Event",
    "NotAnEventError",
    "first_text",
    "is_genuine",
    "is_plausible",
    "parse",
    "sign",
    "signals_of",
]

_CHALLENGE = re.compile(r"[A-Za-z0-9._~+/=:-]{1,256}")
_SMARTCAR_BEGAN = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. Times are by Smartcar's clock; what is not said is empty or None. `sent_at` is of
    the event itself: what a car says may be old although it is sent today.

    `kind` is Smartcar's own word: VERIFY, VEHICLE_STATE, VEHICLE_ERROR, and from v2 webhooks
    verify, scheduled, schedule, dynamic, eventBased. `event_id` is the same for each delivery.
    """

    event_id: str
    kind: str
    occurred_at: datetime | None
    sent_at: datetime | None
    is_test: bool
    smartcar_id: str
    challenge: object = None
    message: dict[str, Any] = field(repr=False)

    @property
    def is_verify(self) -> bool:
        """Whether it asks for a proof that the address is ours. Nobody signed it."""
        return self.kind.upper() == "VERIFY"


def is_plausible(challenge: object) -> bool:
    """Whether a challenge may be answered.

    The answer is a signature: of a text that could be an event it would let anyone forge one.
    """
    return isinstance(challenge, str) and _CHALLENGE.fullmatch(challenge) is not None


def parse(body: bytes) -> Event:
    """What an event is about, not yet what it says. Raises NotAnEventError."""
    message = load(body)
    kind = first_text((message.get("eventType"), message.get("eventName")), longest=200)[:40]
    if not kind:
        raise NotAnEventError("no eventType and no eventName")
    data, payload, meta = (object_of(message.get(key)) for key in ("data", "payload", "meta"))
    delivered_at = parse_moment(meta.get("deliveredAt"))
    occurred_at = _sequence(meta) or delivered_at or _newest(data) or _moment_of_v2(payload)
    own_id = first_text((message.get("eventId"), payload.get("eventId")), longest=80)
    return Event(
        event_id=own_id or id_of_body(body),
        kind=kind,
        occurred_at=occurred_at,
        sent_at=delivered_at or _sequence(meta) or parse_moment(payload.get("eventTime")),
        is_test=str(meta.get("mode")).upper() == "TEST",
        smartcar_id=_smartcar_id(message, data, payload),
        challenge=data.get("challenge") or payload.get("challenge"),
        message=message,
    )


def signals_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The signals of a VEHICLE_STATE: a list, or an object by name."""
    signals = data.get("signals")
    if isinstance(signals, dict):
        named = signals.items()
        signals = [{"code": name} | entry for name, entry in named if isinstance(entry, dict)]
    return [object_of(entry) for entry in signals] if isinstance(signals, list) else []


def _sequence(meta: Mapping[str, Any]) -> datetime | None:
    """Milliseconds that order the events of a vehicle; a mere counter is no time."""
    moment = parse_moment(meta.get("sequence"))
    return moment if moment is not None and moment > _SMARTCAR_BEGAN else None


def _newest(data: Mapping[str, Any]) -> datetime | None:
    keys = ("retrievedAt", "fetchedAt", "oemUpdatedAt")
    metas = [object_of(signal.get("meta")) for signal in signals_of(data)]
    moments = [parse_moment(meta.get(key)) for meta in metas for key in keys]
    return max((moment for moment in moments if moment is not None), default=None)


def _moment_of_v2(payload: Mapping[str, Any]) -> datetime | None:
    return parse_moment(payload.get("eventTime")) or v2.newest_moment(payload)


def _smartcar_id(
    message: Mapping[str, Any], data: Mapping[str, Any], payload: Mapping[str, Any]
) -> str:
    said = (
        object_of(data.get("vehicle")).get("id"),
        message.get("vehicleId"),
        data.get("vehicleId"),
        payload.get("vehicleId"),
        *(smartcar_id for smartcar_id, _ in v2.cars(payload)),
    )
    return first_text(said, longest=64)
