"""Service entries of Fleetio restart the intervals whose rules know their tasks by name."""

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrations.clients.errors import ClientError
from integrations.clients.fleetio import ServiceEntry
from integrations.models import OutboxEntry, ProviderGate, Vehicle
from integrations.registry import Sent
from integrations.services import outbox
from integrations.services.fleetio_odometers import KM_PER_UNIT
from maintenance.models import ServiceRecord
from maintenance.services import services

logger = logging.getLogger(__name__)

GATE = "fleetio services"
HISTORY = "fleetio_history"
OVERLAP = timedelta(minutes=10)  # clocks differ, and lists lag
LATEST = 12  # entries of one car: each may take a call of its own, and older ones matter less


class EntriesClient(Protocol):
    def get_service_entry(self, entry_id: int) -> ServiceEntry: ...

    def list_service_entries(
        self, *, updated_after: datetime | None = None, vehicle_id: int | None = None
    ) -> list[ServiceEntry]: ...


def bring_back(*, client: EntriesClient, now: datetime) -> int:
    """Take over the entries that changed since the last look; returns how many records were made.

    What a car did before it was matched is read from its own history. Safe to repeat. Raises
    ClientError; what was taken over by then is not looked at again.
    """
    gate, is_first = ProviderGate.objects.get_or_create(name=GATE)
    queue_histories(now=now)
    if is_first or gate.synced_until is None:
        _looked(gate, now)
        return 0
    since = gate.synced_until
    listed = client.list_service_entries(updated_after=since - OVERLAP)
    recorded, until = 0, now
    for entry in filter(_is_ours, listed):
        again = max(entry.updated_at or since, since)
        try:
            recorded += take_over(_whole(entry, client), now=now)
        except ClientError:
            _looked(gate, min(until, again))
            raise
        except ValidationError as exc:  # it says what no record can hold, today and tomorrow
            logger.warning("Fleetio service entry %s is not taken over: %s", entry.id, exc)
        except Exception:
            logger.exception("Fleetio service entry %s could not be taken over", entry.id)
            until = min(until, again)
    _looked(gate, until)
    return recorded


def _looked(gate: ProviderGate, until: datetime) -> None:
    rows = ProviderGate.objects.filter(pk=gate.pk)
    rows.filter(Q(synced_until__isnull=True) | Q(synced_until__lt=until)).update(synced_until=until)


def _is_ours(entry: ServiceEntry) -> bool:
    """Or it was of a car of ours until somebody corrected it."""
    return Vehicle.objects.filter(fleetio_id=entry.vehicle_id or 0).exists() or _is_known(entry.id)


def _is_known(entry_id: int) -> bool:
    return ServiceRecord.objects.filter(reference=reference(entry_id)).exists()


def _whole(entry: ServiceEntry, client: EntriesClient) -> ServiceEntry:
    """Rows of a list may come without their tasks."""
    return entry if entry.tasks is not None else client.get_service_entry(entry.id)


def look_at(entry_id: int, *, client: EntriesClient, now: datetime) -> int:
    """Ask for the entry as it is now, and take that over; returns how many records were made.

    What was deleted there is withdrawn here. Raises ClientError.
    """
    try:
        entry = client.get_service_entry(entry_id)
    except ClientError as exc:
        if exc.status_code != 404:
            raise
        withdraw(entry_id, now=now)
        return 0
    return take_over(entry, now=now)


def withdraw(entry_id: int, *, now: datetime) -> None:
    """The entry is not there any more, or not about our cars."""
    known = Vehicle.objects.filter(services__reference=reference(entry_id)).distinct()
    for car in known:
        services.withdraw(car, reference=reference(entry_id), now=now)


@transaction.atomic
def take_over(entry: ServiceEntry, *, now: datetime) -> int:
    """Have the records of the entry be what it says now; returns how many were made."""
    car = Vehicle.objects.filter(fleetio_id=entry.vehicle_id or 0).first()
    others = Vehicle.objects.filter(services__reference=reference(entry.id))
    for other in others.exclude(pk=car.pk if car else 0).distinct():
        services.withdraw(other, reference=reference(entry.id), now=now)
    if car is None:
        return 0
    Vehicle.objects.select_for_update().filter(pk=car.pk).first()
    done_on = _done_on(entry, now)
    topics = _topics(entry, car) if done_on else set()
    km = odometer_km(car, entry)
    known = list(car.services.filter(reference=reference(entry.id)))
    is_same = {record.topic for record in known} == topics and all(
        record.done_on == done_on and (km is None or record.odometer_km == km) for record in known
    )
    if is_same or not _is_newer(entry, known):
        return 0
    if known:
        services.withdraw(car, reference=reference(entry.id), now=now)
    for topic in sorted(topics):
        services.record(
            car,
            topic=topic,
            source=ServiceRecord.Source.FLEETIO,
            odometer_km=km,
            done_on=done_on,
            note=f"Fleetio service entry {entry.id}",
            reference=reference(entry.id),
            now=now,
        )
    return len(topics)


def _is_newer(entry: ServiceEntry, known: Sequence[ServiceRecord]) -> bool:
    """Whether it changed there since it was taken over: what people changed here stands."""
    if not known or any(record.dismissed_at for record in known):
        return not known
    return entry.updated_at is None or entry.updated_at > max(r.created_at for r in known)


def reference(entry_id: int) -> str:
    """What a service record is taken from."""
    return f"entry:{entry_id}"


def odometer_km(car: Vehicle, entry: ServiceEntry) -> float | None:
    """The entry's odometer in kilometres; None when it counts for nothing or counts hours."""
    value, unit = entry.meter_value, car.fleetio_meter_unit
    if value is None or value <= 0 or entry.meter_is_void or unit not in KM_PER_UNIT:
        return None
    return round(value * KM_PER_UNIT[unit], 3)


def _done_on(entry: ServiceEntry, now: datetime) -> date | None:
    """The local day of the work; None as long as it is not done."""
    if entry.completed_at is None or entry.is_sample:
        return None
    return timezone.localdate(min(entry.completed_at, now))


def _topics(entry: ServiceEntry, car: Vehicle) -> set[str]:
    """The topics of its tasks, but those that were recorded when its issue ended."""
    called = {topic for task in entry.tasks or () for topic in services.topics_called(task.name)}
    references = [f"issue:{issue_id}" for issue_id in entry.issue_ids]
    done = car.services.filter(reference__in=references).values_list("topic", flat=True)
    return called - set(done)


# --- What was done before a car was matched ---------------------------------------------------


def queue_histories(*, now: datetime) -> int:
    """Have the entries of each matched car read once."""
    wanted = {
        f"{HISTORY}:{car.pk}:{car.fleetio_id}": car
        for car in Vehicle.objects.exclude(fleetio_id=None)
    }
    known = set(OutboxEntry.objects.filter(kind=HISTORY).values_list("dedupe_key", flat=True))
    missing = [key for key in wanted if key not in known]
    for key in missing:
        car = wanted[key]
        outbox.enqueue(
            HISTORY,
            dedupe_key=key,
            payload={"vehicle": car.pk, "fleetio_id": car.fleetio_id},
            about=car,
            vehicle=car,
            now=now,
        )
    return len(missing)


def deliver_history(
    entry: OutboxEntry, *, client: EntriesClient, unclear: bool, now: datetime
) -> Sent:
    """Handler of a car's history: what Fleetio knows of its services, taken over once."""
    car = Vehicle.objects.filter(pk=entry.payload["vehicle"]).first()
    if car is None or car.fleetio_id is None or car.fleetio_id != entry.payload["fleetio_id"]:
        return Sent("not read: the car is not this Fleetio vehicle any more")
    listed = client.list_service_entries(vehicle_id=car.fleetio_id)
    done = [found for found in listed if found.completed_at and found.vehicle_id]
    done.sort(key=lambda found: (found.completed_at, found.id), reverse=True)
    recorded = 0
    for found in done[:LATEST]:
        recorded += take_over(_whole(found, client), now=now)
    return Sent(f"{len(listed)} service entries, {recorded} services recorded")
