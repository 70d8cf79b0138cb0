from datetime import date, timedelta
from typing import Any

import pytest
import responses
from responses import matchers

from integrations.clients.errors import Outcome
from integrations.clients.fleetio import Comment, FleetioIssue, IssueDraft
from tests.integrations.clients.fleetio_scene import BASE, NOW, error_of, make_client, page

LATER = NOW + timedelta(hours=3)


@responses.activate
def test_a_draft_says_only_what_is_known() -> None:
    sent = responses.post(f"{BASE}/issues", status=201, json={"id": 1})
    whole = IssueDraft(
        vehicle_id=7,
        summary="s",
        description="d",
        reported_at=NOW,
        due_date=date(2026, 4, 1),
        due_meter_value=50_000.5,
        assigned_contact_ids=(3, 4),
        label_ids=(9,),
        fault_id=11,
    )
    assert whole.to_json() == {
        "asset_type": "Vehicle",
        "asset_id": 7,
        "summary": "s",
        "description": "d",
        "reported_at": "2026-03-02T12:00:00+00:00",
        "due_date": "2026-04-01",
        "due_meter_value": 50_000.5,
        "assigned_contact_ids": [3, 4],
        "label_ids": [9],
        "fault_id": 11,
    }
    bare = IssueDraft(vehicle_id=7, summary="s", description="d", reported_at=NOW)
    assert set(bare.to_json()) == {
        "asset_type",
        "asset_id",
        "summary",
        "description",
        "reported_at",
    }
    assert make_client().create_issue(whole).id == 1
    assert sent.call_count == 1


SINGLE = {
    "resolvable": {"id": 80, "type": "ServiceEntry"},
    "fault": {"id": 60, "code": "P0420"},
    "closed_by": {"id": 1},
}
ROW = {"resolvable_type": "ServiceEntry", "resolvable_id": 80, "fault_id": 60}


@pytest.mark.parametrize("shape", [SINGLE, ROW], ids=["single record", "row of a list"])
@responses.activate
def test_an_issue_says_how_it_ended(shape: dict[str, Any]) -> None:
    record = {
        "id": 5,
        "number": 12,
        "state": "Resolved",
        "summary": " Oil low ",
        "resolved_at": "2026-03-02T09:00:00-06:00",
        "resolved_note": "changed",
        "closed_at": None,
        "closed_note": None,
        "reopened_at": NOW.isoformat(),
        "comments_count": 2,
        "created_at": "2026-03-02T09:00:00-06:00",
        "updated_at": NOW.isoformat(),
        "asset": {"id": 7},
        "description": None,
    }
    responses.get(f"{BASE}/issues/5", json=record | shape)
    assert make_client().get_issue(5) == FleetioIssue(
        id=5,
        number="12",
        state="resolved",
        summary="Oil low",
        description="",
        vehicle_id=7,
        created_at=LATER,
        updated_at=NOW,
        resolved_at=LATER,
        resolved_note="changed",
        reopened_at=NOW,
        resolvable_type="ServiceEntry",
        resolvable_id=80,
        fault_id=60,
        comments_count=2,
    )


@pytest.mark.parametrize(("status", "body"), [(200, '{"id": 5}'), (204, "")])
@responses.activate
def test_only_the_named_fields_of_an_issue_are_changed(status: int, body: str) -> None:
    sent = responses.patch(
        f"{BASE}/issues/5",
        status=status,
        body=body,
        match=[matchers.json_params_matcher({"due_date": "2026-04-01"})],
    )
    make_client().update_issue(5, {"due_date": "2026-04-01"})
    assert sent.call_count == 1


# --- Comments ---------------------------------------------------------------------------------


def comment(number: int, issue: int = 5, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "commentable_type": "Issue",
        "commentable_id": issue,
        "comment": f"text {number}",
        "user_full_name": "Ana Ruiz",
        "created_at": NOW.isoformat(),
        **more,
    }


WITH_COMMENTS = [matchers.query_param_matcher({"includes": "comments"})]
OF_ISSUE = [
    matchers.query_param_matcher(
        {
            "filter[commentable_type][eq]": "Issue",
            "filter[commentable_id][eq]": "5",
            "per_page": "100",
        }
    )
]


@responses.activate
def test_comments_are_taken_from_the_issue_when_it_shows_them() -> None:
    shown = {"id": 5, "comments": [comment(2), comment(1)], "comments_count": 2}
    responses.get(f"{BASE}/issues/5", json=shown, match=WITH_COMMENTS)
    assert make_client().list_comments(5) == [
        Comment(id=1, text="text 1", author="Ana Ruiz", created_at=NOW),
        Comment(id=2, text="text 2", author="Ana Ruiz", created_at=NOW),
    ]
    assert len(responses.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"id": 5}},
        {"json": {"id": 5, "comments": None}},
        {"json": {"id": 5, "comments": [{"text": "?"}]}},
        {"json": {"id": 5, "comments": [None], "comments_count": 1}},
        {"json": {"id": 5, "comments": [comment(1)], "comments_count": 3}},
        {"status": 400, "json": {"errors": ["includes"]}},
    ],
    ids=["not shown", "null", "unreadable", "not objects", "not all", "includes is not understood"],
)
@responses.activate
def test_else_they_are_asked_for_in_their_own_list_and_compared_again(
    answer: dict[str, Any],
) -> None:
    rows = [
        comment(3),
        comment(1),
        comment(2, issue=6),
        comment(4, commentable_type="Vehicle"),
        comment(5, commentable_id=None),
    ]
    responses.get(f"{BASE}/issues/5", match=WITH_COMMENTS, **answer)
    responses.get(f"{BASE}/comments", json=page(*rows), match=OF_ISSUE)
    assert [found.id for found in make_client().list_comments(5)] == [1, 3]


@responses.activate
def test_a_deleted_issue_has_no_comments_but_an_error() -> None:
    responses.get(f"{BASE}/issues/5", status=404)
    assert error_of(lambda: make_client().list_comments(5)).status_code == 404


@responses.activate
def test_a_comment_is_written_beside_an_issue() -> None:
    body = {"commentable_type": "Issue", "commentable_id": 5, "comment": "text 8"}
    responses.post(
        f"{BASE}/comments",
        status=201,
        json=comment(8),
        match=[matchers.json_params_matcher(body)],
    )
    assert make_client().create_comment(5, "text 8").id == 8


@responses.activate
def test_a_comment_without_an_answer_may_be_there() -> None:
    responses.post(f"{BASE}/comments", status=502)
    error = error_of(lambda: make_client().create_comment(5, "x"))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)
