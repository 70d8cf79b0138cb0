"""Maintenance mode: while a vehicle is in the shop nobody is told; afterwards people hear what was
held back.
"""

from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from integrations.models import Vehicle, VehicleGroup
from integrations.services import activity
from maintenance.models import Alert, MaintenanceMode
from maintenance.services import announcements, notifying


@transaction.atomic
def begin(
    *,
    now: datetime,
    vehicle: Vehicle | None = None,
    group: VehicleGroup | None = None,
    ends_at: datetime | None = None,
    reason: str = "",
    user: User | None = None,
) -> MaintenanceMode:
    """Begin it, or change when the one in force ends. Raises ValidationError."""
    _lock(vehicle, group)
    mine = MaintenanceMode.objects.in_force(now).filter(vehicle=vehicle, group=group)
    mode = mine.first() or MaintenanceMode(
        vehicle=vehicle, group=group, begins_at=now, started_by=user
    )
    mode.ends_at, mode.reason = ends_at, reason or mode.reason
    mode.full_clean(exclude=["started_by"])
    mode.save()
    began(mode, now=now, user=user)
    return mode


def _lock(vehicle: Vehicle | None, group: VehicleGroup | None) -> None:
    """Two who begin it at once begin one."""
    if vehicle is not None:
        Vehicle.objects.select_for_update().filter(pk=vehicle.pk).first()
    if group is not None:
        VehicleGroup.objects.select_for_update().filter(pk=group.pk).first()


def began(mode: MaintenanceMode, *, now: datetime, user: User | None = None) -> None:
    """Write down that it was begun, or changed."""
    until = f" until {mode.ends_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if mode.ends_at else ""
    text = f"Maintenance mode{until}: {mode}. {mode.reason}".rstrip(". ")
    activity.record(text, now=now, about=mode, vehicle=mode.vehicle, user=user)


@transaction.atomic
def end(mode: MaintenanceMode, *, now: datetime, user: User | None = None) -> bool:
    """End it and say what it held. False when it was over already. Safe to repeat.

    What is still the matter is announced now; what came and went meanwhile is only listed. Another
    mode that still covers a vehicle goes on holding it.
    """
    # Always in this order, as everybody takes them: no two wait for each other.
    list(Vehicle.objects.select_for_update().filter(_covered_by(mode)).order_by("pk"))
    if not MaintenanceMode.objects.filter(pk=mode.pk, ended_at=None).update(ended_at=now):
        return False
    text = f"Maintenance mode ended: {mode}"
    activity.record(text, now=now, about=mode, vehicle=mode.vehicle, user=user)
    let_go = [alert for alert in held_by(mode) if announcements.release(alert, now=now)]
    over = [alert for alert in let_go if alert.resolved_at]
    if over:
        notifying.tell_held(mode, over, now=now)
    return True


def held_by(mode: MaintenanceMode) -> list[Alert]:
    """Alerts of the mode's vehicles that nobody was told of, those that are over included."""
    held = Alert.objects.filter(
        held_because=Alert.Hold.MAINTENANCE,
        vehicle__in=Vehicle.objects.filter(_covered_by(mode)),
    )
    return list(held.select_related("rule", "vehicle").order_by("pk"))


def _covered_by(mode: MaintenanceMode) -> Q:
    return Q(pk=mode.vehicle_id) if mode.vehicle_id else Q(group=mode.group_id)
