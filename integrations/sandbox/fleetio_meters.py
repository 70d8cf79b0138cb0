"""Fleetio's meter entries: in sequence, or refused, or kept but void.

https://developer.fleetio.com/docs/api/v-1-meter-entries-create
"""

from datetime import datetime, timedelta

from integrations.sandbox.fleetio_lists import Row, parse_time
from integrations.sandbox.fleetio_records import Invalid, Records, stamp

# "Exceeds Max. Daily Usage": https://help.fleetio.com/s/article/meter-entry-conflicts
MOST_PER_DAY = {"mi": 3000.0, "km": 4828.0}
Measured = tuple[datetime, float]


def create_meter_entry(records: Records, body: Row) -> Row:
    """Store a reading, voided when it rises too fast; raises `Invalid` out of sequence."""
    with records.lock:
        vehicle, value, at = _read_input(records, body)
        before, after = _neighbours(records, vehicle["id"], body.get("meter_type"), at)
        is_void = body.get("void") is True
        reason = None
        if not is_void:
            _check_sequence(value, before, after)
            reason = _void_reason(vehicle["primary_meter_unit"], value, at, before)
        row = records.insert(
            "meter_entries",
            {
                "account_id": records.account_id,
                "vehicle_id": vehicle["id"],
                "value": str(value),
                "meter_type": body.get("meter_type"),
                "void": is_void or reason is not None,
                "auto_voided_at": stamp(records.clock()) if reason else None,
                "auto_void_reason": reason,
                "category": "manual",
                "meterable_type": "Vehicle",
                "meterable_id": vehicle["id"],
                "date": at.date().isoformat(),
                "source": "api",
                "is_sample": False,
            },
        )
        records.measured_at[row["id"]] = at
        if not row["void"] and after is None and not row["meter_type"]:
            meter = {"primary_meter_value": row["value"], "primary_meter_date": row["date"]}
            records.touch(vehicle, **meter)
        return row


def _read_input(records: Records, body: Row) -> tuple[Row, float, datetime]:
    errors: dict[str, list[str]] = {}
    vehicle = records.find("vehicles", body.get("vehicle_id"))
    if vehicle is None:
        errors["vehicle"] = ["must exist"]
    value = 0.0
    if body.get("value") in (None, ""):
        errors["value"] = ["can't be blank"]
    else:
        try:
            value = float(body["value"])
        except (TypeError, ValueError):
            errors["value"] = ["is not a number"]
    if value < 0:
        errors["value"] = ["must be greater than or equal to 0"]
    at = parse_time(str(body.get("date") or ""))
    if at is None:
        errors["date"] = ["can't be blank"]
    if errors or vehicle is None or at is None:
        raise Invalid(errors)
    return vehicle, value, at


def _neighbours(
    records: Records, vehicle_id: int, meter_type: object, at: datetime
) -> tuple[Measured | None, Measured | None]:
    """Return the valid readings just before (or at) and after the time."""
    before: Measured | None = None
    after: Measured | None = None
    for row in records.rows("meter_entries"):
        if (row["vehicle_id"], row["meter_type"]) != (vehicle_id, meter_type) or row["void"]:
            continue
        entry = (records.measured_at[row["id"]], float(row["value"]))
        if entry[0] <= at:
            before = max(before or entry, entry)
        else:
            after = min(after or entry, entry)
    return before, after


def _check_sequence(value: float, before: Measured | None, after: Measured | None) -> None:
    low = before[1] if before else 0.0
    if value < low or (after is not None and value > after[1]):
        # With nothing after it the documented sentence still names two bounds.
        high = after[1] if after else low + MOST_PER_DAY["mi"]
        text = f"must be between {low:,.10g} and {high:,.10g} or marked as void"
        raise Invalid({"value": [text]})


def _void_reason(unit: str, value: float, at: datetime, before: Measured | None) -> str | None:
    most = MOST_PER_DAY.get(unit)
    if most is None or before is None:
        return None
    days = max(1.0, (at - before[0]) / timedelta(days=1))
    return "Exceeds Max. Daily Usage" if (value - before[1]) / days > most else None
