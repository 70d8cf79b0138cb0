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

    def list_issues(
        self, *, vehicle_id: int | None = None, updated_after: datetime | None = None
    ) -> list[RemoteIssue]: ...

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
    attempt = _Attempt(entry, issue, move, client, unclear, now)
    try:
        if issues.is_over(issue.alert) == (move is Move.REOPEN):
            return attempt.give_up()
        call = _call(move, call_for)
        return attempt.make(call) if call else Sent(f"not moved: {move.setting} is not set")
    except _DeletedError:
        issue_state.note_deleted(issue, now=now)
        return Sent("not moved: the issue was deleted in Fleetio")


def _call(move: Move, call_for: CallFor) -> IssueCall | None:
    try:
        return call_for(move)
    except ValueError as exc:
        text = f"{move.setting} cannot be used: {exc}"
        raise ClientError(text, outcome=Outcome.REJECTED) from exc


class _DeletedError(Exception):
    """The issue is no more in Fleetio."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    entry: OutboxEntry
    issue: FleetioIssue
    move: Move
    client: MoveClient
    unclear: bool
    now: datetime

    def give_up(self) -> Sent:
        """The alert is no longer as it was. What an opening of ours left there is ours."""
        if self.unclear and self.move is Move.REOPEN:
            self._note(self._read())
        return Sent("not moved: the alert is no longer as it was")

    def make(self, call: IssueCall) -> Sent:
        remote = self._read()
        if not self._is_needed(remote):
            return self._is_there(remote, "already")
        if self.unclear and self._was_undone(remote):
            self._hear_of_it(remote)
            return Sent("not moved again: somebody undid it in Fleetio")
        return self._move(call, remote)

    def _read(self) -> RemoteIssue:
        try:
            return self.client.get_issue(self.issue.fleetio_id)
        except ClientError as exc:
            if exc.status_code != 404:
                raise
            raise _DeletedError from exc

    def _is_needed(self, remote: RemoteIssue) -> bool:
        """A person who ended it, one way or the other, has decided."""
        return (remote.state in issue_state.ENDED) == (self.move is Move.REOPEN)

    def _is_there(self, remote: RemoteIssue, when: str) -> Sent:
        self._note(remote)
        return Sent(f"issue {self.issue} is {remote.state} {when}")

    def _note(self, remote: RemoteIssue) -> None:
        if remote.state in issue_state.ENDED:
            issue_state.expect_nothing(self.issue, remote)
        issue_state.note_state(self.issue, remote, now=self.now)

    # --- What somebody did after an attempt that may have arrived ---

    def _was_undone(self, remote: RemoteIssue) -> bool:
        """Whether somebody decided otherwise since our first attempt.

        Only what is ended can be opened again, and only what is open ended: so either tells it.
        """
        since = self._since()
        if self.move is Move.REOPEN:
            at = remote.closed_at if remote.state == "closed" else remote.resolved_at
        else:
            at = self._reopened_at(remote, since)
        return at is not None and since is not None and at > since

    def _since(self) -> datetime | None:
        """By Fleetio's clock, the time of the record before that attempt."""
        seen = self.entry.payload.get("seen")
        return datetime.fromisoformat(seen) if seen else self.entry.started_at

    def _reopened_at(self, remote: RemoteIssue, since: datetime | None) -> datetime | None:
        """Rows of lists tell it, single records need not."""
        is_changed = remote.updated_at and since and remote.updated_at > since
        if remote.reopened_at or not is_changed:
            return remote.reopened_at
        rows = self.client.list_issues(vehicle_id=remote.vehicle_id, updated_after=since)
        return next((row.reopened_at for row in rows if row.id == remote.id), None)

    def _hear_of_it(self, remote: RemoteIssue) -> None:
        """First what we did, then what somebody did about it."""
        FleetioIssue.objects.filter(pk=self.issue.pk).update(
            state=_STATE[self.move], changed_at=self._since()
        )
        fleetio_sync.take_over(self.issue, remote, client=self.client, now=self.now)

    # --- The call ---

    def _move(self, call: IssueCall, remote: RemoteIssue) -> Sent:
        self._expect(remote)
        note = issue_words.note(self.entry.payload["facts"])
        try:
            answer = self.client.move_issue(self.issue.fleetio_id, call, note)
        except ClientError as exc:
            if not exc.may_have_happened:
                issue_state.expect_nothing(self.issue, remote)
            if exc.outcome is not Outcome.REJECTED:
                raise
            return self._refused(exc)
        answer = self._seen_after(answer)
        if self._is_needed(answer):
            self._note(answer)
            raise ClientError(
                f"Fleetio took the call, but the issue is still {answer.state}:"
                f" see {self.move.setting}",
                outcome=Outcome.REJECTED,
            )
        return self._is_there(answer, "now")

    def _expect(self, remote: RemoteIssue) -> None:
        """Write down what could not be told any more once the answer is lost."""
        payload = self.entry.payload
        if remote.updated_at and not (self.unclear and "seen" in payload):
            payload["seen"] = remote.updated_at.isoformat()
            OutboxEntry.objects.filter(pk=self.entry.pk).update(payload=payload)
        if self.move is Move.REOPEN:
            issue_state.expect_open(self.issue, remote)

    def _refused(self, exc: ClientError) -> Sent:
        """Somebody may have been faster, after it was read."""
        remote = self._read()
        if self._is_needed(remote):
            raise exc
        return self._is_there(remote, "already")

    def _seen_after(self, answer: RemoteIssue | None) -> RemoteIssue:
        """An answer need not show the issue, nor what became of it."""
        if answer is not None and not self._is_needed(answer):
            return answer
        try:
            return self._read()
        except ClientError as exc:
            exc.may_have_happened = True  # the call itself was taken
            raise
