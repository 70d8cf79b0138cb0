"""Moves of an issue whose answer was lost, or that somebody crosses: nobody is overruled."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from integrations.models import OutboxEntry
from maintenance.models import Rule
from maintenance.services import issues
from tests.maintenance.fleetio_world import FleetioWorld, fleetio_world

pytestmark = pytest.mark.django_db


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


def settle(world: FleetioWorld) -> None:
    for _ in range(3):
        world.deliver_all()
        world.pass_time(minutes=20)
        world.sync()


def assert_agreed(world: FleetioWorld, there: str, here: str) -> None:
    assert (world.there()["state"], world.alert().status) == (there, here)
    assert world.issue().state == there.lower()
    assert {state for state, _ in world.results(issues.MOVE)} <= {"done", "cancelled"}


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
