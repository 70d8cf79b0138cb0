"""Record a service that was done; the interval of its topic starts again."""

from datetime import date, datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from integrations.clients.readings import ODOMETER
from integrations.models import Vehicle
from integrations.services import activity
from maintenance.models import Alert, Rule, ServiceRecord
from maintenance.models.rules import split
from maintenance.services import alerts, evaluation


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
) -> ServiceRecord:
    """Record a service, today and at the present odometer unless said otherwise."""
    if reference:
        known = vehicle.services.filter(topic=topic, reference=reference).first()
        if known is not None:
            return known
    if odometer_km is None and done_on is None:
        odometer_km = vehicle.signals.filter(code=ODOMETER).values_list("value", flat=True).first()
    entry = ServiceRecord(
        vehicle=vehicle,
        topic=topic,
        odometer_km=odometer_km,
        done_on=done_on or timezone.localdate(now),
        source=source,
        note=note[:255],
        reference=reference,
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
def withdraw(vehicle: Vehicle, *, reference: str, now: datetime) -> int:
    """What was taken from this reference is not true any more; returns how many records."""
    entries = list(vehicle.services.filter(reference=reference)) if reference else []
    for entry in entries:
        activity.record(f"Service withdrawn: {entry}", now=now, about=vehicle)
        entry.delete()
    if entries:
        evaluation.evaluate_vehicle(vehicle.pk, now=now)
    return len(entries)


def topics_called(name: str) -> list[str]:
    """Topics whose rules carry this service name; case and blanks do not matter."""
    wanted = " ".join(name.casefold().split())
    found = [
        rule.topic
        for rule in Rule.objects.enabled().exclude(service_names="")
        if wanted in {" ".join(each.casefold().split()) for each in split(rule.service_names)}
    ]
    return list(dict.fromkeys(found)) if wanted else []


@transaction.atomic
def mark_serviced(alert: Alert, *, now: datetime, user: User | None = None) -> bool:
    """The work of this alert was done: record the service and end the alert."""
    # Two people who press the button at once record one service.
    if alert.vehicle is None or alerts.locked(alert).resolved_at:
        return False
    record(alert.vehicle, topic=alert.topic, now=now, user=user, note=alert.summary)
    alert.refresh_from_db()
    if not alert.resolved_at:
        alerts.resolve(alert, now=now, user=user, how=Alert.Resolution.SERVICED)
    return True
