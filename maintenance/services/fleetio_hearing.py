"""What an event of Fleetio says of our alerts and services: which record to look at again."""

from datetime import datetime
from typing import Protocol

from integrations.clients.fleetio_webhooks import FleetioEvent
from integrations.models import Vehicle
from integrations.registry import Heard
from maintenance.models import FleetioIssue, ServiceRecord
from maintenance.services import fleetio_entries, fleetio_sync
from maintenance.services.fleetio_entries import EntriesClient
from maintenance.services.fleetio_sync import SyncClient

ISSUES = ("issue_updated", "issue_closed", "issue_resolved", "issue_deleted")
ENTRIES = ("service_entry_created", "service_entry_updated", "service_entry_deleted")
IMPORTS = ("import_completed",)


class HearingClient(SyncClient, EntriesClient, Protocol):
    """All that is asked for."""


def issue(event: FleetioEvent, *, client: HearingClient, now: datetime) -> Heard:
    """An issue changed, or is no more."""
    known = (
        FleetioIssue.objects.select_related("alert__vehicle")
        .filter(fleetio_id=event.record_id or 0)
        .first()
    )
    if known is None:
        return Heard("not an issue of ours", matters=False)
    change = fleetio_sync.look_at(known, client=client, now=now)
    return Heard(f"issue {known}: {change}", vehicle=known.alert.vehicle)


def service_entry(event: FleetioEvent, *, client: HearingClient, now: datetime) -> Heard:
    """A service entry was written, changed or deleted."""
    if event.record_id is None:
        return Heard("it names no service entry", matters=False)
    reference = fleetio_entries.reference(event.record_id)
    car = Vehicle.objects.filter(fleetio_id=event.vehicle_id or 0).first()
    is_known = ServiceRecord.objects.filter(reference=reference).exists()
    if event.vehicle_id is not None and car is None and not is_known:
        return Heard("not a vehicle of ours", matters=False)
    recorded = fleetio_entries.look_at(event.record_id, client=client, now=now)
    return Heard(f"{recorded} services recorded", vehicle=car)


def imported(event: FleetioEvent, *, client: HearingClient, now: datetime) -> Heard:
    """Many records changed at once, of which nothing else tells."""
    ended = fleetio_sync.bring_back(client=client, now=now)
    recorded = fleetio_entries.bring_back(client=client, now=now)
    return Heard(f"synced: {ended} alerts ended, {recorded} services recorded")
