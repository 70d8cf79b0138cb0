"""Both sides of each threshold of doubt."""

from datetime import timedelta

import pytest

from integrations.services.plausibility import (
    MAX_KM_PER_DAY,
    Belief,
    Known,
    agrees,
    is_ahead_of_time,
    odometer_doubt,
)
from tests.factories import NOW

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
CURRENT = Known(100_000, NOW)


@pytest.mark.parametrize(
    ("ahead", "doubted"),
    [(5 * 60 * SECOND, False), (5 * 60 * SECOND + SECOND, True), (-DAY, False)],
)
def test_more_than_five_minutes_ahead_is_the_future(ahead: timedelta, doubted: bool) -> None:
    assert is_ahead_of_time(NOW + ahead, NOW) is doubted


@pytest.mark.parametrize(
    ("more", "later", "doubt"),
    [
        pytest.param(0, DAY, "", id="parked"),
        pytest.param(-0.1, DAY, "the odometer went back", id="back"),
        pytest.param(MAX_KM_PER_DAY - 1, SECOND, "", id="a day's most within a second"),
        pytest.param(MAX_KM_PER_DAY + 1, SECOND, "the odometer jumped", id="more than that"),
        pytest.param(MAX_KM_PER_DAY + 1, DAY, "the odometer jumped", id="more than a day's most"),
        pytest.param(MAX_KM_PER_DAY * 2 - 1, 2 * DAY, "", id="two days' most"),
        pytest.param(MAX_KM_PER_DAY * 2 + 1, 2 * DAY, "the odometer jumped", id="more than two"),
    ],
)
def test_an_odometer_goes_forward_and_not_too_fast(
    more: float, later: timedelta, doubt: str
) -> None:
    assert odometer_doubt(CURRENT.km + more, NOW + later, CURRENT) == doubt


def test_the_first_odometer_is_believed() -> None:
    assert odometer_doubt(5.0, NOW, None) == ""


@pytest.mark.parametrize(
    ("km", "later", "confirmed"),
    [
        pytest.param(100_000, HOUR, True, id="the same, an hour later"),
        pytest.param(100_050, HOUR, True, id="a little more, an hour later"),
        pytest.param(100_000, HOUR - SECOND, False, id="too soon"),
        pytest.param(99_999, HOUR, False, id="less"),
        pytest.param(200_000, HOUR, False, id="far more"),
        pytest.param(100_000, -HOUR, False, id="an older one"),
    ],
)
def test_a_second_reading_confirms_when_it_follows_and_is_no_echo(
    km: float, later: timedelta, confirmed: bool
) -> None:
    assert agrees(km, NOW + later, CURRENT) is confirmed


def test_without_a_first_reading_nothing_is_confirmed() -> None:
    assert not agrees(1.0, NOW, None)


def test_belief_goes_from_one_odometer_to_the_next() -> None:
    belief = Belief()
    said = [(1_000, 0), (90_000, 1), (90_001, 1.5), (1_010, 3), (90_000, 4), (90_010, 5)]

    judged = [belief.judge(km, NOW + hour * HOUR) for km, hour in said]

    assert judged == [
        (True, ""),
        (False, "the odometer jumped"),
        (False, "the odometer jumped"),
        (True, ""),
        (False, "the odometer jumped"),
        (True, "confirmed by a second reading"),
    ]
    assert (belief.current, belief.candidate) == (Known(90_010, NOW + 5 * HOUR), None)


def test_an_echo_leaves_the_first_doubtful_one_waiting() -> None:
    belief = Belief(current=CURRENT)
    for minutes in (0, 20, 40):
        belief.judge(5_000, NOW + timedelta(minutes=minutes))
        assert belief.candidate == Known(5_000, NOW)
