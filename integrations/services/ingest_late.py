"""Readings that come late, or are in doubt: judged among what was said before and after them.

The order is that of the car's clock, and of one instant the last word counts.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce

from integrations.clients.readings import ODOMETER
from integrations.models import Reading, Signal
from integrations.services import activity, plausibility
from integrations.services.ingest_rows import Batch, Quality, Row, Said, believe, corrects

LATE_UNTIL = timedelta(days=30)  # what is older than the state and than this is nobody's news

_Words = dict[tuple[str, datetime], Said]  # by signal and instant: the last word on it


def place(batch: Batch) -> None:
    late = sorted((row for row in batch.late if not _is_too_old(batch, row)), key=_moment)
    if odometers := [row for row in late if row.code == ODOMETER]:
        _judge_odometers(batch, odometers)
    if others := [row for row in late if row.code != ODOMETER]:
        _place_others(batch, others)


def _is_too_old(batch: Batch, row: Row) -> bool:
    known = batch.signals[row.code].recorded_at
    return known is not None and row.recorded_at < min(known, batch.now - LATE_UNTIL)


def _moment(row: Said) -> tuple[datetime, datetime, str]:
    return row.recorded_at, row.fetched_at, row.event_id


def _last_words(rows: Iterable[Said]) -> _Words:
    return {(row.code, row.recorded_at): row for row in sorted(rows, key=_moment)}


def _is_added(words: _Words, row: Row) -> bool:
    """Add it when it was not said before of that instant; the last word counts."""
    known = words.get((row.code, row.recorded_at))
    if known is not None and not corrects(known, row):
        return False
    words[row.code, row.recorded_at] = row
    return True


def _place_others(batch: Batch, late: list[Row]) -> None:
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
            believe(batch, signal, row)


def _judge_odometers(batch: Batch, late: list[Row]) -> None:
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


def _known_odometers(batch: Batch, signal: Signal, since: datetime) -> list[Said]:
    """From the last sure one before `since` on. The state is one of them, whatever was kept."""
    kept = Reading.objects.filter(vehicle=batch.vehicle, code=ODOMETER)
    sure = kept.filter(quality=Quality.CLEAN, recorded_at__lt=since).order_by("-recorded_at")
    start = Coalesce(Subquery(sure.values("recorded_at")[:1]), Value(since))
    rows: list[Said] = [*kept.filter(recorded_at__gte=start).order_by(), *batch.history]
    known = [row for row in rows if row.code == ODOMETER and _counts(row, batch.now)]
    state = signal.recorded_at, signal.value
    if state not in [(row.recorded_at, row.value) for row in known]:
        known.append(_as_row(signal, batch.now))
    return known


def _counts(row: Said, now: datetime) -> bool:
    """Whether it is to be judged: not when it is impossible, or doubted for being ahead."""
    if row.quality == Quality.DOUBTFUL:
        return not plausibility.is_ahead_of_time(row.recorded_at, now)
    return row.quality == Quality.CLEAN


def _as_row(signal: Signal, now: datetime) -> Row:
    recorded_at = signal.recorded_at or now
    return Row(
        vehicle_id=signal.vehicle_id,
        code=signal.code,
        recorded_at=recorded_at,
        fetched_at=signal.fetched_at or recorded_at,
        source=signal.source,
        request_id="",
        event_id=signal.event_id,
        value=signal.value,
    )


def _judge_in_order(batch: Batch, signal: Signal, rows: list[Said]) -> Said:
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
        believe(batch, signal, last)
    waits = belief.candidate
    signal.candidate_value = waits.km if waits else None
    signal.candidate_recorded_at = waits.recorded_at if waits else None
    batch.touched[signal.code] = signal
    return last
