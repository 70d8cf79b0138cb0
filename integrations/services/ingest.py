"""The one way in for data, from poll, webhook or import.

One transaction: the vehicle's row is locked by an update, the readings are judged against what
is known, history and latest state are written, and `readings_recorded` lets the rules decide.
What follows on the latest state needs no look at the history (`ingest_judging`); what comes late,
or is in doubt, is judged in the order of the car's clock among what was said before and after it
(`ingest_late`).
When the rules fail, all is undone and stored once more without them, and the vehicle is marked to
be evaluated again: the readings are true whatever a rule does wrong.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, F

from integrations.clients.readings import IDENTITY, TROUBLE_CODES, SignalError, SignalReading
from integrations.models import Reading, Signal, Vehicle
from integrations.models.prepared import Prepared, given, insert, together
from integrations.services import trouble_codes
from integrations.services.ingest_judging import judge, note_error
from integrations.services.ingest_late import place
from integrations.services.ingest_rows import Batch, Ingested, Row
from integrations.signals import readings_recorded

__all__ = ["Ingested", "ingest"]

logger = logging.getLogger(__name__)

LONGEST_CODE = 80  # system names are open; what no column holds is nobody's system

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
_READING_COLUMNS = tuple(column.name for column in fields(Row))

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


class _RulesError(Exception):
    """What a rule raised, as a person may read it; the exception itself is the cause."""


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
            batch = Batch(vehicle, source, event_id, now)
            _store(batch, results, columns)
            _announce(batch)
    except _RulesError as exc:
        logger.exception("vehicle %s: the rules failed", vehicle.pk, exc_info=exc.__cause__)
        failed = {"evaluation_due_at": now, "evaluation_error": str(exc)[:255]}
        with transaction.atomic():
            batch = Batch(vehicle, source, event_id, now)
            _store(batch, results, columns | failed)
    return batch.result


def _store(
    batch: Batch, results: Sequence[SignalReading | SignalError], columns: dict[str, Any]
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
            note_error(batch, result)
        else:
            judge(batch, result)
    if batch.late:
        place(batch)
    _write(batch)


def _with_new(read: Iterable[Signal], vehicle: Vehicle, codes: Iterable[str]) -> dict[str, Signal]:
    """Those that were ever read, and of the others those with these codes."""
    known = {signal.code: signal for signal in read}
    if others := [code for code in codes if code not in known and code not in IDENTITY]:
        known |= {signal.code: signal for signal in vehicle.signals.filter(code__in=others)}
    return known


def _write(batch: Batch) -> None:
    writes = []
    if batch.history:
        writes.append(insert(Reading, batch.history, _READING_COLUMNS))
    if batch.touched:
        touched = list(batch.touched.values())
        columns = (*_SIGNAL_KEY, *_SIGNAL_COLUMNS, *_SIGNAL_WISHES)
        writes.append(insert(Signal, touched, columns, unique=_SIGNAL_KEY, update=_SIGNAL_COLUMNS))
    together(*writes)
    if TROUBLE_CODES in batch.result.codes | batch.result.late:
        _follow_codes(batch)


def _follow_codes(batch: Batch) -> None:
    vehicle, signal = batch.vehicle, batch.signals[TROUBLE_CODES]
    if TROUBLE_CODES in batch.result.late:
        since = min(row.recorded_at for row in batch.history if row.code == TROUBLE_CODES)
        trouble_codes.put_in_order(vehicle, since=since, signal=signal)
    else:
        trouble_codes.track(vehicle, before=batch.codes_before, signal=signal)


def _announce(batch: Batch) -> None:
    """Let the rules decide inside this transaction."""
    if not batch.result.codes and not batch.result.late:
        return
    try:
        readings_recorded.send(
            sender=Reading,
            vehicle=batch.vehicle,
            codes=batch.result.codes,
            late=batch.result.late,
            risen=batch.result.risen,
            signals=list(batch.signals.values()),
            now=batch.now,
        )
    except Exception as exc:
        raise _RulesError(f"{type(exc).__name__}: {exc}") from exc
