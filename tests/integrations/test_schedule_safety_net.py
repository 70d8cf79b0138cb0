"""When a car that reports by itself is read all the same."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.services import schedule
from tests.factories import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def net(
    webhook: timedelta | None, read: timedelta | None, habit: timedelta = HOUR
) -> datetime | None:
    """With a webhook and a read so long ago."""
    return schedule.safety_net(
        last_webhook_at=None if webhook is None else NOW - webhook,
        last_read_at=None if read is None else NOW - read,
        habit=habit,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("habit", "quiet"),
    [(timedelta(minutes=5), 6 * HOUR), (2 * HOUR, 6 * HOUR), (3 * HOUR, 9 * HOUR), (DAY, 3 * DAY)],
)
def test_quiet_is_three_times_the_makes_habit_and_six_hours_at_least(
    habit: timedelta, quiet: timedelta
) -> None:
    assert schedule.quiet_after(habit) == quiet


def test_a_car_without_a_webhook_is_polled() -> None:
    assert net(None, HOUR) is None


def test_a_car_that_went_quiet_is_polled() -> None:
    assert net(6 * HOUR, HOUR) is not None
    assert net(6 * HOUR + timedelta(seconds=1), HOUR) is None


def test_a_healthy_one_is_read_a_day_after_the_last_time() -> None:
    assert net(timedelta(0), 20 * HOUR) == NOW + 4 * HOUR
    assert net(timedelta(0), 30 * HOUR) == NOW - 6 * HOUR
    assert net(timedelta(0), 0 * HOUR, habit=DAY) == NOW + DAY


def test_one_that_was_never_read_is_read_now() -> None:
    assert net(timedelta(0), None) == NOW


def test_silence_beyond_the_habit_comes_before_the_day() -> None:
    assert net(HOUR, HOUR) == NOW + 5 * HOUR


SPANS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=40))


@given(webhook=SPANS, read=SPANS, habit=st.timedeltas(min_value=HOUR / 60, max_value=3 * DAY))
def test_never_later_than_a_day_after_a_read_nor_than_the_silence(
    webhook: timedelta, read: timedelta, habit: timedelta
) -> None:
    due = net(webhook, read, habit)

    if webhook > schedule.quiet_after(habit):
        assert due is None
    else:
        assert due is not None
        assert due <= NOW - read + DAY
        assert due <= NOW - webhook + schedule.quiet_after(habit)


# --- What a webhook may do to the next poll ---------------------------------------------------


def put_off(
    planned: timedelta | None,
    net: timedelta | None = timedelta(0),
    not_before: timedelta | None = None,
) -> timedelta | None:
    """All of them so long from now."""
    moment = schedule.put_off(
        None if planned is None else NOW + planned,
        net=None if net is None else NOW + net,
        not_before=None if not_before is None else NOW + not_before,
        now=NOW,
    )
    return None if moment is None else moment - NOW


def test_a_poll_is_put_off_to_the_safety_net() -> None:
    assert put_off(2 * HOUR, 6 * HOUR) == 6 * HOUR
    assert put_off(2 * HOUR, 6 * HOUR, DAY) == DAY


def test_a_poll_that_was_put_off_is_not_pulled_forward() -> None:
    assert put_off(DAY, -30 * DAY) == DAY
    assert put_off(DAY, None) == DAY
    assert put_off(DAY, HOUR, 2 * HOUR) == DAY


@pytest.mark.parametrize("since", [timedelta(0), HOUR, 9 * DAY])
def test_a_poll_that_is_due_stays_due(since: timedelta) -> None:
    assert put_off(-since, DAY, 2 * DAY) == -since


def test_a_poll_that_another_worker_asked_for_just_now_stays_due() -> None:
    second = timedelta(seconds=1)
    assert put_off(second, DAY) == second


def test_a_car_that_is_not_to_be_polled_is_not() -> None:
    assert put_off(None, DAY) is None
