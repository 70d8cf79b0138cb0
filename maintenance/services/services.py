"""Record a service that was done; the interval of its topic starts again.

A service that is only proposed counts when somebody confirms it. What was taken from elsewhere
has a reference there, and is recorded once for each topic.
"""

from datetime import date, datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from integrations.clients.readings import ODOMETER
from integrations.models import Vehicle
from integrations.services import activity
from maintenance.models import Alert, Rule, ServiceRecord
from maintenance.services import acts, evaluation
from maintenance.services.odometers import odometer_on
from maintenance.services.service_names import topics_called

__all__ = [
    "changed",
    "delete",
    "lock",
    "mark_serviced",
    "odometer_on",
    "record",
    "recorded",
    "topics_called",
    "withdraw",
    "write",
]

# A proposal and a record that are no further apart speak of one service.
SAME_SERVICE = timedelta(days=7)


@transaction.atomic
def record(
    vehicle: Vehicle,
    *,
    topic: str,
    now: datetime,
    source: ServiceRecord.Source = ServiceRecord.Source.ADMIN,
    odometer_km: float | None = None,
    done_on: date | None = None,
    note: str = "",
    user: User | None = None,
    reference: str = "",
    is_proposed: bool = False,
) -> ServiceRecord:
    """Record a service, today and at the present odometer unless said otherwise.

    Of a day without an odometer, what the car's readings around that day say. The same
    `reference` is recorded once for a topic: later calls give what there is, also when somebody
    dismissed it. Raises ValidationError.
    """
    entry, is_new = write(
        vehicle,
        topic=topic,
        now=now,
        source=source,
        odometer_km=odometer_km,
        done_on=done_on,
        note=note,
        user=user,
        reference=reference,
        is_proposed=is_proposed,
    )
    if is_new and not is_proposed:
        evaluation.evaluate_vehicle(vehicle.pk, now=now)
    return entry


@transaction.atomic
def write(
    vehicle: Vehicle,
    *,
    topic: str,
    now: datetime,
    source: ServiceRecord.Source,
    odometer_km: float | None = None,
    done_on: date | None = None,
    note: str = "",
    user: User | None = None,
    reference: str = "",
    is_proposed: bool = False,
) -> tuple[ServiceRecord, bool]:
    """As `record`, for callers that look at the rules themselves; also says whether it is new."""
    lock(vehicle)
    if reference and (known := _referred(vehicle, topic, reference)):
        return known, False
    if odometer_km is None:
        odometer_km = odometer_on(vehicle, done_on) if done_on else _present_odometer(vehicle)
    entry = ServiceRecord(
        vehicle=vehicle,
        topic=topic,
        odometer_km=odometer_km,
        done_on=done_on or timezone.localdate(now),
        source=source,
        note=note[:255],
        reference=reference,
        is_proposed=is_proposed,
        created_at=now,
    )
    entry.created_by = user
    entry.full_clean(exclude=["created_by"], validate_constraints=False)
    try:
        with transaction.atomic():
            entry.save()
    except IntegrityError:  # another process was faster
        if reference and (known := _referred(vehicle, topic, reference)):
            return known, False
        raise
    _note(entry, "Service proposed" if is_proposed else "Service recorded", now=now, user=user)
    return entry, True


@transaction.atomic
def recorded(
    entry: ServiceRecord,
    *,
    now: datetime,
    user: User | None = None,
    what: str = "Service recorded",
) -> None:
    """What follows from a service record that was written: look at the rules again."""
    lock(entry.vehicle)
    _note(entry, what, now=now, user=user)
    evaluation.evaluate_vehicle(entry.vehicle_id, now=now)


@transaction.atomic
def changed(entry: ServiceRecord, *, now: datetime, user: User | None = None) -> None:
    """What follows from a service record that says something else than before."""
    lock(entry.vehicle)
    _unsettle(entry)
    recorded(entry, now=now, user=user, what="Service record changed")


@transaction.atomic
def withdraw(vehicle: Vehicle, *, reference: str, now: datetime) -> int:
    """What was taken from this reference is not true any more; returns how many records."""
    if not reference:
        return 0
    lock(vehicle)
    entries = list(vehicle.services.filter(reference=reference))
    for entry in entries:
        activity.record(f"Service withdrawn: {entry}", now=now, about=vehicle)
        _unsettle(entry)
        entry.delete()
    if any(not entry.is_proposed for entry in entries):
        evaluation.evaluate_vehicle(vehicle.pk, now=now)
    return len(entries)


@transaction.atomic
def delete(entry: ServiceRecord, *, now: datetime, user: User | None = None) -> None:
    """Forget a service; the interval counts from the one before it again.

    What was taken from elsewhere would be taken again, so it is kept as dismissed.
    """
    lock(entry.vehicle)
    activity.record(f"Service deleted: {entry}", now=now, about=entry.vehicle, user=user)
    _unsettle(entry)
    if entry.reference:
        rows = ServiceRecord.objects.filter(pk=entry.pk)
        rows.update(is_proposed=True, dismissed_at=now)
    else:
        entry.delete()
    evaluation.evaluate_vehicle(entry.vehicle_id, now=now)


@transaction.atomic
def mark_serviced(alert: Alert, *, now: datetime, user: User | None = None) -> bool:
    """The work of this alert was done: record the service and end the alert."""
    if alert.vehicle is None:
        return False
    lock(alert.vehicle)
    # Two people who press the button at once record one service.
    if acts.locked(alert).resolved_at:
        return False
    record(alert.vehicle, topic=alert.topic, now=now, user=user, note=alert.summary)
    # The service may have ended it already, or taken away what was only waiting for its hold.
    if still := Alert.objects.unresolved().filter(pk=alert.pk).first():
        alert = still
        acts.resolve(alert, now=now, user=user, how=Alert.Resolution.SERVICED)
    return True


def lock(vehicle: Vehicle) -> None:
    """Before anything else, as ingest does: whoever comes the other way would wait for us."""
    Vehicle.objects.select_for_update().filter(pk=vehicle.pk).first()


def _unsettle(entry: ServiceRecord) -> None:
    """The service that ended an alert may not have: a signal that still fires speaks again."""
    if not entry.is_proposed:
        Alert.objects.filter(
            vehicle=entry.vehicle_id,
            topic=entry.topic,
            kind=Rule.Kind.SERVICE_INTERVAL,
            resolution__in=(Alert.Resolution.SERVICED, Alert.Resolution.FLEETIO),
        ).update(cleared_since_resolved=True)


def _referred(vehicle: Vehicle, topic: str, reference: str) -> ServiceRecord | None:
    return vehicle.services.filter(topic=topic, reference=reference).first()


def _present_odometer(vehicle: Vehicle) -> float | None:
    return vehicle.signals.filter(code=ODOMETER).values_list("value", flat=True).first()


def _note(entry: ServiceRecord, what: str, *, now: datetime, user: User | None) -> None:
    activity.record(f"{what}: {entry}", now=now, about=entry.vehicle, user=user)
    if not entry.is_proposed:  # it answers what was asked about the same service
        ServiceRecord.objects.proposed().filter(
            vehicle=entry.vehicle_id,
            topic=entry.topic,
            done_on__range=(entry.done_on - SAME_SERVICE, entry.done_on + SAME_SERVICE),
        ).delete()
