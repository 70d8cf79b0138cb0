"""The one way in for data, from poll, webhook or import.

One transaction: the vehicle's row is locked by an update, the readings are judged against what
is known, history and latest state are written, and `readings_recorded` lets the rules decide.
When the rules fail, all is undone and stored once more without them, and the vehicle is marked to
be evaluated again: the readings are true whatever a rule does wrong.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, F

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
    """What became of the results: codes that have a newer clean state, and counts."""

    codes: set[str] = field(default_factory=set)
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
    """Store what a car said. Repeating it, or bringing it late, changes nothing.

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
    else:
        if not _is_news(signal, row):
            _note_repetition(batch, signal, row)
            _mark_readable(batch, signal)
            return
        _doubt(batch, signal, row)
    _keep(batch, signal, row)


def _is_news(signal: Signal, row: _Row) -> bool:
    """Newer by the car's own clock; at the same instant, only another value is news."""
    if signal.recorded_at is None:
        return True
    if row.recorded_at != signal.recorded_at:
        return row.recorded_at > signal.recorded_at
    if (row.value, row.data) == (signal.value, signal.data):
        return False
    return _came_later(signal, row)


def _came_later(signal: Signal, row: _Row) -> bool:
    known = (signal.fetched_at or row.recorded_at, signal.event_id)
    return (row.fetched_at, row.event_id) > known


def _note_repetition(batch: _Batch, signal: Signal, row: _Row) -> None:
    """The same, said again: whatever else was said of that instant before is out of date."""
    same = (row.recorded_at, row.value, row.data) == (signal.recorded_at, signal.value, signal.data)
    if same and _came_later(signal, row):
        signal.fetched_at, signal.event_id = row.fetched_at, row.event_id
        batch.touched[signal.code] = signal


def _doubt(batch: _Batch, signal: Signal, row: _Row) -> None:
    if plausibility.is_ahead_of_time(row.recorded_at, batch.now):
        row.quality, row.reason = Quality.DOUBTFUL, "recorded in the future"
        return
    if row.code != ODOMETER or row.value is None:
        return
    current = _known(signal.value, signal.recorded_at)
    row.reason = plausibility.odometer_doubt(row.value, row.recorded_at, current)
    if not row.reason:
        return
    candidate = _known(signal.candidate_value, signal.candidate_recorded_at)
    if plausibility.agrees(row.value, row.recorded_at, candidate):
        activity.record(
            f"Odometer starts again at {row.value:.0f} km after {signal.value:.0f} km:"
            " a second reading agreed",
            now=batch.now,
            about=batch.vehicle,
        )
        row.reason = "confirmed by a second reading"
        return
    row.quality = Quality.DOUBTFUL
    if candidate is None or plausibility.odometer_doubt(row.value, row.recorded_at, candidate):
        # One that agrees too soon leaves the first in place: else a car that is read more than
        # once an hour would never confirm.
        signal.candidate_value, signal.candidate_recorded_at = row.value, row.recorded_at
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
        return
    _mark_readable(batch, signal)
    if row.quality == Quality.DOUBTFUL:
        batch.result.doubtful += 1
        return
    signal.value, signal.data = row.value, row.data
    signal.recorded_at, signal.fetched_at = row.recorded_at, row.fetched_at
    signal.event_id, signal.source = row.event_id, row.source
    signal.candidate_value = signal.candidate_recorded_at = None
    batch.touched[signal.code] = signal
    batch.result.readings += 1
    batch.result.codes.add(signal.code)


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
    if not batch.result.codes:
        return
    try:
        readings_recorded.send(
            sender=Reading,
            vehicle=batch.vehicle,
            codes=batch.result.codes,
            signals=list(batch.signals.values()),
            now=batch.now,
        )
    except Exception as exc:
        raise _RulesError(f"{type(exc).__name__}: {exc}") from exc
