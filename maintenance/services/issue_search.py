"""Whether an attempt of which nothing was heard has made an alert's issue: its marker tells.

Rows of a list may come without their description; then each issue is asked for by itself, which
may be more than our rate limit lets through at once.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from integrations.clients.errors import ClientError
from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.models import OutboxEntry
from integrations.services import outbox
from maintenance.models import Alert, FleetioIssue
from maintenance.services import issues

CLOCKS = timedelta(hours=1)  # Fleetio's and ours may differ


class SearchClient(Protocol):
    def get_issue(self, issue_id: int) -> RemoteIssue: ...

    def list_issues(
        self, *, vehicle_id: int | None = None, updated_after: datetime | None = None
    ) -> list[RemoteIssue]: ...


def find(
    entry: OutboxEntry, alert: Alert, vehicle_id: int, *, client: SearchClient
) -> RemoteIssue | None:
    """The issue that carries the alert's marker. Raises ClientError; the next look goes on there.

    Also under the vehicle that an earlier attempt named: the car may be matched anew.
    """
    wanted = issues.marker(alert)
    for named in dict.fromkeys([entry.payload.get("fleetio_id") or vehicle_id, vehicle_id]):
        for issue in _candidates(entry, client.list_issues(vehicle_id=named), client):
            if wanted in issue.description:
                return issue
    return None


def _candidates(
    entry: OutboxEntry, rows: list[RemoteIssue], client: SearchClient
) -> Iterator[RemoteIssue]:
    """With their descriptions; the newest first, none that was made before our first attempt."""
    since = entry.started_at and entry.started_at - CLOCKS
    bare = []
    for row in rows:
        if since and row.created_at and row.created_at < since:
            continue
        if row.description:
            yield row
        else:
            bare.append(row.id)
    of_others = FleetioIssue.objects.filter(fleetio_id__in=bare)
    seen = {*entry.payload.get("seen", ()), *of_others.values_list("fleetio_id", flat=True)}
    for key in sorted(set(bare) - seen, reverse=True):
        if issue := _get(client, key):
            yield issue
        outbox.note(entry, seen=[*entry.payload.get("seen", ()), key])


def _get(client: SearchClient, issue_id: int) -> RemoteIssue | None:
    """None when it was deleted: a list may lag."""
    try:
        return client.get_issue(issue_id)
    except ClientError as exc:
        if exc.status_code != 404:
            raise
    return None
