"""Fleetio's issues and their comments in our words. Unknown keys are ignored.

https://developer.fleetio.com/docs/api/v-2-issues-create, version 2025-05-05
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from integrations.clients.fleetio_values import (
    format_time,
    inner_id,
    optional_id,
    read_id,
    text_of,
    time_of,
    vehicle_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetioIssue:
    """`state` is open, resolved or closed. Times are aware UTC; what the record does not show is
    empty or None.

    `resolvable_type` and `resolvable_id` name the service entry or work order that resolved it.
    A reopened issue keeps neither `resolved_at` nor `closed_at`.
    """

    id: int
    number: str
    state: str
    description: str
    vehicle_id: int | None
    updated_at: datetime | None
    summary: str = ""
    created_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_note: str = ""
    closed_at: datetime | None = None
    closed_note: str = ""
    reopened_at: datetime | None = None
    resolvable_type: str = ""
    resolvable_id: int | None = None
    fault_id: int | None = None
    comments_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """What somebody wrote beside a record; `author` is a name, empty when it is not shown."""

    id: int
    text: str
    author: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueDraft:
    """What a new issue says. `reported_at` must be aware; `due_meter_value` is in the vehicle's
    own unit. Fleetio takes ten contacts at most.
    """

    vehicle_id: int
    summary: str
    description: str
    reported_at: datetime
    priority_id: int | None = None
    due_date: date | None = None
    due_meter_value: float | None = None
    assigned_contact_ids: tuple[int, ...] = ()
    label_ids: tuple[int, ...] = ()
    fault_id: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The body of POST /issues: https://developer.fleetio.com/docs/api/v-2-issues-create"""
        optional = {
            "issue_priority_id": self.priority_id,
            "due_date": None if self.due_date is None else self.due_date.isoformat(),
            "due_meter_value": self.due_meter_value,
            "assigned_contact_ids": list(self.assigned_contact_ids) or None,
            "label_ids": list(self.label_ids) or None,
            "fault_id": self.fault_id,
        }
        return {
            "asset_type": "Vehicle",
            "asset_id": self.vehicle_id,
            "summary": self.summary,
            "description": self.description,
            "reported_at": format_time(self.reported_at),
            **{name: value for name, value in optional.items() if value is not None},
        }


def read_issue(row: Mapping[str, Any]) -> FleetioIssue:
    """Rows of a list name the vehicle in other keys than single records do."""
    number = row.get("number")
    return FleetioIssue(
        id=read_id(row.get("id")),
        number="" if number is None else str(number),
        state=text_of(row.get("state")).lower(),
        summary=text_of(row.get("summary") or row.get("name")),
        description=row["description"] if isinstance(row.get("description"), str) else "",
        vehicle_id=vehicle_of(row),
        created_at=time_of(row.get("created_at")),
        updated_at=time_of(row.get("updated_at")),
        resolved_at=time_of(row.get("resolved_at")),
        resolved_note=text_of(row.get("resolved_note")),
        closed_at=time_of(row.get("closed_at")),
        closed_note=text_of(row.get("closed_note")),
        reopened_at=time_of(row.get("reopened_at")),
        resolvable_type=_resolvable_type(row),
        resolvable_id=inner_id(row, "resolvable"),
        fault_id=inner_id(row, "fault"),
        comments_count=optional_id(row.get("comments_count")),
    )


def read_comment(row: Mapping[str, Any]) -> Comment:
    """Single comments and those inside of a record look the same."""
    return Comment(
        id=read_id(row.get("id")),
        text=text_of(row.get("comment")),
        author=text_of(row.get("user_full_name")),
        created_at=time_of(row.get("created_at")),
    )


def is_of_issue(row: Mapping[str, Any], issue_id: int) -> bool:
    """Whether the row of a list of comments names this issue."""
    kind = row.get("commentable_type")
    return kind in (None, "Issue") and optional_id(row.get("commentable_id")) == issue_id


def _resolvable_type(row: Mapping[str, Any]) -> str:
    inner = row.get("resolvable")
    inside = inner.get("type") if isinstance(inner, dict) else ""
    return text_of(row.get("resolvable_type")) or text_of(inside)
