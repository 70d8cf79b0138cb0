from datetime import timedelta
from typing import Any

import pytest
import responses
from responses import matchers

from integrations.clients.fleetio import ServiceEntry, ServiceTask
from tests.integrations.clients.fleetio_scene import BASE, NOW, make_client, page

OIL, TIRES = ServiceTask(31, "Oil change"), ServiceTask(32, "Tires")
OIL_ROW = {"id": 31, "name": "Oil change", "subtasks": []}
PART = {"id": 93, "type": "ServiceEntryPartLineItem", "item_type": "Part", "item_id": 31}
LABOUR = {"id": 94, "service_entry_line_item_id": 91, "description": "Oil change"}


@responses.activate
def test_an_entry_says_what_was_done_and_when() -> None:
    record = {
        "id": 80,
        "vehicle_id": 7,
        "completed_at": "2026-03-02T06:00:00-06:00",
        "updated_at": NOW.isoformat(),
        "meter_entry": {"id": 4, "value": "61,000.5", "void": True},
        "issues": [{"id": 5, "state": "Resolved"}, {"id": 6}],
        "service_tasks": [OIL_ROW],
        "is_sample": False,
    }
    responses.get(f"{BASE}/service_entries/80", json=record)
    assert make_client().get_service_entry(80) == ServiceEntry(
        id=80,
        vehicle_id=7,
        completed_at=NOW,
        updated_at=NOW,
        meter_value=61_000.5,
        meter_is_void=True,
        issue_ids=(5, 6),
        tasks=(OIL,),
        is_sample=False,
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"date": NOW.isoformat()}, {"completed_at": NOW}),
        ({"completed_at": None}, {"completed_at": None}),
        ({"meter_value": "12"}, {"meter_value": 12.0}),
        ({"meter_entry": None}, {"meter_value": None, "meter_is_void": False}),
        ({"meter_entry": {"value": 1, "auto_voided_at": "x"}}, {"meter_is_void": True}),
        ({"issue_ids": [5, "6", 5, None], "issues": [{"id": 7}]}, {"issue_ids": (5, 6, 7)}),
        ({"vehicle": {"id": 9}}, {"vehicle_id": 9}),
        ({"is_sample": True}, {"is_sample": True}),
    ],
)
@responses.activate
def test_other_shapes_are_read_as_well(record: dict[str, Any], expected: dict[str, Any]) -> None:
    responses.get(f"{BASE}/service_entries/80", json={"id": 80, "service_tasks": [], **record})
    entry = make_client().get_service_entry(80)
    assert {name: getattr(entry, name) for name in expected} == expected


LINES = {
    "task inside": {"id": 91, "type": "X", "service_task": OIL_ROW},
    "task by its id": {"id": 91, "service_task_id": 31, "service_task_name": "Oil change"},
    "item": {"id": 91, "item_type": "ServiceTask", "item_id": 31, "item_name": "Oil change"},
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("key", ["service_entry_line_items", "line_items"])
@responses.activate
def test_tasks_are_found_among_the_line_items_inside(line: dict[str, Any], key: str) -> None:
    record = {"id": 80, key: [line, line, PART, LABOUR, None, {"service_task": None}]}
    responses.get(f"{BASE}/service_entries/80", json=record)
    assert make_client().get_service_entry(80).tasks == (OIL,)


@responses.activate
def test_tasks_that_the_entry_does_not_show_are_asked_for() -> None:
    items = [LINES["item"], PART, {"id": 92, "service_task": {"id": 32, "name": "Tires"}}]
    path = f"{BASE}/service_entries/80"
    responses.get(path, json={"id": 80})
    responses.get(f"{path}/service_entry_line_items", json=page(*items))
    assert make_client().get_service_entry(80).tasks == (OIL, TIRES)


@responses.activate
def test_entries_are_asked_for_by_time_and_compared_again() -> None:
    def row(number: int, minutes: int | None) -> dict[str, Any]:
        changed = None if minutes is None else (NOW + timedelta(minutes=minutes)).isoformat()
        return {"id": number, "vehicle_id": 7, "updated_at": changed}

    query = {
        "filter[updated_at][gt]": "2026-03-02T12:00:00+00:00",
        "sort[updated_at]": "asc",
        "per_page": "100",
    }
    rows = [row(1, 1), row(2, 0), row(3, None)]
    responses.get(
        f"{BASE}/service_entries", json=page(*rows), match=[matchers.query_param_matcher(query)]
    )
    found = make_client().list_service_entries(updated_after=NOW)
    assert [(entry.id, entry.tasks) for entry in found] == [(1, None), (3, None)]


@responses.activate
def test_entries_of_a_vehicle_have_a_list_of_their_own() -> None:
    late = (NOW + timedelta(minutes=1)).isoformat()
    rows = [
        {"id": 1, "vehicle_id": 7, "updated_at": late},
        {"id": 2, "vehicle_id": 8, "updated_at": late},
        {"id": 3, "vehicle_id": 7, "updated_at": NOW.isoformat()},
    ]
    responses.get(
        f"{BASE}/vehicles/7/service_entries",
        json=page(*rows),
        match=[matchers.query_param_matcher({"per_page": "100"})],
    )
    client = make_client()
    assert [entry.id for entry in client.list_service_entries(vehicle_id=7)] == [1, 3]
    both = client.list_service_entries(vehicle_id=7, updated_after=NOW)
    assert [entry.id for entry in both] == [1]


@responses.activate
def test_service_tasks_have_the_accounts_names() -> None:
    responses.get(f"{BASE}/service_tasks", json=page(OIL_ROW, {"id": "32", "name": "Tires"}))
    assert make_client().list_service_tasks() == [OIL, TIRES]
