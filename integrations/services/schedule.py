"""When to read a car again. Pure: the plan's allowance, the make's habit, and errors decide."""

import calendar
import random
from datetime import UTC, datetime, timedelta

LONGEST = timedelta(days=2)
SHORTEST = timedelta(minutes=15)
JITTER = 0.1
BACKOFF_FIRST = timedelta(minutes=2)
BACKOFF_LONGEST = timedelta(hours=6)
DAILY = timedelta(days=1)  # how often a car that reports by itself is polled all the same
QUIET_AT_LEAST = timedelta(hours=6)
AS_GOOD_AS_DUE = timedelta(minutes=1)  # the clocks of two workers differ a little


def month_of(now: datetime) -> datetime:
    """The start of the billing month, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(now: datetime) -> datetime:
    start = month_of(now)
    return start + timedelta(days=calendar.monthrange(start.year, start.month)[1])


def poll_interval(
    *, calls_left: int, cost: int, habit: timedelta, now: datetime, chance: float | None = None
) -> timedelta:
    """How long to wait after a good poll that costs `cost` calls.

    The calls that are left are spread over the rest of the month; never more often than the
    make refreshes its data. With jitter, so that a fleet does not ask all at once.
    """
    rest = next_month(now) - now
    polls_left = calls_left // max(cost, 1)
    if polls_left < 1:
        return rest
    wait = max(min(rest / polls_left, LONGEST), habit, SHORTEST)
    spread = (chance if chance is not None else random.random()) * 2 - 1  # noqa: S311
    return max(wait * (1 + JITTER * spread), habit, SHORTEST)


def backoff(failures: int, *, chance: float | None = None) -> timedelta:
    """Full jitter: anything up to a bound that doubles with each failure."""
    bound: timedelta = min(BACKOFF_FIRST * 2 ** min(max(failures - 1, 0), 12), BACKOFF_LONGEST)
    part: float = chance if chance is not None else random.random()  # noqa: S311
    return max(bound * part, timedelta(seconds=30))


def quiet_after(habit: timedelta) -> timedelta:
    """How long a car's webhook may be silent, by its make's habit, before it is not relied on."""
    return max(3 * habit, QUIET_AT_LEAST)


def safety_net(
    *,
    last_webhook_at: datetime | None,
    last_read_at: datetime | None,
    habit: timedelta,
    now: datetime,
) -> datetime | None:
    """When to read a car that reports by itself; None when it does not, or not any more.

    A car with a healthy webhook is polled once a day; when it goes quiet beyond its make's habit,
    polling takes over.
    """
    if last_webhook_at is None or now - last_webhook_at > quiet_after(habit):
        return None
    daily = last_read_at + DAILY if last_read_at else now
    return min(daily, last_webhook_at + quiet_after(habit))


def put_off(
    planned: datetime | None, *, net: datetime | None, not_before: datetime | None, now: datetime
) -> datetime | None:
    """When to read a car that reported just now and is due at `planned`; `net` is its safety net.

    Never earlier than planned: an error, or that nothing is wanted, may have put it off. And what
    is due stays due: somebody may have asked for it.
    """
    if planned is None or planned <= now + AS_GOOD_AS_DUE:
        return planned
    return max(filter(None, (planned, net, not_before)))
