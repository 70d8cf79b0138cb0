"""Which cars there are, and which way each one is read."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from integrations.models import Connection, Vehicle, VehicleAccess
from integrations.services import activity


def reached_by(connection: Connection) -> QuerySet[Vehicle]:
    return Vehicle.objects.filter(accesses__connection=connection).distinct()


@transaction.atomic
def attach(
    connection: Connection,
    smartcar_ids: Iterable[str],
    *,
    now: datetime,
    permissions: Mapping[str, Sequence[str] | None] = MappingProxyType({}),
    known_as: Mapping[str, Vehicle] = MappingProxyType({}),
) -> list[Vehicle]:
    """Make the connection's cars exactly these. Safe to repeat; never makes a car twice.

    A car that the driver no longer shares stays, with its history, but is not read this way.
    `permissions` are what was granted, where it is known; `known_as` names the vehicle that an id
    which was never seen belongs to.
    """
    wanted = list(dict.fromkeys(smartcar_ids))
    # The callback and the job that catches up may list the same consent at the same time.
    Connection.objects.select_for_update().get(pk=connection.pk)
    known = {
        access.smartcar_id: access
        for access in VehicleAccess.objects.select_related("vehicle").filter(smartcar_id__in=wanted)
    }
    attached = [
        _attach_one(connection, smartcar_id, known.get(smartcar_id), known_as.get(smartcar_id), now)
        for smartcar_id in wanted
    ]
    for smartcar_id, names in permissions.items():
        if names is not None:
            granted = connection.accesses.filter(smartcar_id=smartcar_id)
            granted.update(permissions=sorted(set(names)))
    gone = connection.accesses.filter(ended_at__isnull=True).exclude(smartcar_id__in=wanted)
    for access in gone.select_related("vehicle"):
        _end(access, now)
    return attached


def _end(access: VehicleAccess, now: datetime) -> None:
    VehicleAccess.objects.filter(pk=access.pk).update(ended_at=now)
    activity.record("No longer shared by the driver", now=now, about=access.vehicle)
    choose_access(access.vehicle, now=now)


@transaction.atomic
def end_access(vehicle: Vehicle, *, now: datetime) -> None:
    """The way this car is read through now is gone; the driver's other cars are not concerned."""
    ways = vehicle.accesses.filter(smartcar_id=vehicle.smartcar_id, ended_at__isnull=True)
    for access in ways.select_related("vehicle"):
        _end(access, now)


def _attach_one(
    connection: Connection,
    smartcar_id: str,
    access: VehicleAccess | None,
    known_as: Vehicle | None,
    now: datetime,
) -> Vehicle:
    if access is None:
        vehicle = known_as or Vehicle.objects.create(
            group=connection.group, created_at=now, next_poll_at=now, smartcar_id=smartcar_id
        )
        VehicleAccess.objects.create(
            vehicle=vehicle, connection=connection, smartcar_id=smartcar_id, connected_at=now
        )
        activity.record(f"Connected by {connection.driver}", now=now, about=vehicle)
    else:
        vehicle = access.vehicle
        changes: dict[str, Any] = {"connection": connection, "permissions": None}
        if access.ended_at or access.subscription == VehicleAccess.Subscription.REFUSED:
            # Smartcar ends a car's reports with its consent; a new one may allow them.
            changes |= {"subscription": "", "subscribed_to": "", "subscribe_after": None}
        VehicleAccess.objects.filter(pk=access.pk).update(
            connected_at=now, ended_at=None, **changes
        )
        # A new consent may grant what an old one did not: ask for everything again.
        vehicle.signals.exclude(support="ok").update(support="unknown", recheck_at=None)
        Vehicle.objects.filter(pk=vehicle.pk).update(
            next_poll_at=now,
            not_before=None,
            identified_at=None,
            poll_failures=0,
            last_error="",
            poll_outcome="",
            poll_error="",
            poll_outcome_since=None,
        )
    choose_access(vehicle, now=now)
    return vehicle


def choose_access(vehicle: Vehicle, *, now: datetime) -> None:
    """Read the car through the newest healthy connection, or through none."""
    ways = vehicle.accesses.filter(ended_at__isnull=True).order_by("-connected_at", "-pk")
    healthy = ways.filter(connection__status=Connection.Status.ACTIVE).first()
    # Without a healthy one keep showing whose car it was; an inactive connection is not read.
    best = healthy or ways.first()
    connection_id = best.connection_id if best else None
    smartcar_id = best.smartcar_id if best else ""
    changed = (
        Vehicle.objects.filter(pk=vehicle.pk)
        .exclude(connection=connection_id, smartcar_id=smartcar_id)
        .update(connection_id=connection_id, smartcar_id=smartcar_id)
    )
    if changed and healthy:
        Vehicle.objects.filter(pk=vehicle.pk).update(next_poll_at=now, not_before=None)
    vehicle.refresh_from_db()


@transaction.atomic
def identify(
    vehicle: Vehicle,
    *,
    now: datetime,
    attributes: dict[str, object] | None = None,
    vin: str = "",
    permissions: list[str] | None = None,
) -> Vehicle:
    """Write what the first read said about the car itself.

    When another vehicle has this VIN already, both are one car: this way of reaching it moves
    there, and that vehicle is returned. Nothing is ever written over a VIN that is known.
    """
    vehicle = Vehicle.objects.select_for_update().get(pk=vehicle.pk)
    if permissions is not None:
        vehicle.accesses.filter(smartcar_id=vehicle.smartcar_id).update(
            permissions=sorted(set(permissions))
        )
    known = Vehicle.objects.filter(vin=vin).exclude(pk=vehicle.pk).first() if vin else None
    if known is not None and vehicle.vin is None:
        return _merge(vehicle, into=known, now=now)
    if known is None and vin and vehicle.vin is None:
        vehicle.vin = vin
    elif vin and vehicle.vin and vehicle.vin != vin:
        activity.record(f"Smartcar now says VIN {vin}; kept {vehicle.vin}", now=now, about=vehicle)
    attributes = attributes or {}
    vehicle.make = str(attributes.get("make") or vehicle.make)[:60]
    vehicle.model = str(attributes.get("model") or vehicle.model)[:60]
    year = attributes.get("year")
    vehicle.year = year if isinstance(year, int) and 1900 < year < 2200 else vehicle.year
    vehicle.identified_at = now
    try:
        with transaction.atomic():
            vehicle.save(update_fields=["vin", "make", "model", "year", "identified_at"])
    except IntegrityError:
        # Another worker gave this VIN to its own row a moment ago: both are one car.
        return _merge(vehicle, into=Vehicle.objects.get(vin=vin), now=now)
    return vehicle


def _merge(vehicle: Vehicle, *, into: Vehicle, now: datetime) -> Vehicle:
    vehicle.accesses.update(vehicle=into)
    if into.group_id is None and vehicle.group_id is not None:
        Vehicle.objects.filter(pk=into.pk).update(group=vehicle.group)
    Vehicle.objects.filter(pk=into.pk).update(
        reported_errors={**vehicle.reported_errors, **into.reported_errors}
    )
    vehicle.delete()
    activity.record("A second connection reaches this car", now=now, about=into)
    choose_access(into, now=now)
    return into
