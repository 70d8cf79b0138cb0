"""Fleetio's faults, and the rules without which there are none.

https://developer.fleetio.com/docs/api/v-1-faults-create
"""

from integrations.sandbox.fleetio_lists import Row, parse_time
from integrations.sandbox.fleetio_records import Invalid, Records

STATUSES = ("open", "resolved", "ignored")
WRITABLE = (
    "name",
    "description",
    "external_id",
    "source",
    "last_occurred_at",
    "count",
    "status",
)


def create_fault_rule(records: Records, body: Row) -> Row:
    """Store a rule for a code that has none yet; raises `Invalid`."""
    with records.lock:
        code = str(body.get("code") or "").strip()
        if not code:
            raise Invalid({"code": ["can't be blank"]})
        if _rule(records, code) is not None:
            raise Invalid({"code": ["has already been taken"]})
        row = {"code": code, "name": body.get("name"), "description": body.get("description")}
        return records.insert("fault_rules", {**row, "priority_handling": "off"})


def create_fault(records: Records, body: Row) -> Row:
    """Store a fault of a vehicle whose code a rule knows; raises `Invalid`."""
    with records.lock:
        errors = _errors(body)
        vehicle = records.find("vehicles", body.get("vehicle_id"))
        if vehicle is None:
            errors["vehicle"] = ["must exist"]
        rule = _rule(records, str(body.get("code") or ""))
        if rule is None:
            errors["code"] = ["must correspond with an existing Fault Rule"]
        if errors or rule is None or vehicle is None:
            raise Invalid(errors)
        row: Row = dict.fromkeys(WRITABLE) | {"status": "open"}
        row |= {name: body[name] for name in WRITABLE if name in body}
        row |= {name: rule[name] for name in ("name", "description") if rule[name]}
        row |= {"code": rule["code"], "fault_rule_id": rule["id"], "vehicle_id": vehicle["id"]}
        row |= {"account_id": records.account_id, "is_sample": False, "idempotency_key": None}
        return records.insert("faults", row)


def update_fault(records: Records, row: Row, body: Row) -> Row:
    """Change a fault; raises `Invalid`. That it can be resolved so is not documented."""
    with records.lock:
        if errors := _errors(body):
            raise Invalid(errors)
        was = row["status"]
        records.touch(row, **{name: body[name] for name in WRITABLE if name in body})
        if row["status"] == "resolved" != was:
            records.tell("faults", "resolved", row)
        return row


def _rule(records: Records, code: str) -> Row | None:
    found = (row for row in records.rows("fault_rules") if row["code"] == code)
    return next(found, None)


def _errors(body: Row) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if body.get("status") not in (None, *STATUSES):
        errors["status"] = ["is not included in the list"]
    seen_at = body.get("last_occurred_at")
    if seen_at and parse_time(str(seen_at)) is None:
        errors["last_occurred_at"] = ["is invalid"]
    for name in ("code", "name", "external_id"):
        if len(str(body.get(name) or "")) > 255:
            errors[name] = ["is too long (maximum is 255 characters)"]
    return errors
