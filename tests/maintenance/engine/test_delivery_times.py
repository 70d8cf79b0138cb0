"""When a message goes out, by the recipient's own clock."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance.engine.delivery_times import Delivery, Preferences, when

DENVER, BERLIN, KOLKATA = map(ZoneInfo, ("America/Denver", "Europe/Berlin", "Asia/Kolkata"))
ZONES = [DENVER, BERLIN, KOLKATA, ZoneInfo("Pacific/Apia"), ZoneInfo("Australia/Lord_Howe")]
DAY = timedelta(days=1)


def local(zone: ZoneInfo, *parts: int, fold: int = 0) -> datetime:
    year, month, day, hour, minute = (*parts, 0, 0)[:5]
    return datetime(year, month, day, hour, minute, tzinfo=zone, fold=fold).astimezone(UTC)


def daily(zone: ZoneInfo, hour: int = 7) -> Preferences:
    return Preferences(zone=zone, delivery=Delivery.DAILY, digest_hour=hour)


def quiet(zone: ZoneInfo, start: time, end: time) -> Preferences:
    return Preferences(zone=zone, quiet_from=start, quiet_until=end)


@pytest.mark.parametrize("zone", [DENVER, BERLIN])
def test_a_daily_summary_comes_at_the_local_hour(zone: ZoneInfo) -> None:
    prefs = daily(zone)

    assert when(prefs, local(zone, 2026, 3, 2, 6, 59)) == local(zone, 2026, 3, 2, 7)
    assert when(prefs, local(zone, 2026, 3, 2, 7)) == local(zone, 2026, 3, 2, 7)
    assert when(prefs, local(zone, 2026, 3, 2, 7, 1)) == local(zone, 2026, 3, 3, 7)


def test_a_weekly_summary_comes_on_its_day() -> None:
    prefs = Preferences(zone=DENVER, delivery=Delivery.WEEKLY, digest_hour=7, digest_weekday=4)

    assert when(prefs, local(DENVER, 2026, 3, 2, 12)) == local(DENVER, 2026, 3, 6, 7)
    assert when(prefs, local(DENVER, 2026, 3, 6, 8)) == local(DENVER, 2026, 3, 13, 7)


@pytest.mark.parametrize(
    ("zone", "day"), [(DENVER, (2026, 3, 8)), (BERLIN, (2026, 3, 29))], ids=["west", "east"]
)
def test_an_hour_that_the_clock_change_leaves_out_comes_later(
    zone: ZoneInfo, day: tuple[int, int, int]
) -> None:
    assert when(daily(zone, 2), local(zone, *day)) == local(zone, *day, 3)


@pytest.mark.parametrize(
    ("zone", "day", "hour"),
    [(DENVER, (2026, 11, 1), 1), (BERLIN, (2026, 10, 25), 2)],
    ids=["west", "east"],
)
def test_an_hour_that_comes_twice_counts_once(
    zone: ZoneInfo, day: tuple[int, int, int], hour: int
) -> None:
    first = local(zone, *day, hour)

    assert when(daily(zone, hour), local(zone, *day)) == first
    again = when(daily(zone, hour), first + timedelta(minutes=1))
    assert again.astimezone(zone).date() == date(*day) + DAY


def test_quiet_hours_hold_until_they_end_also_past_midnight() -> None:
    prefs = quiet(BERLIN, time(22), time(6, 30))
    end = local(BERLIN, 2026, 3, 3, 6, 30)

    assert when(prefs, local(BERLIN, 2026, 3, 2, 21, 59)) == local(BERLIN, 2026, 3, 2, 21, 59)
    assert when(prefs, local(BERLIN, 2026, 3, 2, 22)) == end
    assert when(prefs, local(BERLIN, 2026, 3, 3, 3)) == end
    assert when(prefs, end) == end


def test_quiet_hours_within_a_day() -> None:
    prefs = quiet(DENVER, time(12), time(13))

    assert when(prefs, local(DENVER, 2026, 3, 2, 12, 59)) == local(DENVER, 2026, 3, 2, 13)
    assert when(prefs, local(DENVER, 2026, 3, 2, 13, 1)) == local(DENVER, 2026, 3, 2, 13, 1)


def test_a_summary_waits_for_the_end_of_the_quiet_hours_too() -> None:
    prefs = Preferences(
        zone=DENVER,
        delivery=Delivery.DAILY,
        digest_hour=5,
        quiet_from=time(22),
        quiet_until=time(6),
    )

    assert when(prefs, local(DENVER, 2026, 3, 2, 4)) == local(DENVER, 2026, 3, 2, 6)


def test_quiet_hours_that_end_when_they_begin_are_none() -> None:
    now = local(DENVER, 2026, 3, 2, 8)

    assert when(quiet(DENVER, time(8), time(8)), now) == now
    assert when(Preferences(zone=DENVER, quiet_from=time(1)), now) == now


def test_what_is_critical_waits_for_nothing() -> None:
    now = local(DENVER, 2026, 3, 2, 23)
    prefs = Preferences(
        zone=DENVER, delivery=Delivery.WEEKLY, quiet_from=time(22), quiet_until=time(6)
    )

    assert when(prefs, now, is_critical=True) == now


# --- Whatever the zone and the hour -----------------------------------------------------------

moments = st.datetimes(datetime(2011, 12, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
clock_times = st.none() | st.times().map(lambda t: t.replace(microsecond=0))
preferences = st.builds(
    Preferences,
    zone=st.sampled_from(ZONES),
    delivery=st.sampled_from(Delivery),
    digest_hour=st.integers(0, 23),
    digest_weekday=st.integers(0, 6),
    quiet_from=clock_times,
    quiet_until=clock_times,
)


@given(prefs=preferences, now=moments)
def test_it_is_never_early_never_long_and_never_moves_again(
    prefs: Preferences, now: datetime
) -> None:
    at = when(prefs, now)

    assert now <= at <= now + 11 * DAY
    if prefs.delivery is Delivery.IMMEDIATE:
        assert at <= now + 2.2 * DAY
        assert when(prefs, at) == at


@given(prefs=preferences, now=moments, later=st.timedeltas(timedelta(0), 20 * DAY))
def test_what_happens_later_is_told_no_earlier(
    prefs: Preferences, now: datetime, later: timedelta
) -> None:
    assert when(prefs, now) <= when(prefs, now + later)


@given(
    now=moments,
    zone=st.sampled_from([DENVER, BERLIN, KOLKATA]),
    start=st.times(),
    end=st.times(),
)
def test_nothing_goes_out_in_quiet_hours(
    now: datetime, zone: ZoneInfo, start: time, end: time
) -> None:
    at = when(quiet(zone, start, end), now).astimezone(zone)

    # Around a clock change the wall clock says little: that is tried above.
    day = at.utcoffset() == (at - DAY).utcoffset() == (at + DAY).utcoffset()
    clock = at.time()
    if day and start < end:
        assert not start <= clock < end
    elif day and start > end:
        assert end <= clock < start


@given(now=moments, zone=st.sampled_from(ZONES), hour=st.integers(0, 23))
def test_a_day_has_one_summary(now: datetime, zone: ZoneInfo, hour: int) -> None:
    first = when(daily(zone, hour), now)
    second = when(daily(zone, hour), first + timedelta(seconds=1))

    assert first.astimezone(zone).date() < second.astimezone(zone).date()
