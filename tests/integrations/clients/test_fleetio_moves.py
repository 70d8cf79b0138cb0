from typing import Any

import pytest
import responses
from responses import matchers

from integrations.clients.errors import Outcome
from integrations.clients.fleetio import IssueCall, Move, parse_call
from tests.integrations.clients.fleetio_scene import BASE, error_of, make_client


def call(text: str, move: Move | None = None) -> IssueCall:
    found = parse_call(text, move)
    assert found is not None
    return found


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_text_means_that_the_move_is_not_used(text: str) -> None:
    assert parse_call(text) is None


@pytest.mark.parametrize(
    ("text", "verb", "path", "move"),
    [
        ("PATCH /issues/{id}/close", "PATCH", "/issues/{id}/close", Move.CLOSE),
        (" post   /v2/issues/{id}/resolve ", "POST", "/v2/issues/{id}/resolve", Move.RESOLVE),
        ("PUT /reopen/{id}", "PUT", "/reopen/{id}", Move.REOPEN),
        ("PATCH /issues/{id}/finish", "PATCH", "/issues/{id}/finish", None),
        ("PATCH /close/{id}/reopen", "PATCH", "/close/{id}/reopen", None),
        ("PATCH /issues/id:{id}", "PATCH", "/issues/id:{id}", None),
    ],
)
def test_a_call_is_a_verb_and_a_path(text: str, verb: str, path: str, move: Move | None) -> None:
    assert parse_call(text) == IssueCall(verb=verb, path=path, move=move)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PATCH", "a verb and a path"),
        ("PATCH /issues/{id} close", "a verb and a path"),
        ("DELETE /issues/{id}", "PATCH, POST, PUT"),
        ("GET /issues/{id}", "PATCH, POST, PUT"),
        ("PATCH issues/{id}", "start with /"),
        ("PATCH https://evil.example/{id}", "start with /"),
        ("PATCH //evil.example/{id}", "between single slashes"),
        ("PATCH /issues/close", "{id} once"),
        ("PATCH /issues/{id}/{id}", "{id} once"),
        ("PATCH /issues/{id}/{move}", "{id} once"),
        ("PATCH /issues/{{id}}", "{id} once"),
        ("PATCH /issues/../users/{id}", "between single slashes"),
        ("PATCH /issues/./{id}", "between single slashes"),
        ("PATCH /issues/{id}/", "between single slashes"),
        ("PATCH /issues/{id}?a=b", "between single slashes"),
        ("PATCH /issues/{id}#a", "between single slashes"),
        ("PATCH /issues/%2e%2e/{id}", "between single slashes"),
        ("PATCH /issues\\..\\{id}", "between single slashes"),
        ("PATCH /issues@evil.example/{id}", "between single slashes"),
        ("PATCH /íssues/{id}", "between single slashes"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("{", r"\{").replace("}", r"\}")):
        parse_call(text)


@pytest.mark.parametrize(
    ("move", "note", "body"),
    [
        (Move.CLOSE, "done", {"note": "done", "closed_note": "done"}),
        (Move.RESOLVE, "done", {"note": "done", "resolved_note": "done"}),
        (Move.REOPEN, "back", {"note": "back"}),
        (None, "done", {"note": "done"}),
        (Move.CLOSE, "", {}),
    ],
)
@responses.activate
def test_the_note_is_sent_under_each_name_it_may_have(
    move: Move | None, note: str, body: dict[str, Any]
) -> None:
    responses.post(f"{BASE}/issues/5/done", status=204, match=[matchers.json_params_matcher(body)])
    asked = call("POST /issues/{id}/done", move)
    assert make_client().move_issue(5, asked, note) is None


@pytest.mark.parametrize("verb", ["PATCH", "POST", "PUT"])
@responses.activate
def test_a_moved_issue_is_returned_when_the_answer_shows_it(verb: str) -> None:
    responses.add(verb, f"{BASE}/issues/5/close", json={"id": 5, "state": "Closed"})
    moved = make_client().move_issue(5, call(f"{verb} /issues/{{id}}/close"))
    assert moved is not None
    assert moved.state == "closed"


@pytest.mark.parametrize("body", ["", "ok", "[]", "{}", '{"id": 6, "state": "Closed"}', "null"])
@responses.activate
def test_any_other_answer_says_nothing_of_the_issue(body: str) -> None:
    responses.patch(f"{BASE}/issues/5/close", body=body)
    assert make_client().move_issue(5, call("PATCH /issues/{id}/close")) is None


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("PATCH /issues/{id}/resolve", "FLEETIO_RESOLVE_ISSUE"),
        (
            "PATCH /issues/{id}/done",
            "FLEETIO_CLOSE_ISSUE, FLEETIO_RESOLVE_ISSUE, FLEETIO_REOPEN_ISSUE",
        ),
    ],
)
@responses.activate
def test_an_unknown_call_names_its_setting(status: int, text: str, settings: str) -> None:
    asked = call(text)
    responses.patch(BASE + asked.path_of(5), status=status)
    error = error_of(lambda: make_client().move_issue(5, asked))
    assert (error.outcome, error.status_code) == (Outcome.REJECTED, status)
    assert str(error).endswith(f": see {settings}")
    assert not error.may_have_happened


@pytest.mark.parametrize("verb", ["PATCH", "POST", "PUT"])
@responses.activate
def test_a_move_without_an_answer_may_have_happened(verb: str) -> None:
    responses.add(verb, f"{BASE}/issues/5/close", status=503)
    asked = call(f"{verb} /issues/{{id}}/close")
    error = error_of(lambda: make_client().move_issue(5, asked))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)
    assert "FLEETIO" not in str(error)
