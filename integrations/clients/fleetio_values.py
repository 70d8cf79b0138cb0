"""How Fleetio writes single values, and what we read out of them.

https://developer.fleetio.com/docs/overview/versioning, version 2025-05-05: numbers are texts in
some answers, times may be in the zone of the account.
"""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

LARGEST_ID = 2**63 - 1  # what a column can hold


class ShapeError(Exception):
    """A record lacks what it must have."""


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with its offset, so that the account's own zone plays no part."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone would be read in the account's zone")
    return moment.astimezone(UTC).isoformat()


def read_id(value: Any) -> int:
    """The id that a record must have; raises ShapeError."""
    found = optional_id(value)
    if found is None:
        raise ShapeError
    return found


def optional_id(value: Any) -> int | None:
    """A whole number from 0 on, also as text; None when it is none."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST_ID else None


def ids_of(values: Any) -> tuple[int, ...]:
    """The ids in a list of ids or of records, each once; what is none of them is left out."""
    listed = values if isinstance(values, list) else []
    ids = (optional_id(row.get("id") if isinstance(row, dict) else row) for row in listed)
    return tuple(dict.fromkeys(found for found in ids if found is not None))


def inner_id(row: Mapping[str, Any], name: str) -> int | None:
    """The id of a related record, which is shown as `name_id` or as an object `name`."""
    inner = row.get(name)
    inside = inner.get("id") if isinstance(inner, dict) else None
    flat = optional_id(row.get(f"{name}_id"))
    return optional_id(inside) if flat is None else flat


def vehicle_of(row: Mapping[str, Any]) -> int | None:
    """The vehicle that a record is about, in whichever key; None for equipment."""
    if row.get("asset_type") not in (None, "Vehicle"):
        return None
    for key in ("asset", "vehicle"):
        inner = row.get(key)
        if isinstance(inner, dict) and optional_id(inner.get("id")) is not None:
            return optional_id(inner.get("id"))
    return optional_id(row.get("asset_id")) or optional_id(row.get("vehicle_id"))


def is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def number_of(value: Any) -> float | None:
    """Meter values are strings in some answers."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value.replace(",", "") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def text_of(value: Any) -> str:
    """The text without blanks around it; empty when it is none."""
    return value.strip() if isinstance(value, str) else ""


def time_of(value: Any) -> datetime | None:
    """An aware UTC time; one that names no zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def date_of(value: Any) -> date | None:
    """The day as Fleetio names it, which is a day of the account's zone."""
    try:
        return datetime.fromisoformat(value).date()
    except (TypeError, ValueError):
        return None
