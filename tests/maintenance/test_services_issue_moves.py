"""Moves of an issue whose answer was lost, or that somebody crosses: nobody is overruled."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from integrations.models import OutboxEntry
from integrations.sandbox import FOREVER, Fault
from integrations.sandbox.faults import dropped_after, dropped_before
from integrations.sandbox.messages import Request
from maintenance.models import Rule
from maintenance.services import acts, issues
from tests.factories import make_user
from tests.maintenance.fleetio_world import FleetioWorld, fleetio_world

pytestmark = pytest.mark.django_db

MOVES: dict[str, Any] = {"method": "PATCH", "path": "/api/issues"}
ISSUE: dict[str, Any] = {"method": "GET", "pattern": r"^/api/issues/\d+$"}
NOTHING_TO_SEE = {"status": 204, "body": b"", "carried_out": True}


@pytest.fixture
def world(settings: Settings) -> Iterator[FleetioWorld]:
    with fleetio_world(settings) as running:
        Rule.objects.update(on_clear="resolve", hold_readings=1, clear_readings=1)
        running.open_alert()
        running.deliver_all()
        yield running


def clear(world: FleetioWorld) -> None:
    world.pass_time(hours=1)
    world.say(oil=95)


def fire(world: FleetioWorld) -> None:
    world.pass_time(hours=1)
    world.say(oil=14)


def come_back(world: FleetioWorld) -> None:
    """It was over, and its issue resolved; the next delivery is to open that again."""
    clear(world)
    world.deliver_all()
    assert world.there()["state"] == "Resolved"
    fire(world)


def hide_reopenings(world: FleetioWorld) -> None:
    """Rows of lists tell when an issue was opened again; single records need not."""
    world.fault(**ISSUE, alter=lambda row: row | {"reopened_at": None}, times=FOREVER)


def settle(world: FleetioWorld) -> None:
    for _ in range(3):
        world.deliver_all()
        world.pass_time(minutes=20)
        world.sync()


def assert_agreed(world: FleetioWorld, there: str, here: str) -> None:
    assert (world.there()["state"], world.alert().status) == (there, here)
    assert world.issue().state == there.lower()
    assert {state for state, _ in world.results(issues.MOVE)} <= {"done", "cancelled"}


# --- A reopening whose answer was lost --------------------------------------------------------


@pytest.mark.parametrize("hears_first", [True, False])
@pytest.mark.parametrize("fault", [dropped_after(**MOVES), dropped_before(**MOVES)], ids=str)
def test_a_reopening_that_is_unclear_is_taken_back_when_it_is_over(
    world: FleetioWorld, fault: Fault, *, hears_first: bool
) -> None:
    come_back(world)
    world.sandbox.fleetio.faults.add(fault)
    world.deliver()
    clear(world)
    if hears_first:
        world.sync()
    settle(world)

    assert_agreed(world, "Resolved", "resolved")
    assert world.alert().times_opened == 2, "nobody reopened it"


@pytest.mark.parametrize("hears_first", [True, False])
def test_a_reopening_that_was_taken_is_not_cancelled_when_a_limit_hides_it(
    world: FleetioWorld, *, hears_first: bool
) -> None:
    come_back(world)
    world.fault(**MOVES, **NOTHING_TO_SEE)
    world.fault(**ISSUE, status=429, retry_after=7, skip=1)
    world.deliver()
    assert OutboxEntry.objects.get(payload__move="reopen").started_at is not None
    clear(world)
    if hears_first:
        world.sync()
    settle(world)

    assert_agreed(world, "Resolved", "resolved")
    assert world.alert().times_opened == 2, "nobody reopened it"


def test_a_reopening_that_was_refused_leaves_no_trace(world: FleetioWorld) -> None:
    Rule.objects.update(on_clear="comment")
    clear(world)
    world.deliver_all()
    world.move("close", "Done")
    world.pass_time(minutes=1)
    world.sync()
    fire(world)
    world.fault(**MOVES, status=429, retry_after=7)
    world.deliver()
    clear(world)
    settle(world)

    assert_agreed(world, "Closed", "resolved")
    assert world.results(issues.MOVE) == [("cancelled", "the alert is over")]


def test_a_reopening_that_never_arrived_is_forgotten(world: FleetioWorld) -> None:
    come_back(world)
    Rule.objects.update(on_clear="comment")
    world.sandbox.fleetio.faults.add(dropped_before(**MOVES))
    world.deliver()
    clear(world)
    settle(world)

    assert_agreed(world, "Resolved", "resolved")


def test_an_end_that_is_being_undone_is_no_news(world: FleetioWorld) -> None:
    clear(world)
    world.deliver_all()
    assert acts.reopen(world.alert(), now=world.pass_time(minutes=1), user=make_user())
    world.sandbox.fleetio.faults.add(dropped_before(**MOVES))
    world.deliver()
    world.sync()
    settle(world)

    assert_agreed(world, "Open", "open")


def test_an_end_that_is_being_undone_is_not_relied_on(world: FleetioWorld) -> None:
    come_back(world)
    world.fault(**ISSUE, status=503)
    world.deliver()
    clear(world)

    assert OutboxEntry.objects.filter(payload__move="resolve").count() == 2
    settle(world)
    assert_agreed(world, "Resolved", "resolved")


# --- What somebody did meanwhile --------------------------------------------------------------


@pytest.mark.parametrize("is_shown", [True, False])
def test_what_somebody_opened_again_is_not_ended_again(
    world: FleetioWorld, *, is_shown: bool
) -> None:
    if not is_shown:
        hide_reopenings(world)
    clear(world)
    world.sandbox.fleetio.faults.add(dropped_after(**MOVES))
    world.deliver()
    world.pass_time(seconds=20)
    world.move("reopen")
    settle(world)

    assert_agreed(world, "Open", "open")


def test_what_somebody_wrote_on_it_undoes_nothing(world: FleetioWorld) -> None:
    clear(world)
    world.sandbox.fleetio.faults.add(dropped_before(**MOVES))
    world.deliver()
    world.pass_time(seconds=20)
    world.sandbox.fleetio.records.touch(world.sandbox.fleetio.records.rows("issues")[0])
    settle(world)

    assert_agreed(world, "Resolved", "resolved")


@pytest.mark.parametrize("what", ["close", "resolve"])
@pytest.mark.parametrize("is_shown", [True, False])
def test_what_somebody_ended_again_is_not_opened_again(
    world: FleetioWorld, what: str, *, is_shown: bool
) -> None:
    if not is_shown:
        hide_reopenings(world)
    come_back(world)
    world.sandbox.fleetio.faults.add(dropped_after(**MOVES))
    world.deliver()
    world.pass_time(seconds=20)
    world.move(what, "Really done")
    said = len(world.comments())
    settle(world)

    assert_agreed(world, f"{what}d".title(), "resolved")
    assert world.alert().resolution == "fleetio"
    assert len(world.comments()) == said, "whoever ended it knows"


@pytest.mark.parametrize(("ours", "theirs"), [("resolve", "close"), ("reopen", "reopen")])
def test_a_move_that_somebody_was_faster_with_is_done(
    world: FleetioWorld, ours: str, theirs: str
) -> None:
    def is_crossed(request: Request) -> bool:
        if request.method == "PATCH":
            world.move(theirs)
        return request.method == "PATCH"

    if ours == "reopen":
        come_back(world)
    else:
        clear(world)
    world.fault(when=is_crossed, status=422, body={"errors": {"state": ["cannot transition"]}})
    settle(world)

    if ours == "reopen":
        assert_agreed(world, "Open", "open")
    else:
        assert_agreed(world, "Closed", "resolved")


def test_a_move_that_is_refused_for_good_is_given_up(world: FleetioWorld) -> None:
    clear(world)
    world.fault(**MOVES, status=422, body={"errors": {"state": ["cannot transition"]}})
    world.deliver_all()

    ((state, error),) = world.results(issues.MOVE)
    assert (state, "cannot transition" in error) == ("dead", True)


# --- Each return anew -------------------------------------------------------------------------


def test_what_was_ended_while_it_was_away_is_opened_at_each_return(world: FleetioWorld) -> None:
    while not world.alert().flapping_since:
        clear(world)
        world.deliver_all()
        fire(world)
        world.deliver_all()
    for _ in range(2):
        clear(world)
        world.pass_time(minutes=10)
        world.move("close", "Loose plug")
        world.pass_time(minutes=10)
        fire(world)  # before anybody here has heard of the closing
        settle(world)
        assert_agreed(world, "Open", "open")


def test_an_opening_is_asked_for_once_for_each_return(world: FleetioWorld) -> None:
    come_back(world)
    for _ in range(2):
        issues.follow(world.alert(), event=issues.IssueEvent.RETURNED, now=world.now)

    assert OutboxEntry.objects.filter(payload__move="reopen").count() == 1


# --- Settings ---------------------------------------------------------------------------------


def test_a_setting_that_cannot_be_read_is_named(world: FleetioWorld, settings: Settings) -> None:
    settings.FLEETIO_RESOLVE_ISSUE = "rubbish"
    clear(world)
    world.deliver_all()

    ((state, error),) = world.results(issues.MOVE)
    assert state == "dead"
    assert error.startswith("FLEETIO_RESOLVE_ISSUE cannot be used: ")
    assert len(world.comments()) == 1


def test_a_setting_of_another_move_does_not_matter(world: FleetioWorld, settings: Settings) -> None:
    settings.FLEETIO_REOPEN_ISSUE = "rubbish"
    clear(world)
    settle(world)

    assert_agreed(world, "Resolved", "resolved")
