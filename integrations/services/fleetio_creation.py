"""Put into Fleetio what it lacks: a vehicle for a car that has none, and blank fields.

What a person wrote there is never overwritten. VINs alone tell vehicles apart.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import FleetioVehicle, VehicleDraft
from integrations.clients.fleetio_records import DETAILS
from integrations.models import OutboxEntry, Vehicle
from integrations.registry import Sent
from integrations.services import activity, outbox
from integrations.services.fleetio_vehicles import SEVERAL, write_match

CREATE = "fleetio_vehicle"
FILL = "fleetio_vehicle_blanks"
State = OutboxEntry.State


class CreationClient(Protocol):
    def find_vehicles(self, *, vin: str) -> list[FleetioVehicle]: ...

    def list_archived_vehicles(self) -> list[FleetioVehicle]: ...

    def get_vehicle(self, vehicle_id: int) -> FleetioVehicle: ...

    def create_vehicle(self, draft: VehicleDraft) -> FleetioVehicle: ...

    def update_vehicle(self, vehicle_id: int, fields: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person decides about a new vehicle; the car itself says the rest."""

    name: str
    status_id: int
    type_id: int
    meter_unit: str


def why_not_created(car: Vehicle) -> str:
    """Why no vehicle can be made for this car; empty when one can."""
    if car.fleetio_id:
        return _("is in Fleetio already")
    if car.fleetio_note == SEVERAL:
        return _("Fleetio has several vehicles with its VIN: leave one of them there")
    if not car.vin:
        return _("its VIN is not known yet, and nothing else tells vehicles apart for sure")
    return ""


@transaction.atomic
def queue_creation(car: Vehicle, choice: Choice, *, now: datetime, user: User) -> bool:
    """Write the row that makes the vehicle, or correct one that was refused or still waits.

    False when nothing can be made, or somebody is making it at this moment.
    """
    known_car = Vehicle.objects.select_for_update().filter(pk=car.pk).first()
    if known_car is None or why_not_created(known_car):
        return False  # the car may have been merged into another one since it was shown
    car = known_car
    payload = {
        "vehicle": car.pk,
        "vin": car.vin,
        "name": choice.name,
        "status_id": choice.status_id,
        "type_id": choice.type_id,
        "meter_unit": choice.meter_unit,
    }
    key = f"{CREATE}:{car.pk}:{car.vin}"
    known = OutboxEntry.objects.filter(dedupe_key=key, state__in=outbox.UNFINISHED)
    if known.filter(payload=payload).exists():
        return True  # asked for twice
    entry = outbox.enqueue(CREATE, dedupe_key=key, payload=payload, about=car, vehicle=car, now=now)
    if entry.payload != payload or entry.state in {State.DEAD, State.CANCELLED, State.DONE}:
        rows = OutboxEntry.objects.filter(pk=entry.pk).exclude(state=State.SENDING)
        # It may have arrived before it was given up; every attempt looks first anyway.
        state = State.UNKNOWN if entry.started_at else State.PENDING
        corrected = rows.update(
            payload=payload, state=state, attempts=0, next_attempt_at=now, finished_at=None
        )
        if not corrected:
            return False
    activity.record(f"To be created in Fleetio as {choice.name}", now=now, about=car, user=user)
    return True


def deliver_creation(
    entry: OutboxEntry, *, client: CreationClient, unclear: bool, now: datetime
) -> Sent:
    """Handler of a new vehicle. Looks by VIN first, so that it never makes a second one."""
    wanted = entry.payload
    car = Vehicle.objects.filter(pk=wanted["vehicle"], vin=wanted["vin"]).first()
    if car is None:
        return Sent("not sent: the car is gone, or has another VIN")
    if car.fleetio_id:
        return Sent(f"is in Fleetio already: vehicle {car.fleetio_id}")
    vehicle = _find(client, wanted["vin"]) or _create(client, car, wanted)
    write_match(car, vehicle, "", now)
    return Sent(f"vehicle {vehicle.name} ({vehicle.id})")


def _find(client: CreationClient, vin: str) -> FleetioVehicle | None:
    there = client.find_vehicles(vin=vin)
    if len(there) > 1:
        raise _refused("Fleetio has several vehicles with this VIN")
    return there[0] if there else None


def _create(client: CreationClient, car: Vehicle, wanted: dict[str, Any]) -> FleetioVehicle:
    if any(vehicle.vin == wanted["vin"] for vehicle in client.list_archived_vehicles()):
        raise _refused("Fleetio has archived the vehicle with this VIN: restore it there")
    try:
        return client.create_vehicle(_draft(car, wanted))
    except ClientError as exc:
        # Refused because somebody made it by hand a moment ago?
        made = _find(client, wanted["vin"]) if exc.outcome is Outcome.REJECTED else None
        if made is None:
            raise
        return made


def _draft(car: Vehicle, wanted: dict[str, Any]) -> VehicleDraft:
    return VehicleDraft(
        name=wanted["name"],
        vin=wanted["vin"],
        meter_unit=wanted["meter_unit"],
        status_id=wanted["status_id"],
        type_id=wanted["type_id"],
        make=car.make,
        model=car.model,
        year=car.year,
    )


def _refused(why: str) -> ClientError:
    return ClientError(why, outcome=Outcome.REJECTED)


def queue_fill(car: Vehicle, *, now: datetime, user: User) -> bool:
    """Write the row that fills blank fields; False when there is no match, or one is waiting."""
    waiting = OutboxEntry.objects.filter(kind=FILL, vehicle=car, state__in=outbox.UNFINISHED)
    if car.fleetio_id is None or waiting.exists():
        return False
    outbox.enqueue(
        FILL,
        dedupe_key=f"{FILL}:{car.pk}:{car.fleetio_id}:{now.isoformat()}",
        payload={"vehicle": car.pk, "fleetio_id": car.fleetio_id},
        about=car,
        vehicle=car,
        now=now,
    )
    activity.record("Blank fields to be filled in Fleetio", now=now, about=car, user=user)
    return True


def deliver_fill(
    entry: OutboxEntry, *, client: CreationClient, unclear: bool, now: datetime
) -> Sent:
    """Handler of blank fields. What is blank is decided from the record as it is now."""
    car = Vehicle.objects.filter(pk=entry.payload["vehicle"]).first()
    if car is None or car.fleetio_id is None or car.fleetio_id != entry.payload["fleetio_id"]:
        return Sent("not sent: the car is not this Fleetio vehicle any more")
    record = client.get_vehicle(car.fleetio_id)
    if record.archived or record.vin != car.vin:
        return Sent("not sent: Fleetio has archived it, or names another VIN now")
    blanks = {name: getattr(car, name) for name in DETAILS if name in record.blank}
    fields = {name: value for name, value in blanks.items() if value}
    if not fields:
        return Sent("nothing to fill")
    client.update_vehicle(car.fleetio_id, fields)
    return Sent("filled: " + ", ".join(f"{name} {value}" for name, value in fields.items()))
