"""What a legacy (v2) webhook carries: the answers of the v2 API, path by path, for many cars.

https://smartcar.com/docs/getting-started/tutorials/webhooks-dynamic
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from integrations.clients import readings as r
from integrations.clients.readings import SignalError, SignalReading
from integrations.clients.smartcar_signals import object_of, parse_code, parse_moment
from integrations.clients.smartcar_v2_answers import of_item
from integrations.clients.smartcar_v2_paths import PATHS, plan
from integrations.clients.texts import text_of

KINDS = frozenset({"scheduled", "schedule", "dynamic"})

# What an error of a whole path is an error of.
_CODES_OF, _ = plan(
    (
        *(r.ODOMETER, r.OIL_LIFE, r.FUEL_LEVEL, r.FUEL_AMOUNT, r.STATE_OF_CHARGE, r.TIRES),
        *(r.TROUBLE_CODES, *r.SYSTEM_STATUS, r.SERVICE_RECORDS, *r.IDENTITY),
    )
)


def cars(payload: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Smartcar's id of each car, and what is said of it."""
    vehicles = payload.get("vehicles")
    listed = [object_of(vehicle) for vehicle in vehicles] if isinstance(vehicles, list) else []
    return [(id_, vehicle) for vehicle in listed if (id_ := text_of(vehicle.get("vehicleId"), 64))]


def read_car(vehicle: Mapping[str, Any]) -> Iterator[SignalReading | SignalError]:
    """Everything that is said of one car, in the shapes of v3."""
    request_id = text_of(vehicle.get("requestId"), 64)
    outer = {"sc-request-id": request_id} if request_id else {}
    for item in _items(vehicle):
        path = PATHS.get("/" + str(item.get("path")).strip("/"))
        if path is None:
            continue  # locks, charging, location: nothing that we read
        try:
            results = of_item(item, outer).judge(path, _CODES_OF[path.path], secret="")
        except (ValueError, ArithmeticError):
            continue  # a year, a status or a wait of hundreds of digits
        yield from (result for result in results if parse_code(result.code))


def newest_moment(payload: Mapping[str, Any]) -> datetime | None:
    """When the newest of the answers was fetched or recorded."""
    moments = [
        parse_moment(value)
        for _id, vehicle in cars(payload)
        for item in _items(vehicle)
        for name, value in object_of(item.get("headers")).items()
        if name.lower() in {"sc-fetched-at", "sc-data-age"}
    ]
    return max((moment for moment in moments if moment), default=None)


def _items(vehicle: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = vehicle.get("data")
    return [object_of(item) for item in items] if isinstance(items, list) else []
