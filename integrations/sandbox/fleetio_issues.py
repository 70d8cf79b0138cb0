"""Fleetio's issues: how they are made, moved and shown.

https://developer.fleetio.com/docs/api/v-2-issues-create
"""

from typing import Any

from integrations.sandbox.fleetio_comments import comments_of
from integrations.sandbox.fleetio_lists import Row, parse_time
from integrations.sandbox.fleetio_records import ISSUE_MOVES, Invalid, Records, stamp

# What a client may write; everything else in a body is ignored.
WRITABLE = (
    "summary",
    "description",
    "reported_at",
    "due_date",
    "due_meter_value",
    "due_secondary_meter_value",
    "issue_priority_id",
    "assigned_contact_ids",
    "label_ids",
    "custom_fields",
    "reported_by_id",
    "fault_id",
)
MOST_CONTACTS = 10
VEHICLE_KEYS = ("id", "name", "vin", "license_plate", "make", "model", "year")


def create_issue(records: Records, body: Row) -> Row:
    """Store an issue on a vehicle and return it; raises `Invalid`."""
    with records.lock:
        errors = _errors(records, body)
        for name in ("summary", "asset_id", "asset_type", "reported_at"):
            if not body.get(name):
                errors[name] = ["can't be blank"]
        if errors:
            raise Invalid(errors)
        number = body.get("number") or len(records.rows("issues")) + 1
        row: Row = dict.fromkeys(WRITABLE)
        row |= {name: body[name] for name in WRITABLE if name in body}
        row |= {"number": int(number), "state": "Open", "creation_type": "api"}
        row |= {"asset_type": body["asset_type"], "vehicle_id": int(body["asset_id"])}
        row |= dict.fromkeys(
            f"{move}_{what}" for move in ("closed", "resolved") for what in ("at", "by_id", "note")
        )
        row |= {"reopened_at": None, "resolvable_id": None, "resolvable_type": None}
        return records.insert("issues", row)


def update_issue(records: Records, row: Row, body: Row) -> Row:
    """Change an issue; its state cannot be written here. Raises `Invalid`."""
    with records.lock:
        if errors := _errors(records, body):
            raise Invalid(errors)
        return records.touch(row, **{name: body[name] for name in WRITABLE if name in body})


def move_issue(records: Records, row: Row, move: str, note: str | None = None) -> Row:
    """Close, resolve or reopen an issue, with an optional note; again changes nothing."""
    with records.lock:
        state = ISSUE_MOVES[move]
        if row["state"] == state:
            return row
        now = stamp(records.clock())
        if move == "reopen":
            changes: Row = {"reopened_at": now, "resolvable_type": None, "resolvable_id": None}
            for name in ("closed", "resolved"):
                changes |= {f"{name}_at": None, f"{name}_note": None}
        else:
            changes = {f"{state.lower()}_at": now, f"{state.lower()}_note": note}
        records.touch(row, state=state, **changes)
        if move != "reopen":  # of which no event tells
            records.tell("issues", state.lower(), row)
        return row


def resolve_by(records: Records, row: Row, kind: str, key: int) -> None:
    """Resolve an issue by a record, such as a ServiceEntry; one that is not open stays as it is."""
    with records.lock:
        if row["state"] == "Open":
            row |= {"resolvable_type": kind, "resolvable_id": key}
            move_issue(records, row, "resolve")


def show_issue(records: Records, row: Row, *, comments: bool = False) -> Row:
    """Return the issue as create, show and update answer it: objects, a numeric number.

    `comments` puts them into it.
    """
    written = comments_of(records, row["id"])
    shown = {name: value for name, value in row.items() if name != "vehicle_id"}
    resolvable = {"id": row["resolvable_id"], "type": row["resolvable_type"]}
    return shown | {
        "asset": {"id": row["vehicle_id"]},
        "issue_priority": _priority(records, row),
        "is_overdue": False,
        "resolvable": resolvable if row["resolvable_id"] else None,
        "fault": records.find("faults", row["fault_id"]),
        "comments_count": len(written),
        **({"comments": written} if comments else {}),
    }


def list_issue(records: Records, row: Row) -> Row:
    """Return the issue as a list row: flat ids, the number as text, some of the vehicle."""
    vehicle: dict[str, Any] = records.find("vehicles", row["vehicle_id"]) or {}
    shown = {name: value for name, value in row.items() if name != "vehicle_id"}
    return shown | {
        "name": row["summary"],
        "number": str(row["number"]),
        "external_id": None,
        "overdue": False,
        "vehicle": {key: vehicle.get(key) for key in VEHICLE_KEYS},
        "issue_priority": _priority(records, row),
    }


def _priority(records: Records, row: Row) -> Row | None:
    return records.find("issue_priorities", row["issue_priority_id"])


def _errors(records: Records, body: Row) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if "summary" in body and not body["summary"]:
        errors["summary"] = ["can't be blank"]
    if body.get("asset_type") not in (None, "", "Vehicle", "Equipment"):
        errors["asset_type"] = ["is not included in the list"]
    if body.get("asset_id") and records.find("vehicles", body["asset_id"]) is None:
        errors["asset"] = ["must exist"]
    if body.get("reported_at") and parse_time(str(body["reported_at"])) is None:
        errors["reported_at"] = ["is invalid"]
    priority = body.get("issue_priority_id")
    if priority and records.find("issue_priorities", priority) is None:
        errors["issue_priority"] = ["must exist"]
    if body.get("fault_id") and records.find("faults", body["fault_id"]) is None:
        errors["fault"] = ["must exist"]
    for name, table in (("assigned_contacts", "contacts"), ("labels", "labels")):
        ids = body.get(f"{name[:-1]}_ids") or []
        if any(records.find(table, key) is None for key in ids):
            errors[name] = ["must exist"]
    if len(body.get("assigned_contact_ids") or []) > MOST_CONTACTS:
        errors["assigned_contacts"] = [f"is too long (maximum is {MOST_CONTACTS})"]
    number = body.get("number")
    if number and not str(number).isdecimal():
        errors["number"] = ["is not a number"]
    elif number and any(str(row["number"]) == str(number) for row in records.rows("issues")):
        errors["number"] = ["has already been taken"]
    return errors
