"""Which car of ours an event is about, and what it may come to."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import OperationalError

from integrations.models import Connection, Vehicle, VehicleAccess, WebhookEvent

State = WebhookEvent.State
LOOKS = 5  # at a car that others move meanwhile
CLOCKS_DIFFER = timedelta(minutes=5)


class NotOursError(Exception):
    """The event is about no car that is shared with us; the text says why."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What an event came to, in words for people, and for which car."""

    state: WebhookEvent.State
    note: str
    vehicle: Vehicle | None = None


@dataclass(frozen=True, slots=True)
class Car:
    """The car of an event, and the way that the event came: not always the one it is read by."""

    access: VehicleAccess
    connection: Connection
    vehicle: Vehicle

    @property
    def is_read_this_way(self) -> bool:
        return self.vehicle.smartcar_id == self.access.smartcar_id


def hold(smartcar_id: str) -> Car:
    """Find the car, and keep everybody else from changing it until the transaction ends.

    First the connection, then the car, as everywhere: else two workers wait for each other.
    Raises NotOursError, or OperationalError when it never stands still: the event waits then.
    """
    for _ in range(LOOKS):
        access = _access(smartcar_id)
        # Without the keys: rows that point here may be added meanwhile.
        connection = Connection.objects.select_for_update(no_key=True).get(pk=access.connection_id)
        # While we waited a new consent may have moved it, or its end may have ended it.
        again = _access(smartcar_id)
        if (again.connection_id, again.vehicle_id) != (access.connection_id, access.vehicle_id):
            continue
        if again.ended_at is not None or connection.status == Connection.Status.REVOKED:
            raise NotOursError("no longer shared")
        vehicle = Vehicle.objects.select_for_update(no_key=True).filter(pk=again.vehicle_id).first()
        if vehicle is not None:
            return Car(again, connection, vehicle)
        # It was merged into another car a moment ago: look again.
    raise OperationalError("the car is moved again and again")


def _access(smartcar_id: str) -> VehicleAccess:
    access = VehicleAccess.objects.filter(smartcar_id=smartcar_id or None).first()
    if access is None:
        raise NotOursError("no such car here")
    return access


def in_order(smartcar_ids: Iterable[str]) -> list[str]:
    """The cars of one event in the order in which everybody holds them, their connections held.

    Those that are not ours come last.
    """
    ids = list(dict.fromkeys(smartcar_ids))
    if len(ids) < 2:
        return ids
    known = VehicleAccess.objects.filter(smartcar_id__in=ids)
    connections = {access.connection_id for access in known}
    locked = Connection.objects.select_for_update(no_key=True).filter(pk__in=connections)
    list(locked.order_by("pk").values_list("pk"))
    places = {access.smartcar_id: (access.vehicle_id, access.pk) for access in known}
    return sorted(ids, key=lambda id_: places.get(id_, (sys.maxsize, 0)))


def read_since(vehicle: Vehicle, codes: Sequence[str], at: datetime) -> set[str]:
    """Those of the signals that were read after that moment."""
    return set(
        vehicle.signals.filter(code__in=codes, fetched_at__gt=at).values_list("code", flat=True)
    )


def happened_at(row: WebhookEvent) -> datetime:
    """By the provider's clock, unless it is far ahead: nothing newer would ever be heard of."""
    if row.occurred_at is None or row.occurred_at > row.received_at + CLOCKS_DIFFER:
        return row.received_at
    return row.occurred_at
