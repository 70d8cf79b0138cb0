"""Many real processes at once on one database file, or one PostgreSQL: nothing happens twice."""

from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from integrations.sandbox.faults import slow
from tests.faults.conftest import MakePortal
from tests.faults.portal import Ended, Portal
from tests.processes import free_port, started, wait_until

COMMANDS = (("poll", "--all"), ("deliver",), ("evaluate",), ("sync_fleetio",))
UNHAPPY = ("locked", "deadlock", "Traceback", "ERROR")


def assert_all_well(crowd: list[Ended]) -> None:
    assert {one.code for one in crowd} == {0}, crowd
    said = "\n".join(one.output for one in crowd)
    assert [word for word in UNHAPPY if word in said] == [], said


@pytest.fixture
def driver(make_portal: MakePortal) -> Iterator[Portal]:
    """A connection whose access token has run out, at a provider without any grace."""
    with make_portal(vehicles=1, drivers=1) as running:
        running.connect()
        running.sandbox.smartcar.tokens.grace = 0.0
        running.pass_time(hours=2)
        yield running


def test_sixteen_processes_make_one_exchange(driver: Portal) -> None:
    driver.sandbox.smartcar.faults.add(slow(0.5, path="/oauth/token"))
    before = driver.exchanges

    crowd = driver.race("get_access_token", times=16)

    assert_all_well(crowd)
    assert {one.output for one in crowd} == {"pair 2, the stored one\n"}
    assert driver.exchanges - before == 1
    assert driver.sandbox.smartcar.requests.count("POST", "/oauth/token") == 2  # one was the code
    driver.assert_connected()


def test_sixteen_processes_that_refresh_and_poll_make_one_exchange_each_time(
    driver: Portal,
) -> None:
    for _ in range(3):
        before = driver.exchanges
        crowd = [
            actor
            for command in (("refresh_tokens",), ("poll",))
            for actor in driver.start("command", *command, times=8)
        ]
        assert_all_well(driver.wait(crowd))
        assert driver.exchanges - before == 1
        driver.assert_connected()
        driver.pass_time(hours=6)


def test_eight_processes_that_say_and_judge_the_same_make_one_alert_and_one_issue(
    make_portal: MakePortal,
) -> None:
    with make_portal(vehicles=4, drivers=1) as portal:
        vin = portal.sandbox.fleet.cars[0].vin
        portal.do("add_cars", [vin])

        assert_all_well(portal.race("say_and_judge", vin, times=8))

        alerts = portal.rows("SELECT topic, subject, status FROM maintenance_alert ORDER BY topic")
        assert [(subject, status) for _topic, subject, status in alerts] == [
            ("", "open"),  # the oil
            ("P0300", "open"),
        ]
        kinds = Counter(
            kind for (kind,) in portal.rows("SELECT kind FROM integrations_outboxentry")
        )
        assert kinds == {"fleetio_issue": 2, "mail_alert": 2}
        twins = portal.rows(
            "SELECT code, recorded_at FROM integrations_reading"
            " GROUP BY code, recorded_at HAVING count(*) > 1"
        )
        assert twins == []

        assert_all_well(portal.race("command", "deliver", times=4))
        assert len(portal.sandbox.fleetio.issues()) == 2


def test_a_storm_is_claimed_whole_by_one_of_a_crowd(make_portal: MakePortal) -> None:
    """In halves it would be as many messages as there are senders."""
    with make_portal(vehicles=1, drivers=1) as portal:
        portal.do("queue_a_bundle", 2000)

        crowd = portal.race("claim_the_bundle", times=4)

        assert_all_well(crowd)
        assert sorted(int(one.output) for one in crowd) == [0, 0, 0, 2000]


def test_everything_at_once_does_nothing_twice(make_portal: MakePortal) -> None:
    with make_portal(vehicles=6, drivers=1) as portal:
        portal.connect()
        portal.do("say_before")
        port = free_port()
        command = ("manage.py", "serve", "--port", str(port))
        with started(portal.env, portal.folder / "serve.log", *command) as site:
            wait_until(lambda: is_up(port), why="serve did not start")
            for _ in range(3):
                rush_hour(portal)
            assert is_up(port)
            assert site.terminate() == 0
        assert [word for word in UNHAPPY if word in site.output] == [], site.output
        assert_nothing_twice(portal)


def is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


def rush_hour(portal: Portal) -> None:
    """Every car has news, and every command runs twice at the same moment."""
    for car in portal.sandbox.fleet.cars:
        oil = None if car.oil_life is None else 0.14
        car.report(portal.clock(), odometer_km=car.odometer_km + 40, oil_life=oil)
    crowd = [actor for one in COMMANDS for actor in portal.start("command", *one, times=2)]
    assert_all_well(portal.wait(crowd))


def assert_nothing_twice(portal: Portal) -> None:
    portal.do("command", "sync_fleetio")
    portal.do("command", "deliver")
    fleetio = portal.sandbox.fleetio
    issues = Counter((row["vehicle"]["vin"], row["summary"]) for row in fleetio.issues())
    odometers = Counter(
        (row["vehicle_id"], row["value"]) for row in fleetio.records.rows("meter_entries")
    )
    mails = Counter(portal.mails())
    assert issues
    assert len(mails) >= len(issues)
    assert len(odometers) > len(portal.sandbox.fleet.cars)
    for what in (issues, odometers, mails):
        assert [one for one, times in what.items() if times > 1] == []
