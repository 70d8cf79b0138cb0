"""The bodies of Smartcar's v2.0 vehicle endpoints, from what a simulated car knows.

https://smartcar.com/docs/api-reference: shapes, units (metric or imperial) and permissions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from integrations.sandbox.cars import Car
from integrations.sandbox.messages import Request

KM_PER_MILE = 1.609344
KPA_PER_PSI = 6.894757
LITRES_PER_GALLON = 3.785412


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an endpoint needs and how its body is made; `body` gets the car and is_imperial."""

    permission: str
    body: Callable[[Car, bool], Any]


def iso(moment: datetime) -> str:
    """Return the time as Smartcar writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _distance(km: float, imperial: bool) -> float:
    return round(km / KM_PER_MILE if imperial else km, 2)


def _attributes(car: Car, _: bool) -> dict[str, Any]:
    return {"id": car.smartcar_id, "make": car.make, "model": car.model, "year": car.year}


def _odometer(car: Car, imperial: bool) -> dict[str, Any]:
    km, car.next_odometer = car.next_odometer, None
    return {"distance": _distance(car.odometer_km if km is None else km, imperial)}


def _oil(car: Car, _: bool) -> dict[str, Any]:
    return {"lifeRemaining": None if car.oil_life is None else round(car.oil_life, 2)}


def _tires(car: Car, imperial: bool) -> dict[str, Any]:
    return {
        wheel: round(kpa / KPA_PER_PSI if imperial else kpa, 1)
        for wheel, kpa in sorted(car.tires.items())
    }


def _fuel(car: Car, imperial: bool) -> dict[str, Any]:
    if car.fuel is None:
        return {"amountRemaining": None, "percentRemaining": None, "range": None}
    litres = car.fuel * car.size
    return {
        "amountRemaining": round(litres / LITRES_PER_GALLON if imperial else litres, 1),
        "percentRemaining": round(car.fuel, 2),
        "range": _distance(litres / 0.13, imperial),
    }


def _battery(car: Car, imperial: bool) -> dict[str, Any]:
    level = car.battery or 0.0
    reach = level * car.size / 0.22
    return {"percentRemaining": round(level, 2), "range": _distance(reach, imperial)}


def _nominal_capacity(car: Car, _: bool) -> dict[str, Any]:
    return {
        "availableCapacities": [{"capacity": car.size, "description": None}],
        "capacity": {"nominal": car.size, "source": "SMARTCAR"},
        "url": None,
    }


def _charge(_: Car, __: bool) -> dict[str, Any]:
    return {"isPluggedIn": False, "state": "NOT_CHARGING"}


def _charge_limit(_: Car, __: bool) -> dict[str, Any]:
    return {"limit": 0.8}


def _location(car: Car, _: bool) -> dict[str, Any]:
    return {"latitude": car.location[0], "longitude": car.location[1]}


def _security(_: Car, __: bool) -> dict[str, Any]:
    places = ("frontLeft", "frontRight", "backLeft", "backRight")
    return {
        "isLocked": True,
        "doors": [{"type": place, "status": "LOCKED"} for place in places],
        "windows": [{"type": place, "status": "CLOSED"} for place in places],
        "sunroof": [],
        "storage": [{"type": "rear", "status": "CLOSED"}],
        "chargingPort": [],
    }


def _system_status(car: Car, _: bool) -> dict[str, Any]:
    return {
        "systems": [
            {
                "systemId": system,
                "status": status,
                "description": None if status == "OK" else "Service is due for this system",
            }
            for system, status in car.systems.items()
        ]
    }


def _dtcs(car: Car, _: bool) -> dict[str, Any]:
    rows = [code if isinstance(code, tuple) else (code, None) for code in car.trouble_codes]
    return {
        "activeCodes": [
            {"code": code, "timestamp": None if at is None else iso(at)} for code, at in rows
        ]
    }


def _service_history(car: Car, _: bool) -> list[dict[str, Any]]:
    return list(car.services)


ENDPOINTS: dict[str, Endpoint] = {
    "/": Endpoint("read_vehicle_info", _attributes),
    "/vin": Endpoint("read_vin", lambda car, _: {"vin": car.vin}),
    "/odometer": Endpoint("read_odometer", _odometer),
    "/engine/oil": Endpoint("read_engine_oil", _oil),
    "/tires/pressure": Endpoint("read_tires", _tires),
    "/fuel": Endpoint("read_fuel", _fuel),
    "/battery": Endpoint("read_battery", _battery),
    "/battery/nominal_capacity": Endpoint("read_battery", _nominal_capacity),
    "/charge": Endpoint("read_charge", _charge),
    "/charge/limit": Endpoint("read_charge", _charge_limit),
    "/location": Endpoint("read_location", _location),
    "/security": Endpoint("read_security", _security),
    "/diagnostics/system_status": Endpoint("read_diagnostics", _system_status),
    "/diagnostics/dtcs": Endpoint("read_diagnostics", _dtcs),
    "/service/history": Endpoint("read_service_history", _service_history),
}
# These come from Smartcar's own records: no vehicle is asked, none is counted or asleep.
FROM_RECORDS = frozenset({"/", "/permissions"})


def page_of(rows: list[str], request: Request, default: int, most: int) -> tuple[list[str], int]:
    """Return the rows of the page asked for by limit and offset, and the offset."""
    limit = request.param("limit", str(default))
    offset = request.param("offset", "0")
    if not (limit.isdecimal() and offset.isdecimal() and 1 <= int(limit) <= most):
        raise ValueError(f"limit must be between 1 and {most} and offset not negative")
    return rows[int(offset) : int(offset) + int(limit)], int(offset)
