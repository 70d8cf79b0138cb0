"""Closing, resolving and reopening an alert's issue, because the alert is over, or is back.

Safe to repeat: the issue is read first. What a person did there stands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.clients.fleetio import IssueCall, Move
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from maintenance.models import FleetioIssue
from maintenance.services import fleetio_sync, issue_state, issue_words, issues
from maintenance.services.issue_services import EntryClient

CallFor = Callable[[Move], IssueCall | None]
_STATE = {Move.CLOSE: "closed", Move.RESOLVE: "resolved", Move.REOPEN: issue_state.OPEN}


class MoveClient(EntryClient, Protocol):
    def get_issue(self, issue_id: int) -> RemoteIssue: ...

    def move_issue(self, issue_id: int, call: IssueCall, note: str = "") -> RemoteIssue | None: ...


def deliver(
    entry: OutboxEntry, *, client: MoveClient, call_for: CallFor, unclear: bool, now: datetime
) -> Sent | Postponed:
    """Handler of a move. `call_for` says how it is asked for; a move without a call is not used.

    It raises ValueError when the setting cannot be read.
    """
    issue = issues.turn(entry, now=now)
    if not isinstance(issue, FleetioIssue):
        return issue
    move = Move(entry.payload["move"])
    if issues.is_over(issue.alert) == (move is Move.REOPEN):
        return Sent("not moved: the alert is no longer as it was")
    try:
        call = call_for(move)
    except ValueError as exc:
        text = f"{move.setting} cannot be used: {exc}"
        raise ClientError(text, outcome=Outcome.REJECTED) from exc
    if call is None:
        return Sent(f"not moved: {move.setting} is not set")
    return _Attempt(entry, issue, move, client, now).make(call, unclear=unclear)


@dataclass(frozen=True, slots=True)
class _Attempt:
    entry: OutboxEntry
    issue: FleetioIssue
    move: Move
    client: MoveClient
    now: datetime

    def make(self, call: IssueCall, *, unclear: bool) -> Sent:
        try:
            remote = self.client.get_issue(self.issue.fleetio_id)
        except ClientError as exc:
            if exc.status_code != 404:
                raise
            issue_state.note_deleted(self.issue, now=self.now)
            return Sent("not moved: the issue was deleted in Fleetio")
        if unclear and self._was_undone(remote):
            self._hear_of_it(remote)
            return Sent("not moved again: somebody undid it in Fleetio")
        if not self._is_needed(remote):
            issue_state.note_state(self.issue, remote, now=self.now)
            return Sent(f"issue {self.issue} is {remote.state} already")
        return self._move(call)

    def _is_needed(self, remote: RemoteIssue) -> bool:
        """A person who ended it, one way or the other, has decided."""
        return (remote.state in issue_state.ENDED) == (self.move is Move.REOPEN)

    def _was_undone(self, remote: RemoteIssue) -> bool:
        """Whether an attempt of ours had arrived, and somebody took it back since.

        Only what is ended can be reopened: so a reopening after our first attempt tells it.
        """
        since, reopened_at = self.entry.started_at, remote.reopened_at
        if since is None or reopened_at is None or reopened_at < since:
            return False
        return self._is_needed(remote)

    def _hear_of_it(self, remote: RemoteIssue) -> None:
        """First what we did, then what somebody did about it."""
        FleetioIssue.objects.filter(pk=self.issue.pk).update(
            state=_STATE[self.move], changed_at=self.entry.started_at
        )
        fleetio_sync.take_over(self.issue, remote, client=self.client, now=self.now)

    def _move(self, call: IssueCall) -> Sent:
        note = issue_words.note(self.entry.payload["facts"])
        answer = self.client.move_issue(self.issue.fleetio_id, call, note)
        # An answer need not show the issue, nor what became of it.
        if answer is None or self._is_needed(answer):
            answer = self.client.get_issue(self.issue.fleetio_id)
        if self._is_needed(answer):
            raise ClientError(
                f"Fleetio took the call, but the issue is still {answer.state}:"
                f" see {self.move.setting}",
                outcome=Outcome.REJECTED,
            )
        issue_state.note_state(self.issue, answer, now=self.now)
        return Sent(f"issue {self.issue} is {answer.state} now")
