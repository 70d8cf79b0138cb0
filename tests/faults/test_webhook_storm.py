"""Whatever the order, repetition and deaths on the way: the same signals and the same alerts."""

import pytest

from tests.faults import webhook_storm


@pytest.mark.postgres
def test_a_storm_of_webhooks_ends_like_the_same_events_once_and_in_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--events", "300", "--cars", "10", "--kills", "0.7"]

    code = webhook_storm.main(options)

    assert code == 0, capsys.readouterr().out
