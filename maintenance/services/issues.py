"""One alert makes one Fleetio issue.

Fleetio knows no idempotency key, so our marker in the description is looked for whenever an
earlier attempt may have arrived. Only one sender at a time works on the account.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from django.core.cache import cache
from django.db import transaction
from django.utils.crypto import salted_hmac

from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.clients.fleetio import IssueDraft, Priority
from integrations.models import OutboxEntry, PortalSettings
from integrations.registry import Postponed, Sent
from integrations.services import activity, outbox
from maintenance.models import Alert, FleetioIssue, FromStage, Rule
from maintenance.services import wording

KIND = "fleetio_issue"
UNMATCHED_WAIT = timedelta(hours=1)
PRIORITIES_KEPT = 3600


class IssueEvent(StrEnum):
    """What Fleetio is told of an alert."""

    OPENED = "opened"
    WORSE = "worse"
    RETURNED = "returned"
    FLAPPING = "flapping"
    CLEARED = "cleared"
    WAIVED = "waived"


def follow(alert: Alert, *, event: IssueEvent, now: datetime) -> None:
    """Write the outbox rows by which Fleetio hears of it. In the caller's transaction."""
    rule = alert.rule
    if rule is None or event in {IssueEvent.CLEARED, IssueEvent.WAIVED}:
        return
    if FromStage(rule.issue_from_stage).covers(alert.stage):
        _enqueue(alert, now)


def cancel(alert: Alert, *, reason: str, now: datetime) -> None:
    """What Fleetio has not been told yet it need not hear."""
    outbox.cancel(outbox.entries_about(alert).filter(kind=KIND), reason=reason, now=now)


def _enqueue(alert: Alert, now: datetime) -> None:
    entry = outbox.enqueue(
        KIND,
        dedupe_key=f"issue:{alert.pk}",
        payload={"alert": alert.pk},
        about=alert,
        vehicle=alert.vehicle,
        now=now,
    )
    dropped = entry.state in {OutboxEntry.State.CANCELLED, OutboxEntry.State.DONE}
    if dropped and not FleetioIssue.objects.filter(alert=alert).exists():
        # The alert was over before its issue was made; now it is back and needs one.
        tried = entry.started_at is not None
        OutboxEntry.objects.filter(pk=entry.pk).update(
            state=OutboxEntry.State.UNKNOWN if tried else OutboxEntry.State.PENDING,
            next_attempt_at=now,
            finished_at=None,
            last_error="",
            result="",
        )


class IssueClient(Protocol):
    def list_priorities(self) -> list[Priority]: ...

    def create_issue(self, draft: IssueDraft) -> RemoteIssue: ...

    def get_issue(self, issue_id: int) -> RemoteIssue: ...

    def list_issues(
        self, *, vehicle_id: int | None = None, updated_after: datetime | None = None
    ) -> list[RemoteIssue]: ...


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
    remote = _find_earlier(entry, client, alert, vehicle_id) if unclear else None
    if remote is None and alert.resolved_at:
        return Sent("not sent: the alert is over")
    if remote is None:
        _note_vehicle(entry, vehicle_id)
        remote = client.create_issue(draft(alert, vehicle_id, _priority_id(client, alert.rule)))
    return _remember(alert, remote, now)


@transaction.atomic  # an issue that is known and not written down would stay so
def _remember(alert: Alert, remote: RemoteIssue, now: datetime) -> Sent:
    issue, created = FleetioIssue.objects.get_or_create(
        alert=alert,
        defaults={
            "fleetio_id": remote.id,
            "number": remote.number,
            "state": remote.state,
            "created_at": now,
            "checked_at": now,
        },
    )
    if created:
        activity.record(
            f"Fleetio issue {issue}: {alert.summary}", now=now, about=alert, vehicle=alert.vehicle
        )
    return Sent(f"issue {issue}")


def _note_vehicle(entry: OutboxEntry, vehicle_id: int) -> None:
    """Remember under which Fleetio vehicle the issue is made: the car may be matched anew."""
    if entry.payload.get("fleetio_id") != vehicle_id:
        entry.payload["fleetio_id"] = vehicle_id
        OutboxEntry.objects.filter(pk=entry.pk).update(payload=entry.payload)


def _find_earlier(
    entry: OutboxEntry, client: IssueClient, alert: Alert, vehicle_id: int
) -> RemoteIssue | None:
    for wanted in dict.fromkeys([entry.payload.get("fleetio_id") or vehicle_id, vehicle_id]):
        if remote := find(client, alert, wanted):
            return remote
    return None


def find(client: IssueClient, alert: Alert, vehicle_id: int) -> RemoteIssue | None:
    """The issue that carries this alert's marker, if an earlier attempt made one."""
    wanted = marker(alert)
    for row in client.list_issues(vehicle_id=vehicle_id):
        # Rows of a list may come without their description.
        issue = row if row.description else client.get_issue(row.id)
        if wanted in issue.description:
            return issue
    return None


def marker(alert: Alert) -> str:
    """What tells this alert's issue from all others; it cannot be guessed or met by chance."""
    digest = salted_hmac("maintenance.issue", str(alert.pk), algorithm="sha256").hexdigest()
    return f"FP-{alert.pk}-{digest[:12]}"


def draft(alert: Alert, vehicle_id: int, priority_id: int | None) -> IssueDraft:
    """The issue as a mechanic reads it: what, since when, why, and where it came from."""
    unit = PortalSettings.load().distance_unit
    lines = wording.explain(alert.kind, alert.evidence, unit)
    recorded = alert.reported_at or alert.opened_at or alert.pending_since
    description = "\n".join(
        [
            f"{alert.summary} ({alert.get_stage_display()}).",
            "",
            *(f"{line.name}: {line.text}" for line in lines),
            f"Recorded by the car: {recorded:%Y-%m-%d %H:%M} UTC",
            "",
            f"Raised by Fleet Portal. Reference {marker(alert)}",
        ]
    )
    return IssueDraft(
        vehicle_id=vehicle_id,
        summary=f"{alert.summary} ({alert.get_stage_display().lower()})"
        if alert.kind == Rule.Kind.SERVICE_INTERVAL
        else alert.summary,
        description=description,
        reported_at=recorded,
        priority_id=priority_id,
    )


def _priority_id(client: IssueClient, rule: Rule | None) -> int | None:
    """The account's id for the rule's priority, by alias or name; None when it has none."""
    wanted = rule.priority if rule else Rule.Priority.NONE
    if wanted == Rule.Priority.NONE:
        return None
    known: dict[str, int] | None = cache.get("fleetio-priorities")
    if known is None:
        known = {}
        for priority in client.list_priorities():
            for name in (priority.name, priority.alias):
                known[(name or "").strip().lower().replace(" ", "_")] = priority.id
        cache.set("fleetio-priorities", known, PRIORITIES_KEPT)
    return known.get(wanted)
