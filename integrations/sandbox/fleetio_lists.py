"""Fleetio's lists: cursor pages, filters and sorting.

https://developer.fleetio.com/docs/overview/pagination and .../filtering-and-sorting
"""

import base64
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]

RANGE = frozenset({"eq", "lt", "lte", "gt", "gte"})
EQUAL = frozenset({"eq"})
LIKE = frozenset({"eq", "like"})
INCLUDE = frozenset({"eq", "include"})
TIMES = {"created_at": RANGE, "updated_at": RANGE}

# What each list can be filtered by, as the reference page of its index says.
FILTERS: dict[str, dict[str, frozenset[str]]] = {
    "vehicles": {
        "name": LIKE,
        "vin": LIKE,
        "license_plate": LIKE,
        "external_id": frozenset({"like"}),
        "labels": frozenset({"include"}),
        **TIMES,
    },
    "meter_entries": {
        "vehicle_id": EQUAL,
        "category": INCLUDE,
        "meterable_type": INCLUDE,
        "meterable_id": EQUAL,
        "date": RANGE,
        **TIMES,
    },
    "issues": {
        "state": INCLUDE,
        "number": EQUAL,
        "vehicle_id": INCLUDE,
        "equipment_id": EQUAL,
        "reported_by_id": EQUAL,
        "due_date": RANGE,
        "reported_at": RANGE,
        **TIMES,
    },
    "comments": {"commentable_type": EQUAL, "commentable_id": EQUAL, **TIMES},
    "issue_priorities": {"name": LIKE},
    "contacts": {"email": EQUAL, "name": LIKE, **TIMES},
    "labels": {"name": LIKE},
    "fault_rules": {"code": EQUAL, "name": LIKE},
    "faults": {
        "name": LIKE,
        "external_id": EQUAL,
        "fault_rule_id": EQUAL,
        "vehicle_id": EQUAL,
        "status": INCLUDE,
        "code": EQUAL,
        "last_occurred_at": RANGE,
        **TIMES,
    },
    "service_tasks": {"name": LIKE, **TIMES},
    "service_entries": {"reference": frozenset({"like"}), "completed_at": RANGE, **TIMES},
    # The list of one vehicle knows fewer.
    "vehicle_service_entries": {"reference": frozenset({"like"}), "completed_at": RANGE},
}
SORTS: dict[str, frozenset[str]] = {
    "vehicles": frozenset({"id", "name", "created_at", "updated_at"}),
    "meter_entries": frozenset({"id", "date", "created_at", "updated_at"}),
    "issues": frozenset(
        {"id", "due_date", "resolved_at", "reported_at", "created_at", "updated_at"}
    ),
    "comments": frozenset({"id", "updated_at"}),
    "faults": frozenset({"id", "last_occurred_at", "created_at", "updated_at"}),
    "service_entries": frozenset({"id", "completed_at", "created_at", "updated_at"}),
    "vehicle_service_entries": frozenset({"id", "completed_at", "created_at", "updated_at"}),
}
# Fields that are compared as times.
DATED = frozenset({"date", "due_date", "reported_at", "completed_at", "last_occurred_at", *TIMES})
_FILTER = re.compile(r"filter\[(\w+)\](?:\[(\w+)\])?(?:\[\])?")
_SORT = re.compile(r"sort\[(\w+)\]")


class BadList(ValueError):  # noqa: N818  an answer, not a fault of ours
    """A list was asked for in a way that Fleetio answers with 400."""


def make_page(kind: str, rows: Sequence[Row], query: Mapping[str, list[str]]) -> Row:
    """Return the cursor envelope for the query; raises `BadList`. `q[...]` is ignored."""
    per_page = _per_page(query)
    filters = _filters(kind, query)
    field, direction = _sorting(kind, query)
    kept = [row for row in rows if all(keeps(row) for _, keeps in filters)]
    kept.sort(key=lambda row: _sort_key(row, field), reverse=direction == "desc")
    start = query.get("start_cursor", [""])[0] or None
    if start is not None:
        last = _read_cursor(start)
        is_past = operator.lt if direction == "desc" else operator.gt
        kept = [row for row in kept if is_past(_sort_key(row, field), last)]
    page = kept[:per_page]
    has_more = len(kept) > per_page
    return {
        "start_cursor": start,
        "next_cursor": _make_cursor(_sort_key(page[-1], field)) if has_more else None,
        "per_page": per_page,
        "estimated_remaining_count": min(500, len(kept) - len(page)),
        "filtered_by": [echo for echo, _ in filters],
        "sorted_by": [{field: direction}],
        "records": page,
    }


def make_old_page(rows: Sequence[Row], query: Mapping[str, list[str]]) -> tuple[list[Row], Row]:
    """Return the bare array and the headers of the dated versions before 2024."""
    number = query.get("page", ["1"])[0]
    page = max(1, int(number)) if number.isdecimal() else 1
    limit = 100
    headers = {
        "X-Pagination-Limit": str(limit),
        "X-Pagination-Current-Page": str(page),
        "X-Pagination-Total-Pages": str(-(-len(rows) // limit)),
        "X-Pagination-Total-Count": str(len(rows)),
    }
    return list(rows[(page - 1) * limit : page * limit]), headers


def _per_page(query: Mapping[str, list[str]]) -> int:
    text = query.get("per_page", ["50"])[0]
    if not text.isdecimal() or not 2 <= int(text) <= 100:
        raise BadList("per_page must be between 2 and 100")
    return int(text)


def _filters(kind: str, query: Mapping[str, list[str]]) -> list[tuple[Row, Callable[[Row], bool]]]:
    filters = []
    for name, values in query.items():
        if not name.startswith("filter["):
            continue
        found = _FILTER.fullmatch(name)
        field, how = (found[1], found[2] or "eq") if found else ("", "")
        if how not in FILTERS.get(kind, {}).get(field, ()):
            raise BadList(f"{name} is not a supported filter")
        echo = {field: {how: values[0] if len(values) == 1 else values}}
        filters.append((echo, _make_filter(kind, field, how, values)))
    return filters


def _make_filter(kind: str, field: str, how: str, values: Sequence[str]) -> Callable[[Row], bool]:
    if how == "like":
        return lambda row: values[0].strip("%").casefold() in str(row[field] or "").casefold()
    if how in ("eq", "include") and field not in DATED:
        wanted = {_plain(kind, field, part) for value in values for part in value.split(",")}
        return lambda row: _plain(kind, field, _value(row, field)) in wanted
    limit = parse_time(values[0])
    if limit is None:
        raise BadList(f"{field} is not a date")
    return lambda row: _holds(how, parse_time(str(row.get(field) or "")), limit)


def _plain(kind: str, field: str, value: object) -> str:
    # Fleetio's pages write states both ways; names and VINs are compared as they stand.
    return str(value).casefold() if (kind, field) == ("issues", "state") else str(value)


def _value(row: Row, field: str) -> Any:
    if field == "vehicle_id" and "vehicle_id" not in row:
        return (row.get("vehicle") or {}).get("id")
    return row.get(field)


def _holds(how: str, value: datetime | None, limit: datetime) -> bool:
    if value is None:
        return False
    return {
        "eq": value == limit,
        "lt": value < limit,
        "lte": value <= limit,
        "gt": value > limit,
        "gte": value >= limit,
    }[how]


def parse_time(text: str) -> datetime | None:
    """Return an ISO date or datetime in UTC; None when it is neither."""
    try:
        # A `+` of an offset that was not encoded arrives as a space.
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def _sorting(kind: str, query: Mapping[str, list[str]]) -> tuple[str, str]:
    for name, values in query.items():
        if not name.startswith("sort["):
            continue
        found = _SORT.fullmatch(name)
        if not found or found[1] not in SORTS.get(kind, {"id"}) or values[0] not in ("asc", "desc"):
            raise BadList(f"{name} is not a supported sort")
        return found[1], values[0]
    return "id", "desc"


def _sort_key(row: Row, field: str) -> tuple[str, int]:
    # Times are kept as UTC text of one shape, so text order is time order.
    return ("" if field == "id" else str(row.get(field) or ""), int(row["id"]))


def _make_cursor(key: tuple[str, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _read_cursor(cursor: str) -> tuple[str, int]:
    try:
        text, number = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return str(text), int(number)
    except (ValueError, TypeError) as error:
        raise BadList("start_cursor is invalid") from error
