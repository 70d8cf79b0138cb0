"""What `ingest` works on: the batch of one call, its rows, and whose word counts.

What was said before is a row of the same batch, a Reading, or the latest state.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from integrations.models import Reading, Signal, Vehicle

Quality = Reading.Quality


@dataclass(slots=True)
class Ingested:
    """What became of the results, and counts.

    `codes` have another clean state than before; `late` have another past than before; `risen`
    are those of `codes` whose number is higher than before.
    """

    codes: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    risen: set[str] = field(default_factory=set)
    readings: int = 0
    doubtful: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Row:
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


Said = Reading | Row


@dataclass(slots=True)
class Batch:
    vehicle: Vehicle
    source: str
    event_id: str
    now: datetime
    signals: dict[str, Signal] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    late: list[Row] = field(default_factory=list)  # to be judged among their neighbours
    touched: dict[str, Signal] = field(default_factory=dict)
    codes_before: set[str] = field(default_factory=set)
    result: Ingested = field(default_factory=Ingested)


def corrects(known: Signal | Said, row: Row) -> bool:
    """Says something else of the same instant, and later: the last word counts."""
    is_same = (row.value, row.data) == (known.value, known.data)
    return not is_same and came_later(known, row)


def came_later(known: Signal | Said, row: Row) -> bool:
    before = (known.fetched_at or row.recorded_at, known.event_id)
    return (row.fetched_at, row.event_id) > before


def believe(batch: Batch, signal: Signal, row: Said) -> None:
    """Make it the latest state."""
    if signal.value is not None and row.value is not None and row.value > signal.value:
        batch.result.risen.add(signal.code)
    signal.value, signal.data = row.value, row.data
    signal.recorded_at, signal.fetched_at = row.recorded_at, row.fetched_at
    signal.event_id, signal.source = row.event_id, row.source
    signal.candidate_value = signal.candidate_recorded_at = None
    batch.touched[signal.code] = signal
    batch.result.readings += 1
    batch.result.codes.add(signal.code)
