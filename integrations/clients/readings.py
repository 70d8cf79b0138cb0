"""What a car said, in the shapes of Smartcar's v3 signals, whatever API it came through.

Codes are v3 signal codes; a reading's `body` is the v3 body (`{"value", "unit"}`, `{"values"}`
or `{"status", "description"}`): https://smartcar.com/docs/api-reference/signals
Units are still the provider's: ingest turns them into one unit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations.clients.errors import Outcome

ODOMETER = "odometer-traveleddistance"
OIL_LIFE = "internalcombustionengine-oillife"
FUEL_LEVEL = "internalcombustionengine-fuellevel"
FUEL_AMOUNT = "internalcombustionengine-amountremaining"
STATE_OF_CHARGE = "tractionbattery-stateofcharge"
TIRES = "wheel-tires"
TROUBLE_CODES = "diagnostics-dtclist"
SERVICE_RECORDS = "service-records"
VIN = "vehicleidentification-vin"

# Not signals in v3 but part of the same first read: {"make", "model", "year"} and
# {"values": [...]}.
ATTRIBUTES = "vehicle-attributes"
PERMISSIONS = "vehicle-permissions"
IDENTITY = (ATTRIBUTES, VIN, PERMISSIONS)

# Smartcar's list of diagnostic systems; ids outside it are read too (the list is open).
SYSTEMS = (
    "abs",
    "activesafety",
    "airbag",
    "brakefluid",
    "driverassistance",
    "emissions",
    "engine",
    "evbatteryconditioning",
    "evcharging",
    "evdriveunit",
    "evhvbattery",
    "lighting",
    "mil",
    "oillife",
    "oilpressure",
    "oiltemperature",
    "telematics",
    "tirepressure",
    "tirepressuremonitoring",
    "transmission",
    "washerfluid",
    "waterinfuel",
)
SYSTEM_PREFIX = "diagnostics-"
SYSTEM_STATUS = tuple(SYSTEM_PREFIX + system for system in SYSTEMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReading:
    """One signal as the provider gave it. Datetimes are aware UTC; None when not said."""

    code: str
    body: dict[str, Any]
    recorded_at: datetime | None
    fetched_at: datetime | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalError:
    """One signal that could not be read, judged alone."""

    code: str
    outcome: Outcome
    type: str
    error_code: str = ""
    message: str = ""
    status_code: int | None = None
    retry_after: float | None = None
    request_id: str = ""


def came_from_the_car(results: Iterable[SignalReading | SignalError]) -> bool:
    """Whether the car gave anything; what it is and what is shared Smartcar knows by itself."""
    return any(isinstance(r, SignalReading) and r.code not in IDENTITY for r in results)
