"""What Smartcar reports to be wrong with a car or its account, and takes back.

Events come in any order: of each pair of type and code the newest word counts. An error of some
signals is shown on them; only one of the whole account may ask the driver for something.
https://smartcar.com/docs/integrations/webhooks/vehicle-error
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from integrations.clients.errors import Outcome
from integrations.clients.readings import SignalError
from integrations.clients.smartcar_webhooks import Event
from integrations.clients.smartcar_webhooks_content import ReportedError, read_errors
from integrations.models import Reading, Signal, WebhookEvent
from integrations.services import poll_failures, poll_outcomes, webhook_accounts, webhook_cars
from integrations.services.ingest import ingest
from integrations.services.webhook_cars import Car, NotOursError, State, Worked

ERROR, RESOLVED = webhook_accounts.ERROR, webhook_accounts.RESOLVED
KNOWN_FOR = timedelta(days=7)  # how long it is remembered that an error is over
# Smartcar repeats a delivery for so long, and dates it anew each time.
# https://smartcar.com/docs/integrations/webhooks/delivery-behavior
REPEATED_FOR = timedelta(minutes=3)
OF_THE_CONSENT = {"CONNECTED_SERVICES_ACCOUNT", "COMPATIBILITY"}

Word = dict[str, Any]  # what is known of a pair: the last word on it, as it is stored


@dataclass(slots=True)
class _Heard:
    """What one event changes of a car, gathered and written at once."""

    car: Car
    at: datetime
    is_ordered: bool
    now: datetime
    reported: dict[str, Word]
    columns: dict[str, Any] = field(default_factory=dict)
    errors: list[SignalError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_to_do: bool = False  # there is something new for the driver to do
    is_done: bool = False  # what is shown on the car is over


def work_off(event: Event, row: WebhookEvent, now: datetime) -> Worked:
    """Believe what is newer than what is known."""
    try:
        car = webhook_cars.hold(event.smartcar_id)
    except NotOursError as exc:
        return Worked(State.IGNORED, str(exc))
    at, reported = webhook_cars.happened_at(row), dict(car.vehicle.reported_errors)
    heard = _Heard(car, at, _is_ordered(event, at), now, reported)
    for error in read_errors(event):
        _hear(heard, error)
    ingest(
        car.vehicle,
        heard.errors,
        source=Reading.Source.WEBHOOK,
        now=now,
        event_id=row.event_id,
        columns=heard.columns | _shown(heard) | {"reported_errors": _remembered(reported, now)},
    )
    webhook_accounts.settle(car.connection, why=webhook_accounts.OVER, now=now)
    return Worked(State.PROCESSED, "; ".join(heard.notes) or "reports nothing", car.vehicle)


def _is_ordered(event: Event, at: datetime) -> bool:
    """Whether its time is Smartcar's sequence, and not merely when it was delivered."""
    return event.sent_at is not None and at == event.occurred_at != event.sent_at


def _hear(heard: _Heard, error: ReportedError) -> None:
    is_of_account = error.signals is None and not error.is_resolved
    if is_of_account and webhook_accounts.is_outdated(heard.car.connection, heard.at):
        heard.notes.append(f"{error.pair}: from before the newest consent")
        return
    key = _key(heard, error.pair)
    known, word = heard.reported.get(key), _word(heard, error)
    if known and _is_newer(known, word):
        heard.notes.append(f"{error.pair}: newer word is known")
        return
    if known:
        word["signals"] = _listed(known, word)
    heard.reported[key] = word
    if error.is_resolved:
        _take_back(heard, error)
    elif error.signals is None:
        _of_account(heard, error, word)
    else:
        _of_signals(heard, error, error.signals)


def _key(heard: _Heard, pair: str) -> str:
    """Two accounts that reach one car may report the same of it: each has its own word."""
    way = heard.car.access.smartcar_id
    known, of_its_own = heard.reported.get(pair), f"{pair} {way}"
    is_free = known is None or known.get("way", way) == way
    return pair if is_free and of_its_own not in heard.reported else of_its_own


def _word(heard: _Heard, error: ReportedError) -> Word:
    return {
        "state": RESOLVED if error.is_resolved else ERROR,
        "at": heard.at.isoformat(),
        "signals": None if error.signals is None else sorted(set(error.signals)),
        "pair": error.pair,
        "way": heard.car.access.smartcar_id,
        "asks": _asks(error),
        "is_ordered": heard.is_ordered,
    }


def _asks(error: ReportedError) -> str:
    """What the driver has to do about it, if anything."""
    is_believed = error.outcome is Outcome.DRIVER or (
        error.outcome is Outcome.RECONNECT and error.type in OF_THE_CONSENT
    )
    return error.outcome.value if is_believed else ""


def _is_newer(known: Word, word: Word) -> bool:
    """Whether the word that is known counts for more."""
    if known["state"] != word["state"] and _may_be_swapped(known, word):
        return bool(known["state"] == RESOLVED)
    return _rank(known) > _rank(word)


def _may_be_swapped(known: Word, word: Word) -> bool:
    """A delivery that failed at first is dated later than one that was sent meanwhile."""
    if known.get("is_ordered") and word["is_ordered"]:
        return False
    of_known, of_word = known["signals"], word["signals"]
    is_of_the_same = None in (of_known, of_word) or not set(of_known).isdisjoint(of_word)
    return is_of_the_same and abs(_at(known) - _at(word)) <= REPEATED_FOR


def _rank(word: Word) -> tuple[datetime, bool]:
    """At the same moment, that it is over counts for more."""
    return _at(word), word["state"] == RESOLVED


def _at(word: Word) -> datetime:
    return datetime.fromisoformat(word["at"])


def _listed(known: Word, word: Word) -> list[str] | None:
    """One event may report the same pair of several signals, one by one."""
    before: list[str] | None = known["signals"]
    said: list[str] | None = word["signals"]
    if said is None or _rank(known) != _rank(word):
        return said
    return None if before is None else sorted({*before, *said})


def _remembered(reported: dict[str, Word], now: datetime) -> dict[str, Word]:
    since = now - KNOWN_FOR
    return {
        key: known
        for key, known in reported.items()
        if known["state"] == ERROR or _at(known) >= since
    }


def _shown(heard: _Heard) -> dict[str, Any]:
    """What the driver has to do for this car, as it is shown on it."""
    if not (heard.is_to_do or heard.is_done):
        return {}
    vehicle = heard.car.vehicle
    left = webhook_accounts.to_do(vehicle, heard.reported)
    if left is not None:
        return poll_outcomes.of_error(vehicle, left, heard.now)
    return dict(poll_outcomes.GOOD) if heard.is_done else {}


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


def _of_account(heard: _Heard, error: ReportedError, word: Word) -> None:
    car = heard.car
    outcome = webhook_accounts.outcome(word, car.access)
    if outcome is None:
        heard.notes.append(error.pair)
    elif outcome is Outcome.RECONNECT:
        was_read = webhook_accounts.was_read_since(car.connection, heard.at)
        what = "the account was read since" if was_read else "the driver has to connect again"
        heard.notes.append(f"{error.pair}: {what}")
    elif webhook_accounts.car_was_read_since(car.vehicle, heard.at):
        heard.notes.append(f"{error.pair}: the car was read since")
    else:
        heard.notes.append(f"{error.pair}: the driver has to act")
        heard.is_to_do = True


# --- It is over -------------------------------------------------------------------------------


def _take_back(heard: _Heard, error: ReportedError) -> None:
    """Undo what the error did, and let a poll look."""
    vehicle = heard.car.vehicle
    heard.notes.append(f"{error.pair}: over")
    heard.is_done |= vehicle.poll_error == error.pair
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
