"""What comes back from Fleetio: an issue that was resolved or closed there ends its alert here."""

from datetime import datetime, timedelta
from typing import Protocol

from django.db import transaction

from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.models import ProviderGate
from maintenance.models import Alert, FleetioIssue, Rule, ServiceRecord
from maintenance.services import acts, services

OVERLAP = timedelta(minutes=10)  # clocks differ, and lists lag
ENDED = {"resolved", "closed"}


class UpdatedIssues(Protocol):
    def list_issues(
        self, *, vehicle_id: int | None = None, updated_after: datetime | None = None
    ) -> list[RemoteIssue]: ...


def bring_back(*, client: UpdatedIssues, now: datetime) -> int:
    """End the alerts whose issue was resolved or closed in Fleetio; returns how many.

    Looks at what changed since the last complete look. Safe to repeat. Raises ClientError.
    """
    gate, _created = ProviderGate.objects.get_or_create(name="fleetio")
    open_issues = FleetioIssue.objects.filter(alert__resolved_at__isnull=True)
    ended = 0
    if open_issues.exists():
        known = {issue.fleetio_id: issue for issue in open_issues.select_related("alert__vehicle")}
        oldest = min(issue.created_at for issue in known.values())
        since = max(gate.synced_until or oldest, oldest) - OVERLAP
        for remote in client.list_issues(updated_after=since):
            if remote.id in known:
                ended += _take_over(known[remote.id], remote, now)
    ProviderGate.objects.filter(pk=gate.pk).update(synced_until=now)
    return ended


@transaction.atomic
def _take_over(issue: FleetioIssue, remote: RemoteIssue, now: datetime) -> bool:
    state = remote.state.lower()
    # A list overlaps with the one before: what ended the alert once must not end its return.
    is_old_news = state == issue.state and issue.alert.times_opened > 1
    FleetioIssue.objects.filter(pk=issue.pk).update(state=state[:20], checked_at=now)
    if state not in ENDED or is_old_news:
        return False
    alert = issue.alert
    if state == "resolved" and alert.kind == Rule.Kind.SERVICE_INTERVAL and alert.vehicle:
        # Resolved there means serviced: the interval starts again.
        services.record(
            alert.vehicle,
            topic=alert.topic,
            source=ServiceRecord.Source.FLEETIO,
            note=f"Fleetio issue {issue}",
            now=now,
        )
    acts.resolve(alert, now=now, how=Alert.Resolution.FLEETIO)
    return True
