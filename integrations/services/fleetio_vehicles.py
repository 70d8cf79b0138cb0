"""Which Fleetio vehicle is which car, by VIN and by nothing else."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from django.db import transaction

from integrations import registry
from integrations.clients.fleetio import FleetioVehicle
from integrations.models import OutboxEntry, Vehicle
from integrations.services import activity

SEVERAL = "several vehicles with this VIN"


class FleetClient(Protocol):
    def list_vehicles(self) -> list[FleetioVehicle]: ...


@dataclass(slots=True)
class Matched:
    """How the cars and Fleetio's vehicles came together."""

    matched: int = 0
    unmatched: list[Vehicle] = field(default_factory=list)


def match(*, client: FleetClient, now: datetime) -> Matched:
    """Bring every car together with the Fleetio vehicle of the same VIN.

    Lists all of Fleetio's vehicles in pages; when a page fails nothing is changed (ClientError).
    A car whose Fleetio vehicle is gone, archived or has another VIN now loses its match.
    """
    cars = list(Vehicle.objects.order_by("pk"))  # a match made while the list is read stays
    listed = [vehicle for vehicle in client.list_vehicles() if not vehicle.archived]
    by_vin = {vehicle.vin: vehicle for vehicle in listed if vehicle.vin}
    twice = {vin for vin, count in Counter(v.vin for v in listed).items() if count > 1}
    result = Matched()
    for car in cars:
        found = by_vin.get(car.vin or "")
        if found is None:
            note = "no VIN yet" if not car.vin else "no vehicle with this VIN"
        elif car.vin in twice:
            found, note = None, SEVERAL
        else:
            note = ""
        write_match(car, found, note, now)
        if found:
            result.matched += 1
        else:
            result.unmatched.append(car)
    return result


@transaction.atomic
def write_match(car: Vehicle, found: FleetioVehicle | None, note: str, now: datetime) -> None:
    """Remember which Fleetio vehicle the car is, or why it is none."""
    columns = {
        "fleetio_id": found.id if found else None,
        "fleetio_name": found.name[:255] if found else "",
        "fleetio_meter_unit": found.meter_unit[:8] if found else "",
        "fleetio_note": note,
    }
    before = {name: getattr(car, name) for name in columns}
    if before == columns:
        return
    now_matched = Vehicle.objects.select_for_update().filter(pk=car.pk).values_list("fleetio_id")
    if now_matched.first() not in {(before["fleetio_id"],), (None,)}:
        return  # somebody matched it meanwhile, and knew more than an older list
    if found:
        # Ids are unique: whoever had this one before lost the VIN in Fleetio.
        Vehicle.objects.filter(fleetio_id=found.id).exclude(pk=car.pk).update(fleetio_id=None)
    if before["fleetio_id"] != columns["fleetio_id"]:
        columns["fleetio_odometer_km"] = None
        what = f"Matched to Fleetio vehicle {found.name}" if found else f"Not in Fleetio: {note}"
        activity.record(what, now=now, about=car)
        wake = OutboxEntry.objects.filter(
            vehicle=car, lane=registry.FLEETIO, state=OutboxEntry.State.PENDING
        )
        wake.update(next_attempt_at=now)
    Vehicle.objects.filter(pk=car.pk).update(**columns)
