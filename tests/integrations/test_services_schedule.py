"""When a car is read again."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.services import schedule
from tests.factories import NOW

HABIT = timedelta(minutes=30)


@pytest.mark.parametrize(
    ("now", "start", "following"),
    [
        ("2026-03-02T12:00Z", "2026-03-01T00:00Z", "2026-04-01T00:00Z"),
        ("2026-12-31T23:59Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("2028-02-29T00:00Z", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        ("2026-04-01T00:00Z", "2026-04-01T00:00Z", "2026-05-01T00:00Z"),
        ("2026-03-31T22:00-05:00", "2026-04-01T00:00Z", "2026-05-01T00:00Z"),
    ],
)
def test_the_billing_month_is_utcs(now: str, start: str, following: str) -> None:
    moment = datetime.fromisoformat(now)

    assert schedule.month_of(moment) == datetime.fromisoformat(start)
    assert schedule.next_month(moment) == datetime.fromisoformat(following)


def interval(**given: object) -> timedelta:
    values = {"calls_left": 400, "cost": 1, "habit": HABIT, "now": NOW, "chance": 0.5} | given
    return schedule.poll_interval(**values)  # type: ignore[arg-type]


def test_what_is_left_of_the_calls_is_spread_over_what_is_left_of_the_month() -> None:
    rest = schedule.next_month(NOW) - NOW

    assert interval() == rest / 400
    assert interval(cost=4) == rest / 100
    assert interval(calls_left=100, cost=3) == rest / 33


@pytest.mark.parametrize(("calls_left", "cost"), [(0, 1), (-5, 1), (2, 3)])
def test_without_a_poll_left_it_waits_for_the_next_month(calls_left: int, cost: int) -> None:
    assert NOW + interval(calls_left=calls_left, cost=cost) == schedule.next_month(NOW)


def test_it_never_asks_more_often_than_the_make_refreshes_nor_than_every_15_minutes() -> None:
    assert interval(calls_left=10**6) == HABIT
    assert interval(calls_left=10**6, habit=timedelta(hours=6), chance=0.0) == timedelta(hours=6)
    assert interval(calls_left=10**6, habit=timedelta(0), chance=0.0) == schedule.SHORTEST


def test_a_car_is_seen_every_two_days_while_a_poll_is_left() -> None:
    assert interval(calls_left=1) == schedule.LONGEST


@given(
    st.integers(-10, 10**6),
    st.integers(0, 20),
    st.floats(0, 1),
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 31)),  # noqa: DTZ001  zone below
)
def test_the_wait_is_bounded_whatever_comes(
    calls_left: int, cost: int, chance: float, moment: datetime
) -> None:
    now = moment.replace(tzinfo=UTC)
    wait = schedule.poll_interval(
        calls_left=calls_left, cost=cost, habit=HABIT, now=now, chance=chance
    )

    rest = schedule.next_month(now) - now
    assert min(HABIT, rest) <= wait <= max(schedule.LONGEST * 1.1, rest)


def test_jitter_keeps_a_fleet_from_asking_all_at_once() -> None:
    waits = {schedule.poll_interval(calls_left=9, cost=1, habit=HABIT, now=NOW) for _ in range(9)}
    assert len(waits) > 1
    assert interval(chance=0.0) < interval(chance=1.0)


@pytest.mark.parametrize(
    ("failures", "most"),
    [(0, 120), (1, 120), (2, 240), (3, 480), (8, 15_360), (9, 21_600), (10**6, 21_600)],
)
def test_the_wait_after_failures_doubles_up_to_six_hours(failures: int, most: int) -> None:
    assert schedule.backoff(failures, chance=1.0) == timedelta(seconds=most)
    assert schedule.backoff(failures, chance=0.0) == timedelta(seconds=30)


def test_the_zone_of_now_plays_no_part() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=-8)))

    assert interval(now=there) == interval()
