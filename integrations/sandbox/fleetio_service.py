"""Fleetio's service entries: work that was done, and the issues that it resolved.

https://developer.fleetio.com/docs/api/service-entries-show
"""

from collections.abc import Iterable
from typing import Any

from integrations.sandbox.fleetio_issues import resolve_by
from integrations.sandbox.fleetio_lists import Row, parse_time
from integrations.sandbox.fleetio_meters import create_meter_entry
from integrations.sandbox.fleetio_records import Invalid, Records, stamp


def create_service_entry(records: Records, body: Row) -> Row:
    """Store an entry with its meter reading, and resolve its issues; raises `Invalid`."""
    with records.lock:
        vehicle, issues, tasks = _read_input(records, body)
        completed_at = stamp(parse_time(str(body["completed_at"])) or records.clock())
        meter = _create_meter(records, body, vehicle, completed_at)
        row = {
            "vehicle_id": vehicle["id"],
            "vehicle_name": vehicle["name"],
            "started_at": body.get("started_at"),
            "completed_at": completed_at,
            "date": completed_at[:10],
            "reference": body.get("reference"),
            "general_notes": body.get("general_notes"),
            "status": "completed",
            "meter_entry": meter,
            "issue_ids": [issue["id"] for issue in issues],
            "is_sample": False,
        }
        entry = records.insert("service_entries", row)
        meter["meterable_id"] = entry["id"]
        for task in tasks:
            with records.unheard():
                records.insert("service_entry_line_items", _line(entry, task))
        for issue in issues:
            resolve_by(records, issue, "ServiceEntry", entry["id"])
        return entry


def line_items(records: Records, entry_id: object) -> list[Row]:
    """The line items of an entry, oldest first; raises `KeyError`."""
    entry = records.get("service_entries", entry_id)
    rows = records.rows("service_entry_line_items")
    return [row for row in rows if row["service_entry_id"] == entry["id"]]


def show_service_entry(records: Records, row: Row, *, whole: bool) -> Row:
    """Return the entry as show answers it; `whole` embeds its tasks, as older versions do."""
    shown = list_service_entry(row)
    issues = (records.get("issues", key) for key in row["issue_ids"])
    names = ("id", "number", "summary", "state")
    shown["issues"] = [{name: issue[name] for name in names} for issue in issues]
    if whole:
        lines = line_items(records, row["id"])
        shown["service_entry_line_items"] = lines
        shown["service_tasks"] = [line["service_task"] for line in lines]
    return shown


def list_service_entry(row: Row) -> Row:
    """Return the entry as a list row: neither its issues nor its tasks."""
    return {name: value for name, value in row.items() if name != "issue_ids"}


def _read_input(records: Records, body: Row) -> tuple[Row, list[Row], list[Row]]:
    errors: dict[str, list[str]] = {}
    vehicle = records.find("vehicles", body.get("vehicle_id"))
    if vehicle is None:
        errors["vehicle"] = ["must exist"]
    if parse_time(str(body.get("completed_at") or "")) is None:
        errors["completed_at"] = ["can't be blank"]
    if not isinstance(body.get("meter_entry_attributes"), dict):
        errors["meter_entry"] = ["can't be blank"]
    issues = _found(records, "issues", body.get("issue_ids"), errors)
    tasks = _found(records, "service_tasks", body.get("service_task_ids"), errors)
    if errors or vehicle is None:
        raise Invalid(errors)
    return vehicle, issues, tasks


def _found(
    records: Records, kind: str, ids: Iterable[Any] | None, errors: dict[str, list[str]]
) -> list[Row]:
    found = [records.find(kind, key) for key in ids or []]
    if None in found:
        errors[kind] = ["must exist"]
    return [row for row in found if row is not None]


def _create_meter(records: Records, body: Row, vehicle: Row, completed_at: str) -> Row:
    said = body["meter_entry_attributes"]
    reading = {name: said[name] for name in ("value", "void") if name in said}
    try:
        meter = create_meter_entry(
            records, {**reading, "vehicle_id": vehicle["id"], "date": completed_at}
        )
    except Invalid as error:
        nested = {f"meter_entry.{name}": texts for name, texts in error.errors.items()}
        raise Invalid(nested) from None
    meter["meterable_type"] = "ServiceEntry"
    return meter


def _line(entry: Row, task: Row) -> Row:
    return {
        "service_entry_id": entry["id"],
        "type": "ServiceEntryServiceTaskLineItem",
        "description": None,
        "service_entry_line_item_id": None,
        "service_task": {name: task[name] for name in ("id", "name", "description")},
    }
