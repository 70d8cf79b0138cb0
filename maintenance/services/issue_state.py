"""Where an issue stands in Fleetio, as far as it is known here."""

from datetime import datetime, timedelta
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


def expect_open(issue: FleetioIssue, read: RemoteIssue) -> None:
    """It is about to be opened again here, after it was `read` so.

    Should the answer be lost, nobody takes it for the work of a person, and the end that was read
    is no news any more.
    """
    columns: dict[str, Any] = {"state": OPEN}
    if read.updated_at is not None:
        columns["changed_at"] = _just_after(read.updated_at)
    FleetioIssue.objects.filter(pk=issue.pk).update(**columns)


def expect_nothing(issue: FleetioIssue, read: RemoteIssue) -> None:
    """It was `read` just as before it was to be opened: that came to nothing."""
    if read.updated_at is not None:
        expected = FleetioIssue.objects.filter(
            pk=issue.pk, state=OPEN, changed_at=_just_after(read.updated_at)
        )
        expected.update(state=read.state[:20], changed_at=read.updated_at)


def _just_after(moment: datetime) -> datetime:
    """By Fleetio's clock, which is not ours."""
    return moment + timedelta(microseconds=1)


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
