"""The signals of v3 and of webhooks, from what a simulated car tells through v2.0.

Codes, names and bodies: https://smartcar.com/docs/api-reference/signals and recorded traffic.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations.sandbox.cars import SYSTEMS, Car
from integrations.sandbox.smartcar_reads import ENDPOINTS

VIN = "vehicleidentification-vin"
NOT_CAPABLE = ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")
NOT_GRANTED = ("PERMISSION", "UNKNOWN")
ENGINE = "InternalCombustionEngine"
SYSTEM_STATUS = "/diagnostics/system_status"

# Makes the body of a signal out of the v2.0 body; None when the car does not know it.
Translate = Callable[[Any], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal of the catalogue and the v2.0 endpoint that knows it."""

    group: str
    name: str
    path: str
    translate: Translate

    @property
    def code(self) -> str:
        """What both the API and the portal call it."""
        return f"{self.group}-{self.name}".lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSignal:
    """The last that Smartcar knows of a signal. A failed one may still have its old body.

    `recorded_at` is None for what is not measured.
    """

    signal: Signal
    body: Any = None
    error: tuple[str, str | None] | None = None
    recorded_at: datetime | None = None
    fetched_at: datetime


def signals_of(car: Car) -> list[Signal]:
    """Return the signals that are looked for in the car, in order of their codes."""
    systems = car.systems if SYSTEM_STATUS in car.paths else [f"SYSTEM_{name}" for name in SYSTEMS]
    return sorted([*CATALOGUE, *map(_system, systems)], key=lambda signal: signal.code)


def look_up(signal: Signal, car: Car, permissions: Collection[str], now: datetime) -> StoredSignal:
    """Return what the store holds: of a sleeping car, what it said last."""
    endpoint = ENDPOINTS[signal.path]
    fetched_at = car.recorded_at if car.is_asleep else now
    if endpoint.permission not in permissions:
        return StoredSignal(signal=signal, error=NOT_GRANTED, fetched_at=fetched_at)
    body = None
    if signal.path in car.paths:
        body = signal.translate(endpoint.body(car, False))
    if body is None:
        return StoredSignal(signal=signal, error=NOT_CAPABLE, fetched_at=fetched_at)
    recorded_at = car.recorded_at_by_path.get(signal.path, car.recorded_at)
    return StoredSignal(
        signal=signal,
        body=body,
        recorded_at=None if signal.code == VIN else recorded_at,
        fetched_at=fetched_at,
    )


def _quantity(key: str, unit: str) -> Translate:
    def translate(body: Any) -> dict[str, Any] | None:
        value = body[key]
        return None if value is None else {"value": value, "unit": unit}

    return translate


def _percent(key: str) -> Translate:
    """v3 says 35 where v2.0 says 0.35."""

    def translate(body: Any) -> dict[str, Any] | None:
        share = body[key]
        return None if share is None else {"value": round(share * 100), "unit": "percent"}

    return translate


def _tires(body: Any) -> dict[str, Any]:
    """Row 0 is the front, column 0 the left; the unit is not said, it is kPa."""
    places = {"frontLeft": (0, 0), "frontRight": (0, 1), "backLeft": (1, 0), "backRight": (1, 1)}
    values = [
        {"row": row, "column": column, "tirePressure": body[wheel]}
        for wheel, (row, column) in places.items()
        if wheel in body
    ]
    return {"values": values, "rowCount": 2, "columnCount": 2}


def _service_records(body: Any) -> dict[str, Any]:
    return {"values": [_service_record(record) for record in body]}


def _service_record(record: dict[str, Any]) -> dict[str, Any]:
    cost = record.get("serviceCost") or {}
    return {
        "id": record.get("serviceId"),
        "time": record.get("serviceDate"),
        "odometer": record.get("odometerDistance"),
        "tasks": [
            {"id": task.get("taskId"), "description": task.get("taskDescription")}
            for task in record.get("serviceTasks") or []
        ],
        "details": record.get("serviceDetails") or [],
        "cost": {"amount": cost.get("totalCost"), "currency": cost.get("currency")},
    }


def _system(system: str) -> Signal:
    words = system.removeprefix("SYSTEM_").split("_")
    name = "".join(word if word in ("ABS", "MIL") else word.capitalize() for word in words)

    def translate(body: Any) -> dict[str, Any]:
        found = next(one for one in body["systems"] if one["systemId"] == system)
        return {"status": found["status"], "description": found["description"]}

    return Signal("Diagnostics", name, SYSTEM_STATUS, translate)


CATALOGUE = (
    Signal("Odometer", "TraveledDistance", "/odometer", _quantity("distance", "km")),
    Signal(ENGINE, "OilLife", "/engine/oil", _percent("lifeRemaining")),
    Signal(ENGINE, "FuelLevel", "/fuel", _percent("percentRemaining")),
    Signal(ENGINE, "AmountRemaining", "/fuel", _quantity("amountRemaining", "liters")),
    Signal("TractionBattery", "StateOfCharge", "/battery", _percent("percentRemaining")),
    Signal("Wheel", "Tires", "/tires/pressure", _tires),
    Signal(
        "Diagnostics", "DTCList", "/diagnostics/dtcs", lambda body: {"values": body["activeCodes"]}
    ),
    Signal("Service", "Records", "/service/history", _service_records),
    Signal("VehicleIdentification", "VIN", "/vin", lambda body: {"value": body["vin"]}),
    Signal(
        "Location",
        "PreciseLocation",
        "/location",
        lambda body: {**body, "locationType": "LAST_PARKED"},
    ),
)
