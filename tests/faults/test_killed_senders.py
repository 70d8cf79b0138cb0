"""A sender is killed, or Fleetio fails it: one issue, one odometer, and rows that say so."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from integrations.sandbox import Car, Fault
from integrations.sandbox.faults import slow
from integrations.services import delivery
from integrations.services.measures import KM_PER_MILE
from tests.faults.conftest import MakePortal
from tests.faults.portal import Portal
from tests.processes import wait_until

PAST_THE_LEASE = delivery.LEASE.total_seconds() + 1
DELIVER = ("command", "deliver")
CARS = 40
ISSUE, ODOMETER = "/api/issues", "/api/meter_entries"


FAULTS: dict[str, dict[str, Any]] = {
    "the request is lost": {"drop": True},
    "the answer is lost": {"drop": True, "carried_out": True},
    "the answer is lost three times": {"drop": True, "carried_out": True, "times": 3},
    "a gateway's page after the work": {"status": 502, "body": "<html>", "carried_out": True},
    "500 after the work": {"status": 500, "carried_out": True},
    "503 twice": {"status": 503, "times": 2},
    "429 with Retry-After": {"status": 429, "retry_after": 30, "times": 2},
    "429 without Retry-After": {"status": 429, "times": 2},
}


@pytest.fixture
def portal(make_portal: MakePortal) -> Iterator[Portal]:
    """Cars that are in Fleetio, in miles, with nothing to tell yet."""
    with make_portal(vehicles=CARS, drivers=1) as running:
        running.do("add_cars", [car.vin for car in cars_of(running)])
        yield running


def cars_of(portal: Portal) -> list[Car]:
    return portal.sandbox.fleet.cars[3:-1]  # the others are in kilometres, hours or not at all


def wear_out(portal: Portal, car: Car) -> None:
    portal.do("wear_out", car.vin, car.odometer_km)


def deliver_until_quiet(portal: Portal) -> None:
    """Deliver again and again while time passes, as beat does."""
    for _ in range(10):
        portal.run(*DELIVER)
        states = portal.rows("SELECT DISTINCT state FROM integrations_outboxentry")
        if not {"pending", "sending", "unknown"} & {state for (state,) in states}:
            return
        portal.pass_time(seconds=PAST_THE_LEASE)
    raise AssertionError(portal.outputs)


def assert_told_once(portal: Portal, car: Car) -> None:
    """Fleetio has one issue and one new odometer of this car, and so say our rows."""
    (issue,) = portal.sandbox.fleetio.issues(car.vin)
    _first, odometer = portal.sandbox.fleetio.meter_entries(car.vin)
    value = round(car.odometer_km / KM_PER_MILE, 1)
    assert odometer["value"] == str(value)
    rows = portal.rows(
        "SELECT entry.kind, entry.state, entry.result, entry.last_error, entry.lease_until"
        " FROM integrations_outboxentry AS entry"
        " JOIN integrations_vehicle AS car ON entry.vehicle_id = car.id"
        " WHERE car.vin = %s AND entry.lane = 'fleetio' ORDER BY entry.kind",
        car.vin,
    )
    sent = f"{value:,.1f} mi (meter entry {odometer['id']})"
    assert rows == [
        ("fleetio_issue", "done", f"issue #{issue['number']}", "", None),
        ("fleetio_odometer", "done", sent, "", None),
    ]
    known = portal.rows(
        "SELECT issue.fleetio_id FROM maintenance_fleetioissue AS issue"
        " JOIN maintenance_alert AS alert ON issue.alert_id = alert.id"
        " JOIN integrations_vehicle AS car ON alert.vehicle_id = car.id"
        " WHERE car.vin = %s",
        car.vin,
    )
    assert known == [(issue["id"],)]
    told = portal.rows(
        "SELECT activity.what FROM integrations_activity AS activity"
        " JOIN integrations_vehicle AS car ON activity.vehicle_id = car.id"
        " WHERE car.vin = %s AND activity.what LIKE %s",
        car.vin,
        "Fleetio issue %",
    )
    assert told == [(f"Fleetio issue #{issue['number']}: {issue['summary']}",)]


def test_a_sender_killed_at_any_step_tells_fleetio_once(portal: Portal) -> None:
    died_at = []
    for step, car in zip(count(1), cars_of(portal), strict=False):
        wear_out(portal, car)
        sender = portal.run(*DELIVER, dies_at=step)
        if not sender.killed:
            break
        died_at.append(sender.died_at)
        portal.pass_time(seconds=PAST_THE_LEASE)
        deliver_until_quiet(portal)
        try:
            assert_told_once(portal, car)
        except (AssertionError, ValueError) as exc:
            raise AssertionError(f"killed {died_at[-1]}") from exc
    else:
        raise AssertionError("more steps than cars")
    assert {f"after POST {ISSUE} #1", f"after POST {ODOMETER} #1"} <= set(died_at)
    assert len(set(portal.mails())) == len(died_at) + 1
    # A mail has no answer that could be looked for: one that may have left goes out again, as it
    # was, so that mail programs show it once.
    assert len(portal.mails()) <= len(died_at) + 2


def test_a_sender_killed_at_any_step_sends_what_goes_together_together(portal: Portal) -> None:
    """Worn oil and a trouble code of one car are one mail, whoever dies while it is sent."""
    died_at = []
    for step, car in zip(count(1), cars_of(portal), strict=False):
        portal.do("say_and_judge", car.vin)
        portal.pass_time(seconds=30)  # nothing more joins
        sender = portal.run("task", "integrations.tasks.deliver_mail", dies_at=step)
        if not sender.killed:
            break
        died_at.append(sender.died_at)
        portal.pass_time(seconds=PAST_THE_LEASE)
        portal.do("task", "integrations.tasks.deliver_mail")
    else:
        raise AssertionError("more steps than cars")
    assert {"before UPDATE integrations_outboxentry #1", "before COMMIT #1"} <= set(died_at)
    parcels = portal.rows(
        "SELECT count(*), min(state), max(state) FROM integrations_outboxentry"
        " WHERE lane = 'mail' GROUP BY parcel"
    )
    cars = len(died_at) + 1
    assert parcels == [(2, "done", "done")] * cars
    assert len(set(portal.mails())) == cars
    assert len(portal.mails()) <= cars + 1


@pytest.mark.parametrize("path", [ISSUE, ODOMETER])
def test_a_sender_killed_before_the_answer_came_tells_fleetio_once(
    portal: Portal, path: str
) -> None:
    car = cars_of(portal)[0]
    wear_out(portal, car)
    hang = portal.sandbox.fleetio.faults.add(slow(60, method="POST", path=path))
    portal.sandbox.fleetio.list_lag = 80  # what was made is in no list for so many seconds
    (sender,) = portal.start(*DELIVER)
    rows = path.rpartition("/")[2]
    before = 0 if path == ISSUE else len(portal.sandbox.fleetio.meter_entries(car.vin))
    wait_until(
        lambda: (
            len(portal.sandbox.fleetio.records.rows(rows)) > before
            and portal.sandbox.fleetio.faults.committed(hang)
        ),
        why="nothing was sent",
    )
    sender.kill()
    assert portal.wait([sender])[0].killed
    portal.sandbox.fleetio.faults.clear()

    portal.do(*DELIVER)  # others go on, but not with what the dead one held
    deliver_until_quiet(portal)
    assert_told_once(portal, car)


def test_whatever_fleetio_answers_it_is_told_once(portal: Portal) -> None:
    portal.sandbox.fleetio.list_lag = 40
    for (name, fault), car in zip(FAULTS.items(), cars_of(portal), strict=False):
        portal.sandbox.fleetio.faults.clear()
        for path in (ISSUE, ODOMETER):
            portal.sandbox.fleetio.faults.add(Fault(method="POST", path=path, **fault))
        wear_out(portal, car)
        deliver_until_quiet(portal)
        try:
            assert_told_once(portal, car)
        except (AssertionError, ValueError) as exc:
            raise AssertionError(name) from exc


def test_lists_that_fail_while_a_lost_message_is_looked_for_make_no_twin(portal: Portal) -> None:
    (car, *_others) = cars_of(portal)
    wear_out(portal, car)
    assert portal.run(*DELIVER, dies_at=f"after POST {ISSUE} #1").killed
    portal.pass_time(seconds=PAST_THE_LEASE)
    for fault in ({"status": 500}, {"status": 429}, {"drop": True}):
        portal.sandbox.fleetio.faults.add(
            Fault(method="GET", path=ISSUE, pattern="issues$", **fault)
        )
    deliver_until_quiet(portal)
    assert_told_once(portal, car)


def test_ten_thousand_of_one_kind_starve_no_other_and_two_senders_make_no_twin(
    portal: Portal,
) -> None:
    fleetio = portal.sandbox.fleetio
    backlog, *others = cars_of(portal)[:11]
    portal.pass_time(hours=6)
    portal.do("queue_a_backlog", backlog.vin, backlog.odometer_km, 9_990)
    for car in others:
        portal.do("wear_out", car.vin, None)
    portal.do("task", "integrations.tasks.deliver_mail")
    fleetio.requests.clear()

    for posts in (150, 300):
        send_together_until(portal, posts)
        portal.pass_time(seconds=PAST_THE_LEASE)

    sent = [request.path for request in fleetio.requests.matching("POST")]
    assert sent[:25].count(ISSUE) == sent.count(ISSUE) == len(fleetio.issues()) == 10
    values = [entry["value"] for entry in fleetio.meter_entries(backlog.vin)]
    assert len(values) == len(set(values)) > 250
    done = portal.ask(
        "SELECT count(*) FROM integrations_outboxentry WHERE kind = 'fleetio_odometer'"
        " AND state = 'done'"
    )
    # What the two killed senders had in hand is in Fleetio or not; nothing else differs.
    assert 0 <= len(values) - 1 - done <= 1


def send_together_until(portal: Portal, posts: int) -> None:
    """Two senders at once, killed when Fleetio has been told so often."""
    senders = portal.start(*DELIVER, times=2)
    requests = portal.sandbox.fleetio.requests
    wait_until(lambda: requests.count("POST") >= posts, why="nothing is sent")
    wait_until(lambda: any(sender.output for sender in senders), why="both are sending")
    for sender in senders:
        sender.kill()
    first, second = sorted(portal.wait(senders), key=lambda ended: ended.output)
    assert first.killed
    assert "another worker is sending to Fleetio" in second.output
