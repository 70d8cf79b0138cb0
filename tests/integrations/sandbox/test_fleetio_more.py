"""The portal's own client against the stand-in: what one says the other understands."""

from datetime import timedelta
from typing import Any

import pytest
import requests

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import (
    BULK_JOBS,
    FaultDraft,
    FleetioClient,
    IssueDraft,
    meter_record,
    parse_call,
)
from integrations.sandbox import Sandbox, faults
from tests.integrations.sandbox.conftest import START, Client, Clock

OIL = "Engine Oil & Filter Replacement"


@pytest.fixture
def fleetio(sandbox: Sandbox) -> FleetioClient:
    env = sandbox.environment()
    return FleetioClient(
        api_token=env["FLEETIO_API_TOKEN"],
        account_token=env["FLEETIO_ACCOUNT_TOKEN"],
        base_url=env["FLEETIO_BASE_URL"],
    )


@pytest.fixture
def vehicle(sandbox: Sandbox) -> dict[str, Any]:
    return sandbox.fleetio.records.vehicle(sandbox.fleet.cars[0].vin)


def draft(vehicle: dict[str, Any], **more: Any) -> IssueDraft:
    said = {"summary": "Oil low", "description": "15 %", "reported_at": START, **more}
    return IssueDraft(vehicle_id=vehicle["id"], **said)


def refused(call: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.outcome is Outcome.REJECTED
    return caught.value


def move(text: str) -> Any:
    call = parse_call(text)
    assert call is not None
    return call


# --- Issues -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shows_comments", [True, False])
def test_comments_are_found_wherever_they_are_shown(
    sandbox: Sandbox, fleetio: FleetioClient, vehicle: dict[str, Any], shows_comments: bool
) -> None:
    sandbox.fleetio.shows_comments = shows_comments
    issue, other = (fleetio.create_issue(draft(vehicle)) for _ in range(2))
    ours = fleetio.create_comment(issue.id, "Seen again")
    fleetio.create_comment(other.id, "Elsewhere")
    sandbox.fleetio.comment(issue.id, "On my list", author="Ana Ruiz")

    found = fleetio.list_comments(issue.id)

    assert [(one.text, one.author) for one in found] == [
        ("Seen again", "Fleet Portal"),
        ("On my list", "Ana Ruiz"),
    ]
    assert found[0] == ours
    assert sandbox.fleetio.requests.count("GET", "/api/comments") == (not shows_comments)
    assert fleetio.get_issue(issue.id).comments_count == 2


def test_an_issue_is_moved_with_a_note(fleetio: FleetioClient, vehicle: dict[str, Any]) -> None:
    issue = fleetio.create_issue(draft(vehicle))
    resolved = fleetio.move_issue(issue.id, move("PATCH /issues/{id}/resolve"), "clear again")
    reopened = fleetio.move_issue(issue.id, move("PATCH /issues/{id}/reopen"))
    closed = fleetio.move_issue(issue.id, move("PATCH /issues/{id}/close"), "no fault")
    assert resolved is not None
    assert reopened is not None
    assert closed is not None
    assert (resolved.state, resolved.resolved_note) == ("resolved", "clear again")
    assert (resolved.resolved_at, resolved.resolvable_id) == (START, None)
    assert (reopened.state, reopened.reopened_at, reopened.resolved_at) == ("open", START, None)
    assert (closed.state, closed.closed_note) == ("closed", "no fault")
    error = refused(lambda: fleetio.move_issue(issue.id, move("POST /issues/{id}/close")))
    assert "FLEETIO_CLOSE_ISSUE" in str(error)


def test_an_issue_knows_its_people_labels_and_fault(
    sandbox: Sandbox, fleetio: FleetioClient, vehicle: dict[str, Any]
) -> None:
    contacts = fleetio.list_contacts()
    assert {one.email for one in contacts} == {one.email for one in sandbox.fleet.drivers}
    (contact,) = fleetio.find_contacts(sandbox.fleet.drivers[0].email)
    label = fleetio.create_label("Portal")
    assert fleetio.list_labels() == [label]
    assert "name" in refused(lambda: fleetio.create_label("portal")).fields
    fleetio.create_fault_rule("P0420", "Catalyst")
    fault = fleetio.create_fault(FaultDraft(vehicle_id=vehicle["id"], code="P0420"))

    known = {"label_ids": (label.id,), "assigned_contact_ids": (contact.id,), "fault_id": fault.id}
    issue = fleetio.create_issue(draft(vehicle, due_meter_value=50_000.0, **known))

    assert issue.fault_id == fault.id
    row = sandbox.fleetio.records.get("issues", issue.id)
    assert row["due_meter_value"] == 50_000
    assert (row["label_ids"], row["assigned_contact_ids"]) == ([label.id], [contact.id])
    assert [found.fault_id for found in fleetio.list_issues()] == [fault.id]
    fleetio.update_issue(issue.id, {"due_date": "2026-04-01"})
    assert row["due_date"] == "2026-04-01"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"label_ids": (1,)}, "labels"),
        ({"assigned_contact_ids": (1,)}, "assigned_contacts"),
        ({"fault_id": 1}, "fault"),
    ],
)
def test_what_an_issue_names_must_exist(
    fleetio: FleetioClient, vehicle: dict[str, Any], more: dict[str, Any], field: str
) -> None:
    error = refused(lambda: fleetio.create_issue(draft(vehicle, **more)))
    assert error.fields == {field: ["must exist"]}


def test_an_issue_takes_ten_contacts_at_most(
    fleetio: FleetioClient, vehicle: dict[str, Any]
) -> None:
    ids = (fleetio.list_contacts()[0].id,) * 11
    error = refused(lambda: fleetio.create_issue(draft(vehicle, assigned_contact_ids=ids)))
    assert set(error.fields) == {"assigned_contacts"}


# --- Faults -----------------------------------------------------------------------------------


def test_a_fault_needs_a_rule_and_takes_its_name(
    fleetio: FleetioClient, vehicle: dict[str, Any]
) -> None:
    said = FaultDraft(
        vehicle_id=vehicle["id"],
        code="P0420",
        name="ours",
        external_id="episode-1",
        last_occurred_at=START,
    )
    assert set(refused(lambda: fleetio.create_fault(said)).fields) == {"code"}
    assert fleetio.find_fault_rules("P0420") == []
    rule = fleetio.create_fault_rule("P0420", "Catalyst", "Below threshold")
    assert fleetio.find_fault_rules("P0420") == [rule]
    assert set(refused(lambda: fleetio.create_fault_rule("P0420", "x")).fields) == {"code"}

    fault = fleetio.create_fault(said)

    assert (fault.name, fault.status, fault.rule_id) == ("Catalyst", "open", rule.id)
    assert fleetio.list_faults(vehicle_id=vehicle["id"], external_id="episode-1") == [fault]
    assert fleetio.list_faults(code="P0421") == []
    fleetio.update_fault(fault.id, {"status": "resolved"})
    assert [one.status for one in fleetio.list_faults()] == ["resolved"]
    assert "status" in refused(lambda: fleetio.update_fault(fault.id, {"status": "x"})).fields


# --- Service entries --------------------------------------------------------------------------


@pytest.mark.parametrize("embeds_tasks", [True, False])
def test_a_mechanics_entry_resolves_its_issues(
    sandbox: Sandbox, fleetio: FleetioClient, vehicle: dict[str, Any], embeds_tasks: bool
) -> None:
    sandbox.fleetio.embeds_tasks = embeds_tasks
    issue, closed = (fleetio.create_issue(draft(vehicle)) for _ in range(2))
    sandbox.fleetio.move_issue(closed.id, "close")
    before = float(vehicle["primary_meter_value"])

    made = sandbox.fleetio.add_service_entry(
        vehicle["vin"], tasks=[OIL], issue_ids=[issue.id, closed.id], meter_value=before + 100
    )

    entry = fleetio.get_service_entry(made["id"])
    (task,) = entry.tasks or ()
    assert task.name == OIL
    assert task in fleetio.list_service_tasks()
    assert (entry.vehicle_id, entry.completed_at) == (vehicle["id"], START)
    assert (entry.meter_value, entry.meter_is_void) == (before + 100, False)
    assert entry.issue_ids == (issue.id, closed.id)
    found = fleetio.get_issue(issue.id)
    assert (found.state, found.resolved_at) == ("resolved", START)
    assert (found.resolvable_type, found.resolvable_id) == ("ServiceEntry", entry.id)
    assert fleetio.get_issue(closed.id).state == "closed"
    assert float(vehicle["primary_meter_value"]) == before + 100


def test_entries_are_listed_by_change_and_by_vehicle(
    sandbox: Sandbox, fleetio: FleetioClient, clock: Clock
) -> None:
    first, second = (car.vin for car in sandbox.fleet.cars[:2])
    old = sandbox.fleetio.add_service_entry(first)
    clock.pass_time(hours=1)
    new = sandbox.fleetio.add_service_entry(second)
    changed = fleetio.list_service_entries(updated_after=START)
    assert [(entry.id, entry.tasks) for entry in changed] == [(new["id"], None)]
    mine = fleetio.list_service_entries(vehicle_id=old["vehicle_id"])
    assert [entry.id for entry in mine] == [old["id"]]
    assert len(fleetio.list_service_entries()) == 2


def test_an_entry_names_every_wrong_field(client: Client, vehicle: dict[str, Any]) -> None:
    def errors(**body: Any) -> set[str]:
        reply = client.fleetio("/service_entries", "POST", json=body)
        assert reply.status_code == 422
        return set(reply.json()["errors"])

    assert errors() == {"vehicle", "completed_at", "meter_entry"}
    right = {
        "vehicle_id": vehicle["id"],
        "completed_at": START.isoformat(),
        "meter_entry_attributes": {"value": float(vehicle["primary_meter_value"])},
    }
    assert errors(**right, issue_ids=[1], service_task_ids=[2]) == {"issues", "service_tasks"}
    assert errors(**right | {"meter_entry_attributes": {"value": 0}}) == {"meter_entry.value"}
    assert client.sandbox.fleetio.records.rows("service_entries") == []


# --- Bulk jobs --------------------------------------------------------------------------------


def test_a_job_becomes_entries_by_the_same_rules(
    sandbox: Sandbox, fleetio: FleetioClient, vehicle: dict[str, Any], clock: Clock
) -> None:
    sandbox.fleetio.bulk.delay = 30
    known = float(vehicle["primary_meter_value"])
    values = (known + 10, known - 1, known + 40_000)
    records = [
        meter_record(vehicle_id=vehicle["id"], value=value, recorded_at=START) for value in values
    ]
    clock.pass_time(minutes=1)
    asked_at = clock.now - timedelta(seconds=1)

    job = fleetio.create_bulk_job("meter_entry", "create", records)

    assert job.state == "processing"
    assert fleetio.list_meter_entries(created_after=asked_at) == []
    clock.pass_time(seconds=30)
    assert fleetio.get_bulk_job(job.id).state == "completed"
    found = fleetio.list_meter_entries(created_after=asked_at)
    assert [(entry.value, entry.is_void) for entry in found] == [
        (known + 10, False),
        (known + 40_000, True),
    ]
    (refusal,) = sandbox.fleetio.records.get("bulk_api_jobs", job.id)["errors"]
    assert (refusal["index"], list(refusal["errors"])) == (1, ["value"])


def test_ten_jobs_are_at_work_and_the_others_wait(
    sandbox: Sandbox, fleetio: FleetioClient, vehicle: dict[str, Any], clock: Clock
) -> None:
    sandbox.fleetio.bulk.delay = 30
    record = meter_record(vehicle_id=vehicle["id"], value=0, recorded_at=START)
    ids = [
        fleetio.create_bulk_job("meter_entry", "create", [record]).id for _ in range(BULK_JOBS + 1)
    ]

    def states() -> set[str]:
        return {fleetio.get_bulk_job(key).state for key in ids[:-1]}

    assert (states(), fleetio.get_bulk_job(ids[-1]).state) == ({"processing"}, "queued")
    clock.pass_time(seconds=30)
    assert (states(), fleetio.get_bulk_job(ids[-1]).state) == ({"completed"}, "processing")
    clock.pass_time(seconds=30)
    assert fleetio.get_bulk_job(ids[-1]).state == "completed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"resource": "issue"}, "resource"),
        ({"operation": "delete"}, "operation"),
        ({"records": []}, "records"),
        ({"records": [{}] * 101}, "records"),
        ({"records": None}, "records"),
    ],
)
def test_a_wrong_job_is_a_422(client: Client, body: dict[str, Any], field: str) -> None:
    right = {"resource": "meter_entry", "operation": "create", "records": [{}]}
    reply = client.fleetio("/bulk_api_jobs", "POST", json=right | body)
    assert (reply.status_code, list(reply.json()["errors"])) == (422, [field])


# --- Replies that are lost --------------------------------------------------------------------


def posts(vehicle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    value = float(vehicle["primary_meter_value"])
    meter = {"vehicle_id": vehicle["id"], "value": value, "date": START.isoformat()}
    return {
        "comments": {"commentable_type": "Issue", "commentable_id": 0, "comment": "x"},
        "contacts": {"first_name": "Ana"},
        "labels": {"name": "Portal"},
        "fault_rules": {"code": "P0421"},
        "faults": {"vehicle_id": vehicle["id"], "code": "P0420"},
        "service_tasks": {"name": "Wash"},
        "service_entries": {
            "vehicle_id": vehicle["id"],
            "completed_at": START.isoformat(),
            "meter_entry_attributes": {"value": value},
        },
        "bulk_api_jobs": {"resource": "meter_entry", "operation": "create", "records": [meter]},
    }


@pytest.mark.parametrize(
    "kind",
    [
        "comments",
        "contacts",
        "labels",
        "fault_rules",
        "faults",
        "service_tasks",
        "service_entries",
        "bulk_api_jobs",
    ],
)
def test_a_reply_may_be_lost_although_it_was_done(
    client: Client, fleetio: FleetioClient, vehicle: dict[str, Any], kind: str
) -> None:
    issue = fleetio.create_issue(draft(vehicle))
    fleetio.create_fault_rule("P0420", "Catalyst")
    body = posts(vehicle)[kind] | ({"commentable_id": issue.id} if kind == "comments" else {})
    records = client.sandbox.fleetio.records
    before = len(records.rows(kind))
    client.sandbox.fleetio.faults.add(faults.dropped_after(method="POST", path=f"/api/{kind}"))
    with pytest.raises(requests.ConnectionError):
        client.fleetio(f"/{kind}", "POST", json=body)
    assert len(records.rows(kind)) == before + 1
