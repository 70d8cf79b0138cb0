"""Vehicles of one make that fall silent together."""

from datetime import timedelta

from maintenance.engine.outages import Car, Outage, judge
from tests.factories import NOW

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def cars(*hours_ago: float) -> list[Car]:
    return [Car(last_at=NOW - hours * HOUR, quiet_after=72 * HOUR) for hours in hours_ago]


def test_three_that_fall_silent_together_are_an_outage() -> None:
    assert judge(cars(73, 74, 75, 1, 2), now=NOW) == Outage(quiet=3, total=5, since=NOW - 75 * HOUR)


def test_two_are_none() -> None:
    assert judge(cars(73, 74, 1), now=NOW) is None


def test_three_of_many_are_none() -> None:
    assert judge(cars(73, 74, 75, *[1] * 8), now=NOW) is None
    assert judge(cars(73, 74, 75, *[1] * 7), now=NOW) is not None


def test_it_is_noticed_before_the_first_counts_as_stale_by_itself() -> None:
    assert judge(cars(60.1, 60.2, 60.3), now=NOW) is not None
    assert judge(cars(59.9, 60.2, 60.3), now=NOW) is None


def test_vehicles_that_fell_silent_long_before_do_not_count() -> None:
    assert judge(cars(500, 400, 300, 73, 1), now=NOW) is None
    assert judge(cars(500, 73, 74, 75), now=NOW) == Outage(quiet=3, total=3, since=NOW - 75 * HOUR)


def test_it_goes_on_until_fewer_than_half_of_what_it_takes_are_quiet() -> None:
    since = NOW - 75 * HOUR
    ten = cars(73, 74, *[1] * 8)  # three would open one

    assert judge(ten, now=NOW, ongoing_since=since) == Outage(quiet=2, total=10, since=since)
    assert judge(cars(73, *[1] * 9), now=NOW, ongoing_since=since) is None


def test_it_goes_on_however_long_it_lasts() -> None:
    since = NOW - 40 * DAY
    quiet = [Car(last_at=since + HOUR, quiet_after=72 * HOUR)] * 4

    assert judge(quiet, now=NOW, ongoing_since=since) is not None


def test_a_make_of_which_nothing_is_known_has_none() -> None:
    assert judge([], now=NOW) is None
