"""What comes and goes is noticed by how often it came back."""

from datetime import timedelta

from maintenance.engine.flapping import is_flapping, is_settled, returned
from tests.factories import NOW

WINDOW = timedelta(days=14)
DAY = timedelta(days=1)


def test_the_third_return_within_the_window_is_flapping() -> None:
    returns = returned((), now=NOW, window=WINDOW)
    returns = returned(returns, now=NOW + DAY, window=WINDOW)
    assert not is_flapping(returns)

    assert is_flapping(returned(returns, now=NOW + 2 * DAY, window=WINDOW))


def test_returns_older_than_the_window_are_forgotten() -> None:
    returns = returned((NOW, NOW + DAY), now=NOW + DAY + WINDOW, window=WINDOW)

    assert returns == (NOW + DAY, NOW + DAY + WINDOW)
    assert not is_flapping(returns)


def test_it_has_settled_when_it_stayed_away_for_a_day() -> None:
    assert not is_settled(NOW, NOW + DAY - timedelta(seconds=1))
    assert is_settled(NOW, NOW + DAY)
    assert not is_settled(None, NOW + DAY)
