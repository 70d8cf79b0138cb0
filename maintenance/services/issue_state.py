"""Where an issue stands in Fleetio, as far as it is known here."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.services import activity
from maintenance.models import FleetioIssue

OPEN, DELETED = "open", "deleted"
ENDED = {"resolved", "closed"}


def note_state(issue: FleetioIssue, remote: RemoteIssue, *, now: datetime) -> None:
    """Remember where the issue stands, unless something newer is known already."""
    known = Q(changed_at__isnull=True)
    columns: dict[str, Any] = {"state": remote.state[:20], "checked_at": now}
    if remote.updated_at is not None:
        known |= Q(changed_at__lte=remote.updated_at)
        columns["changed_at"] = remote.updated_at
    FleetioIssue.objects.filter(known, pk=issue.pk).update(**columns)


@transaction.atomic
def note_deleted(issue: FleetioIssue, *, now: datetime) -> bool:
    """The issue is no more in Fleetio. The alert goes on; a person may ask for a new issue."""
    rows = FleetioIssue.objects.filter(pk=issue.pk).exclude(state=DELETED)
    if not rows.update(state=DELETED, checked_at=now):
        return False
    alert = issue.alert
    activity.record(
        f"Fleetio issue {issue} was deleted in Fleetio", now=now, about=alert, vehicle=alert.vehicle
    )
    return True
