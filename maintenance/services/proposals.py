"""What a person says of a service that was only proposed."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from integrations.services import activity
from maintenance.models import ServiceRecord
from maintenance.services import services
from maintenance.services.odometers import odometer_on


@transaction.atomic
def confirm(entry: ServiceRecord, *, now: datetime, user: User | None = None) -> bool:
    """The proposed service was done: it counts from now on. False when it was decided before."""
    services.lock(entry.vehicle)
    if not ServiceRecord.objects.proposed().filter(pk=entry.pk).update(is_proposed=False):
        return False
    entry.refresh_from_db()
    if entry.odometer_km is None:  # the readings around it may have come since
        entry.odometer_km = odometer_on(entry.vehicle, entry.done_on)
        entry.save(update_fields=["odometer_km"])
    services.recorded(entry, now=now, user=user, what="Service confirmed")
    return True


@transaction.atomic
def dismiss(entry: ServiceRecord, *, now: datetime, user: User | None = None) -> bool:
    """The proposed service was not done: it is not proposed again."""
    services.lock(entry.vehicle)
    if not ServiceRecord.objects.proposed().filter(pk=entry.pk).update(dismissed_at=now):
        return False
    activity.record(f"Service dismissed: {entry}", now=now, about=entry.vehicle, user=user)
    return True
