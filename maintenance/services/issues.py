"""One alert has one Fleetio issue, which follows what becomes of the alert.

What is to be said or done there is a row of the outbox, written in the transaction that decided
it. The rows about one alert go out in the order in which they were written.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from integrations import registry
from integrations.clients.fleetio import Move
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import activity, outbox
from maintenance.models import Alert, FleetioIssue, FromStage, Rule
from maintenance.services import issue_words
from maintenance.services.issue_state import DELETED, ENDED

KIND = "fleetio_issue"
COMMENT = "fleetio_comment"
MOVE = "fleetio_move"

SHORTLY = timedelta(seconds=10)
LONGEST_TURN = timedelta(minutes=15)

State = OutboxEntry.State


class IssueEvent(StrEnum):
    """What Fleetio is told of an alert."""

    OPENED = "opened"
    WORSE = "worse"
    RETURNED = "returned"
    FLAPPING = "flapping"
    CLEARED = "cleared"
    WAIVED = "waived"


_MOVES = {Rule.OnClear.RESOLVE: Move.RESOLVE, Rule.OnClear.CLOSE: Move.CLOSE}


# --- What is decided --------------------------------------------------------------------------


def follow(alert: Alert, *, event: IssueEvent, now: datetime) -> None:
    """Write the rows by which Fleetio hears of it. In the caller's transaction.

    What is there for the first time gets its issue, when the rule asks for one at this stage. What
    is there again goes on in the issue it has. When it is over, the rule's `on_clear` says what
    becomes of the issue. Where there is none, nobody is told.
    """
    if alert.vehicle_id is None:
        return
    if event in {IssueEvent.CLEARED, IssueEvent.WAIVED}:
        if _may_have_issue(alert):
            _over(alert, event, now)
    elif _asks_for_issue(alert) and not _want(alert, now):
        _goes_on(alert, event, now)


def _asks_for_issue(alert: Alert) -> bool:
    rule = alert.rule
    return rule is not None and FromStage(rule.issue_from_stage).covers(alert.stage)


def _want(alert: Alert, now: datetime) -> bool:
    """Have the issue made. False when it is made, or being made, already."""
    entry = entries(alert).filter(kind=KIND).first()
    if entry is None:
        outbox.enqueue(
            KIND,
            dedupe_key=f"issue:{alert.pk}",
            payload={"alert": alert.pk, "life": alert.times_opened},
            about=alert,
            vehicle=alert.vehicle,
            now=now,
        )
        return True
    if not _came_to_nothing(entry, alert):
        return False
    _revive(entry, alert, now)
    return True


def _came_to_nothing(entry: OutboxEntry, alert: Alert) -> bool:
    """Whether the alert was over before its issue was made, or that was given up in an earlier
    life: now it is back and needs one.
    """
    given_up = entry.state == State.DEAD and entry.payload.get("life", 1) < alert.times_opened
    if not given_up and entry.state not in {State.CANCELLED, State.DONE}:
        return False
    return not FleetioIssue.objects.filter(alert=alert).exists()


def _revive(entry: OutboxEntry, alert: Alert, now: datetime) -> None:
    tried = entry.started_at is not None
    OutboxEntry.objects.filter(pk=entry.pk).update(
        payload=entry.payload | {"life": alert.times_opened},
        state=State.UNKNOWN if tried else State.PENDING,
        attempts=0,
        next_attempt_at=now,
        finished_at=None,
        last_error="",
        result="",
    )


def _may_have_issue(alert: Alert) -> bool:
    issue = FleetioIssue.objects.filter(alert=alert).first()
    if issue is not None:
        return issue.state != DELETED
    return entries(alert).filter(kind=KIND, state__in=outbox.UNFINISHED).exists()


def _goes_on(alert: Alert, event: IssueEvent, now: datetime) -> None:
    issue = FleetioIssue.objects.filter(alert=alert).first()
    if issue is not None and (issue.state == DELETED or _was_said_there(issue, now)):
        return
    if alert.times_opened > 1:
        if event is IssueEvent.OPENED:
            event = IssueEvent.RETURNED
        ask_to_move(alert, Move.REOPEN, now=now)
    _comment(alert, event, now)


def _was_said_there(issue: FleetioIssue, now: datetime) -> bool:
    """Whether it is Fleetio's own news that the issue is open: somebody reopened it there, which is
    being taken over at this moment.
    """
    is_reopened_now = issue.alert.reopened_by_person_at == now and issue.checked_at == now
    return is_reopened_now and issue.state not in ENDED


def _over(alert: Alert, event: IssueEvent, now: datetime) -> None:
    if _has_ended_there(alert):
        return  # whoever ended it knows
    _comment(alert, event, now)
    policy = Rule.OnClear(alert.rule.on_clear) if alert.rule else Rule.OnClear.COMMENT
    if event is IssueEvent.CLEARED and policy in _MOVES:
        ask_to_move(alert, _MOVES[policy], now=now)


def _has_ended_there(alert: Alert) -> bool:
    """Whether its issue is ended, and not about to be opened by what is on its way already."""
    if not FleetioIssue.objects.filter(alert=alert, state__in=ENDED).exists():
        return False
    if alert.resolution == Alert.Resolution.FLEETIO:  # it was heard of just now
        return True
    moves = entries(alert).filter(kind=MOVE, state__in=outbox.UNFINISHED)
    return not moves.filter(payload__move=Move.REOPEN.value).exists()


def _comment(alert: Alert, event: IssueEvent, now: datetime) -> None:
    _enqueue(
        COMMENT,
        alert,
        f"comment:{alert.pk}:{alert.times_opened}:{event}:{alert.stage}",
        {"event": event.value, "facts": issue_words.facts(alert, event.value)},
        now,
    )


def ask_to_move(alert: Alert, move: Move, *, now: datetime) -> None:
    """Have the issue closed, resolved or opened again, once for each return in each life.

    What comes and goes has one life and many returns: somebody may end the issue after each.
    """
    returned_at = alert.returns[-1] if alert.returns else ""
    event = IssueEvent.RETURNED if move is Move.REOPEN else IssueEvent.CLEARED
    _enqueue(
        MOVE,
        alert,
        f"move:{alert.pk}:{alert.times_opened}:{move}:{returned_at}",
        {"move": move.value, "facts": issue_words.facts(alert, event.value)},
        now,
    )


def _enqueue(kind: str, alert: Alert, key: str, payload: dict[str, Any], now: datetime) -> None:
    outbox.enqueue(
        kind,
        dedupe_key=key,
        payload={
            "alert": alert.pk,
            "stage": alert.stage,
            "life": alert.times_opened,
            **payload,
        },
        about=alert,
        vehicle=alert.vehicle,
        now=now,
    )


def cancel(alert: Alert, *, reason: str, now: datetime) -> None:
    """What Fleetio has not been told yet it need not hear."""
    outbox.cancel(entries(alert), reason=reason, now=now)


def entries(alert: Alert) -> QuerySet[OutboxEntry]:
    """All that Fleetio was or is to be told of the alert."""
    return outbox.entries_about(alert).filter(lane=registry.FLEETIO)


def is_over(alert: Alert) -> bool:
    """What comes and goes is over only when it has stayed away."""
    return alert.resolved_at is not None and alert.flapping_since is None


# --- What the handlers share ------------------------------------------------------------------


def marker(alert: Alert) -> str:
    """What tells this alert's issue from all others; it cannot be guessed or met by chance."""
    digest = salted_hmac("maintenance.issue", str(alert.pk), algorithm="sha256").hexdigest()
    return f"FP-{alert.pk}-{digest[:12]}"


def turn(entry: OutboxEntry, *, now: datetime) -> FleetioIssue | Sent | Postponed:
    """The issue that the row is about, once its turn has come; else why it is not sent."""
    alert = Alert.objects.filter(pk=entry.payload["alert"]).first()
    if alert is None:
        return Sent("not sent: the alert was deleted")
    earlier = entries(alert).filter(pk__lt=entry.pk, state__in=outbox.UNFINISHED)
    if first := earlier.order_by("pk").first():
        until = max(now + SHORTLY, first.next_attempt_at, first.lease_until or now)
        return Postponed(
            min(until, now + LONGEST_TURN), "An earlier message about this alert comes first"
        )
    issue = FleetioIssue.objects.select_related("alert__vehicle").filter(alert=alert).first()
    if issue is None:
        return Sent("not sent: there is no issue")
    if issue.state == DELETED:
        return Sent("not sent: the issue was deleted in Fleetio")
    return issue


@transaction.atomic
def make_again(issue: FleetioIssue, *, now: datetime, user: User) -> bool:
    """A person wants a new issue in the place of one that was deleted in Fleetio.

    False when it was not deleted, or the alert is over.
    """
    alert = issue.alert
    entry = entries(alert).filter(kind=KIND).first()
    if alert.resolved_at or entry is None:
        return False
    if not FleetioIssue.objects.filter(pk=issue.pk, state=DELETED).delete()[0]:
        return False
    _revive(entry, alert, now)
    activity.record(
        "A new issue is to be made in Fleetio",
        now=now,
        about=alert,
        vehicle=alert.vehicle,
        user=user,
    )
    return True
