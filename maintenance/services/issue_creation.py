"""One alert makes one Fleetio issue.

Fleetio knows no idempotency key, so our marker in the description is looked for whenever an
earlier attempt may have arrived. Only one sender at a time works on the account.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import transaction

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.clients.fleetio import IssueDraft
from integrations.models import OutboxEntry, Vehicle
from integrations.registry import Postponed, Sent
from integrations.services import activity, outbox
from integrations.services.fleetio_odometers import KM_PER_UNIT, in_unit
from maintenance.models import Alert, FleetioIssue
from maintenance.services import (
    issue_faults,
    issue_people,
    issue_search,
    issue_state,
    issue_words,
    issues,
)
from maintenance.services.issue_faults import FaultClient
from maintenance.services.issue_people import PeopleClient
from maintenance.services.issue_search import SearchClient

UNMATCHED_WAIT = timedelta(hours=1)
PATIENCE = 5  # attempts at all that a rule asks for; then what goes on failing is left out

# What an issue can do without: Fleetio's names of the fields, and what is left out for them.
_OPTIONAL: dict[str, dict[str, Any]] = {
    "fault": {"fault_id": None},
    "assigned_contact": {"assigned_contact_ids": ()},
    "label": {"label_ids": ()},
    "due_date": {"due_date": None},
    "due_meter": {"due_meter_value": None},
    "issue_priority": {"priority_id": None},
}


class IssueClient(PeopleClient, FaultClient, SearchClient, Protocol):
    def create_issue(self, draft: IssueDraft) -> RemoteIssue: ...


def deliver(
    entry: OutboxEntry, *, client: IssueClient, unclear: bool, now: datetime
) -> Sent | Postponed:
    """Handler of an alert's issue: find it when it may exist already, else create it."""
    alert = (
        Alert.objects.select_related("vehicle", "rule").filter(pk=entry.payload["alert"]).first()
    )
    if alert is None or alert.vehicle is None:
        return Sent("not sent: the alert was deleted")
    known = FleetioIssue.objects.filter(alert=alert).first()
    if known is not None:
        return Sent(f"issue {known}")
    vehicle_id = alert.vehicle.fleetio_id
    if vehicle_id is None:
        note = alert.vehicle.fleetio_note or "not matched yet"
        return Postponed(now + UNMATCHED_WAIT, f"The car is not in Fleetio: {note}")
    remote = issue_search.find(entry, alert, vehicle_id, client=client) if unclear else None
    if remote is not None:
        return _remember(alert, remote, [], now)
    if issues.is_over(alert):
        return Sent("not sent: the alert is over")
    remote, flaws = _create(entry, client, alert, vehicle_id, unclear=unclear)
    return _remember(alert, remote, flaws, now)


def _create(
    entry: OutboxEntry, client: IssueClient, alert: Alert, vehicle_id: int, *, unclear: bool
) -> tuple[RemoteIssue, list[str]]:
    """Make the issue with all that belongs to it; and what was left out, in words."""
    outbox.note(entry, fleetio_id=vehicle_id, told=[alert.times_opened, alert.stage])
    patient = entry.attempts <= PATIENCE
    people = issue_people.look_up(alert.rule, client=client, afresh=unclear, patient=patient)
    flaws = people.flaws
    fault_id = entry.payload.get("fault_id")
    if fault_id is None:
        fault = issue_faults.make(
            alert,
            vehicle_id,
            client=client,
            reference=issues.marker(alert),
            looks=unclear,
            patient=patient,
        )
        fault_id, flaws = fault.id, [*flaws, *fault.flaws]
        if fault_id is not None:
            outbox.note(entry, fault_id=fault_id)
    wanted = replace(
        draft(alert, alert.vehicle, vehicle_id),
        priority_id=people.priority_id,
        assigned_contact_ids=people.contact_ids,
        label_ids=people.label_ids,
        fault_id=fault_id,
    )
    try:
        remote = client.create_issue(wanted)
    except ClientError as exc:
        bare, refused = _without_refused(wanted, exc)
        if not refused:
            raise
        remote = client.create_issue(bare)
        flaws = [*flaws, *refused]
    return (remote if remote.fault_id else replace(remote, fault_id=fault_id)), flaws


def _without_refused(wanted: IssueDraft, exc: ClientError) -> tuple[IssueDraft, list[str]]:
    """The issue without the optional fields that Fleetio refuses: none when others are refused."""
    if exc.outcome is not Outcome.REJECTED or exc.status_code != 422 or not exc.fields:
        return wanted, []
    left_out: dict[str, Any] = {}
    flaws = []
    for field, messages in exc.fields.items():
        name = next((name for name in _OPTIONAL if str(field).startswith(name)), None)
        if name is None:
            return wanted, []
        left_out |= _OPTIONAL[name]
        text = ", ".join(map(str, messages)) if isinstance(messages, list) else str(messages)
        flaws.append(f"without {field}: {text}")
    bare = replace(wanted, **left_out)
    return (bare, flaws) if bare != wanted else (wanted, [])


@transaction.atomic  # an issue that is known and not written down would stay so
def _remember(alert: Alert, remote: RemoteIssue, flaws: list[str], now: datetime) -> Sent:
    issue, created = FleetioIssue.objects.get_or_create(
        alert=alert,
        defaults={
            "fleetio_id": remote.id,
            "number": remote.number,
            **_standing(alert, remote, now),
            "fault_id": remote.fault_id,
            "created_at": now,
        },
    )
    if created:
        about: dict[str, Any] = {"now": now, "about": alert, "vehicle": alert.vehicle}
        activity.record(f"Fleetio issue {issue}: {alert.summary}", **about)
        for flaw in flaws:
            activity.record(f"Fleetio issue {issue}: {flaw}", **about)
    return Sent("; ".join([f"issue {issue}", *flaws]))


def _standing(alert: Alert, remote: RemoteIssue, now: datetime) -> dict[str, Any]:
    """Where the issue stands. What a person ended before we knew it is news: as long as the alert
    does not follow, it counts as open and not yet seen, so that it is looked at and taken over.
    """
    if remote.state in issue_state.ENDED and not alert.resolved_at:
        return {"state": issue_state.OPEN, "changed_at": None, "checked_at": None}
    state = remote.state[:20] or issue_state.OPEN
    return {"state": state, "changed_at": remote.updated_at, "checked_at": now}


def draft(alert: Alert, car: Vehicle | None, vehicle_id: int) -> IssueDraft:
    """The issue as a mechanic reads it; what is due is in the unit of the vehicle's own meter."""
    unit = car.fleetio_meter_unit if car else ""
    due_km = issue_words.due_odometer_km(alert)
    return IssueDraft(
        vehicle_id=vehicle_id,
        summary=issue_words.summary(alert),
        description=issue_words.description(alert, issues.marker(alert)),
        reported_at=alert.reported_at or alert.opened_at or alert.pending_since,
        due_date=issue_words.due_on(alert),
        due_meter_value=in_unit(due_km, unit) if due_km and unit in KM_PER_UNIT else None,
    )
