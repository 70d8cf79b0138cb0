"""Whatever comes, reading it breaks nothing: it is an event or it is none."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.clients import smartcar_webhooks as webhooks
from integrations.clients import smartcar_webhooks_content as content
from integrations.clients.readings import SignalReading
from integrations.clients.smartcar_webhooks import NotAnEventError
from tests.integrations.clients.webhook_payloads import PAYLOADS, RECEIVED, payload

Way = tuple[Any, ...]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["ERROR", "/", "/odometer", "2026-03-01", 10**400, "9" * 5000, "a\x00", "\ud800"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node: Any, way: Way = ()) -> list[Way]:
    """The way to everything inside of a message."""
    inside: Any = enumerate(node) if isinstance(node, list) else node.items()
    found = []
    for key, child in inside:
        found.append((*way, key))
        if isinstance(child, dict | list):
            found += places(child, (*way, key))
    return found


def put(node: Any, way: Way, value: Any) -> None:
    """Put something in a place, if an earlier change left it there."""
    for key in way[:-1]:
        if not has(node, key):
            return
        node = node[key]
    if has(node, way[-1]):
        node[way[-1]] = value


def has(node: Any, key: Any) -> bool:
    if isinstance(node, list):
        return isinstance(key, int) and key < len(node)
    return isinstance(node, dict) and key in node


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A good event with one to three places of it spoilt."""
    message = payload(draw(st.sampled_from(sorted(PAYLOADS))))
    for way in draw(st.lists(st.sampled_from(places(message)), min_size=1, max_size=3)):
        put(message, way, draw(JSON))
    return message


def read_all(body: bytes) -> None:
    """Everything that can be asked of a body, as the portal asks it."""
    try:
        found = webhooks.parse(body)
    except NotAnEventError:
        return
    assert 0 < len(found.event_id) <= 80
    assert 0 < len(found.kind) <= 40
    assert len(found.smartcar_id) <= 64
    webhooks.is_plausible(found.challenge)
    for car in content.read_states(found, received_at=RECEIVED):
        assert len({result.code for result in car.results}) == len(car.results)
        readings = [result for result in car.results if isinstance(result, SignalReading)]
        assert all(reading.recorded_at and reading.fetched_at for reading in readings)
    for error in content.read_errors(found):
        assert error.type
    content.user_of(found)
    content.read_vehicle(found)


@given(JSON | st.dictionaries(st.sampled_from(["eventType", "eventName", "data", "payload"]), JSON))
def test_no_json_does_more_than_be_no_event(message: Any) -> None:
    read_all(json.dumps(message).encode())


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_no_event(body: bytes) -> None:
    read_all(body)


@settings(max_examples=400)
@given(changed())
def test_no_change_of_a_good_event_breaks_its_reading(message: dict[str, Any]) -> None:
    read_all(json.dumps(message).encode())
