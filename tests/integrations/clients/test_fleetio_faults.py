from typing import Any

import pytest
import responses
from responses import matchers

from integrations.clients.errors import Outcome
from integrations.clients.fleetio import Fault, FaultDraft, FaultRule
from tests.integrations.clients.fleetio_scene import BASE, NOW, error_of, make_client, page

FILTERED = [matchers.query_param_matcher({"filter[code][eq]": "P0420", "per_page": "100"})]
ALL = [matchers.query_param_matcher({"per_page": "100"})]
RULES = page({"id": 1, "code": "P0420", "name": "Catalyst"}, {"id": 2, "code": "P0421"})


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "vehicle_id": 7,
        "code": "P0420",
        "name": "Catalyst",
        "status": "Open",
        "external_id": "e1",
        "fault_rule_id": 1,
        "last_occurred_at": NOW.isoformat(),
        "updated_at": NOW.isoformat(),
        **more,
    }


@responses.activate
def test_a_rule_is_found_by_just_its_code() -> None:
    responses.get(f"{BASE}/fault_rules", json=RULES, match=FILTERED)
    assert make_client().find_fault_rules("P0420") == [
        FaultRule(id=1, code="P0420", name="Catalyst")
    ]


@responses.activate
def test_a_rule_is_found_where_its_filter_is_unknown() -> None:
    responses.get(f"{BASE}/fault_rules", status=400, json={"errors": {}}, match=FILTERED)
    responses.get(f"{BASE}/fault_rules", json=RULES, match=ALL)
    assert [rule.id for rule in make_client().find_fault_rules("P0420")] == [1]


@responses.activate
def test_a_role_that_may_not_see_rules_is_an_error() -> None:
    responses.get(f"{BASE}/fault_rules", status=403)
    assert error_of(lambda: make_client().find_fault_rules("P0420")).status_code == 403
    assert len(responses.calls) == 1


@responses.activate
def test_a_rule_is_made() -> None:
    body = {"code": "P0420", "name": "Catalyst", "description": ""}
    responses.post(
        f"{BASE}/fault_rules",
        status=201,
        json={"id": 1, **body},
        match=[matchers.json_params_matcher(body)],
    )
    assert make_client().create_fault_rule("P0420", "Catalyst").id == 1


@responses.activate
def test_faults_are_asked_for_and_compared_again() -> None:
    query = {
        "filter[vehicle_id][eq]": "7",
        "filter[code][eq]": "P0420",
        "filter[external_id][eq]": "e1",
        "per_page": "100",
    }
    rows = [row(1), row(2, vehicle_id=8), row(3, code="P0421"), row(4, external_id=None)]
    responses.get(f"{BASE}/faults", json=page(*rows), match=[matchers.query_param_matcher(query)])
    assert make_client().list_faults(vehicle_id=7, code="P0420", external_id="e1") == [
        Fault(
            id=1,
            vehicle_id=7,
            code="P0420",
            name="Catalyst",
            status="open",
            external_id="e1",
            rule_id=1,
            last_occurred_at=NOW,
            updated_at=NOW,
        )
    ]


@responses.activate
def test_all_faults_are_listed_without_a_filter() -> None:
    rows = [row(1), row(2, vehicle_id=8, status={"name": "Resolved"})]
    responses.get(f"{BASE}/faults", json=page(*rows), match=ALL)
    assert [fault.status for fault in make_client().list_faults()] == ["open", "resolved"]


def test_a_draft_says_only_what_is_known() -> None:
    assert FaultDraft(vehicle_id=7, code="P0420").to_json() == {"vehicle_id": 7, "code": "P0420"}
    whole = FaultDraft(
        vehicle_id=7,
        code="P0420",
        name="n",
        description="d",
        external_id="e",
        source="s",
        last_occurred_at=NOW,
        count=0,
    )
    assert whole.to_json() == {
        "vehicle_id": 7,
        "code": "P0420",
        "name": "n",
        "description": "d",
        "external_id": "e",
        "source": "s",
        "last_occurred_at": "2026-03-02T12:00:00+00:00",
        "count": 0,
    }


@responses.activate
def test_a_code_without_a_rule_is_refused_with_its_field() -> None:
    fields = {"code": ["must correspond with an existing Fault Rule"]}
    responses.post(f"{BASE}/faults", status=422, json={"errors": fields})
    error = error_of(lambda: make_client().create_fault(FaultDraft(vehicle_id=7, code="P0420")))
    assert (error.outcome, error.fields) == (Outcome.REJECTED, fields)


@pytest.mark.parametrize(("status", "body"), [(200, '{"id": 1}'), (204, "")])
@responses.activate
def test_only_the_named_fields_of_a_fault_are_changed(status: int, body: str) -> None:
    sent = responses.patch(
        f"{BASE}/faults/1",
        status=status,
        body=body,
        match=[matchers.json_params_matcher({"status": "resolved"})],
    )
    make_client().update_fault(1, {"status": "resolved"})
    assert sent.call_count == 1
