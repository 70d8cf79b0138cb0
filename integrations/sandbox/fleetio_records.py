"""What a Fleetio account holds, and the rules by which records are accepted.

https://developer.fleetio.com/docs/api (version 2025-05-05)
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from integrations.sandbox.fleetio_lists import Row
from integrations.sandbox.messages import Clock

METER_UNITS = ("km", "hr", "mi")
SERVICE_TASKS = (
    "Engine Oil & Filter Replacement",
    "Tire Rotation",
    "Brake Inspection",
    "Battery Replacement",
    "Engine Diagnosis",
)
ISSUE_MOVES = {"close": "Closed", "resolve": "Resolved", "reopen": "Open"}
VEHICLE_FIELDS = (
    "name",
    "vin",
    "license_plate",
    "make",
    "model",
    "year",
    "trim",
    "color",
    "ownership",
    "group_id",
    "vehicle_status_id",
    "vehicle_type_id",
    "external_ids",
    "custom_fields",
    "labels",
)


class Invalid(ValueError):  # noqa: N818  Fleetio's word
    """Fleetio's 422: field -> messages."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__(str(dict(errors)))
        self.errors = dict(errors)


class Records:
    """The tables of one account: `tables[kind][id]`. Thread-safe under `lock`.

    `listener` hears of each change: the table, what happened (created, updated, closed, ...) and
    the row.
    """

    def __init__(self, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.account_id = 4711
        self.listener: Callable[[str, str, Row], None] | None = None
        self.tables: dict[str, dict[int, Row]] = {}
        self._next_id = 1000
        # Readings are ordered by the full time; the API shows the date only.
        self.measured_at: dict[int, datetime] = {}
        for place, (name, color) in enumerate((("Active", "green"), ("In Shop", "orange"))):
            self.insert("vehicle_statuses", {"name": name, "color": color, "position": place + 1})
        for name in ("Van", "Car", "Truck"):
            self.insert("vehicle_types", {"name": name})
        for name in SERVICE_TASKS:
            self.insert("service_tasks", {"name": name, "description": None})
        for name in ("No Priority", "Low", "Medium", "High", "Critical"):
            alias = name.lower().replace(" ", "_")
            row = {"name": name, "alias": alias, "slug": alias, "default": alias == "no_priority"}
            self.insert("issue_priorities", {**row, "enabled": True, "description": None})

    def insert(self, kind: str, row: Row) -> Row:
        """Store the row under a new id and return it."""
        with self.lock:
            self._next_id += 1
            now = stamp(self.clock())
            stored = {"id": self._next_id, "created_at": now, "updated_at": now, **row}
            self.tables.setdefault(kind, {})[self._next_id] = stored
            self.tell(kind, "created", stored)
            return stored

    def rows(self, kind: str) -> list[Row]:
        """Return the rows of the table, oldest first."""
        with self.lock:
            return list(self.tables.get(kind, {}).values())

    def get(self, kind: str, key: object) -> Row:
        """Return the row; raises `KeyError`."""
        return self.tables.get(kind, {})[int(str(key))]

    def find(self, kind: str, key: object) -> Row | None:
        """Return the row, or None when the id is missing, malformed or unknown."""
        return self.tables.get(kind, {}).get(int(str(key))) if str(key).isdecimal() else None

    def vehicle(self, vin: str) -> Row:
        """Return the vehicle with that VIN; raises `KeyError`."""
        for row in self.rows("vehicles"):
            if row["vin"] == vin:
                return row
        raise KeyError(vin)

    def touch(self, row: Row, **values: Any) -> Row:
        """Change the row and its `updated_at`."""
        with self.lock:
            row.update(values, updated_at=stamp(self.clock()))
            kinds = (kind for kind, rows in self.tables.items() if row["id"] in rows)
            self.tell(next(kinds, ""), "updated", row)
            return row

    def tell(self, kind: str, what: str, row: Row) -> None:
        """Let the listener know."""
        if self.listener is not None:
            self.listener(kind, what, row)

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Change things without telling of each."""
        with self.lock:
            listener, self.listener = self.listener, None
            try:
                yield
            finally:
                self.listener = listener

    def create_vehicle(self, body: Row) -> Row:
        """Store a vehicle; raises `Invalid`."""
        with self.lock:
            errors = self._vehicle_errors(body, None)
            for name in ("name", "primary_meter_unit", "vehicle_status_id", "vehicle_type_id"):
                if not body.get(name):
                    errors[name] = ["can't be blank"]
            if body.get("primary_meter_unit") not in (None, "", *METER_UNITS):
                errors["primary_meter_unit"] = ["is not included in the list"]
            if errors:
                raise Invalid(errors)
            row: Row = dict.fromkeys(VEHICLE_FIELDS)
            row |= {"external_ids": {}, "custom_fields": {}, "labels": []}
            row |= {name: body[name] for name in VEHICLE_FIELDS if name in body}
            row |= {
                "account_id": self.account_id,
                "primary_meter_unit": body["primary_meter_unit"],
                "primary_meter_value": "0.0",
                "primary_meter_date": None,
                "archived_at": None,
                "is_sample": False,
            }
            return self._with_names(self.insert("vehicles", row))

    def update_vehicle(self, row: Row, body: Row) -> Row:
        """Change a vehicle; the unit is called `meter_unit` here. Raises `Invalid`."""
        with self.lock:
            if errors := self._vehicle_errors(body, row):
                raise Invalid(errors)
            changes = {name: body[name] for name in VEHICLE_FIELDS if name in body}
            if "meter_unit" in body:
                changes["primary_meter_unit"] = body["meter_unit"]
            return self._with_names(self.touch(row, **changes))

    def _vehicle_errors(self, body: Row, row: Row | None) -> dict[str, list[str]]:
        errors: dict[str, list[str]] = {}
        for name in ("name", "vin"):
            value = body.get(name)
            taken = any(
                other is not row and value and other[name] == value
                for other in self.rows("vehicles")
            )
            if taken:
                errors[name] = ["has already been taken"]
        if len(str(body.get("vin") or "")) > 17:
            errors["vin"] = ["is too long (maximum is 17 characters)"]
        if len(str(body.get("name") or "")) > 255:
            errors["name"] = ["is too long (maximum is 255 characters)"]
        if row is not None and "name" in body and not body["name"]:
            errors["name"] = ["can't be blank"]
        for name, table in (
            ("vehicle_status", "vehicle_statuses"),
            ("vehicle_type", "vehicle_types"),
        ):
            key = body.get(f"{name}_id")
            # A create without one is told so under the field's own name.
            is_given = bool(key) or (row is not None and f"{name}_id" in body)
            if is_given and self.find(table, key) is None:
                errors[name] = ["must exist"]
        return errors

    def _with_names(self, row: Row) -> Row:
        status = self.get("vehicle_statuses", row["vehicle_status_id"])
        row["vehicle_status_name"], row["vehicle_status_color"] = status["name"], status["color"]
        row["vehicle_type_name"] = self.get("vehicle_types", row["vehicle_type_id"])["name"]
        return row


def stamp(moment: datetime) -> str:
    """Return the time as Fleetio writes it; the same shape always, so it sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
