"""Many vehicles of one make going quiet together: one outage, not as many alerts. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LEAST = 3
SHARE = 0.3
# Before the first of them counts as stale by itself, or the first few would be told one by one.
LEAD = timedelta(hours=12)
TOGETHER = timedelta(hours=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """One reachable vehicle: when it was last heard of, and how long it may be quiet."""

    last_at: datetime
    quiet_after: timedelta

    def is_quiet(self, now: datetime) -> bool:
        return now - self.last_at > self.quiet_after - LEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """`quiet` of `total` vehicles fell silent together, the first of them at `since`."""

    quiet: int
    total: int
    since: datetime


def judge(
    cars: Sequence[Car], *, now: datetime, ongoing_since: datetime | None = None
) -> Outage | None:
    """The outage of one make, if it is one. One that goes on (`ongoing_since`: the time it began
    with) ends when fewer than half of what it takes are still quiet.

    Vehicles that fell silent long before the others have a reason of their own and do not count.
    """
    horizon = _horizon(cars, now) if ongoing_since is None else ongoing_since
    counted = [car for car in cars if car.last_at >= horizon]
    quiet = [car for car in counted if car.is_quiet(now)]
    needed = float(max(LEAST, math.ceil(SHARE * len(counted))))
    if ongoing_since is not None:
        needed /= 2
    if not quiet or len(quiet) < needed:
        return None
    since = ongoing_since or min(car.last_at for car in quiet)
    return Outage(quiet=len(quiet), total=len(counted), since=since)


def _horizon(cars: Sequence[Car], now: datetime) -> datetime:
    """Who was last heard of before this fell silent alone."""
    longest = max((car.quiet_after for car in cars), default=timedelta())
    return now - longest - TOGETHER
