"""An interval whose issue ended in Fleetio starts again."""

from datetime import datetime, timedelta
from typing import Protocol

from django.core.exceptions import ValidationError
from django.utils import timezone

from integrations.clients.errors import ClientError
from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.clients.fleetio import ServiceEntry
from integrations.services import activity
from maintenance.models import Alert, FleetioIssue, Rule, ServiceRecord
from maintenance.services import fleetio_entries, issue_state, services

PATIENCE = timedelta(hours=1)


class EntryClient(Protocol):
    def get_service_entry(self, entry_id: int) -> ServiceEntry: ...


def restarts(alert: Alert, remote: RemoteIssue) -> bool:
    return alert.kind == Rule.Kind.SERVICE_INTERVAL and remote.state in issue_state.ENDED


def resolving_entry(
    remote: RemoteIssue, client: EntryClient, *, now: datetime
) -> ServiceEntry | None:
    """The service entry by which it was resolved, if there is one that can be read.

    Raises ClientError; where Fleetio stumbles over it for long, it counts as one that cannot.
    """
    if remote.resolvable_id is None or "service" not in remote.resolvable_type.lower():
        return None
    try:
        return client.get_service_entry(remote.resolvable_id)
    except ClientError as exc:
        since = ended_at(remote)
        stumbles = (exc.status_code or 0) >= 500 and since and now - since > PATIENCE
        if exc.status_code in (403, 404) or stumbles:
            return None
        raise


def ended_at(remote: RemoteIssue) -> datetime | None:
    """When it was resolved or closed, as far as Fleetio says."""
    return remote.resolved_at or remote.closed_at or remote.updated_at


def record(
    alert: Alert,
    issue: FleetioIssue,
    remote: RemoteIssue,
    entry: ServiceEntry | None,
    now: datetime,
) -> None:
    """The interval starts again: as the service entry says, else on the day of the end."""
    car = alert.vehicle
    if car is None or not restarts(alert, remote):
        return
    done_at = (entry.completed_at if entry else None) or ended_at(remote) or now
    if entry is not None and car.services.filter(
        topic=alert.topic, reference=fleetio_entries.reference(entry.id)
    ):
        return  # taken over as a service entry already
    try:
        services.record(
            car,
            topic=alert.topic,
            source=ServiceRecord.Source.FLEETIO,
            odometer_km=fleetio_entries.odometer_km(car, entry) if entry else None,
            done_on=timezone.localdate(min(done_at, now)),
            note=f"Fleetio issue {issue}",
            reference=reference(issue),
            now=now,
        )
    except ValidationError as exc:  # a day or an odometer that no service can have
        text = f"The service of Fleetio issue {issue} was not taken over: {exc.messages[0]}"
        activity.record(text, now=now, about=alert, vehicle=car)


def reference(issue: FleetioIssue) -> str:
    """What a service record is taken from when its issue ended."""
    return f"issue:{issue.fleetio_id}"
