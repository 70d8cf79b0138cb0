"""A sender is killed while an issue follows its alert: one comment, one move, and rows that say
so.
"""

from collections.abc import Iterator
from itertools import count

import pytest

from integrations.sandbox import Car
from tests.faults.conftest import MakePortal
from tests.faults.portal import Portal
from tests.faults.test_killed_senders import CARS, DELIVER, PAST_THE_LEASE, cars_of

ROWS = "fleetio_comment", "fleetio_issue", "fleetio_move"


@pytest.fixture
def portal(make_portal: MakePortal) -> Iterator[Portal]:
    with make_portal(vehicles=CARS, drivers=1) as running:
        running.do("add_cars", [car.vin for car in cars_of(running)])
        yield running


def let_it_be_over(portal: Portal, car: Car) -> None:
    """The issue is made, then the alert is over: a comment and a move are to go out."""
    portal.do("wear_out", car.vin, None)
    deliver_until_quiet(portal)
    portal.pass_time(hours=1)
    portal.do("go_through", car.vin)


def deliver_until_quiet(portal: Portal) -> None:
    for _ in range(10):
        portal.run(*DELIVER)
        states = portal.rows("SELECT DISTINCT state FROM integrations_outboxentry")
        if not {"pending", "sending", "unknown"} & {state for (state,) in states}:
            return
        portal.pass_time(seconds=PAST_THE_LEASE)
    raise AssertionError(portal.outputs)


def assert_followed_once(portal: Portal, car: Car) -> None:
    (issue,) = portal.sandbox.fleetio.issues(car.vin)
    assert issue["state"] == "Resolved"
    comments = [
        row["comment"]
        for row in portal.sandbox.fleetio.records.rows("comments")
        if row["commentable_id"] == issue["id"]
    ]
    assert len(comments) == 1, comments
    rows = portal.rows(
        "SELECT entry.kind, entry.state FROM integrations_outboxentry AS entry"
        " JOIN integrations_vehicle AS car ON entry.vehicle_id = car.id"
        " WHERE car.vin = %s AND entry.lane = 'fleetio' ORDER BY entry.kind",
        car.vin,
    )
    assert rows == [(kind, "done") for kind in ROWS]
    known = portal.rows(
        "SELECT state FROM maintenance_fleetioissue WHERE fleetio_id = %s", str(issue["id"])
    )
    assert known == [("resolved",)]


def test_a_sender_killed_at_any_step_says_and_moves_once(portal: Portal) -> None:
    died_at = []
    for step, car in zip(count(1), cars_of(portal), strict=False):
        let_it_be_over(portal, car)
        sender = portal.run(*DELIVER, dies_at=step)
        if not sender.killed:
            break
        died_at.append(sender.died_at)
        portal.pass_time(seconds=PAST_THE_LEASE)
        deliver_until_quiet(portal)
        try:
            assert_followed_once(portal, car)
        except (AssertionError, ValueError) as exc:
            raise AssertionError(f"killed {died_at[-1]}") from exc
    else:
        raise AssertionError("more steps than cars")
    assert "after POST /api/comments #1" in died_at
    assert any(step.startswith("after PATCH /api/issues/") for step in died_at)


def let_it_be_back(portal: Portal, car: Car) -> None:
    """The issue was resolved, and is to be opened again."""
    let_it_be_over(portal, car)
    deliver_until_quiet(portal)
    portal.pass_time(hours=13)
    portal.do("wear_out", car.vin, None)


def assert_taken_back(portal: Portal, car: Car) -> None:
    (issue,) = portal.sandbox.fleetio.issues(car.vin)
    known = portal.rows(
        "SELECT known.state, alert.status, alert.times_opened"
        " FROM maintenance_fleetioissue AS known"
        " JOIN maintenance_alert AS alert ON known.alert_id = alert.id"
        " WHERE known.fleetio_id = %s",
        str(issue["id"]),
    )
    assert (issue["state"], known) == ("Resolved", [("resolved", "resolved", 2)])


def test_what_a_killed_sender_opened_again_is_taken_back_when_it_is_over(portal: Portal) -> None:
    died_at = []
    for step, car in zip(count(1), cars_of(portal), strict=False):
        let_it_be_back(portal, car)
        sender = portal.run(*DELIVER, dies_at=step)
        portal.pass_time(seconds=PAST_THE_LEASE)
        portal.do("go_through", car.vin)
        portal.do("command", "sync_fleetio")
        deliver_until_quiet(portal)
        portal.do("command", "sync_fleetio")
        try:
            assert_taken_back(portal, car)
        except (AssertionError, ValueError) as exc:
            raise AssertionError(f"killed {sender.died_at}") from exc
        if not sender.killed:
            break
        died_at.append(sender.died_at)
    else:
        raise AssertionError("more steps than cars")
    assert any(step.startswith("after PATCH /api/issues/") for step in died_at)
