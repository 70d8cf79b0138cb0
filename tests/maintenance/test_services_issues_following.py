"""The issue in Fleetio goes where its alert goes: comments, and moves by the rule's policy."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from integrations.clients.fleetio import Comment
from integrations.models import OutboxEntry
from integrations.sandbox import FOREVER, Fault
from integrations.sandbox.faults import bad_gateway, dropped_after, dropped_before
from maintenance.models import Rule
from maintenance.services import acts, issue_comments, issues, tending
from maintenance.services.issues import IssueEvent
from tests.factories import NOW, make_alert, make_issue, make_outbox_entry, make_user, make_vehicle
from tests.maintenance.fleetio_world import FleetioWorld, fleetio_world

pytestmark = pytest.mark.django_db

COMMENTS: dict[str, Any] = {"method": "POST", "path": "/api/comments"}
MOVES: dict[str, Any] = {"method": "PATCH", "path": "/api/issues"}


@pytest.fixture
def world(settings: Settings) -> Iterator[FleetioWorld]:
    with fleetio_world(settings) as running:
        yield running


def policy(on_clear: str) -> None:
    Rule.objects.update(on_clear=on_clear)


def opened(world: FleetioWorld) -> None:
    world.open_alert()
    world.deliver_all()


def clear(world: FleetioWorld) -> None:
    world.pass_time(hours=1)
    world.say(oil=95)


# --- What is said -----------------------------------------------------------------------------


def test_a_worse_stage_is_said_once(world: FleetioWorld) -> None:
    opened(world)
    assert world.comments() == []
    world.pass_time(hours=13)
    world.say(oil=4)
    world.deliver_all()

    (text,) = world.comments()
    comment = OutboxEntry.objects.get(kind=issues.COMMENT)
    assert text.splitlines() == [
        "It got worse: Engine oil life 4 % (Overdue).",
        "Remaining oil life: 4 %",
        "Due below: 20 %",
        "Clears at: 40 %",
        "Rule: Engine oil life low",
        f"Recorded by the car: {world.alert().reported_at:%Y-%m-%d %H:%M} UTC",
        "",
        f"Fleet Portal, {issues.marker(world.alert())}-{comment.pk}",
    ]


def test_what_the_issue_itself_says_is_not_said_again(world: FleetioWorld) -> None:
    world.open_alert()
    world.pass_time(hours=13)
    world.say(oil=4)
    world.deliver_all()

    assert "4 % (Overdue)" in world.there()["description"]
    assert world.comments() == []
    assert world.results("fleetio_comment") == [("done", "not sent: the issue itself says it")]


@pytest.mark.parametrize(
    ("on_clear", "state"), [("comment", "Open"), ("resolve", "Resolved"), ("close", "Closed")]
)
def test_what_is_over_ends_as_the_rule_says(world: FleetioWorld, on_clear: str, state: str) -> None:
    policy(on_clear)
    opened(world)
    clear(world)
    world.deliver_all()

    assert world.heads() == ["The car no longer reports this: Engine oil life 14 %."]
    assert "Oil life now: 95 %." in world.comments()[0]
    row = world.there()
    assert row["state"] == state
    assert world.issue().state == state.lower()
    if on_clear != "comment":
        note = row[f"{state.lower()}_note"]
        assert note.startswith("The car no longer reports this: Engine oil life 14 %.")
    assert world.sync() == 0


def test_what_is_back_goes_on_in_the_same_issue(world: FleetioWorld) -> None:
    policy("resolve")
    opened(world)
    clear(world)
    world.deliver_all()
    world.fire()
    world.deliver_all()

    assert world.there()["state"] == "Open"
    assert world.issue().state == "open"
    assert world.heads()[1:] == ["It is back: Engine oil life 14 % (Due)."]
    assert world.sync() == 0
    assert world.alert().status == "open"


def test_a_person_who_will_not_fix_it_is_quoted(world: FleetioWorld) -> None:
    opened(world)
    alert = world.alert()
    alert.waived_name, alert.note = "kim@example.com", "Sold next week"
    alert.save()
    issues.follow(alert, event=IssueEvent.WAIVED, now=world.now)
    world.deliver_all()

    head, note = world.comments()[0].splitlines()[:2]
    assert head == (
        "kim@example.com says in Fleet Portal that this will not be fixed:"
        " Engine oil life 14 % (Due)."
    )
    assert note == "Note: Sold next week"
    assert world.there()["state"] == "Open"


def test_what_comes_and_goes_is_said_once(world: FleetioWorld) -> None:
    opened(world)
    alert = world.alert()
    world.pass_time(hours=1)
    alert.times_opened, alert.returns = 4, ["2026-03-01T00:00:00+00:00"] * 3
    alert.save()
    for _ in range(2):
        issues.follow(alert, event=IssueEvent.FLAPPING, now=world.now)
    world.deliver_all()

    (head,) = world.heads()
    assert head.startswith("It comes and goes: Engine oil life 14 % (Due). It came back 3 times")


def test_a_person_here_ends_the_issue_there(world: FleetioWorld) -> None:
    policy("close")
    opened(world)
    acts.resolve(world.alert(), now=world.pass_time(hours=1), user=make_user(), note="Checked")
    world.deliver_all()

    head, note = world.comments()[0].splitlines()[:2]
    assert head.endswith("ended this in Fleet Portal: Engine oil life 14 %.")
    assert note == "Note: Checked"
    assert world.there()["state"] == "Closed"


def test_days_and_times_in_the_evidence_can_be_taken_down(world: FleetioWorld) -> None:
    opened(world)
    alert = world.alert()
    alert.evidence["rule"]["due_on"] = world.now.date()
    world.pass_time(hours=1)
    issues.follow(alert, event=IssueEvent.WORSE, now=world.now)
    told = OutboxEntry.objects.get(kind=issues.COMMENT).payload["facts"]["evidence"]
    assert told["rule"]["due_on"] == f"{world.now:%Y-%m-%d}"


# --- Order, and issues that are not there -----------------------------------------------------


def test_nothing_is_said_where_there_is_no_issue(world: FleetioWorld) -> None:
    Rule.objects.update(issue_from_stage="never")
    world.open_alert()
    clear(world)
    world.fire()
    world.deliver_all()

    assert not OutboxEntry.objects.filter(lane="fleetio").exists()


def test_an_issue_that_is_not_needed_any_more_takes_its_comments_along(
    world: FleetioWorld,
) -> None:
    policy("resolve")
    world.open_alert()
    world.fault(method="POST", path="/api/issues", drop=True)
    world.deliver()  # nobody knows whether the issue was made
    clear(world)
    world.deliver_all()

    assert world.sandbox.fleetio.issues() == []
    assert world.results("fleetio_issue") == [("done", "not sent: the alert is over")]
    assert world.results("fleetio_comment") == [("done", "not sent: there is no issue")]
    assert world.results("fleetio_move") == [("done", "not sent: there is no issue")]


def test_what_happened_before_the_issue_was_made_needs_no_comment(world: FleetioWorld) -> None:
    policy("resolve")
    world.open_alert()
    world.fault(method="POST", path="/api/issues", status=503, times=2, carried_out=False)
    world.deliver()
    world.pass_time(hours=13)
    world.say(oil=4)
    world.deliver()
    clear(world)
    world.fire()
    world.deliver_all()

    assert world.there()["state"] == "Open"
    assert world.comments() == [], "the issue was made last, and says it all"


def test_comments_go_out_in_the_order_of_what_happened(world: FleetioWorld) -> None:
    policy("resolve")
    opened(world)
    world.fault(**COMMENTS, status=503, times=2)
    clear(world)
    world.deliver()  # on its way, so it is not cancelled
    world.fire()
    world.deliver_all()

    assert [head.partition(":")[0] for head in world.heads()] == [
        "The car no longer reports this",
        "It is back",
    ]
    assert world.there()["state"] == "Open"


# --- Once, whatever happens -------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        dropped_after(**COMMENTS),
        dropped_after(**COMMENTS, times=3),
        dropped_before(**COMMENTS),
        bad_gateway(**COMMENTS, carried_out=True),
        Fault(**COMMENTS, status=500, carried_out=True),
        Fault(**COMMENTS, status=429, retry_after=30, times=2),
        dropped_after(**MOVES),
        dropped_after(**MOVES, times=3),
        dropped_before(**MOVES),
        Fault(**MOVES, status=500, carried_out=True),
        Fault(**MOVES, status=429, retry_after=30),
        Fault(**MOVES, status=204, body=b"", carried_out=True),
    ],
    ids=str,
)
def test_no_comment_and_no_move_is_made_twice(world: FleetioWorld, fault: Fault) -> None:
    policy("resolve")
    opened(world)
    world.sandbox.fleetio.faults.add(fault)
    clear(world)
    world.deliver_all()
    world.fire()
    world.deliver_all()

    assert len(world.comments()) == 2
    assert world.there()["state"] == "Open"
    assert {state for state, _ in world.results("fleetio_move")} == {"done"}


@pytest.mark.parametrize("shows_comments", [True, False])
def test_a_comment_is_found_by_its_reference_alone(
    world: FleetioWorld, *, shows_comments: bool
) -> None:
    world.sandbox.fleetio.shows_comments = shows_comments
    opened(world)
    alert = world.alert()
    world.sandbox.fleetio.comment(world.there()["id"], f"I saw {issues.marker(alert)}-1 and wonder")
    world.sandbox.fleetio.faults.add(dropped_after(**COMMENTS))
    clear(world)
    world.deliver_all()

    assert len(world.comments()) == 2
    comment = OutboxEntry.objects.get(kind=issues.COMMENT)
    longer = f"{issue_comments.reference(comment, alert)}7"
    assert not issue_comments._is_there([Comment(id=1, text=longer)], longer.removesuffix("7"))


def test_a_move_without_a_setting_leaves_a_comment(world: FleetioWorld, settings: Settings) -> None:
    settings.FLEETIO_RESOLVE_ISSUE = ""
    policy("resolve")
    opened(world)
    clear(world)
    world.deliver_all()

    assert world.results("fleetio_move") == [
        ("done", "not moved: FLEETIO_RESOLVE_ISSUE is not set")
    ]
    assert len(world.comments()) == 1
    assert world.there()["state"] == "Open"


def test_a_wrong_path_is_given_up_with_a_hint(world: FleetioWorld, settings: Settings) -> None:
    settings.FLEETIO_RESOLVE_ISSUE = "PATCH /issues/{id}/solve"
    policy("resolve")
    opened(world)
    clear(world)
    world.deliver_all()

    ((state, error),) = world.results("fleetio_move")
    assert state == "dead"
    assert "FLEETIO_RESOLVE_ISSUE" in error


def test_a_call_that_does_nothing_is_no_success(world: FleetioWorld) -> None:
    policy("resolve")
    opened(world)
    world.fault(**MOVES, status=200, body={}, times=FOREVER)
    clear(world)
    world.deliver_all()

    ((state, error),) = world.results("fleetio_move")
    assert state == "dead"
    assert "still open: see FLEETIO_RESOLVE_ISSUE" in error


@pytest.mark.parametrize("what", ["close", "resolve"])
def test_what_a_person_ended_stands(world: FleetioWorld, what: str) -> None:
    policy("close")
    opened(world)
    clear(world)
    world.move(what, "Done")
    world.deliver_all()

    assert world.there()[f"{what}d_note"] == "Done"
    assert world.issue().state == f"{what}d"
    assert world.sync() == 0


def test_a_person_who_undoes_what_nobody_heard_of_is_heard(world: FleetioWorld) -> None:
    policy("resolve")
    opened(world)
    clear(world)
    world.sandbox.fleetio.faults.add(dropped_after(**MOVES))
    world.deliver()
    assert world.there()["state"] == "Resolved"
    world.pass_time(seconds=5)
    world.move("reopen")
    world.deliver_all()

    assert world.there()["state"] == "Open"
    assert world.alert().status == "open"


def test_a_deleted_issue_gets_neither_comments_nor_moves(world: FleetioWorld) -> None:
    policy("resolve")
    opened(world)
    del world.sandbox.fleetio.records.tables["issues"][world.there()["id"]]
    clear(world)
    world.deliver_all()

    assert world.issue().state == "deleted"
    assert {state for state, _ in world.results("fleetio_comment")} == {"done"}
    assert {state for state, _ in world.results("fleetio_move")} == {"done"}


def test_a_deleted_issue_that_cannot_be_seen_at_once_is_looked_at_again(
    world: FleetioWorld,
) -> None:
    opened(world)
    key = world.there()["id"]
    del world.sandbox.fleetio.records.tables["issues"][key]
    world.fault(method="GET", path=f"/api/issues/{key}", status=500)
    clear(world)
    world.deliver_all()

    assert world.issue().state == "deleted"
    assert world.results("fleetio_comment") == [
        ("done", "not sent: the issue was deleted in Fleetio")
    ]


# --- What comes and goes ----------------------------------------------------------------------


def flap(world: FleetioWorld) -> None:
    """It came back so often lately that nobody is told of each time any more."""
    Rule.objects.update(hold_readings=1, clear_readings=1)
    for _ in range(6):
        world.pass_time(hours=2)
        world.say(oil=95)
        world.pass_time(hours=2)
        world.say(oil=14)
        world.deliver_all()
    assert world.alert().flapping_since


def test_an_issue_stays_open_while_its_alert_comes_and_goes(world: FleetioWorld) -> None:
    policy("resolve")
    opened(world)
    flap(world)
    said = len(world.comments())
    assert [head for head in world.heads() if head.startswith("It comes and goes")] == [
        world.heads()[-1]
    ]
    clear(world)
    world.deliver_all()
    assert world.alert().status == "resolved"
    assert (world.there()["state"], len(world.comments())) == ("Open", said)

    world.pass_time(days=30)
    tending.tend(now=world.now)
    world.deliver_all()
    assert world.there()["state"] == "Resolved"
    assert world.heads()[-1].startswith("The car no longer reports this")


def test_a_person_who_ends_what_comes_and_goes_hears_of_its_return(world: FleetioWorld) -> None:
    policy("resolve")
    opened(world)
    flap(world)
    clear(world)
    world.pass_time(minutes=30)
    world.move("close", "Loose wire")
    world.pass_time(minutes=30)
    world.sync()
    assert world.alert().flapping_since is None
    world.fire()
    world.deliver_all()

    assert world.there()["state"] == "Open"
    assert world.heads()[-1].startswith("It is back")


@pytest.mark.parametrize(("is_persons_word", "comments"), [(False, 1), (True, 0)])
def test_a_return_is_said_unless_it_is_fleetios_own_news(
    db: None, is_persons_word: bool, comments: int
) -> None:
    """A look may list the issue at the very moment at which the car reports it again."""
    alert = make_alert(
        vehicle=make_vehicle(),
        times_opened=2,
        reopened_by_person_at=NOW if is_persons_word else None,
    )
    make_issue(alert=alert, checked_at=NOW)
    make_outbox_entry(
        kind=issues.KIND, lane="fleetio", state="done", about=alert, dedupe_key=f"issue:{alert.pk}"
    )

    issues.follow(alert, event=IssueEvent.RETURNED, now=NOW)

    assert OutboxEntry.objects.filter(kind=issues.COMMENT).count() == comments
