"""What Fleetio sends by itself: whether it is genuine, and which records it is about.

An event says that something changed, not reliably what: updates are gathered for a minute, events
come twice and in any order, and their records have the shape of older API versions. Whoever gets
one asks for the record. https://developer.fleetio.com/docs/overview/webhooks
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integrations.clients.fleetio_values import ids_of, optional_id, vehicle_of
from integrations.clients.signed_events import (
    NotAnEventError,
    first_text,
    id_of_body,
    is_genuine,
    load,
    sign,
)

__all__ = ["FleetioEvent", "NotAnEventError", "is_genuine", "parse", "sign"]

_FLEETIO_BEGAN = datetime(2012, 1, 1, tzinfo=UTC)
_LAST = datetime(9000, 1, 1, tzinfo=UTC)  # later ones overflow in some time zones


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetioEvent:
    """One event. `event` is Fleetio's own word, such as issue_updated; `at` is by its clock.

    `event_id` is the same for each delivery. `record_id` is of the kind that the event's name
    begins with: of a new comment it is the record commented on. `affected_record_ids` are those
    of an import, which is told of in a single event.
    """

    event_id: str
    event: str
    at: datetime | None
    record_id: int | None
    vehicle_id: int | None
    affected_record_ids: tuple[int, ...] = ()


def parse(body: bytes) -> FleetioEvent:
    """What an event is about. Raises NotAnEventError."""
    message = load(body)
    event = first_text((message.get("event"),), longest=200)[:40]
    if not event:
        raise NotAnEventError("no event")
    payload = message.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    record_id = _record_id(event, payload)
    return FleetioEvent(
        event_id=_event_id(message.get("id")) or id_of_body(body),
        event=event,
        at=_moment(message.get("timestamp")),
        record_id=record_id,
        vehicle_id=record_id if event.startswith("vehicle_") else vehicle_of(payload),
        affected_record_ids=_affected(message) or _affected(payload),
    )


def _event_id(value: Any) -> str:
    number = optional_id(value)
    return first_text((value,), longest=80) if number is None else str(number)


def _record_id(event: str, payload: Mapping[str, Any]) -> int | None:
    """No page says whether a new comment comes as itself or as the record commented on."""
    own_id = optional_id(payload.get("id"))
    if not event.endswith("_comment_added"):
        return own_id
    commented_id = optional_id(payload.get("commentable_id"))
    return own_id if commented_id is None else commented_id


def _affected(said: Mapping[str, Any]) -> tuple[int, ...]:
    keys = ("created_record_ids", "updated_record_ids", "affected_record_ids")
    listed = (said.get(key) for key in keys)
    return ids_of([one for ids in listed if isinstance(ids, list) for one in ids])


def _moment(value: Any) -> datetime | None:
    """A time that names its zone; the account's own, in which it is written, is not known."""
    try:
        moment = datetime.fromisoformat(value)
        is_known = moment.tzinfo is not None and _FLEETIO_BEGAN < moment < _LAST
        return moment.astimezone(UTC) if is_known else None
    except (TypeError, ValueError, OverflowError):
        return None
