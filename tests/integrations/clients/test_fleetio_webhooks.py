import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.clients.fleetio_webhooks import (
    FleetioEvent,
    NotAnEventError,
    is_genuine,
    parse,
)

KEYS = ("new-key", "old-key")
MESSAGE: dict[str, Any] = {
    "id": 9001,
    "event": "issue_updated",
    "timestamp": "2026-03-02T06:00:00-06:00",
    "triggered_by": "ana@example.com",
    "payload": {"id": 5, "number": 12, "vehicle_id": 7, "vehicle_name": "Van 7"},
}


def body(**changes: Any) -> bytes:
    return json.dumps({**MESSAGE, **changes}).encode()


def signature(raw: bytes, key: str) -> str:
    return hmac.new(key.encode(), raw, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("key", KEYS)
def test_a_body_signed_with_any_of_the_keys_is_genuine(key: str) -> None:
    assert is_genuine(body(), signature(body(), key), KEYS)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "0" * 64,
        "sha256=" + signature(body(), KEYS[0]),
        signature(body(), KEYS[0])[:-1],
        signature(body() + b" ", KEYS[0]),
        signature(body(), ""),
    ],
)
def test_anything_else_is_not(said: str | None) -> None:
    assert not is_genuine(body(), said, (*KEYS, ""))


def test_an_event_says_which_records_it_is_about() -> None:
    assert parse(body()) == FleetioEvent(
        event_id="9001",
        event="issue_updated",
        at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        record_id=5,
        vehicle_id=7,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"id": "evt-1"}, {"event_id": "evt-1"}),
        ({"payload": {"id": "5", "vehicle": {"id": 7}}}, {"record_id": 5, "vehicle_id": 7}),
        ({"payload": {"id": 5, "asset_type": "Vehicle", "asset_id": 7}}, {"vehicle_id": 7}),
        ({"payload": {"id": 5, "asset_type": "Equipment", "asset_id": 7}}, {"vehicle_id": None}),
        ({"event": "vehicle_updated", "payload": {"id": 7}}, {"record_id": 7, "vehicle_id": 7}),
        (
            {"event": "issue_comment_added", "payload": {"id": 88, "commentable_id": 5}},
            {"record_id": 5},
        ),
        ({"event": "issue_comment_added", "payload": {"id": 5}}, {"record_id": 5}),
        (
            {"event": "import_completed", "payload": {"affected_record_ids": [3, 1, 3, None]}},
            {"affected_record_ids": (3, 1), "record_id": None},
        ),
        (
            {"created_record_ids": [1], "updated_record_ids": [2], "affected_record_ids": [2, 1]},
            {"affected_record_ids": (1, 2)},
        ),
        ({"payload": {"id": 2**63}}, {"record_id": None}),
        ({"payload": {"id": True}}, {"record_id": None}),
        ({"payload": None}, {"record_id": None, "vehicle_id": None}),
        ({"timestamp": "2026-03-02T06:00:00"}, {"at": None}),
        ({"timestamp": "9999-12-31T23:59:59-06:00"}, {"at": None}),
        ({"timestamp": 5}, {"at": None}),
        ({"event": "x" * 60}, {"event": "x" * 40}),
    ],
)
def test_other_shapes_are_read_as_well(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    event = parse(body(**changes))
    assert {name: getattr(event, name) for name in expected} == expected


@pytest.mark.parametrize("own_id", [None, "", "a\nb", "x" * 81, 2**70, -1, [1]])
def test_an_event_without_an_id_is_known_by_its_body(own_id: Any) -> None:
    raw = body(id=own_id)
    assert parse(raw).event_id == f"sha256:{hashlib.sha256(raw).hexdigest()}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        body(event=""),
        body(event=None),
        body(event=["issue_updated"]),
        b'{"event": ' + b"1" * 5000 + b"}",
        b'{"event": "x", "payload": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"event": "x", "payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_event_is_refused_without_quoting_it(raw: bytes) -> None:
    with pytest.raises(NotAnEventError) as caught:
        parse(raw)
    assert len(str(caught.value)) < 60


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["2026-03-01", 10**400, "9" * 5000, "a\x00", "\ud800", "Vehicle"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PAYLOAD_KEYS = ("id", "vehicle_id", "asset", "asset_id", "asset_type", "commentable_id")


# A busy machine is no failure.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys((*MESSAGE, "created_record_ids"), JSON)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(PAYLOAD_KEYS, JSON)),
)
def test_whatever_comes_is_an_event_or_none(
    changes: dict[str, Any], payload: dict[str, Any]
) -> None:
    raw = body(**{"payload": payload, **changes})
    try:
        event = parse(raw)
    except NotAnEventError:
        return
    assert 0 < len(event.event_id) <= 80
    assert 0 < len(event.event) <= 40
    ids = [*event.affected_record_ids, event.record_id, event.vehicle_id]
    assert all(number is None or 0 <= number < 2**63 for number in ids)
