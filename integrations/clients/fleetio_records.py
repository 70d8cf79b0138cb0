"""Fleetio's vehicles, meter entries and priorities in our words. Unknown keys are ignored.

https://developer.fleetio.com/docs/overview/versioning, version 2025-05-05
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from integrations.clients.fleetio_values import (
    ShapeError,
    date_of,
    is_blank,
    number_of,
    optional_id,
    read_id,
    text_of,
    time_of,
)

# What a car tells about itself and a Fleetio vehicle may lack; POST and PATCH name them alike.
DETAILS = ("make", "model", "year")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetioVehicle:
    """`vin` is in capitals and without blanks, or empty, however somebody typed it; `meter_unit` is
    km, mi, hr or empty and names `meter_value`.

    `blank` names those of DETAILS that the record shows and that nobody has filled in: what the
    record does not show at all is unknown, not blank.
    """

    id: int
    name: str
    vin: str
    meter_unit: str
    meter_value: float | None
    archived: bool
    blank: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleDraft:
    """What a new vehicle says. All but `make`, `model` and `year` is required."""

    name: str
    vin: str
    meter_unit: str
    status_id: int
    type_id: int
    make: str = ""
    model: str = ""
    year: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of POST /vehicles: https://developer.fleetio.com/docs/api/vehicles-create

        PATCH calls the meter's unit `meter_unit`.
        """
        known = {name: getattr(self, name) for name in DETAILS if getattr(self, name)}
        return {
            "name": self.name,
            "vin": self.vin,
            "primary_meter_unit": self.meter_unit,
            "vehicle_status_id": self.status_id,
            "vehicle_type_id": self.type_id,
            **known,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleLabel:
    """One of the account's own vehicle statuses or types; statuses have a place in their list."""

    id: int
    name: str
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEntry:
    """`value` is in the vehicle's own unit. A void entry counts for nothing in Fleetio.

    `date` is a day of the account's zone: the time of the reading itself is not shown.
    """

    id: int
    vehicle_id: int | None
    value: float
    date: date | None
    is_void: bool
    void_reason: str
    is_secondary: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """One of the account's own issue priorities."""

    id: int
    name: str
    alias: str


def read_vehicle(row: Mapping[str, Any]) -> FleetioVehicle:
    """List rows and older single records spell the meter differently."""
    value = row.get("primary_meter_value", row.get("current_meter_value"))
    return FleetioVehicle(
        id=read_id(row.get("id")),
        name=text_of(row.get("name")),
        vin="".join(text_of(row.get("vin")).split()).upper(),
        meter_unit=text_of(row.get("primary_meter_unit") or row.get("meter_unit")).lower(),
        meter_value=number_of(value),
        archived=bool(row.get("archived_at")),
        blank=frozenset(name for name in DETAILS if name in row and is_blank(row[name])),
    )


def read_vehicle_label(row: Mapping[str, Any]) -> VehicleLabel:
    """Names are the account's own."""
    return VehicleLabel(
        id=read_id(row.get("id")),
        name=text_of(row.get("name")),
        position=optional_id(row.get("position")) or 0,
    )


def read_meter_entry(row: Mapping[str, Any]) -> MeterEntry:
    """Fleetio saves an implausible value all the same and marks it void."""
    value = number_of(row.get("value"))
    if value is None:
        raise ShapeError
    void = row.get("void")
    return MeterEntry(
        id=read_id(row.get("id")),
        vehicle_id=optional_id(row.get("vehicle_id")),
        value=value,
        date=date_of(row.get("date")),
        is_void=void if isinstance(void, bool) else bool(row.get("auto_voided_at")),
        void_reason=text_of(row.get("auto_void_reason")),
        is_secondary=row.get("meter_type") == "secondary",
        created_at=time_of(row.get("created_at")),
    )


def read_priority(row: Mapping[str, Any]) -> Priority:
    """Names are the account's own; the alias is Fleetio's."""
    return Priority(
        id=read_id(row.get("id")), name=text_of(row.get("name")), alias=text_of(row.get("alias"))
    )
