"""When somebody wants to hear of something: at once, in a summary, not at night.

Hours are those of the recipient's own clock. An hour that the clock change leaves out comes as
much later as the clock was moved; one that it repeats counts the first time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
DAYS_AHEAD = 15  # further than any weekly summary, also where a zone once left out a day


class Delivery(StrEnum):
    IMMEDIATE = "immediate"
    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How one recipient likes to be told. Weekdays count from Monday, 0."""

    zone: ZoneInfo
    delivery: Delivery = Delivery.IMMEDIATE
    digest_hour: int = 7
    digest_weekday: int = 0
    quiet_from: time | None = None
    quiet_until: time | None = None


def when(prefs: Preferences, now: datetime, *, is_critical: bool = False) -> datetime:
    """The moment, in UTC, from which it may be sent: now or later.

    What is critical goes out now. Everything else waits for the summary, and until the quiet
    hours are over.
    """
    now = now.astimezone(UTC)
    if is_critical:
        return now
    return _after_quiet_hours(prefs, _next_digest(prefs, now))


def _next_digest(prefs: Preferences, now: datetime) -> datetime:
    if prefs.delivery is Delivery.IMMEDIATE:
        return now
    hour = time(prefs.digest_hour)
    return min(
        at
        for day in _days_around(prefs.zone, now)
        if prefs.delivery is Delivery.DAILY or day.weekday() == prefs.digest_weekday
        if (at := _moment(day, hour, prefs.zone)) >= now
    )


def _after_quiet_hours(prefs: Preferences, at: datetime) -> datetime:
    start, end = prefs.quiet_from, prefs.quiet_until
    if start is None or end is None or start == end:
        return at
    for day in _days_around(prefs.zone, at):  # in order, so that hours that follow hours count
        last = day if start < end else day + DAY
        if _moment(day, start, prefs.zone) <= at < (over := _moment(last, end, prefs.zone)):
            at = over
    return at


def _days_around(zone: ZoneInfo, at: datetime) -> Iterator[date]:
    today = at.astimezone(zone).date()
    for days in range(-2, DAYS_AHEAD):
        yield today + timedelta(days=days)


def _moment(day: date, hour: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, hour, tzinfo=zone).astimezone(UTC)
