"""The one way in for data, from poll, webhook or import.

One transaction: the vehicle's row is locked by an update, the readings are judged against what
is known, history and latest state are written, and `readings_recorded` lets the rules decide.
What follows on the latest state needs no look at the history; what comes late, or is in doubt, is
judged in the order of the car's clock among what was said before and after it.
When the rules fail, all is undone and stored once more without them, and the vehicle is marked to
be evaluated again: the readings are true whatever a rule does wrong.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, F, Subquery, Value
from django.db.models.functions import Coalesce

from integrations.clients.errors import Outcome
from integrations.clients.readings import (
    IDENTITY,
    ODOMETER,
    TROUBLE_CODES,
    SignalError,
    SignalReading,
)
from integrations.models import Reading, Signal, Vehicle
from integrations.models.prepared import Prepared, given, insert, together
from integrations.services import activity, plausibility, trouble_codes
from integrations.services.measures import ImpossibleError, measure, storable
from integrations.signals import readings_recorded

logger = logging.getLogger(__name__)

RECHECK_AFTER = timedelta(days=30)
LATE_UNTIL = timedelta(days=30)  # what is older than the state and than this is nobody's news
LONGEST_CODE = 80  # system names are open; what no column holds is nobody's system
Quality = Reading.Quality

_SUPPORT = {
    Outcome.NOT_CAPABLE: Signal.Support.NOT_CAPABLE,
    Outcome.NOT_GRANTED: Signal.Support.NOT_GRANTED,
}
_SIGNAL_COLUMNS = (
    "value",
    "data",
    "recorded_at",
    "fetched_at",
    "event_id",
    "source",
    "support",
    "recheck_at",
    "last_error",
    "candidate_value",
    "candidate_recorded_at",
)
_SIGNAL_KEY = ("vehicle_id", "code")
_SIGNAL_WISHES = ("is_wanted", "urgency")  # maintenance writes them; here they only begin

_ROW = Prepared(lambda: Vehicle.objects.filter(pk=given("vehicle", BigIntegerField)))
_ONLY_LOCK = {"smartcar_id": F("smartcar_id")}  # changes nothing
_LOCKED = Prepared(
    lambda: Vehicle.objects.filter(pk=given("vehicle", BigIntegerField)), sets=lambda: _ONLY_LOCK
)
_READ_SIGNALS = Prepared(
    lambda: Signal.objects.filter(
        vehicle=given("vehicle", BigIntegerField), recorded_at__isnull=False
    ).order_by()
)


@dataclass(slots=True)
class Ingested:
    """What became of the results, and counts.

    `codes` have another clean state than before; `late` have another past than before.
    """

    codes: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    readings: int = 0
    doubtful: int = 0
    rejected: int = 0


@dataclass(slots=True)
class _Row:
    """What becomes a Reading. The model itself takes longer to make than to store."""

    vehicle_id: int
    code: str
    recorded_at: datetime
    fetched_at: datetime
    source: str
    request_id: str
    event_id: str
    value: float | None = None
    data: dict[str, Any] | None = None
    quality: str = Quality.CLEAN.value
    reason: str = ""


_READING_COLUMNS = tuple(column.name for column in fields(_Row))
_Said = Reading | _Row
_Words = dict[tuple[str, datetime], _Said]  # by signal and instant: the last word on it


class _RulesError(Exception):
    """What a rule raised, as a person may read it; the exception itself is the cause."""


@dataclass(slots=True)
class _Batch:
    vehicle: Vehicle
    source: str
    event_id: str
    now: datetime
    signals: dict[str, Signal] = field(default_factory=dict)
    history: list[_Row] = field(default_factory=list)
    late: list[_Row] = field(default_factory=list)  # to be judged among their neighbours
    touched: dict[str, Signal] = field(default_factory=dict)
    codes_before: set[str] = field(default_factory=set)
    result: Ingested = field(default_factory=Ingested)


def ingest(
    vehicle: Vehicle,
    results: Sequence[SignalReading | SignalError],
    *,
    source: str,
    now: datetime,
    event_id: str = "",
    columns: dict[str, Any] | None = None,
) -> Ingested:
    """Store what a car said. Whatever the order and repetition, the same state remains.

    `columns` are written to the vehicle in the same transaction, by the update that locks it.
    """
    columns = columns or {}
    try:
        with transaction.atomic():
            batch = _Batch(vehicle, source, event_id, now)
            _store(batch, results, columns)
            _announce(batch)
    except _RulesError as exc:
        logger.exception("vehicle %s: the rules failed", vehicle.pk, exc_info=exc.__cause__)
        failed = {"evaluation_due_at": now, "evaluation_error": str(exc)[:255]}
        with transaction.atomic():
            batch = _Batch(vehicle, source, event_id, now)
            _store(batch, results, columns | failed)
    return batch.result


def _store(
    batch: _Batch, results: Sequence[SignalReading | SignalError], columns: dict[str, Any]
) -> None:
    vehicle, row = batch.vehicle, _ROW if columns else _LOCKED
    locked, known = together(
        row.update(columns, vehicle=vehicle.pk), _READ_SIGNALS.rows(vehicle=vehicle.pk)
    )
    if not locked:
        return  # the car was merged into another one meanwhile
    batch.signals = _with_new(known, vehicle, [result.code for result in results])
    batch.codes_before = trouble_codes.present(batch.signals.get(TROUBLE_CODES))
    for result in results:
        if result.code in IDENTITY or len(result.code) > LONGEST_CODE:
            continue
        if isinstance(result, SignalError):
            _note_error(batch, result)
        else:
            _judge(batch, result)
    if batch.late:
        _place(batch)
    _write(batch)


def _with_new(read: Iterable[Signal], vehicle: Vehicle, codes: Iterable[str]) -> dict[str, Signal]:
    """Those that were ever read, and of the others those with these codes."""
    known = {signal.code: signal for signal in read}
    if others := [code for code in codes if code not in known and code not in IDENTITY]:
        known |= {signal.code: signal for signal in vehicle.signals.filter(code__in=others)}
    return known


def _signal(batch: _Batch, code: str) -> Signal:
    signal = batch.signals.get(code)
    if signal is None:
        signal = Signal(vehicle=batch.vehicle, code=code)
        batch.signals[code] = signal
    return signal


def _note_error(batch: _Batch, error: SignalError) -> None:
    signal = _signal(batch, error.code)
    support = _SUPPORT.get(error.outcome)
    text = f"{error.type}:{error.error_code}".strip(":")[:255]
    if support is not None:
        signal.support, signal.recheck_at = support, batch.now + RECHECK_AFTER
    elif signal.last_error == text:
        return
    signal.last_error = text
    batch.touched[error.code] = signal


def _judge(batch: _Batch, reading: SignalReading) -> None:
    recorded_at = reading.recorded_at or reading.fetched_at or batch.now
    row = _Row(
        vehicle_id=batch.vehicle.pk,
        code=reading.code,
        recorded_at=recorded_at,
        fetched_at=reading.fetched_at or max(recorded_at, batch.now),
        source=batch.source,
        request_id=reading.request_id[:64],
        event_id=batch.event_id,
    )
    signal, body = _signal(batch, reading.code), storable(reading.body)
    try:
        row.value, row.data = measure(reading.code, body)
    except ImpossibleError as exc:
        row.quality, row.reason, row.data = Quality.REJECTED, str(exc), body
        _keep(batch, signal, row)
        return
    if signal.fetched_at is None or row.fetched_at >= signal.fetched_at:
        _mark_readable(batch, signal)  # what was fetched before may have been withheld since
    if row.recorded_at == signal.recorded_at and not _corrects(signal, row):
        _note_repetition(batch, signal, row)
    elif plausibility.is_ahead_of_time(row.recorded_at, batch.now):
        row.quality, row.reason = Quality.DOUBTFUL, "recorded in the future"
        _keep(batch, signal, row)
    elif _follows(signal, row):
        if row.code in batch.result.codes:  # the rules see the last one only
            batch.result.late.add(row.code)
        _keep(batch, signal, row)
    else:
        batch.late.append(row)


def _follows(signal: Signal, row: _Row) -> bool:
    """Newer by the car's own clock, and nothing is in doubt."""
    if signal.recorded_at is None:
        return True
    if row.recorded_at <= signal.recorded_at:
        return False
    if row.code != ODOMETER or row.value is None:
        return True
    is_settled = signal.candidate_value is None
    current = _known(signal.value, signal.recorded_at)
    return is_settled and not plausibility.odometer_doubt(row.value, row.recorded_at, current)


def _corrects(known: Signal | _Said, row: _Row) -> bool:
    """Says something else of the same instant, and later: the last word counts."""
    is_same = (row.value, row.data) == (known.value, known.data)
    return not is_same and _came_later(known, row)


def _came_later(known: Signal | _Said, row: _Row) -> bool:
    before = (known.fetched_at or row.recorded_at, known.event_id)
    return (row.fetched_at, row.event_id) > before


def _note_repetition(batch: _Batch, signal: Signal, row: _Row) -> None:
    """The same, said again: whatever else was said of that instant before is out of date."""
    same = (row.recorded_at, row.value, row.data) == (signal.recorded_at, signal.value, signal.data)
    if same and _came_later(signal, row):
        signal.fetched_at, signal.event_id = row.fetched_at, row.event_id
        batch.touched[signal.code] = signal


def _known(km: float | None, recorded_at: datetime | None) -> plausibility.Known | None:
    return plausibility.Known(km, recorded_at) if km is not None and recorded_at else None


def _mark_readable(batch: _Batch, signal: Signal) -> None:
    if signal.support != Signal.Support.OK or signal.last_error:
        signal.support, signal.recheck_at, signal.last_error = Signal.Support.OK, None, ""
        batch.touched[signal.code] = signal


def _keep(batch: _Batch, signal: Signal, row: _Row) -> None:
    batch.history.append(row)
    if row.quality == Quality.REJECTED:
        batch.result.rejected += 1
        logger.info("vehicle %s: %s rejected: %s", batch.vehicle.pk, row.code, row.reason)
    elif row.quality == Quality.DOUBTFUL:
        batch.result.doubtful += 1
    else:
        _believe(batch, signal, row)


def _believe(batch: _Batch, signal: Signal, row: _Said) -> None:
    """Make it the latest state."""
    signal.value, signal.data = row.value, row.data
    signal.recorded_at, signal.fetched_at = row.recorded_at, row.fetched_at
    signal.event_id, signal.source = row.event_id, row.source
    signal.candidate_value = signal.candidate_recorded_at = None
    batch.touched[signal.code] = signal
    batch.result.readings += 1
    batch.result.codes.add(signal.code)


# --- Late, or in doubt: judged among what was said before and after ---------------------------


def _place(batch: _Batch) -> None:
    late = sorted((row for row in batch.late if not _is_too_old(batch, row)), key=_moment)
    if odometers := [row for row in late if row.code == ODOMETER]:
        _judge_odometers(batch, odometers)
    if others := [row for row in late if row.code != ODOMETER]:
        _place_others(batch, others)


def _is_too_old(batch: _Batch, row: _Row) -> bool:
    known = batch.signals[row.code].recorded_at
    return known is not None and row.recorded_at < min(known, batch.now - LATE_UNTIL)


def _moment(row: _Said) -> tuple[datetime, datetime, str]:
    return row.recorded_at, row.fetched_at, row.event_id


def _last_words(rows: Iterable[_Said]) -> _Words:
    return {(row.code, row.recorded_at): row for row in sorted(rows, key=_moment)}


def _is_added(words: _Words, row: _Row) -> bool:
    """Add it when it was not said before of that instant; the last word counts."""
    known = words.get((row.code, row.recorded_at))
    if known is not None and not _corrects(known, row):
        return False
    words[row.code, row.recorded_at] = row
    return True


def _place_others(batch: _Batch, late: list[_Row]) -> None:
    stored = Reading.objects.filter(
        vehicle=batch.vehicle,
        code__in={row.code for row in late},
        recorded_at__in={row.recorded_at for row in late},
        quality=Quality.CLEAN,
    ).order_by()
    words = _last_words([*stored, *(row for row in batch.history if row.quality == Quality.CLEAN)])
    for row in late:
        if not _is_added(words, row):
            continue
        batch.history.append(row)
        batch.result.late.add(row.code)
        signal = batch.signals[row.code]
        if row.recorded_at == signal.recorded_at:
            _believe(batch, signal, row)


def _judge_odometers(batch: _Batch, late: list[_Row]) -> None:
    """Judge again all since the last sure one before these, and believe what then is the last."""
    signal = batch.signals[ODOMETER]
    known = _known_odometers(batch, signal, since=late[0].recorded_at)
    was = [(row, row.quality) for row in known]
    words = _last_words(known)
    new = []
    for row in late:
        corrected = words.get((ODOMETER, row.recorded_at))
        if _is_added(words, row):
            new.append(row)
            row.quality = ""
            if corrected is not None:
                corrected.quality, corrected.reason = Quality.DOUBTFUL, "the car corrected it"
    batch.history += new
    last = _judge_in_order(batch, signal, sorted(words.values(), key=_moment))
    changed = [row for row, quality in was if row.quality != quality]
    Reading.objects.bulk_update(
        [row for row in changed if isinstance(row, Reading)], ["quality", "reason"]
    )
    clean = [row for row in new if row.quality == Quality.CLEAN]
    batch.result.doubtful += len(new) - len(clean)
    if changed or any(row.recorded_at < last.recorded_at for row in clean):
        batch.result.late.add(ODOMETER)


def _known_odometers(batch: _Batch, signal: Signal, since: datetime) -> list[_Said]:
    """From the last sure one before `since` on. The state is one of them, whatever was kept."""
    kept = Reading.objects.filter(vehicle=batch.vehicle, code=ODOMETER)
    sure = kept.filter(quality=Quality.CLEAN, recorded_at__lt=since).order_by("-recorded_at")
    start = Coalesce(Subquery(sure.values("recorded_at")[:1]), Value(since))
    rows: list[_Said] = [*kept.filter(recorded_at__gte=start).order_by(), *batch.history]
    known = [row for row in rows if row.code == ODOMETER and _counts(row, batch.now)]
    state = signal.recorded_at, signal.value
    if state not in [(row.recorded_at, row.value) for row in known]:
        known.append(_as_row(signal, batch.now))
    return known


def _counts(row: _Said, now: datetime) -> bool:
    """Whether it is to be judged: not when it is impossible, or doubted for being ahead."""
    if row.quality == Quality.DOUBTFUL:
        return not plausibility.is_ahead_of_time(row.recorded_at, now)
    return row.quality == Quality.CLEAN


def _as_row(signal: Signal, now: datetime) -> _Row:
    recorded_at = signal.recorded_at or now
    return _Row(
        vehicle_id=signal.vehicle_id,
        code=signal.code,
        recorded_at=recorded_at,
        fetched_at=signal.fetched_at or recorded_at,
        source=signal.source,
        request_id="",
        event_id=signal.event_id,
        value=signal.value,
    )


def _judge_in_order(batch: _Batch, signal: Signal, rows: list[_Said]) -> _Said:
    """Judge one after the other; the last one that is believed becomes the state."""
    belief, last = plausibility.Belief(), rows[0]
    for row in rows:
        before, km = belief.current, row.value or 0
        is_clean, reason = belief.judge(km, row.recorded_at)
        last = row if is_clean else last
        if (row.quality == Quality.CLEAN) is is_clean and row.quality:
            continue
        row.quality = Quality.CLEAN if is_clean else Quality.DOUBTFUL
        row.reason = reason
        if is_clean and reason and before:
            activity.record(
                f"Odometer starts again at {km:.0f} km after {before.km:.0f} km:"
                " a second reading agreed",
                now=batch.now,
                about=batch.vehicle,
            )
    if (last.recorded_at, last.value) != (signal.recorded_at, signal.value):
        _believe(batch, signal, last)
    waits = belief.candidate
    signal.candidate_value = waits.km if waits else None
    signal.candidate_recorded_at = waits.recorded_at if waits else None
    batch.touched[signal.code] = signal
    return last


def _write(batch: _Batch) -> None:
    writes = []
    if batch.history:
        writes.append(insert(Reading, batch.history, _READING_COLUMNS))
    if batch.touched:
        touched = list(batch.touched.values())
        columns = (*_SIGNAL_KEY, *_SIGNAL_COLUMNS, *_SIGNAL_WISHES)
        writes.append(insert(Signal, touched, columns, unique=_SIGNAL_KEY, update=_SIGNAL_COLUMNS))
    together(*writes)
    if TROUBLE_CODES in batch.result.codes:
        trouble_codes.track(
            batch.vehicle, before=batch.codes_before, signal=batch.signals[TROUBLE_CODES]
        )


def _announce(batch: _Batch) -> None:
    """Let the rules decide inside this transaction."""
    if not batch.result.codes and not batch.result.late:
        return
    try:
        readings_recorded.send(
            sender=Reading,
            vehicle=batch.vehicle,
            codes=batch.result.codes,
            late=batch.result.late,
            signals=list(batch.signals.values()),
            now=batch.now,
        )
    except Exception as exc:
        raise _RulesError(f"{type(exc).__name__}: {exc}") from exc
