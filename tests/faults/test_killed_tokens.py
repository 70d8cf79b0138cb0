"""A worker is killed while it exchanges a refresh token; the connection lives on.

Everybody's clock is moved over the dead worker's lease, the provider's too: it forgets the spent
refresh token after the same 60 seconds. One test really waits.
"""

import time
from collections.abc import Iterator
from itertools import count

import pytest

from integrations.sandbox.faults import slow
from integrations.services.leases import LEASE
from tests.faults.conftest import MakePortal
from tests.faults.portal import Ended, Portal
from tests.processes import wait_until

PAST_THE_LEASE = LEASE.total_seconds() + 1
SWEEP = ("task", "integrations.tasks.finish_interrupted_refreshes")
REFRESH = ("command", "refresh_tokens")
POLL = ("command", "poll")
ANSWERED = "after POST /oauth/token #1"
OUR_COMMIT = "before UPDATE integrations_oauthtoken #2"


@pytest.fixture
def portal(make_portal: MakePortal) -> Iterator[Portal]:
    """A connection whose access token has run out."""
    with make_portal(vehicles=1, drivers=1) as running:
        running.connect()
        running.pass_time(hours=2)
        yield running


def killed_before_the_answer(portal: Portal) -> Ended:
    """Kill a worker when the provider has spent its token and has not answered yet."""
    before = portal.exchanges
    hang = portal.sandbox.smartcar.faults.add(slow(60, path="/oauth/token"))
    (worker,) = portal.start(*REFRESH)
    wait_until(lambda: portal.exchanges == before + 1, why="no exchange")
    worker.kill()
    (ended,) = portal.wait([worker])
    portal.sandbox.smartcar.faults.remove(hang)
    assert ended.killed
    return ended


def test_a_worker_killed_before_the_answer_came_loses_no_connection(portal: Portal) -> None:
    before = portal.exchanges
    killed_before_the_answer(portal)
    portal.do(*SWEEP)
    assert portal.exchanges - before == 1  # the lease of the dead still holds

    portal.pass_time(seconds=PAST_THE_LEASE)
    portal.do(*SWEEP)

    portal.assert_connected()
    assert portal.exchanges - before == 2


@pytest.mark.parametrize("work", [REFRESH, POLL], ids=["refresh", "poll"])
def test_a_worker_killed_at_any_step_loses_no_connection(
    portal: Portal, work: tuple[str, ...]
) -> None:
    died_at: list[str] = []
    for step in count(1):
        before = portal.exchanges
        worker = portal.run(*work, dies_at=step)
        if not worker.killed:
            break
        died_at.append(worker.died_at)
        portal.pass_time(seconds=PAST_THE_LEASE)
        portal.do(*SWEEP)
        portal.do(*work)

        portal.assert_connected()
        assert portal.ask("SELECT lease_until FROM integrations_oauthtoken") is None
        lost = died_at[-1] in {ANSWERED, OUR_COMMIT}
        assert portal.exchanges - before == 1 + lost, died_at
        portal.pass_time(hours=6)  # the next exchange proves the refresh token, too
    # Before the claim, before the call, after the answer, before our commit, and after it.
    assert len(died_at) >= 5, died_at
    assert {ANSWERED, OUR_COMMIT} <= set(died_at)


def test_four_workers_killed_one_after_the_other_lose_no_connection(portal: Portal) -> None:
    before = portal.exchanges
    killed_before_the_answer(portal)
    for _ in range(3):
        portal.pass_time(seconds=PAST_THE_LEASE)
        assert portal.run(*SWEEP, dies_at=ANSWERED).killed
    portal.pass_time(seconds=PAST_THE_LEASE)  # 44 of the 60 seconds are over
    portal.do(*SWEEP)

    portal.assert_connected()
    assert portal.exchanges - before == 5


def test_many_sweeps_at_once_finish_one_exchange_once(portal: Portal) -> None:
    before = portal.exchanges
    assert portal.run(*REFRESH, dies_at=ANSWERED).killed
    portal.pass_time(seconds=PAST_THE_LEASE)

    assert [one.code for one in portal.race(*SWEEP, times=6)] == [0] * 6

    portal.assert_connected()
    assert portal.exchanges - before == 2


def test_after_a_kill_the_next_sweep_in_real_time_is_early_enough(portal: Portal) -> None:
    began = time.monotonic()
    before = portal.exchanges
    assert portal.run(*REFRESH, dies_at=ANSWERED).killed

    def is_finished() -> bool:
        time.sleep(1)
        portal.do(*SWEEP)
        return portal.exchanges - before == 2

    wait_until(is_finished, seconds=40, why="the lease of the dead worker never ended")
    assert time.monotonic() - began > PAST_THE_LEASE - 2
    portal.assert_connected()
