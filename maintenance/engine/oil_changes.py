"""When the oil was changed, by what the car says of its oil's life: it jumps up."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

MEMORY = timedelta(days=30)  # what was said longer ago says nothing about a jump
# A car may go up in steps while the workshop resets it: they are one change.
SAME_CHANGE = timedelta(days=7)

Said = tuple[datetime, float]  # when, and percent


@dataclass(frozen=True, slots=True, kw_only=True)
class OilChange:
    """`at` is the time of the first reading after the jump; percent before and after it."""

    at: datetime
    before: float
    after: float


def oil_changes(readings: Iterable[Said], clear_jump: float | None) -> list[OilChange]:
    """Each rise of `clear_jump` points above the lowest reading of 30 days, once.

    The readings are clean, one for each instant, in the order of the car's clock; what comes out
    for one moment follows from the readings up to it alone. 0 means that the car does not know.
    Without a `clear_jump` nothing is a rise.
    """
    found: list[OilChange] = []
    lows: deque[Said] = deque()  # since the last rise, ascending: the first is the lowest
    for at, value in readings:
        if not 0 < value <= 100:
            continue
        while lows and lows[0][0] < at - MEMORY:
            lows.popleft()
        if clear_jump and lows and value - lows[0][1] >= clear_jump:
            if not found or at - found[-1].at > SAME_CHANGE:
                found.append(OilChange(at=at, before=lows[0][1], after=value))
            lows.clear()
        while lows and lows[-1][1] >= value:
            lows.pop()
        lows.append((at, value))
    return found


def since_last_rise(readings: Iterable[Said], clear_jump: float | None) -> list[Said]:
    """The readings that speak of the oil that is in the engine now."""
    rows = [(at, value) for at, value in readings if 0 < value <= 100]
    lowest = 101.0
    start = 0
    for place, (_at, value) in enumerate(rows):
        if clear_jump and value - lowest >= clear_jump:
            start, lowest = place, value
        lowest = min(lowest, value)
    return rows[start:]
