"""A comment on an alert's issue, never written twice: its reference stands at its end."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import Comment
from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from maintenance.models import Alert, FleetioIssue
from maintenance.services import issue_state, issue_words, issues

_SAID_BY_THE_ISSUE = {"opened", "worse", "returned"}


class CommentClient(Protocol):
    def list_comments(self, issue_id: int) -> list[Comment]: ...

    def create_comment(self, issue_id: int, text: str) -> Comment: ...

    def get_issue(self, issue_id: int) -> RemoteIssue: ...


def deliver(
    entry: OutboxEntry, *, client: CommentClient, unclear: bool, now: datetime
) -> Sent | Postponed:
    """Handler of a comment. What is unclear is looked for before it is written again."""
    issue = issues.turn(entry, now=now)
    if not isinstance(issue, FleetioIssue):
        return issue
    if _issue_says_it(entry, issue.alert):
        return Sent("not sent: the issue itself says it")
    wanted = reference(entry, issue.alert)
    try:
        if unclear and _is_there(client.list_comments(issue.fleetio_id), wanted):
            return Sent(f"comment on issue {issue}")
        text = issue_words.comment(entry.payload["event"], entry.payload["facts"], wanted)
        client.create_comment(issue.fleetio_id, text)
    except ClientError as exc:
        if exc.outcome is Outcome.REJECTED and _is_gone(client, issue, now):
            return Sent("not sent: the issue was deleted in Fleetio")
        raise
    return Sent(f"comment on issue {issue}")


def reference(entry: OutboxEntry, alert: Alert) -> str:
    """What tells this comment from all others."""
    return f"{issues.marker(alert)}-{entry.pk}"


def _is_there(comments: Iterable[Comment], wanted: str) -> bool:
    at_the_end = re.compile(rf"{re.escape(wanted)}(?!\d)")
    return any(at_the_end.search(comment.text) for comment in comments)


def _issue_says_it(entry: OutboxEntry, alert: Alert) -> bool:
    """Whether the issue was made after this had happened, and shows what came of it."""
    made = issues.entries(alert).filter(kind=issues.KIND).first()
    life, stage = (made.payload.get("told") if made else None) or (0, "")
    of = entry.payload
    if of["life"] != life:
        return bool(of["life"] < life)
    return of["event"] in _SAID_BY_THE_ISSUE and of["stage"] == stage


def _is_gone(client: CommentClient, issue: FleetioIssue, now: datetime) -> bool:
    """Raises ClientError when it cannot be seen now: then the comment is not given up yet."""
    try:
        client.get_issue(issue.fleetio_id)
    except ClientError as exc:
        if exc.status_code == 404:
            issue_state.note_deleted(issue, now=now)
            return True
        if exc.outcome is not Outcome.REJECTED:
            raise
    return False
