"""What an event of Smartcar says: of a car, of its account, and of the car itself.

One broken entry never spoils the others: what cannot be read is left out.
https://smartcar.com/docs/api-reference/webhooks/events/vehicle-state
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations.clients import smartcar_webhooks_v2 as v2
from integrations.clients.errors import Outcome
from integrations.clients.readings import ATTRIBUTES, SignalError, SignalReading
from integrations.clients.smartcar_errors import read_fault
from integrations.clients.smartcar_signals import object_of, parse_code, read_signal
from integrations.clients.smartcar_v2_paths import PATHS, MissingError
from integrations.clients.smartcar_webhooks import Event, first_text, signals_of

Result = SignalReading | SignalError

_CLOCKS_DIFFER = timedelta(minutes=5)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarState:
    """What an event says of one car: each code once, each reading with both its times."""

    smartcar_id: str
    user_id: str
    results: list[Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedError:
    """One error of a VEHICLE_ERROR, or its end.

    `signals` are the codes that it is about; None when it is about the whole account.
    """

    type: str
    code: str
    outcome: Outcome
    is_resolved: bool
    signals: tuple[str, ...] | None

    @property
    def pair(self) -> str:
        return f"{self.type}:{self.code}" if self.code else self.type


def read_states(event: Event, *, received_at: datetime) -> list[CarState]:
    """What the event says of each of its cars; none when it is not about their state.

    The same event says the same whenever it is worked off.
    """
    at = _dated(event, received_at)
    if event.kind == "VEHICLE_STATE":
        signals = signals_of(object_of(event.message.get("data")))
        results = (_read(signal, at) for signal in signals)
        return [_state(event.smartcar_id, user_of(event), results, at)]
    if event.kind in v2.KINDS:
        cars = v2.cars(object_of(event.message.get("payload")))
        return [_state(id_, "", v2.read_car(car), at) for id_, car in cars]
    return []


def read_errors(event: Event) -> list[ReportedError]:
    """The errors of a VEHICLE_ERROR that say of which type they are."""
    if event.kind != "VEHICLE_ERROR":
        return []
    data = object_of(event.message.get("data"))
    errors = data.get("errors") or data.get("error")
    reported = (_error(item) for item in (errors if isinstance(errors, list) else [errors]))
    return [error for error in reported if error is not None]


def user_of(event: Event) -> str:
    """Smartcar's id of the user whose car it is; empty when it is not said."""
    data = object_of(event.message.get("data"))
    said = (object_of(data.get("user")).get("id"), data.get("userId"), event.message.get("userId"))
    return first_text(said, longest=64)


def read_vehicle(event: Event) -> dict[str, Any]:
    """Make, model and year like the body of ATTRIBUTES; empty when none of them is said."""
    vehicle = object_of(object_of(event.message.get("data")).get("vehicle"))
    try:
        return PATHS["/"].translate(vehicle, False)[ATTRIBUTES]
    except (MissingError, ValueError):  # nothing, or a year of thousands of digits
        return {}


def _dated(event: Event, received_at: datetime) -> datetime:
    """The time of what has none. A sender's clock may be wrong, but not by much."""
    said_at = event.sent_at or event.occurred_at
    if said_at is not None and said_at <= received_at + _CLOCKS_DIFFER:
        return said_at
    return received_at


def _read(signal: dict[str, Any], at: datetime) -> Result | None:
    return read_signal(signal | {"code": _code(signal)}, signal.get("meta"), fetched_fallback=at)


def _state(
    smartcar_id: str, user_id: str, results: Iterable[Result | None], at: datetime
) -> CarState:
    """Of several entries for one code the newest counts, and any reading before an error."""
    newest: dict[str, Result] = {}
    for result in results:
        if result is None:
            continue
        dated = _with_times(result, at)
        known = newest.get(dated.code)
        if known is None or _times(dated) > _times(known):
            newest[dated.code] = dated
    return CarState(smartcar_id=smartcar_id, user_id=user_id, results=list(newest.values()))


def _with_times(result: Result, at: datetime) -> Result:
    if isinstance(result, SignalError):
        return result
    fetched_at = result.fetched_at or at
    return replace(result, fetched_at=fetched_at, recorded_at=result.recorded_at or fetched_at)


def _times(result: Result) -> tuple[datetime, datetime]:
    if isinstance(result, SignalError):
        return _NEVER, _NEVER
    return result.recorded_at or _NEVER, result.fetched_at or _NEVER


def _error(item: Any) -> ReportedError | None:
    fault = read_fault(item, status=None, headers=None)
    if not fault.type:
        return None
    return ReportedError(
        type=fault.type,
        code=fault.code,
        outcome=fault.outcome,
        is_resolved=str(item.get("state")).upper() == "RESOLVED",
        signals=_codes(item.get("signals")),
    )


def _codes(signals: Any) -> tuple[str, ...] | None:
    """Nothing listed is the whole account; names that cannot be read are still not all of it."""
    if not signals:
        return None
    listed = signals if isinstance(signals, list) else [signals]
    return tuple(dict.fromkeys(code for entry in listed if (code := _code(entry))))


def _code(entry: Any) -> str | None:
    """The code of a signal that is named by it, by "Group.Name", or by group and name."""
    if isinstance(entry, dict):
        whole, parts = entry.get("code"), (entry.get("group"), entry.get("name"))
        entry = whole if whole else ".".join(str(part) for part in parts if part)
    return parse_code(entry.replace(".", "-")) if isinstance(entry, str) else None
