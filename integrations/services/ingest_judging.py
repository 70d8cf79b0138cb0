"""One result of a batch, judged on its own: against the latest state, without the history.

What comes late, or is an odometer in doubt, is put aside in the batch for `ingest_late`.
"""

import logging
from datetime import datetime, timedelta

from integrations.clients.errors import Outcome
from integrations.clients.readings import ODOMETER, SERVICE_RECORDS, SignalError, SignalReading
from integrations.models import Signal
from integrations.services import plausibility
from integrations.services.ingest_rows import Batch, Quality, Row, believe, came_later, corrects
from integrations.services.measures import ImpossibleError, measure, storable

logger = logging.getLogger(__name__)

RECHECK_AFTER = timedelta(days=30)
# What changes with a visit to a workshop need not cost a call of every poll: once a day will do.
SELDOM = {SERVICE_RECORDS: timedelta(hours=20)}

_SUPPORT = {
    Outcome.NOT_CAPABLE: Signal.Support.NOT_CAPABLE,
    Outcome.NOT_GRANTED: Signal.Support.NOT_GRANTED,
}


def note_error(batch: Batch, error: SignalError) -> None:
    signal = _signal(batch, error.code)
    support = _SUPPORT.get(error.outcome)
    text = f"{error.type}:{error.error_code}".strip(":")[:255]
    if support is not None:
        signal.support, signal.recheck_at = support, batch.now + RECHECK_AFTER
    elif signal.last_error == text:
        return
    signal.last_error = text
    batch.touched[error.code] = signal


def judge(batch: Batch, reading: SignalReading) -> None:
    recorded_at = reading.recorded_at or reading.fetched_at or batch.now
    row = Row(
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
    if row.recorded_at == signal.recorded_at and not corrects(signal, row):
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


def _signal(batch: Batch, code: str) -> Signal:
    signal = batch.signals.get(code)
    if signal is None:
        signal = Signal(vehicle=batch.vehicle, code=code)
        batch.signals[code] = signal
    return signal


def _follows(signal: Signal, row: Row) -> bool:
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


def _known(km: float | None, recorded_at: datetime | None) -> plausibility.Known | None:
    return plausibility.Known(km, recorded_at) if km is not None and recorded_at else None


def _note_repetition(batch: Batch, signal: Signal, row: Row) -> None:
    """The same, said again: whatever else was said of that instant before is out of date."""
    same = (row.recorded_at, row.value, row.data) == (signal.recorded_at, signal.value, signal.data)
    if same and came_later(signal, row):
        signal.fetched_at, signal.event_id = row.fetched_at, row.event_id
        batch.touched[signal.code] = signal


def _mark_readable(batch: Batch, signal: Signal) -> None:
    if signal.support != Signal.Support.OK or signal.last_error:
        signal.support, signal.recheck_at, signal.last_error = Signal.Support.OK, None, ""
        batch.touched[signal.code] = signal
    if signal.code in SELDOM:
        signal.recheck_at = batch.now + SELDOM[signal.code]
        batch.touched[signal.code] = signal


def _keep(batch: Batch, signal: Signal, row: Row) -> None:
    batch.history.append(row)
    if row.quality == Quality.REJECTED:
        batch.result.rejected += 1
        logger.info("vehicle %s: %s rejected: %s", batch.vehicle.pk, row.code, row.reason)
    elif row.quality == Quality.DOUBTFUL:
        batch.result.doubtful += 1
    else:
        believe(batch, signal, row)
