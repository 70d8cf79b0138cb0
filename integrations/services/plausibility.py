"""Is a reading believable, given what the car said before? Pure.

An odometer that went back, jumped, or lies in the future is kept aside until a second reading
agrees with it: neither believed (a glitch would become a wrong odometer) nor refused for good
(a true value after a believed glitch must be able to win).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from integrations.services.measures import KM_PER_MILE

MAX_AHEAD = timedelta(minutes=5)
MAX_KM_PER_DAY = 3_000 * KM_PER_MILE
# The same glitch often comes twice within minutes; it does not confirm itself.
CONFIRMED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Known:
    """An odometer and when the car said so."""

    km: float
    recorded_at: datetime


def is_ahead_of_time(recorded_at: datetime, now: datetime) -> bool:
    return recorded_at - now > MAX_AHEAD


def odometer_doubt(km: float, recorded_at: datetime, current: Known | None) -> str:
    """Why this odometer is not believed, or "" when it follows from the current one."""
    if current is None:
        return ""
    if km < current.km:
        return "the odometer went back"
    days = max((recorded_at - current.recorded_at) / timedelta(days=1), 1.0)
    if km - current.km > MAX_KM_PER_DAY * days:
        return "the odometer jumped"
    return ""


@dataclass(slots=True)
class Belief:
    """What is believed after the odometers so far, given one after the other as the car's clock
    has them; and the doubtful one that waits to be confirmed.
    """

    current: Known | None = None
    candidate: Known | None = None

    def judge(self, km: float, recorded_at: datetime) -> tuple[bool, str]:
        """Whether the next one is believed, and what there is to say about it."""
        reason = odometer_doubt(km, recorded_at, self.current)
        confirms = bool(reason) and agrees(km, recorded_at, self.candidate)
        if confirms or not reason:
            self.current, self.candidate = Known(km, recorded_at), None
            return True, "confirmed by a second reading" if confirms else ""
        if self.candidate is None or odometer_doubt(km, recorded_at, self.candidate):
            # One that agrees too soon leaves the first in place: else a car that is read more
            # than once an hour would never confirm.
            self.candidate = Known(km, recorded_at)
        return False, reason


def agrees(km: float, recorded_at: datetime, candidate: Known | None) -> bool:
    """Does this reading confirm the doubtful one before it?"""
    if candidate is None or recorded_at - candidate.recorded_at < CONFIRMED_AFTER:
        return False
    return not odometer_doubt(km, recorded_at, candidate)
