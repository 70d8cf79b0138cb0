"""Record a service that was done; the interval of its topic starts again."""

from datetime import date, datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from integrations.clients.readings import ODOMETER
from integrations.models import Vehicle
from integrations.services import activity
from maintenance.models import Alert, ServiceRecord
from maintenance.services import acts, evaluation


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
) -> ServiceRecord:
    """Record a service, today and at the present odometer unless said otherwise."""
    if odometer_km is None and done_on is None:
        odometer_km = vehicle.signals.filter(code=ODOMETER).values_list("value", flat=True).first()
    entry = ServiceRecord(
        vehicle=vehicle,
        topic=topic,
        odometer_km=odometer_km,
        done_on=done_on or timezone.localdate(now),
        source=source,
        note=note[:255],
        created_at=now,
    )
    entry.created_by = user
    entry.full_clean(exclude=["created_by"])
    entry.save()
    recorded(entry, now=now, user=user)
    return entry


def recorded(
    entry: ServiceRecord,
    *,
    now: datetime,
    user: User | None = None,
    what: str = "Service recorded",
) -> None:
    """What follows from a service record that was written or changed: look at the rules again."""
    activity.record(f"{what}: {entry}", now=now, about=entry.vehicle, user=user)
    evaluation.evaluate_vehicle(entry.vehicle_id, now=now)


@transaction.atomic
def mark_serviced(alert: Alert, *, now: datetime, user: User | None = None) -> bool:
    """The work of this alert was done: record the service and end the alert."""
    # Two people who press the button at once record one service.
    if alert.vehicle is None or acts.locked(alert).resolved_at:
        return False
    record(alert.vehicle, topic=alert.topic, now=now, user=user, note=alert.summary)
    # The service may have ended it already, or taken away what was only waiting for its hold.
    if still := Alert.objects.unresolved().filter(pk=alert.pk).first():
        alert = still
        acts.resolve(alert, now=now, user=user, how=Alert.Resolution.SERVICED)
    return True
