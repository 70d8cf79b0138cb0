"""What is asked of Fleetio about issues: https://developer.fleetio.com/docs/api/v-2-issues-create"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import requests

from integrations.clients.errors import ClientError
from integrations.clients.fleetio_issue_records import (
    Comment,
    FleetioIssue,
    IssueDraft,
    is_of_issue,
    read_comment,
    read_issue,
)
from integrations.clients.fleetio_moves import IssueCall
from integrations.clients.fleetio_records import Priority, read_priority
from integrations.clients.fleetio_values import ShapeError, format_time, optional_id
from integrations.clients.fleetio_wire import FleetioWire


class IssueCalls(FleetioWire):
    def list_priorities(self) -> list[Priority]:
        """The issue priorities of the account."""
        return self._all("/issue_priorities", {}, read_priority)

    def create_issue(self, draft: IssueDraft) -> FleetioIssue:
        """Create an issue; Fleetio mails the vehicle's watchers about it.

        https://developer.fleetio.com/docs/api/v-2-issues-create
        """
        return self._create("/issues", draft.to_json(), read_issue)

    def get_issue(self, issue_id: int) -> FleetioIssue:
        """One issue as it is now; REJECTED with status 404 when it was deleted."""
        return self._one(f"/issues/{issue_id}", read_issue)

    def update_issue(self, issue_id: int, fields: Mapping[str, Any]) -> None:
        """Change just these fields of an issue; any answer but an error is success.

        Its state is not among them: that is `move_issue`.
        """
        self._request("PATCH", f"/issues/{issue_id}", json=fields)

    def list_issues(
        self, *, vehicle_id: int | None = None, updated_after: datetime | None = None
    ) -> list[FleetioIssue]:
        """Issues of a vehicle, or changed after a moment (oldest change first), or all of them.

        Compared again here, because an unknown filter may be ignored. A row that does not name
        its vehicle or its time is kept. https://developer.fleetio.com/docs/overview/filtering-and-sorting
        """
        params: dict[str, str] = {}
        if vehicle_id is not None:
            params["filter[vehicle_id][eq]"] = str(vehicle_id)
        if updated_after is not None:
            params["filter[updated_at][gt]"] = format_time(updated_after)
            params["sort[updated_at]"] = "asc"
        return [
            issue
            for issue in self._all("/issues", params, read_issue)
            if (vehicle_id is None or issue.vehicle_id in (vehicle_id, None))
            and (
                updated_after is None
                or issue.updated_at is None
                or issue.updated_at > updated_after
            )
        ]

    def move_issue(self, issue_id: int, call: IssueCall, note: str = "") -> FleetioIssue | None:
        """Close, resolve or reopen an issue. Returns it as the answer shows it, None when the
        answer shows no issue: whether it moved is then only seen by reading it.

        An unknown issue is REJECTED like an unknown call: the text names the setting of the call.
        """
        path = call.path_of(issue_id)
        try:
            response = self._request(call.verb, path, json=call.body(note), repeatable=False)
        except ClientError as error:
            if error.status_code in (404, 405):
                error.args = (f"{error}: no such issue, or no such call: see {call.settings()}",)
            raise
        return _moved(response, issue_id)

    def create_comment(self, issue_id: int, text: str) -> Comment:
        """Write beside an issue; Fleetio tells those who watch it. Comments cannot be changed.

        https://developer.fleetio.com/docs/api names POST /comments.
        """
        body = {"commentable_type": "Issue", "commentable_id": issue_id, "comment": text}
        return self._create("/comments", body, read_comment)

    def list_comments(self, issue_id: int) -> list[Comment]:
        """All comments of an issue, oldest first, wherever the account shows them.

        Either the issue holds them, if it is asked to, or they have a list of their own.
        """
        inside = self._comments_inside(issue_id)
        found = self._comments_listed(issue_id) if inside is None else inside
        return sorted(found, key=lambda comment: comment.id)

    def _comments_inside(self, issue_id: int) -> list[Comment] | None:
        """The comments that the issue itself shows; None when that is not all of them."""
        path, include = f"/issues/{issue_id}", {"includes": "comments"}
        try:
            issue = self._one(path, dict, include)
        except ClientError as error:
            if error.status_code != 400:  # what is not understood there may be understood below
                raise
            return None
        rows, count = issue.get("comments"), optional_id(issue.get("comments_count"))
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return None
        if count is not None and count > len(rows):
            return None
        try:
            return [read_comment(row) for row in rows]
        except ShapeError:
            return None

    def _comments_listed(self, issue_id: int) -> list[Comment]:
        """Compared again here, because an unknown filter may be ignored."""
        params = {
            "filter[commentable_type][eq]": "Issue",
            "filter[commentable_id][eq]": str(issue_id),
        }
        listed = self._all("/comments", params, lambda row: _comment_of(row, issue_id))
        return [comment for comment in listed if comment is not None]


def _comment_of(row: Mapping[str, Any], issue_id: int) -> Comment | None:
    return read_comment(row) if is_of_issue(row, issue_id) else None


def _moved(response: requests.Response, issue_id: int) -> FleetioIssue | None:
    """The issue that the answer shows; an answer without one is as good."""
    try:
        answer = response.json()
        issue = read_issue(answer) if isinstance(answer, dict) else None
    except (ValueError, ShapeError):
        return None
    return issue if issue is not None and issue.id == issue_id else None
