"""The site is killed while a driver comes back from Connect: the driver can try again."""

from collections.abc import Iterator
from itertools import count

import pytest

from integrations.services.leases import LEASE
from tests.faults.conftest import MakePortal
from tests.faults.portal import Portal

DRIVERS = 40
PAST_THE_LEASE = LEASE.total_seconds() + 1
LIST_MISSING = ("task", "integrations.tasks.list_missing_vehicles")


@pytest.fixture
def portal(make_portal: MakePortal) -> Iterator[Portal]:
    with make_portal(vehicles=DRIVERS, drivers=DRIVERS) as running:
        yield running


def newest_link(portal: Portal) -> tuple[bool, bool]:
    """Is it used, and does somebody hold it?"""
    links = "SELECT used_at, claimed_until FROM integrations_connectlink ORDER BY id DESC LIMIT 1"
    ((used_at, claimed_until),) = portal.rows(links)
    return used_at is not None, claimed_until is not None


def test_a_driver_whose_callback_was_killed_at_any_step_is_connected_or_can_try_again(
    portal: Portal,
) -> None:
    died_at = []
    tried_again = []
    for step, driver in zip(count(1), portal.sandbox.fleet.drivers, strict=False):
        site = portal.run("finish", portal.consent(driver), dies_at=step)
        if not site.killed:
            break
        died_at.append(site.died_at)
        portal.pass_time(seconds=PAST_THE_LEASE)
        is_used, _ = newest_link(portal)
        if not is_used:  # the same link, and the code that Connect gives the second time
            tried_again.append(site.died_at)
            portal.do("finish", portal.consent(driver, job="press_the_button"))
        portal.do(*LIST_MISSING)

        assert newest_link(portal)[0], died_at
        portal.assert_connected(driver)
        connected = portal.ask("SELECT count(*) FROM integrations_connection")
        assert connected == portal.ask("SELECT count(*) FROM integrations_vehicle") == step
    else:
        raise AssertionError("more steps than drivers")
    assert "after POST /oauth/token #1" in tried_again
    assert "after GET /v2.0/user #1" in tried_again
    assert set(tried_again) < set(died_at)


def test_a_link_whose_callback_was_killed_is_held_for_some_seconds_only(portal: Portal) -> None:
    driver = portal.sandbox.fleet.drivers[0]
    code = portal.consent(driver)
    assert portal.run("finish", code, dies_at="after POST /oauth/token #1").killed
    assert newest_link(portal) == (False, True)

    code = portal.consent(driver, job="press_the_button")
    assert "LinkUsedError" in portal.run("finish", code).output
    portal.pass_time(seconds=PAST_THE_LEASE)
    portal.do("finish", code)

    assert newest_link(portal) == (True, False)
    portal.assert_connected(driver)
