"""How fast something goes: the median of the slopes between readings (Theil-Sen).

Half of the slopes may be nonsense without moving it far, and the quarters on both sides say how
far it spreads. https://en.wikipedia.org/wiki/Theil-Sen_estimator
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles

MEMORY = timedelta(days=90)
APART = timedelta(days=3)  # readings that are nearer say how a day was, not how days are
POINTS = 40  # so many are enough: the slopes grow with their square
BACK_KM = 5  # an odometer that shows this much less than before is another one

Said = tuple[datetime, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """So much for each unit, typically; a quarter of the slopes is below `slow`, one above
    `fast`. Never negative."""

    typical: float
    slow: float
    fast: float


def km_per_day(odometer: Sequence[Said], now: datetime) -> Pace | None:
    """From clean readings in km, in the order of time; None when they do not tell."""
    rows = thinned([row for row in odometer if now - MEMORY <= row[0]])
    for place in range(len(rows) - 1, 0, -1):
        if rows[place][1] < rows[place - 1][1] - BACK_KM:
            rows = rows[place:]
            break
    return pace([(_days(at), km, at) for at, km in rows])


def pace(points: Sequence[tuple[float, float, datetime]]) -> Pace | None:
    """How much y grows with x, over (x, y, when) at least three days apart."""
    slopes = [
        (later[1] - first[1]) / (later[0] - first[0])
        for place, first in enumerate(points)
        for later in points[place + 1 :]
        if later[2] - first[2] >= APART and later[0] > first[0]
    ]
    if not slopes:
        return None
    slow, typical, fast = (
        quantiles(slopes, n=4, method="inclusive") if len(slopes) > 1 else (slopes * 3)
    )
    return Pace(typical=max(typical, 0.0), slow=max(slow, 0.0), fast=max(fast, 0.0))


def thinned(rows: Sequence[Said]) -> list[Said]:
    """At most some dozens, evenly chosen, the first and the last among them."""
    if len(rows) <= POINTS:
        return list(rows)
    step = (len(rows) - 1) / (POINTS - 1)
    return [rows[round(number * step)] for number in range(POINTS)]


def _days(at: datetime) -> float:
    return at.timestamp() / 86_400
