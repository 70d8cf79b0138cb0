"""Fleetio's service entries: work that was done on a vehicle.

https://developer.fleetio.com/docs/api/service-entries-show
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from integrations.clients.fleetio_values import (
    format_time,
    ids_of,
    number_of,
    optional_id,
    read_id,
    text_of,
    time_of,
    vehicle_of,
)
from integrations.clients.fleetio_wire import FleetioWire


class ServiceTask(NamedTuple):
    """One of the account's own kinds of work, such as an oil change."""

    id: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry:
    """Times are aware UTC. `meter_value` is in the vehicle's own unit, which is not shown; a void
    one counts for nothing. Until it has `completed_at` the work is not done.

    `issue_ids` are those it resolved. `tasks` is None when the record does not show them.
    """

    id: int
    vehicle_id: int | None
    completed_at: datetime | None
    updated_at: datetime | None
    meter_value: float | None
    meter_is_void: bool
    issue_ids: tuple[int, ...]
    tasks: tuple[ServiceTask, ...] | None
    is_sample: bool


class ServiceCalls(FleetioWire):
    def get_service_entry(self, entry_id: int) -> ServiceEntry:
        """One entry as it is now, with its tasks; REJECTED with status 404 when it was deleted.

        https://developer.fleetio.com/docs/api/service-entries-show
        """
        entry = self._one(f"/service_entries/{entry_id}", read_service_entry)
        if entry.tasks is not None:
            return entry
        return replace(entry, tasks=self.list_service_entry_tasks(entry_id))

    def list_service_entries(
        self, *, updated_after: datetime | None = None, vehicle_id: int | None = None
    ) -> list[ServiceEntry]:
        """Entries changed after a moment (oldest change first), or of a vehicle, or all of them.

        Rows may show neither tasks nor issues: `get_service_entry` does. Compared again here,
        because an unknown filter may be ignored; a row that does not name its time is kept.
        https://developer.fleetio.com/docs/api/service-entries-index
        """
        path, params = "/service_entries", {}
        if vehicle_id is not None:  # this list can be filtered by no time of change
            path = f"/vehicles/{vehicle_id}/service_entries"
        elif updated_after is not None:
            params = {
                "filter[updated_at][gt]": format_time(updated_after),
                "sort[updated_at]": "asc",
            }
        return [
            entry
            for entry in self._all(path, params, read_service_entry)
            if (vehicle_id is None or entry.vehicle_id in (vehicle_id, None))
            and (
                updated_after is None
                or entry.updated_at is None
                or entry.updated_at > updated_after
            )
        ]

    def list_service_entry_tasks(self, entry_id: int) -> tuple[ServiceTask, ...]:
        """The tasks among the line items of an entry; parts and labour are left out."""
        path = f"/service_entries/{entry_id}/service_entry_line_items"
        return _once(self._all(path, {}, _task_of_line))

    def list_service_tasks(self) -> list[ServiceTask]:
        """The service tasks of the account: https://developer.fleetio.com/docs/api"""
        return self._all("/service_tasks", {}, read_service_task)


def read_service_task(row: Mapping[str, Any]) -> ServiceTask:
    """Names are the account's own."""
    return ServiceTask(id=read_id(row.get("id")), name=text_of(row.get("name")))


def read_service_entry(row: Mapping[str, Any]) -> ServiceEntry:
    """Older records say `date`; the meter is an object, or a value beside the rest."""
    meter = row.get("meter_entry")
    meter = meter if isinstance(meter, dict) else {}
    void = meter.get("void")
    return ServiceEntry(
        id=read_id(row.get("id")),
        vehicle_id=vehicle_of(row),
        completed_at=time_of(row.get("completed_at") or row.get("date")),
        updated_at=time_of(row.get("updated_at")),
        meter_value=number_of(meter.get("value", row.get("meter_value"))),
        meter_is_void=void if isinstance(void, bool) else bool(meter.get("auto_voided_at")),
        issue_ids=tuple(dict.fromkeys((*ids_of(row.get("issue_ids")), *ids_of(row.get("issues"))))),
        tasks=_shown_tasks(row),
        is_sample=row.get("is_sample") is True,
    )


def _shown_tasks(row: Mapping[str, Any]) -> tuple[ServiceTask, ...] | None:
    """The tasks in whichever of its lists; None when there is no such list."""
    tasks = row.get("service_tasks")
    items = row.get("service_entry_line_items", row.get("line_items"))
    if not isinstance(tasks, list) and not isinstance(items, list):
        return None
    found = [_task(task) for task in tasks] if isinstance(tasks, list) else []
    found += [_task_of_line(item) for item in items] if isinstance(items, list) else []
    return _once(found)


def _once(tasks: Iterable[ServiceTask | None]) -> tuple[ServiceTask, ...]:
    return tuple({task.id: task for task in tasks if task is not None}.values())


def _task(row: Any) -> ServiceTask | None:
    id_ = optional_id(row.get("id")) if isinstance(row, dict) else None
    return None if id_ is None else ServiceTask(id=id_, name=text_of(row.get("name")))


def _task_of_line(item: Any) -> ServiceTask | None:
    """The task that a line item is about; None for parts and labour."""
    if not isinstance(item, dict):
        return None
    if isinstance(item.get("service_task"), dict):
        return _task(item["service_task"])
    about_task = item.get("item_type") == "ServiceTask"
    id_ = item.get("service_task_id", item.get("item_id") if about_task else None)
    name = item.get("service_task_name") or item.get("item_name") or item.get("name")
    return _task({"id": id_, "name": name})
