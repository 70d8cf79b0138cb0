"""Many lose their connection at once: one message for each recipient and channel."""

import pytest

from tests.faults import connection_storm


@pytest.mark.postgres
def test_a_storm_of_lost_connections_is_one_message_for_each_recipient_and_channel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = connection_storm.main(["--cars", "60", "--stale", "4", "--quick"])

    assert code == 0, capsys.readouterr().out
