"""Fleetio's records in our words, read from its JSON. Unknown keys are ignored.

https://developer.fleetio.com/docs/overview/versioning, version 2025-05-05
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

# What a car tells about itself and a Fleetio vehicle may lack; POST and PATCH name them alike.
DETAILS = ("make", "model", "year")


class ShapeError(Exception):
    """A record lacks what it must have."""


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
class FleetioIssue:
    """`state` is open, resolved or closed; `updated_at` is aware UTC."""

    id: int
    number: str
    state: str
    description: str
    vehicle_id: int | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEntry:
    """`value` is in the vehicle's own unit. A void entry counts for nothing in Fleetio."""

    id: int
    vehicle_id: int | None
    value: float
    date: date | None
    is_void: bool
    void_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """One of the account's own issue priorities."""

    id: int
    name: str
    alias: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueDraft:
    """What a new issue says. `reported_at` must be aware."""

    vehicle_id: int
    summary: str
    description: str
    reported_at: datetime
    priority_id: int | None = None
    due_date: date | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of POST /issues: https://developer.fleetio.com/docs/api/v-2-issues-create"""
        body: dict[str, Any] = {
            "asset_type": "Vehicle",
            "asset_id": self.vehicle_id,
            "summary": self.summary,
            "description": self.description,
            "reported_at": format_time(self.reported_at),
        }
        if self.priority_id is not None:
            body["issue_priority_id"] = self.priority_id
        if self.due_date is not None:
            body["due_date"] = self.due_date.isoformat()
        return body


def read_vehicle(row: Mapping[str, Any]) -> FleetioVehicle:
    """List rows and older single records spell the meter differently."""
    value = row.get("primary_meter_value", row.get("current_meter_value"))
    return FleetioVehicle(
        id=_id(row.get("id")),
        name=_text(row.get("name")),
        vin="".join(_text(row.get("vin")).split()).upper(),
        meter_unit=_text(row.get("primary_meter_unit") or row.get("meter_unit")).lower(),
        meter_value=_number(value),
        archived=bool(row.get("archived_at")),
        blank=frozenset(name for name in DETAILS if name in row and _is_blank(row[name])),
    )


def read_vehicle_label(row: Mapping[str, Any]) -> VehicleLabel:
    """Names are the account's own."""
    return VehicleLabel(
        id=_id(row.get("id")),
        name=_text(row.get("name")),
        position=_optional_id(row.get("position")) or 0,
    )


def read_issue(row: Mapping[str, Any]) -> FleetioIssue:
    """Rows of a list name the vehicle in other keys than single records do."""
    number = row.get("number")
    return FleetioIssue(
        id=_id(row.get("id")),
        number="" if number is None else str(number),
        state=_text(row.get("state")).lower(),
        description=row["description"] if isinstance(row.get("description"), str) else "",
        vehicle_id=_vehicle_of(row),
        updated_at=_time(row.get("updated_at")),
    )


def read_meter_entry(row: Mapping[str, Any]) -> MeterEntry:
    """Fleetio saves an implausible value all the same and marks it void."""
    value = _number(row.get("value"))
    if value is None:
        raise ShapeError
    void = row.get("void")
    return MeterEntry(
        id=_id(row.get("id")),
        vehicle_id=_optional_id(row.get("vehicle_id")),
        value=value,
        date=_date(row.get("date")),
        is_void=void if isinstance(void, bool) else bool(row.get("auto_voided_at")),
        void_reason=_text(row.get("auto_void_reason")),
    )


def read_priority(row: Mapping[str, Any]) -> Priority:
    """Names are the account's own; the alias is Fleetio's."""
    return Priority(
        id=_id(row.get("id")), name=_text(row.get("name")), alias=_text(row.get("alias"))
    )


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with its offset, so that the account's own zone plays no part."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone would be read in the account's zone")
    return moment.astimezone(UTC).isoformat()


def _vehicle_of(row: Mapping[str, Any]) -> int | None:
    if row.get("asset_type") not in (None, "Vehicle"):
        return None
    for key in ("asset", "vehicle"):
        inner = row.get(key)
        if isinstance(inner, dict) and _optional_id(inner.get("id")) is not None:
            return _optional_id(inner.get("id"))
    return _optional_id(row.get("asset_id")) or _optional_id(row.get("vehicle_id"))


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _id(value: Any) -> int:
    found = _optional_id(value)
    if found is None:
        raise ShapeError
    return found


def _optional_id(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    """Meter values are strings in some answers."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value.replace(",", "") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _date(value: Any) -> date | None:
    """The day as Fleetio names it, which is a day of the account's zone."""
    try:
        return datetime.fromisoformat(value).date()
    except (TypeError, ValueError):
        return None
