"""What stands in the way of reading a car or one of its signals, for people to read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from fleetportal import clock
from integrations.admin import poll_words, words
from integrations.clients.errors import Outcome
from integrations.clients.readings import SYSTEM_STATUS
from integrations.models import Connection, Signal, Vehicle
from integrations.services import schedule

Support = Signal.Support
NAMED = 3  # so many signals are named in a list, the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """`matter` says what is wrong, `until` when it goes on by itself, `todo` what to do."""

    level: str
    matter: str
    until: str = ""
    todo: str = ""
    since: datetime | None = None
    raw: str = ""


def of_vehicle(vehicle: Any) -> Trouble | None:
    """What keeps the car from being read; None when nothing does.

    The row brings `smartcar_paused_until` and `tokens_paused_until` along.
    """
    connection = vehicle.connection
    if connection is None or connection.status == Connection.Status.REVOKED:
        return None  # the status of the connection says it all
    if connection.status == Connection.Status.NEEDS_RECONNECT:
        return of_connection(connection)
    return _of_last_poll(vehicle) or _of_pause(vehicle) or _of_month(vehicle)


def of_connection(connection: Connection) -> Trouble | None:
    """Why the driver has to connect again."""
    if connection.status != Connection.Status.NEEDS_RECONNECT:
        return None
    pair = poll_words.pair_in(connection.status_reason)
    matter = poll_words.PAIRS.get(pair) or poll_words.OUTCOMES[Outcome.RECONNECT]
    return Trouble(
        level="due",
        matter=str(matter),
        todo=str(poll_words.TODO.get(pair) or poll_words.NEW_LINK),
        since=connection.status_changed_at,
        raw=connection.status_reason,
    )


def of_signal(signal: Signal) -> str:
    """Whether the signal can be read, why not, and when it is asked for again."""
    text = str(signal.get_support_display())
    matter = poll_words.PAIRS.get(signal.last_error)
    if signal.support == Support.NOT_CAPABLE:
        text = str(matter or text)
    elif signal.last_error and signal.support != Support.NOT_GRANTED:
        last = matter or signal.last_error
        text = _("%(support)s; last time: %(matter)s") % {"support": text, "matter": last}
    if signal.recheck_at:
        again = {"support": text, "when": when(signal.recheck_at)}
        text = _("%(support)s; asked again %(when)s") % again
    if signal.support == Support.NOT_GRANTED:
        text = _("%(support)s or after a new consent") % {"support": text}
    return text


def of_signals(signals: list[Signal]) -> list[str]:
    """What rules want of the car and do not get, in a line each."""
    said = (
        (Support.NOT_GRANTED, _("The driver has not shared: %(names)s")),
        (Support.NOT_CAPABLE, _("The car cannot give: %(names)s")),
    )
    lines = []
    for support, text in said:
        names = names_of(row.code for row in signals if row.support == support)
        if len(names) > NAMED:
            names[NAMED - 1 :] = [_("%(count)d more") % {"count": len(names) - NAMED + 1}]
        if names:
            lines.append(text % {"names": ", ".join(names)})
    return lines


def names_of(signals: Iterable[str]) -> list[str]:
    """What the signals are called. The systems of a car are given together or not at all."""
    found = list(signals)
    names = [words.signal_name(code) for code in found if code not in SYSTEM_STATUS]
    return names if len(names) == len(found) else [*names, _("System status")]


def when(at: datetime | None) -> str:
    """As part of a sentence; without the date when it is today."""
    if at is None or at <= clock.now():
        return _("as soon as it is its turn")
    text = _("at %(time)s") if words.is_today(at) else _("on %(time)s")
    return text % {"time": words.moment(at)}


def _of_last_poll(vehicle: Any) -> Trouble | None:
    if not vehicle.poll_outcome:
        return _unexplained(vehicle)
    outcome, pair = Outcome(vehicle.poll_outcome), vehicle.poll_error
    matter = poll_words.WHOLE.get(pair) or poll_words.PAIRS.get(pair)
    return Trouble(
        level=poll_words.LEVELS.get(outcome, "soon"),
        matter=str(matter or poll_words.OUTCOMES[outcome]),
        until=_until(vehicle, outcome),
        todo=str(poll_words.TODO.get(pair) or poll_words.TODO.get(outcome, "")),
        since=vehicle.poll_outcome_since,
        raw=vehicle.last_error,
    )


def _unexplained(vehicle: Vehicle) -> Trouble | None:
    """Nothing went wrong, and yet there is something to say."""
    matter = poll_words.PAIRS.get(vehicle.poll_error)
    if matter is None and not vehicle.last_error:
        return None
    return Trouble(
        level="quiet",
        matter=str(matter or vehicle.last_error),
        until=_goes_on(poll_words.AGAIN, vehicle.next_poll_at),
        todo=str(poll_words.TODO.get(vehicle.poll_error, "")),
    )


def _until(vehicle: Any, outcome: Outcome) -> str:
    at = next_read(vehicle)
    if outcome in {Outcome.WAIT, Outcome.QUOTA} and vehicle.not_before:
        at = vehicle.not_before
    if outcome in {Outcome.WAIT_ALL, Outcome.STOP}:
        at = _latest(vehicle.smartcar_paused_until, vehicle.tokens_paused_until)
    if at is None or at <= clock.now():
        return _goes_on(poll_words.AGAIN, next_read(vehicle))
    return _goes_on(poll_words.UNTIL.get(outcome, poll_words.AGAIN), at)


def _goes_on(text: str | Promise, at: datetime | None) -> str:
    return str(text) % {"at": words.moment(at), "when": when(at)}


def _of_pause(vehicle: Any) -> Trouble | None:
    """Calls are paused for all cars: that of this one is as good as any."""
    until, at = vehicle.smartcar_paused_until, next_read(vehicle)
    if until is None or until <= clock.now() or at is None or at > until:
        return None
    return Trouble(
        level="soon",
        matter=_("Calls to Smartcar are paused"),
        until=_goes_on(poll_words.AGAIN, until),
        todo=_("The page of providers says why."),
    )


def _of_month(vehicle: Any) -> Trouble | None:
    """The last good poll took the last calls of the month."""
    read, at = vehicle.last_read_at, vehicle.next_poll_at
    if read is None or at != schedule.next_month(read) or at <= clock.now():
        return None
    return Trouble(
        level="soon",
        matter=str(poll_words.PAIRS["BILLING:VEHICLE_REQUEST_LIMIT"]),
        until=_goes_on(poll_words.UNTIL[Outcome.QUOTA], at),
        todo=str(poll_words.TODO[Outcome.QUOTA]),
        since=read,
    )


def next_read(vehicle: Vehicle) -> datetime | None:
    """When the car is read again: its time, or the end of the wait if that is later."""
    return _latest(vehicle.next_poll_at, vehicle.not_before) if vehicle.next_poll_at else None


def _latest(*times: datetime | None) -> datetime | None:
    return max((at for at in times if at), default=None)
