from datetime import timedelta
from typing import Any

import pytest
import responses
from responses import matchers

from integrations.clients.errors import Outcome
from integrations.clients.fleetio import BulkJob, meter_record
from tests.integrations.clients.fleetio_scene import BASE, NOW, error_of, make_client, page

RECORD = meter_record(vehicle_id=7, value=100.5, recorded_at=NOW)


@responses.activate
def test_entries_of_all_vehicles_are_asked_for_by_when_they_were_made() -> None:
    def row(number: int, minutes: int | None, **more: Any) -> dict[str, Any]:
        made = None if minutes is None else (NOW + timedelta(minutes=minutes)).isoformat()
        return {"id": number, "vehicle_id": number, "value": "1", "created_at": made, **more}

    query = {
        "filter[created_at][gt]": "2026-03-02T12:00:00+00:00",
        "sort[created_at]": "asc",
        "per_page": "100",
    }
    rows = [row(1, -1), row(2, 0), row(3, 1, meter_type="secondary"), row(4, None)]
    responses.get(
        f"{BASE}/meter_entries", json=page(*rows), match=[matchers.query_param_matcher(query)]
    )
    found = make_client().list_meter_entries(created_after=NOW)
    assert [(entry.id, entry.is_secondary) for entry in found] == [(3, True), (4, False)]
    assert found[0].created_at == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("answer", "job"),
    [
        ({"json": {"id": 12, "state": "Queued"}}, BulkJob(id="12", state="queued")),
        ({"json": {"id": "a-b", "status": "pending"}}, BulkJob(id="a-b", state="pending")),
        ({"json": {"bulk_api_job": {"id": 12}}}, BulkJob(id="12", state="")),
        (
            {"body": "", "headers": {"Location": f"{BASE}/bulk_api_jobs/12"}},
            BulkJob(id="12", state=""),
        ),
        ({"body": ""}, BulkJob(id="", state="")),
        ({"json": []}, BulkJob(id="", state="")),
        ({"json": {"id": None, "state": {"x": 1}}}, BulkJob(id="", state="")),
        ({"json": {"id": "x" * 81, "state": "a\nb"}}, BulkJob(id="", state="")),
    ],
)
@responses.activate
def test_a_job_is_handed_over_whatever_the_answer_looks_like(
    answer: dict[str, Any], job: BulkJob
) -> None:
    body = {"resource": "meter_entry", "operation": "create", "records": [RECORD]}
    responses.post(
        f"{BASE}/bulk_api_jobs",
        status=201,
        match=[matchers.json_params_matcher(body)],
        **answer,
    )
    assert make_client().create_bulk_job("meter_entry", "create", [RECORD]) == job


@pytest.mark.parametrize("count", [0, 101])
def test_a_job_has_one_to_a_hundred_records(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        make_client().create_bulk_job("meter_entry", "create", [RECORD] * count)


@responses.activate
def test_a_job_whose_answer_is_garbage_may_be_there() -> None:
    responses.post(f"{BASE}/bulk_api_jobs", body="<html>")
    error = error_of(lambda: make_client().create_bulk_job("meter_entry", "create", [RECORD]))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)


@responses.activate
def test_a_job_is_looked_at_by_its_id() -> None:
    responses.get(f"{BASE}/bulk_api_jobs/12", json={"id": 12, "state": "Completed"})
    responses.get(f"{BASE}/bulk_api_jobs/..%2Fusers", json={"id": 3})
    assert make_client().get_bulk_job("12") == BulkJob(id="12", state="completed")
    assert make_client().get_bulk_job("../users").state == ""
