"""Cars and their Fleetio twins, put in by hand: what tests of matching and of odometers share."""

from typing import Any

from integrations.models import Vehicle
from integrations.services import fleetio_vehicles
from integrations.services.fleetio_vehicles import Matched
from tests.integrations.world import World

VIN = "1FTBW2CM0KKA00001"


def in_fleetio(world: World, vin: str | None = VIN, **fields: Any) -> dict[str, Any]:
    records = world.sandbox.fleetio.records
    body = {
        "name": f"Van {len(records.rows('vehicles'))}",
        "vin": None,
        "primary_meter_unit": "mi",
        "vehicle_status_id": records.rows("vehicle_statuses")[0]["id"],
        "vehicle_type_id": records.rows("vehicle_types")[0]["id"],
        **fields,
    }
    row = records.create_vehicle(body)
    row["vin"] = vin  # an account may hold what Fleetio's own pages would refuse today
    return row


def match(world: World) -> Matched:
    return fleetio_vehicles.match(client=world.fleetio, now=world.now)


def fresh(car: Vehicle) -> Vehicle:
    car.refresh_from_db()
    return car
