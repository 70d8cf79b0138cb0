from typing import Any

import pytest
import requests

from integrations.sandbox import Fault, faults
from tests.integrations.sandbox.conftest import START, Client, Clock


def vehicle(client: Client, place: int = 0) -> dict[str, Any]:
    return client.sandbox.fleetio.records.vehicle(client.sandbox.fleet.cars[place].vin)


def post(client: Client, path: str, **body: Any) -> requests.Response:
    return client.fleetio(path, "POST", json=body)


def post_meter(client: Client, value: float, date: str, **extra: Any) -> requests.Response:
    row = vehicle(client, extra.pop("place", 0))
    return post(client, "/meter_entries", vehicle_id=row["id"], value=value, date=date, **extra)


def post_issue(client: Client, **extra: Any) -> requests.Response:
    body = {
        "asset_id": vehicle(client)["id"],
        "asset_type": "Vehicle",
        "summary": "Engine oil is low",
        "reported_at": START.isoformat(),
    }
    return post(client, "/issues", **(body | extra))


@pytest.mark.parametrize("missing", ["Authorization", "Account-Token"])
def test_missing_credentials_are_a_401_problem(client: Client, missing: str) -> None:
    reply = client.fleetio("/vehicles", headers={missing: ""})
    assert reply.status_code == 401
    assert set(reply.json()) == {"status", "title", "detail", "instance"}


def test_accounts_needs_the_key_only(client: Client) -> None:
    reply = client.fleetio("/accounts", headers={"Account-Token": ""})
    token = client.sandbox.environment()["FLEETIO_ACCOUNT_TOKEN"]
    assert [row["token"] for row in reply.json()["records"]] == [token]


def test_fleet_is_there_in_its_units_except_one_car(client: Client) -> None:
    rows = client.fleetio("/vehicles").json()["records"]
    units = {row["vin"]: row["primary_meter_unit"] for row in rows}
    cars = client.sandbox.fleet.cars
    assert [units.get(car.vin) for car in cars] == ["mi", "km", "hr", *["mi"] * 4, None]
    assert all(isinstance(row["primary_meter_value"], str) for row in rows)


def test_list_without_a_version_is_a_bare_array(client: Client) -> None:
    reply = client.fleetio("/vehicles", headers={"X-Api-Version": ""})
    assert isinstance(reply.json(), list)
    assert reply.headers["X-Pagination-Total-Count"] == "7"


def test_cursor_walks_through_all_pages(client: Client) -> None:
    seen, query = [], {"per_page": "3", "sort[name]": "asc"}
    while True:
        page = client.fleetio("/vehicles", params=query).json()
        seen += [row["name"] for row in page["records"]]
        assert page["sorted_by"] == [{"name": "asc"}]
        if page["next_cursor"] is None:
            break
        query["start_cursor"] = page["next_cursor"]
    assert seen == sorted(row["name"] for row in client.sandbox.fleetio.records.rows("vehicles"))


@pytest.mark.parametrize(
    "query",
    [
        {"per_page": "1"},
        {"per_page": "101"},
        {"filter[color][eq]": "red"},
        {"sort[vin]": "asc"},
        {"start_cursor": "nonsense"},
    ],
)
def test_bad_list_parameter_is_a_400(client: Client, query: dict[str, str]) -> None:
    reply = client.fleetio("/vehicles", params=query)
    assert reply.status_code == 400
    assert "errors" in reply.json()


def test_filter_is_applied_and_echoed_while_old_style_is_ignored(client: Client) -> None:
    vin = client.sandbox.fleet.cars[3].vin
    page = client.fleetio("/vehicles", params={"filter[vin][eq]": vin}).json()
    assert [row["vin"] for row in page["records"]] == [vin]
    assert page["filtered_by"] == [{"vin": {"eq": vin}}]
    ignored = client.fleetio("/vehicles", params={"q[vin_eq]": vin}).json()
    assert len(ignored["records"]) == 7
    assert ignored["filtered_by"] == []


def test_archived_vehicle_leaves_the_list_and_returns(client: Client) -> None:
    path = f"/vehicles/{vehicle(client)['id']}"
    assert client.fleetio(f"{path}/archive", "PATCH").json()["archived_at"]
    assert len(client.fleetio("/vehicles").json()["records"]) == 6
    assert len(client.fleetio("/vehicles/archived").json()["records"]) == 1
    assert client.fleetio(f"{path}/restore", "PATCH").json()["archived_at"] is None
    assert len(client.fleetio("/vehicles").json()["records"]) == 7


def test_vehicle_needs_name_unit_status_and_type(client: Client) -> None:
    reply = post(client, "/vehicles")
    assert reply.status_code == 422
    required = {"name", "primary_meter_unit", "vehicle_status_id", "vehicle_type_id"}
    assert set(reply.json()["errors"]) == required


def test_vehicle_name_and_vin_are_unique_and_vin_is_short(client: Client) -> None:
    known = vehicle(client)
    body = {
        "name": known["name"],
        "vin": known["vin"],
        "primary_meter_unit": "mi",
        "vehicle_status_id": known["vehicle_status_id"],
        "vehicle_type_id": known["vehicle_type_id"],
    }
    errors = post(client, "/vehicles", **body).json()["errors"]
    assert errors == {name: ["has already been taken"] for name in ("name", "vin")}
    errors = post(client, "/vehicles", **body | {"name": "New", "vin": "1" * 18}).json()["errors"]
    assert errors == {"vin": ["is too long (maximum is 17 characters)"]}
    created = post(client, "/vehicles", **body | {"name": "New", "vin": "1" * 17})
    assert created.status_code == 201
    assert created.headers["Location"].endswith(f"/api/vehicles/{created.json()['id']}")


def test_vehicle_patch_answers_the_record(client: Client) -> None:
    path = f"/vehicles/{vehicle(client)['id']}"
    reply = client.fleetio(path, "PATCH", json={"meter_unit": "km", "primary_meter_value": 1})
    assert reply.status_code == 200
    assert reply.json()["primary_meter_unit"] == "km"
    assert reply.json()["primary_meter_value"] != "1"
    taken = client.fleetio(path, "PATCH", json={"name": vehicle(client, 1)["name"]})
    assert taken.status_code == 422
    gone = client.fleetio(path, "PATCH", json={"vehicle_status_id": None})
    assert gone.json() == {"errors": {"vehicle_status": ["must exist"]}}


def test_archived_vehicle_keeps_its_name_and_vin(client: Client) -> None:
    known = vehicle(client)
    client.fleetio(f"/vehicles/{known['id']}/archive", "PATCH")
    body = {
        "name": known["name"],
        "vin": known["vin"],
        "primary_meter_unit": "mi",
        "vehicle_status_id": known["vehicle_status_id"],
        "vehicle_type_id": known["vehicle_type_id"],
    }
    reply = post(client, "/vehicles", **body)
    assert reply.status_code == 422
    assert set(reply.json()["errors"]) == {"name", "vin"}


def test_vehicle_is_found_by_a_vin_in_any_case_with_like_only(client: Client) -> None:
    vin = vehicle(client)["vin"]
    for how, found in (("like", [vin]), ("eq", [])):
        page = client.fleetio("/vehicles", params={f"filter[vin][{how}]": vin.lower()}).json()
        assert [row["vin"] for row in page["records"]] == found


def test_vehicle_patch_changes_what_it_names_and_knows_the_unit_by_another_name(
    client: Client,
) -> None:
    row = vehicle(client)
    before = dict(row)
    path = f"/vehicles/{row['id']}"
    changed = client.fleetio(path, "PATCH", json={"make": "Opel", "primary_meter_unit": "hr"})
    assert changed.json() == before | {"make": "Opel", "updated_at": row["updated_at"]}


def test_statuses_and_types_are_lists_of_the_account(client: Client) -> None:
    statuses = client.fleetio("/vehicle_statuses").json()["records"]
    assert {row["name"]: row["position"] for row in statuses} == {"Active": 1, "In Shop": 2}
    types = client.fleetio("/vehicle_types").json()["records"]
    assert {row["name"] for row in types} == {"Van", "Car", "Truck"}


def test_meter_entry_answers_text_and_a_bare_date(client: Client) -> None:
    value = float(vehicle(client)["primary_meter_value"]) + 100
    reply = post_meter(client, value, "2026-03-01T18:30:00Z")
    assert reply.status_code == 201
    body = reply.json()
    assert (body["value"], body["date"], body["void"]) == (str(value), "2026-03-01", False)
    assert vehicle(client)["primary_meter_value"] == str(value)


def test_meter_entry_out_of_sequence_is_refused_unless_void(client: Client) -> None:
    value = float(vehicle(client)["primary_meter_value"])
    refused = post_meter(client, value - 1, "2026-03-01")
    assert refused.status_code == 422
    (message,) = refused.json()["errors"]["value"]
    assert message.startswith("must be between ")
    assert message.endswith(" or marked as void")
    void = post_meter(client, value - 1, "2026-03-01", void=True)
    assert (void.status_code, void.json()["void"]) == (201, True)
    assert vehicle(client)["primary_meter_value"] == str(value)


def test_meter_entry_in_the_past_must_fit_between_its_neighbours(client: Client) -> None:
    value = float(vehicle(client)["primary_meter_value"])
    assert post_meter(client, value + 200, "2026-03-01").status_code == 201
    assert post_meter(client, value + 201, "2026-02-27").status_code == 422
    assert post_meter(client, value + 100, "2026-02-27").status_code == 201
    assert vehicle(client)["primary_meter_value"] == str(value + 200)


@pytest.mark.parametrize(
    ("place", "rise", "is_void"),
    [(0, 18_000, False), (0, 18_001, True), (1, 28_968, False), (1, 28_969, True)],
    ids=["3000 mi a day", "more than 3000 mi", "4828 km a day", "more than 4828 km"],
)
def test_too_fast_a_rise_is_kept_but_void(
    client: Client, place: int, rise: int, is_void: bool
) -> None:
    before = vehicle(client, place)["primary_meter_value"]
    # The reading before is six days older.
    reply = post_meter(client, float(before) + rise, "2026-03-01T09:00:00Z", place=place)
    body = reply.json()
    assert (reply.status_code, body["void"]) == (201, is_void)
    assert body["auto_void_reason"] == ("Exceeds Max. Daily Usage" if is_void else None)
    assert bool(body["auto_voided_at"]) == is_void
    assert (vehicle(client, place)["primary_meter_value"] == before) == is_void


def test_meter_entry_names_every_wrong_field(client: Client) -> None:
    errors = post(client, "/meter_entries").json()["errors"]
    assert set(errors) == {"vehicle", "value", "date"}


def test_issue_is_shown_and_listed_in_different_shapes(client: Client) -> None:
    priority = client.fleetio("/issue_priorities").json()["records"][0]
    created = post_issue(client, issue_priority_id=priority["id"]).json()
    assert created["asset"] == {"id": vehicle(client)["id"]}
    assert (created["state"], created["number"]) == ("Open", 1)
    (row,) = client.fleetio("/issues").json()["records"]
    assert row["number"] == "1"
    assert row["vehicle"]["vin"] == vehicle(client)["vin"]
    assert row["issue_priority"]["alias"] == priority["alias"]
    assert client.fleetio(f"/issues/{created['id']}").json() == created


def test_priorities_are_the_usual_five(client: Client) -> None:
    rows = client.fleetio("/issue_priorities").json()["records"]
    aliases = {row["alias"] for row in rows}
    assert aliases == {"no_priority", "low", "medium", "high", "critical"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"summary": ""}, "summary"),
        ({"asset_id": 1}, "asset"),
        ({"asset_type": "Boat"}, "asset_type"),
        ({"issue_priority_id": 1}, "issue_priority"),
        ({"reported_at": "yesterday"}, "reported_at"),
        ({"number": "seven"}, "number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_issue_is_a_422_naming_the_field(
    client: Client, body: dict[str, Any], field: str
) -> None:
    reply = post_issue(client, **body)
    assert (reply.status_code, list(reply.json()["errors"])) == (422, [field])
    assert client.sandbox.fleetio.issues() == []


def test_issue_moves_only_by_its_own_endpoints(client: Client, clock: Clock) -> None:
    path = f"/issues/{post_issue(client).json()['id']}"
    clock.pass_time(minutes=5)
    patched = client.fleetio(path, "PATCH", json={"state": "Closed", "summary": "Oil"}).json()
    assert (patched["state"], patched["summary"]) == ("Open", "Oil")
    resolved = client.fleetio(f"{path}/resolve", "PATCH", json={"note": "changed"}).json()
    assert (resolved["state"], resolved["resolved_note"]) == ("Resolved", "changed")
    reopened = client.fleetio(f"{path}/reopen", "PATCH").json()
    assert (reopened["state"], reopened["resolved_at"]) == ("Open", None)
    closed = client.fleetio(f"{path}/close", "PATCH").json()
    assert (closed["state"], closed["closed_note"]) == ("Closed", None)


def test_issues_are_found_by_vehicle_state_and_time(client: Client, clock: Clock) -> None:
    first = post_issue(client).json()
    other = post_issue(client, asset_id=vehicle(client, 1)["id"]).json()
    clock.pass_time(hours=1)
    client.sandbox.fleetio.move_issue(first["id"], "resolve", "done")

    def found(**query: str) -> list[int]:
        params = {name.replace("__", "[") + "]": value for name, value in query.items()}
        params = {f"filter[{name.replace('[', '][', 1)}": value for name, value in params.items()}
        rows = client.fleetio("/issues", params=params).json()["records"]
        return [row["id"] for row in rows]

    assert found(vehicle_id__eq=str(vehicle(client)["id"])) == [first["id"]]
    assert found(state__eq="open") == [other["id"]]
    assert found(updated_at__gt=START.isoformat()) == [first["id"]]
    assert found(created_at__gte=START.isoformat()) == [other["id"], first["id"]]


def test_comments_belong_to_an_issue(client: Client) -> None:
    issue = post_issue(client).json()
    body = {"commentable_type": "Issue", "commentable_id": issue["id"], "comment": "Again"}
    assert post(client, "/comments", **body).status_code == 201
    assert post(client, "/comments", **body | {"commentable_id": 1}).status_code == 422
    params = {"filter[commentable_id][eq]": str(issue["id"])}
    rows = client.fleetio("/comments", params=params).json()["records"]
    assert [row["comment"] for row in rows] == ["Again"]
    assert client.fleetio(f"/issues/{issue['id']}").json()["comments_count"] == 1


def test_rate_limit_counts_by_the_clock_minute(client: Client, clock: Clock) -> None:
    client.sandbox.fleetio.requests_per_minute = 2
    clock.pass_time(seconds=50)
    replies = [client.fleetio("/vehicles") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].headers["Retry-After"] == "10"
    clock.pass_time(seconds=10)
    assert client.fleetio("/vehicles").status_code == 200


def test_lists_can_lag_behind_creates(client: Client, clock: Clock) -> None:
    client.sandbox.fleetio.list_lag = 30
    issue = post_issue(client).json()
    assert client.fleetio("/issues").json()["records"] == []
    assert client.fleetio(f"/issues/{issue['id']}").status_code == 200
    clock.pass_time(seconds=30)
    assert len(client.fleetio("/issues").json()["records"]) == 1


def test_reply_lost_after_the_commit_leaves_the_issue(client: Client) -> None:
    client.sandbox.fleetio.faults.add(faults.dropped_after(method="POST", path="/api/issues"))
    with pytest.raises(requests.ConnectionError):
        post_issue(client)
    assert len(client.sandbox.fleetio.issues(state="open")) == 1


def test_reply_lost_before_the_commit_leaves_nothing(client: Client) -> None:
    client.sandbox.fleetio.faults.add(faults.dropped_before(method="POST", path="/api/issues"))
    with pytest.raises(requests.ConnectionError):
        post_issue(client)
    assert client.sandbox.fleetio.issues() == []


def test_any_status_and_body_can_be_had_even_after_the_commit(client: Client) -> None:
    add = client.sandbox.fleetio.faults.add
    add(Fault(status=403, body=b""))
    assert client.fleetio("/vehicles").content == b""
    add(Fault(status=429, body={"error": "wait"}, retry_after=7))
    assert client.fleetio("/vehicles").headers["Retry-After"] == "7"
    add(Fault(method="POST", status=500, body={"status": 500}, carried_out=True))
    assert post_issue(client).status_code == 500
    assert len(client.sandbox.fleetio.issues()) == 1
    add(Fault(when=lambda request: request.json().get("summary") == "X", status=503))
    assert post_issue(client).status_code == 201
    assert post_issue(client, summary="X").status_code == 503


def test_unknown_record_and_path_are_404_problems(client: Client) -> None:
    for path in ("/vehicles/1", "/horses", "/issues/1/close"):
        reply = client.fleetio(path, "PATCH" if "close" in path else "GET")
        assert (reply.status_code, reply.json()["status"]) == (404, 404)
