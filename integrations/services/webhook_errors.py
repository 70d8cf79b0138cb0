"""What Smartcar reports to be wrong with a car or its account, and takes back.

Events come in any order: of each pair of type and code the newest word counts. An error of some
signals is shown on them; only one of the whole account may ask the driver for something.
https://smartcar.com/docs/integrations/webhooks/vehicle-error
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import SignalError
from integrations.clients.smartcar_webhooks import Event
from integrations.clients.smartcar_webhooks_content import ReportedError, read_errors
from integrations.models import Reading, Signal, WebhookEvent
from integrations.services import poll_failures, poll_outcomes, webhook_accounts, webhook_cars
from integrations.services.ingest import ingest
from integrations.services.webhook_cars import Car, NotOursError, State, Worked

KNOWN_FOR = timedelta(days=7)  # how long it is remembered that an error is over
ERROR, RESOLVED = "ERROR", "RESOLVED"
OF_THE_CONSENT = {"CONNECTED_SERVICES_ACCOUNT", "COMPATIBILITY"}


@dataclass(slots=True)
class _Heard:
    """What one event changes of a car, gathered and written at once."""

    car: Car
    at: datetime
    now: datetime
    reported: dict[str, Any]
    columns: dict[str, Any] = field(default_factory=dict)
    errors: list[SignalError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def work_off(event: Event, row: WebhookEvent, now: datetime) -> Worked:
    """Believe what is newer than what is known."""
    try:
        car = webhook_cars.hold(event.smartcar_id)
    except NotOursError as exc:
        return Worked(State.IGNORED, str(exc))
    heard = _Heard(car, webhook_cars.happened_at(row), now, dict(car.vehicle.reported_errors))
    for error in read_errors(event):
        _hear(heard, error)
    ingest(
        car.vehicle,
        heard.errors,
        source=Reading.Source.WEBHOOK,
        now=now,
        event_id=row.event_id,
        columns=heard.columns | {"reported_errors": _remembered(heard.reported, now)},
    )
    return Worked(State.PROCESSED, "; ".join(heard.notes) or "reports nothing", car.vehicle)


def _hear(heard: _Heard, error: ReportedError) -> None:
    known = heard.reported.get(error.pair)
    if known and _rank(known) > (heard.at, error.is_resolved):
        heard.notes.append(f"{error.pair}: newer word is known")
        return
    heard.reported[error.pair] = {
        "state": RESOLVED if error.is_resolved else ERROR,
        "at": heard.at.isoformat(),
        "signals": _listed(error, known, heard.at),
    }
    if error.is_resolved:
        _take_back(heard, error)
    elif error.signals is None:
        _of_account(heard, error)
    else:
        _of_signals(heard, error, error.signals)


def _rank(known: dict[str, Any]) -> tuple[datetime, bool]:
    """At the same moment, that it is over counts for more."""
    return datetime.fromisoformat(known["at"]), known["state"] == RESOLVED


def _listed(error: ReportedError, known: dict[str, Any] | None, at: datetime) -> list[str] | None:
    """One event may report the same pair of several signals, one by one."""
    if error.signals is None:
        return None
    same = known and _rank(known) == (at, error.is_resolved)
    before = known["signals"] if known and same else []
    return None if before is None else sorted({*before, *error.signals})


def _remembered(reported: dict[str, Any], now: datetime) -> dict[str, Any]:
    since = now - KNOWN_FOR
    return {
        pair: known
        for pair, known in reported.items()
        if known["state"] == ERROR or datetime.fromisoformat(known["at"]) >= since
    }


# --- An error of some signals -----------------------------------------------------------------


def _of_signals(heard: _Heard, error: ReportedError, codes: Sequence[str]) -> None:
    vehicle = heard.car.vehicle
    heard.notes.append(f"{error.pair}: signals {len(codes)}")
    if error.outcome in poll_failures.OF_THE_SIGNAL:
        over = webhook_cars.read_since(vehicle, codes, heard.at)
        heard.errors += [_of_signal(error, code) for code in codes if code not in over]
    elif (
        error.outcome is Outcome.RECONNECT
        and vehicle.signals.filter(code__in=codes, is_wanted=True).exists()
    ):
        heard.columns["next_poll_at"] = heard.now  # the poll will judge


def _of_signal(error: ReportedError, code: str) -> SignalError:
    return SignalError(code=code, outcome=error.outcome, type=error.type, error_code=error.code)


# --- An error of the whole account ------------------------------------------------------------


def _of_account(heard: _Heard, error: ReportedError) -> None:
    car, now = heard.car, heard.now
    outcome = _outcome(car, error)
    if outcome not in {Outcome.RECONNECT, Outcome.DRIVER}:
        heard.notes.append(error.pair)
    elif webhook_accounts.was_read_since(car.connection, heard.at):
        heard.notes.append(f"{error.pair}: the account was read since")
    elif outcome is Outcome.RECONNECT:
        heard.notes.append(f"{error.pair}: the driver has to connect again")
        webhook_accounts.lost(car, error.pair, now)
    else:
        heard.notes.append(f"{error.pair}: the driver has to act")
        if car.is_read_this_way:
            raised = ClientError(error.pair, outcome=outcome, type=error.type, code=error.code)
            heard.columns |= poll_outcomes.of_error(car.vehicle, raised, now)


def _outcome(car: Car, error: ReportedError) -> Outcome | None:
    """What to do about it. A car that was sold must not end the driver's other cars."""
    if error.outcome is not Outcome.RECONNECT:
        return error.outcome
    if error.type not in OF_THE_CONSENT:
        return None
    others = car.connection.accesses.filter(ended_at__isnull=True).exclude(vehicle=car.vehicle)
    if error.code == "VEHICLE_MISSING" and others.exists():
        return Outcome.DRIVER
    return Outcome.RECONNECT


# --- It is over -------------------------------------------------------------------------------


def _take_back(heard: _Heard, error: ReportedError) -> None:
    """Undo what the error did, and let a poll look."""
    vehicle = heard.car.vehicle
    heard.notes.append(f"{error.pair}: over")
    webhook_accounts.over(heard.car.connection, error.pair, heard.now)
    if heard.columns.get("poll_error", vehicle.poll_error) == error.pair:
        heard.columns |= poll_outcomes.GOOD
    signals = vehicle.signals.filter(last_error=error.pair)
    if error.signals is not None:
        signals = signals.filter(code__in=error.signals)
    again = {"support": Signal.Support.UNKNOWN, "recheck_at": None, "last_error": ""}
    signals.exclude(support=Signal.Support.OK).update(**again)
    signals.update(last_error="")
    heard.errors = [
        e for e in heard.errors if poll_outcomes.pair(e.type, e.error_code) != error.pair
    ]
    heard.columns["next_poll_at"] = heard.now
