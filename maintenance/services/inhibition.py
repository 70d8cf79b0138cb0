"""What keeps an alert from being announced for now."""

from datetime import datetime

from django.db.models import Q

from integrations.models import Connection, Vehicle
from maintenance.models import Alert, MaintenanceMode, Rule

Hold = Alert.Hold


def why_held(alert: Alert, *, now: datetime) -> str:
    """The reason, as an Alert.Hold; "" when nothing stands against telling people.

    A vehicle in the shop says nothing at all; a lost connection, or an outage of the make,
    explains why nothing fresh comes from its vehicles.
    """
    vehicle = alert.vehicle
    if vehicle is None:
        return ""
    if mode_of(vehicle, now=now):
        return Hold.MAINTENANCE
    if alert.kind != Rule.Kind.STALE_DATA:
        return ""
    if vehicle.connection is None or vehicle.connection.status != Connection.Status.ACTIVE:
        return Hold.CONNECTION
    return Hold.OUTAGE if outage_of(vehicle.make) else ""


def mode_of(vehicle: Vehicle, *, now: datetime) -> MaintenanceMode | None:
    """The maintenance mode that the vehicle is in, by itself or with its group."""
    mine = Q(vehicle=vehicle)
    if vehicle.group_id:
        mine |= Q(group=vehicle.group_id)
    return MaintenanceMode.objects.in_force(now).filter(mine).first()


def outage_of(make: str) -> Alert | None:
    """The alert that speaks for all vehicles of this make that have gone quiet."""
    outages = Alert.objects.announced().filter(
        kind=Rule.Kind.STALE_DATA, vehicle=None, subject=make.strip().upper()
    )
    return outages.first()
