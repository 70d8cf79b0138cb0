"""When oil life jumps up, the oil was changed."""

import pytest

from maintenance.engine.oil_changes import oil_changes, since_last_rise
from tests.maintenance.engine.builders import DAY, NOW


def said(*readings: tuple[float, float]) -> list:  # type: ignore[type-arg]
    return [(NOW + days * DAY, value) for days, value in readings]


@pytest.mark.parametrize(
    ("readings", "days"),
    [
        ([], []),
        ([(0, 100)], []),
        ([(0, 20), (1, 49.9)], []),
        ([(0, 20), (1, 50)], [1]),
        ([(0, 20), (1, 100), (2, 99), (3, 100)], [1]),
        ([(0, 20), (1, 19), (2, 48), (3, 49)], [3]),
        ([(0, 40), (1, 0), (2, 39)], []),  # from 0, which is unknown
        ([(0, 20), (1, 0), (2, 100)], [2]),
        ([(0, 20), (1, 101)], []),
        ([(0, 20), (31, 100)], []),  # nobody knows when
        ([(0, 20), (30, 100)], [30]),
        ([(0, 20), (1, 60), (3, 100)], [1]),  # in two steps
        ([(0, 20), (1, 100), (9, 20), (10, 100)], [1, 10]),
        ([(0, 20), (1, 100), (5, 20), (6, 100)], [1]),
    ],
)
def test_a_jump_is_a_change_of_oil(readings: list[tuple[float, float]], days: list[int]) -> None:
    found = oil_changes(said(*readings), 30)
    assert [change.at for change in found] == [NOW + day * DAY for day in days]
    assert all(change.after - change.before >= 30 for change in found)


def test_the_oil_that_is_in_now_is_what_came_after_the_last_rise() -> None:
    readings = said((0, 20), (1, 90), (2, 0), (3, 85), (4, 88))
    assert since_last_rise(readings, 30) == said((1, 90), (3, 85), (4, 88))
    assert since_last_rise([], 30) == []
