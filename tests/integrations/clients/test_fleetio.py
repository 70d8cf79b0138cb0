import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta, timezone
from typing import Any

import pytest
import responses
from responses import matchers

from integrations.clients.errors import Outcome
from integrations.clients.fleetio import (
    FleetioIssue,
    FleetioVehicle,
    IssueDraft,
    MeterEntry,
    Priority,
    VehicleDraft,
    VehicleLabel,
)
from tests.integrations.clients.fleetio_scene import (
    ACCOUNT,
    BASE,
    KEY,
    NOW,
    error_of,
    make_client,
    page,
)
from tests.integrations.clients.stub_server import StubHandler, serving

DRAFT = IssueDraft(vehicle_id=7, summary="Oil low", description="15 %", reported_at=NOW)


def test_every_call_is_signed_and_pins_the_version() -> None:
    headers = {
        "Authorization": f"Token {KEY}",
        "Account-Token": ACCOUNT,
        "X-Api-Version": "2025-05-05",
    }
    with responses.RequestsMock() as http:
        http.get(f"{BASE}/issue_priorities", json=page(), match=[matchers.header_matcher(headers)])
        assert make_client().list_priorities() == []


@pytest.mark.parametrize("wrap", [list, lambda rows: page(*rows)])
@responses.activate
def test_the_account_is_known_by_its_token(wrap: Any) -> None:
    rows = [{"id": 1, "name": "Other", "token": "x"}, {"id": 2, "name": "Ours", "token": ACCOUNT}]
    responses.get(f"{BASE}/accounts", json=wrap(rows))
    assert make_client().check_account() == "Ours"
    assert "Account-Token" not in responses.calls[0].request.headers
    assert make_client(account_token="wrong").check_account() is None


@responses.activate
def test_all_pages_of_vehicles_are_read_and_read_tolerantly() -> None:
    first = {
        "id": 1,
        "name": "Van 1",
        "vin": " 1ftfw1e50 nfa00001 ",
        "primary_meter_unit": "mi",
        "primary_meter_value": "12,345.6",
        "archived_at": None,
        "new_key": {},
    }
    second = {"id": "2", "name": "Van 2", "vin": None, "meter_unit": "km", "archived_at": "2026"}
    responses.get(
        f"{BASE}/vehicles",
        json=page(first, cursor="abc"),
        match=[matchers.query_param_matcher({"per_page": "100"})],
    )
    responses.get(
        f"{BASE}/vehicles",
        json=page(second),
        match=[matchers.query_param_matcher({"per_page": "100", "start_cursor": "abc"})],
    )
    assert make_client().list_vehicles() == [
        FleetioVehicle(
            id=1,
            name="Van 1",
            vin="1FTFW1E50NFA00001",
            meter_unit="mi",
            meter_value=12345.6,
            archived=False,
        ),
        FleetioVehicle(
            id=2, name="Van 2", vin="", meter_unit="km", meter_value=None, archived=True
        ),
    ]


@responses.activate
def test_a_failing_page_spoils_the_whole_list() -> None:
    responses.get(f"{BASE}/vehicles", json=page({"id": 1}, cursor="abc"))
    responses.get(f"{BASE}/vehicles", status=502)
    assert error_of(make_client().list_vehicles).outcome is Outcome.RETRY


@responses.activate
def test_a_bare_array_means_that_the_version_is_not_honoured() -> None:
    responses.get(f"{BASE}/vehicles", json=[{"id": 1}])
    error = error_of(make_client().list_vehicles)
    assert (error.outcome, error.type) == (Outcome.REJECTED, "VERSION")


@pytest.mark.parametrize(
    "body",
    ["{}", "null", '{"records": {}}', '{"records": [1]}', '{"records": [{"name": "x"}]}', "<html>"],
)
@responses.activate
def test_a_list_that_cannot_be_read_is_an_error(body: str) -> None:
    responses.get(f"{BASE}/vehicles", body=body)
    assert error_of(make_client().list_vehicles).type == "MALFORMED"


@responses.activate
def test_a_cursor_that_stands_still_does_not_hang_the_list() -> None:
    responses.get(f"{BASE}/vehicles", json=page({"id": 1}, cursor="abc"))
    assert error_of(make_client().list_vehicles).type == "MALFORMED"


@responses.activate
def test_priorities_have_the_accounts_names() -> None:
    responses.get(f"{BASE}/issue_priorities", json=page({"id": 3, "name": "Hoch", "alias": "high"}))
    assert make_client().list_priorities() == [Priority(id=3, name="Hoch", alias="high")]


# --- Issues -----------------------------------------------------------------------------------


@responses.activate
def test_an_issue_is_created_for_a_vehicle() -> None:
    body = {
        "asset_type": "Vehicle",
        "asset_id": 7,
        "summary": "Oil low",
        "description": "15 %",
        "reported_at": "2026-03-02T12:00:00+00:00",
        "issue_priority_id": 3,
        "due_date": "2026-03-09",
    }
    reply = {
        "id": 55,
        "number": 12,
        "state": "Open",
        "description": "15 %",
        "asset_type": "Vehicle",
        "asset": {"id": 7},
        "updated_at": "2026-03-02T06:00:00-06:00",
    }
    responses.post(
        f"{BASE}/issues", status=201, json=reply, match=[matchers.json_params_matcher(body)]
    )
    draft = IssueDraft(
        vehicle_id=7,
        summary="Oil low",
        description="15 %",
        reported_at=NOW.astimezone(timezone(timedelta(hours=-6))),
        priority_id=3,
        due_date=date(2026, 3, 9),
    )
    assert make_client().create_issue(draft) == FleetioIssue(
        id=55, number="12", state="open", description="15 %", vehicle_id=7, updated_at=NOW
    )


@responses.activate
def test_one_issue_is_read_and_a_deleted_one_is_rejected() -> None:
    responses.get(f"{BASE}/issues/55", json={"id": 55, "state": "Resolved", "number": "12"})
    responses.get(f"{BASE}/issues/56", status=404, json={"status": 404, "title": "Not Found"})
    assert make_client().get_issue(55).state == "resolved"
    error = error_of(lambda: make_client().get_issue(56))
    assert (error.outcome, error.status_code) == (Outcome.REJECTED, 404)


def row(number: int, vehicle: int, minutes: int, **more: Any) -> dict[str, Any]:
    changed = (NOW + timedelta(minutes=minutes)).isoformat()
    return {"id": number, "vehicle": {"id": vehicle}, "updated_at": changed, **more}


@responses.activate
def test_issues_are_asked_for_by_vehicle_and_time_and_compared_again() -> None:
    query = {
        "filter[vehicle_id][eq]": "7",
        "filter[updated_at][gt]": "2026-03-02T12:00:00+00:00",
        "sort[updated_at]": "asc",
        "per_page": "100",
    }
    ignored = page(row(1, 7, 1), row(2, 8, 1), cursor="b")
    responses.get(f"{BASE}/issues", json=ignored, match=[matchers.query_param_matcher(query)])
    responses.get(
        f"{BASE}/issues",
        json=page(row(3, 7, 0), row(4, 7, -1), row(5, 7, 2, description=None)),
        match=[matchers.query_param_matcher({**query, "start_cursor": "b"})],
    )
    found = make_client().list_issues(vehicle_id=7, updated_after=NOW)
    assert [issue.id for issue in found] == [1, 5]
    assert {issue.description for issue in found} == {""}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        make_client().list_issues(updated_after=NOW.replace(tzinfo=None))


# --- Meters -----------------------------------------------------------------------------------


@responses.activate
def test_an_odometer_is_recorded_with_its_own_time() -> None:
    body = {"vehicle_id": 7, "value": 100.5, "date": "2026-03-02T12:00:00+00:00"}
    reply = {"id": 9, "vehicle_id": 7, "value": "100.5", "date": "2026-03-02", "void": False}
    responses.post(
        f"{BASE}/meter_entries", status=201, json=reply, match=[matchers.json_params_matcher(body)]
    )
    entry = make_client().create_meter_entry(vehicle_id=7, value=100.5, recorded_at=NOW)
    assert entry == MeterEntry(
        id=9, vehicle_id=7, value=100.5, date=date(2026, 3, 2), is_void=False, void_reason=""
    )


@pytest.mark.parametrize(
    "mark", [{"void": True}, {"void": None, "auto_voided_at": "2026-03-02T12:00:00Z"}]
)
@responses.activate
def test_a_saved_entry_may_be_void_and_says_so(mark: dict[str, Any]) -> None:
    reply = {"id": 9, "vehicle_id": 7, "value": "1", "auto_void_reason": "Out of Sequence", **mark}
    responses.post(f"{BASE}/meter_entries", status=201, json=reply)
    entry = make_client().create_meter_entry(vehicle_id=7, value=1, recorded_at=NOW)
    assert (entry.is_void, entry.void_reason) == (True, "Out of Sequence")


@responses.activate
def test_entries_of_other_vehicles_and_days_are_left_out() -> None:
    rows = [
        {"id": 1, "vehicle_id": 7, "value": "1", "date": "2026-03-02"},
        {"id": 2, "vehicle_id": 8, "value": "1", "date": "2026-03-02"},
        {"id": 3, "vehicle_id": 7, "value": "1", "date": "2026-03-03"},
    ]
    query = {
        "filter[vehicle_id][eq]": "7",
        "filter[date][eq]": "2026-03-02",
        "per_page": "100",
    }
    responses.get(
        f"{BASE}/meter_entries", json=page(*rows), match=[matchers.query_param_matcher(query)]
    )
    found = make_client().list_meter_entries(vehicle_id=7, on=date(2026, 3, 2))
    assert [entry.id for entry in found] == [1]


# --- Vehicles ---------------------------------------------------------------------------------


@responses.activate
def test_a_vehicle_is_created_with_what_is_required_and_what_is_known() -> None:
    body = {
        "name": "Van 7",
        "vin": "1FTFW1E50NFA00001",
        "primary_meter_unit": "mi",
        "vehicle_status_id": 3,
        "vehicle_type_id": 4,
        "make": "FORD",
        "year": 2021,
    }
    reply = {"id": 70, "name": "Van 7", "vin": "1FTFW1E50NFA00001", "primary_meter_unit": "mi"}
    responses.post(
        f"{BASE}/vehicles", status=201, json=reply, match=[matchers.json_params_matcher(body)]
    )
    draft = VehicleDraft(
        name="Van 7",
        vin="1FTFW1E50NFA00001",
        meter_unit="mi",
        status_id=3,
        type_id=4,
        make="FORD",
        year=2021,
    )
    assert make_client().create_vehicle(draft).id == 70


@responses.activate
def test_a_refused_vehicle_names_the_fields_and_did_not_happen() -> None:
    fields = {"name": ["has already been taken"], "vehicle_type": ["must exist"]}
    responses.post(f"{BASE}/vehicles", status=422, json={"errors": fields})
    draft = VehicleDraft(name="Van 7", vin="X", meter_unit="mi", status_id=3, type_id=4)
    error = error_of(lambda: make_client().create_vehicle(draft))
    assert (error.outcome, error.fields) == (Outcome.REJECTED, fields)
    assert not error.may_have_happened


@pytest.mark.parametrize(("status", "body"), [(200, '{"id": 7}'), (204, "")])
@responses.activate
def test_only_the_named_fields_of_a_vehicle_are_changed(status: int, body: str) -> None:
    sent = responses.patch(
        f"{BASE}/vehicles/7",
        status=status,
        body=body,
        match=[matchers.json_params_matcher({"make": "FORD"})],
    )
    make_client().update_vehicle(7, {"make": "FORD"})
    assert sent.call_count == 1


@responses.activate
def test_a_change_without_an_answer_may_have_happened() -> None:
    responses.patch(f"{BASE}/vehicles/7", status=502)
    error = error_of(lambda: make_client().update_vehicle(7, {"make": "FORD"}))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)


@pytest.mark.parametrize(
    ("shown", "blank"),
    [
        ({"make": None, "model": "", "year": None}, {"make", "model", "year"}),
        ({"make": "  ", "model": "Transit", "year": 0}, {"make"}),
        ({"make": 5, "model": ["x"], "year": "2021"}, set()),
        ({}, set()),
    ],
    ids=["blank", "a zero is a value", "other types are values", "not shown is not blank"],
)
@responses.activate
def test_what_a_record_shows_empty_is_blank_and_nothing_else(
    shown: dict[str, Any], blank: set[str]
) -> None:
    responses.get(f"{BASE}/vehicles/7", json={"id": 7, **shown})
    assert make_client().get_vehicle(7).blank == blank


@responses.activate
def test_vehicles_are_asked_for_by_vin_and_compared_again() -> None:
    rows = [
        {"id": 1, "vin": "1ftfw1e50nfa00001"},
        {"id": 2, "vin": "1FTFW1E50NFA00002"},
        {"id": 3, "vin": None},
    ]
    query = {"filter[vin][like]": "1FTFW1E50NFA00001", "per_page": "100"}
    responses.get(f"{BASE}/vehicles", json=page(*rows), match=[matchers.query_param_matcher(query)])
    found = make_client().find_vehicles(vin="1FTFW1E50NFA00001")
    assert [vehicle.id for vehicle in found] == [1]


@responses.activate
def test_archived_vehicles_have_a_list_of_their_own() -> None:
    row = {"id": 1, "name": "Old", "archived_at": "2026-01-01T00:00:00Z"}
    responses.get(f"{BASE}/vehicles/archived", json=page(row))
    assert [vehicle.archived for vehicle in make_client().list_archived_vehicles()] == [True]


@responses.activate
def test_statuses_and_types_have_the_accounts_names_and_order() -> None:
    responses.get(f"{BASE}/vehicle_statuses", json=page({"id": 3, "name": "Aktiv", "position": 2}))
    responses.get(f"{BASE}/vehicle_types", json=page({"id": "4", "name": "Van"}))
    client = make_client()
    assert client.list_vehicle_statuses() == [VehicleLabel(id=3, name="Aktiv", position=2)]
    assert client.list_vehicle_types() == [VehicleLabel(id=4, name="Van", position=0)]


# --- Errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome", "may_have"),
    [
        (400, Outcome.REJECTED, False),
        (401, Outcome.STOP, False),
        (403, Outcome.REJECTED, False),
        (404, Outcome.REJECTED, False),
        (422, Outcome.REJECTED, False),
        (429, Outcome.WAIT_ALL, False),
        (500, Outcome.RETRY, True),
        (503, Outcome.RETRY, True),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        "",
        "HTTP Token: Access denied",
        '{"error": "no"}',
        '{"errors": {"name": ["is taken"]}}',
        '{"status": 4, "title": "t", "detail": "d", "instance": "i"}',
        "[1]",
    ],
)
@responses.activate
def test_the_status_decides_whatever_the_body_is(
    status: int, outcome: Outcome, may_have: bool, body: str
) -> None:
    responses.post(f"{BASE}/issues", status=status, body=body)
    error = error_of(lambda: make_client().create_issue(DRAFT))
    assert (error.status_code, error.outcome) == (status, outcome)
    assert error.may_have_happened is may_have


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"errors": {"value": ["must be between"]}}, {"value": ["must be between"]}),
        ({"errors": ["bad"]}, {"base": ["bad"]}),
        ({"error": "bad"}, {"base": ["bad"]}),
        ({}, {}),
        ([], {}),
    ],
)
@responses.activate
def test_a_422_names_the_fields(body: Any, fields: Any) -> None:
    responses.post(f"{BASE}/meter_entries", status=422, json=body)
    error = error_of(
        lambda: make_client().create_meter_entry(vehicle_id=7, value=1, recorded_at=NOW)
    )
    assert error.fields == fields


@responses.activate
def test_a_429_says_how_long_to_wait() -> None:
    responses.get(f"{BASE}/vehicles", status=429, headers={"Retry-After": "42"})
    assert error_of(make_client().list_vehicles).retry_after == 42.0


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", "null", '{"id": null}'])
@pytest.mark.parametrize("status", [200, 201, 204])
@responses.activate
def test_a_post_without_the_promised_answer_may_have_happened(status: int, body: str) -> None:
    responses.post(f"{BASE}/issues", status=status, body=body)
    error = error_of(lambda: make_client().create_issue(DRAFT))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)


def test_an_answer_lost_on_the_way_may_have_happened() -> None:
    with serving(StubHandler.reset) as server:
        error = error_of(lambda: make_client(base_url=server.url).create_issue(DRAFT))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)
    assert len(server.ports) == 1


@responses.activate
def test_the_gate_stands_before_each_request() -> None:
    passed: list[None] = []

    @contextmanager
    def gate() -> Iterator[None]:
        passed.append(None)
        yield

    responses.get(f"{BASE}/vehicles", json=page({"id": 1}, cursor="a"))
    responses.get(f"{BASE}/vehicles", json=page({"id": 2}))
    make_client(gate=gate).list_vehicles()
    assert len(passed) == len(responses.calls) == 2


@pytest.mark.parametrize("how", ["reset", "timeout", "echo", "html"])
def test_no_token_shows_in_any_error(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.clients.fleetio_wire.READ_TIMEOUT", 0.3)
    done = threading.Event()
    echo = json.dumps({"title": KEY, "detail": ACCOUNT}).encode()
    scripts: dict[str, Any] = {
        "reset": StubHandler.reset,
        "timeout": lambda h: done.wait(5),
        "echo": lambda h: h.send(echo, 401),
        "html": lambda h: h.send(f"<{KEY}{ACCOUNT}".encode()),
    }
    with serving(scripts[how]) as server:
        client = make_client(base_url=server.url)
        shown = repr(client)
        for call in (
            client.list_vehicles,
            client.check_account,
            lambda: client.create_issue(DRAFT),
        ):
            error = error_of(call)
            shown += "".join(traceback.format_exception(error)) + repr(vars(error))
        done.set()
    assert KEY not in shown
    assert ACCOUNT not in shown
