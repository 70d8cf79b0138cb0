"""What Smartcar sends by itself: genuine or not, and what it is about."""

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from integrations.clients import smartcar_webhooks as webhooks
from integrations.clients.smartcar_webhooks import NotAnEventError
from tests.integrations.clients.webhook_payloads import (
    CAR,
    FETCHED,
    PAYLOADS,
    RECORDED,
    SENT,
    event,
    parsed,
    payload,
)


def test_the_signature_is_the_hex_hmac_of_the_raw_body() -> None:
    body = b'{"a": "\xc3\xa9"}'

    signature = webhooks.sign("token", body)

    assert signature == hmac.new(b"token", body, hashlib.sha256).hexdigest()
    assert webhooks.is_genuine(body, signature, ["token"])
    assert webhooks.is_genuine(body, signature.upper(), ["new token", "token"])


def test_a_changed_body_or_another_token_is_not_genuine() -> None:
    signature = webhooks.sign("token", b"{}")

    assert not webhooks.is_genuine(b"{} ", signature, ["token"])
    assert not webhooks.is_genuine(b"{}", signature, ["other", "more"])
    assert not webhooks.is_genuine(b"{}", signature, [])


def test_an_empty_token_opens_nothing() -> None:
    assert not webhooks.is_genuine(b"{}", webhooks.sign("", b"{}"), ["", "token"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda right: None,
        lambda right: "",
        lambda right: "sha256=" + right,
        lambda right: right + "\n",
        lambda right: " " + right,
        lambda right: right[:-1],
        lambda right: right + "0",
        lambda right: "\u0661" * 64,
        lambda right: "\ud800",
    ],
)
def test_a_signature_of_another_shape_is_just_wrong(spoil: Any) -> None:
    assert not webhooks.is_genuine(b"{}", spoil(webhooks.sign("token", b"{}")), ["token"])


@pytest.mark.parametrize("challenge", ["a", "3f9a0c17-7b52-4c11", "a+b/c==", "x" * 256, "1:2~_."])
def test_a_plausible_challenge_may_be_answered(challenge: str) -> None:
    assert webhooks.is_plausible(challenge)


@pytest.mark.parametrize(
    "challenge",
    [
        *("", "x" * 257, "{}", '{"eventType":"VEHICLE_STATE"}', "[1]", '"a"', "a b", "a\n", "é"),
        *(None, 7, True, ["a"], {"a": 1}, b"a", "a\x00"),
    ],
)
def test_what_could_be_an_event_is_never_signed(challenge: object) -> None:
    assert not webhooks.is_plausible(challenge)


@pytest.mark.parametrize(
    ("name", "kind", "occurred_at", "sent_at", "smartcar_id"),
    [
        ("v4_verify", "VERIFY", SENT, SENT, ""),
        ("v2_verify", "verify", None, None, ""),
        ("v4_state", "VEHICLE_STATE", SENT, SENT, CAR),
        (
            "v4_state_documented",
            "VEHICLE_STATE",
            RECORDED + timedelta(seconds=25),
            SENT,
            CAR,
        ),
        ("v4_state_by_name", "VEHICLE_STATE", SENT, SENT, CAR),
        ("v4_test", "VEHICLE_STATE", SENT, SENT, "vehicle-test"),
        ("v4_error", "VEHICLE_ERROR", SENT, SENT, CAR),
        ("v4_error_resolved", "VEHICLE_ERROR", SENT, SENT, CAR),
        ("v2_scheduled", "scheduled", FETCHED, None, CAR),
        ("v2_event_based", "eventBased", RECORDED, RECORDED, CAR),
    ],
)
def test_every_known_event_says_what_it_is_about(
    name: str, kind: str, occurred_at: datetime, sent_at: datetime, smartcar_id: str
) -> None:
    found = event(name)

    assert (found.kind, found.smartcar_id) == (kind, smartcar_id)
    assert (found.occurred_at, found.sent_at) == (occurred_at, sent_at)
    assert found.is_test is (name == "v4_test")
    assert found.is_verify is name.endswith("verify")
    assert found.message == PAYLOADS[name]


def test_every_payload_is_read_somewhere_above() -> None:
    assert len(PAYLOADS) == 10


def test_the_challenge_is_found_in_both_generations() -> None:
    assert event("v4_verify").challenge == "3f9a0c17-7b52-4c11-b7a5-0a9d7e6c5b4a"
    assert event("v2_verify").challenge == "8c1b2d3e-4f50-4617-8a9b-0c1d2e3f4a5b"


def test_an_event_goes_by_its_own_id() -> None:
    assert event("v4_state").event_id == PAYLOADS["v4_state"]["eventId"]
    assert event("v2_event_based").event_id == PAYLOADS["v2_event_based"]["payload"]["eventId"]


@pytest.mark.parametrize("odd", [None, 7, "", " ", "x" * 81, "a\x00", "\ud800", ["a"]])
def test_without_an_id_of_its_own_the_body_is_the_id(odd: Any) -> None:
    body = json.dumps(payload("v4_state") | {"eventId": odd}).encode()

    found = webhooks.parse(body).event_id

    assert found == "sha256:" + hashlib.sha256(body).hexdigest()
    assert len(found) <= 80


def test_a_word_that_nobody_knows_is_kept_short() -> None:
    assert parsed({"eventName": "batteryHealth"}).kind == "batteryHealth"
    assert parsed({"eventType": 7, "eventName": "x" * 99}).kind == "x" * 40


@pytest.mark.parametrize("word", ["TEST", "test"])
def test_a_test_is_one_in_any_case(word: str) -> None:
    assert parsed({"eventType": "VEHICLE_STATE", "meta": {"mode": word}}).is_test


def test_a_car_in_test_mode_is_no_test_delivery() -> None:
    assert not parsed({"eventName": "scheduled", "mode": "test", "payload": {}}).is_test


@pytest.mark.parametrize("counter", [0, 7, 1_000_000, None, "first", True])
def test_a_mere_counter_is_no_time(counter: Any) -> None:
    message = payload("v4_state")
    message["meta"]["sequence"] = counter

    assert parsed(message).occurred_at == SENT


def test_without_a_delivery_time_the_newest_signal_says_when() -> None:
    message = payload("v4_state") | {"meta": None}

    assert (parsed(message).occurred_at, parsed(message).sent_at) == (FETCHED, None)


@pytest.mark.parametrize("odd", [7, "", "x" * 65, "a\nb", {"id": CAR}, None])
def test_an_id_that_no_car_has_is_none(odd: Any) -> None:
    message = payload("v4_state")
    message["data"]["vehicle"]["id"] = odd

    assert parsed(message).smartcar_id == ""


DEEP = '{"eventType": "VERIFY", "data": ' + "[" * 100_000 + "]" * 100_000 + "}"
RATHER_DEEP = '{"eventType": "VERIFY", "data": ' + "[" * 90 + "]" * 90 + "}"
LONG_NUMBER = '{"eventType": "VERIFY", "data": ' + "9" * 5000 + "}"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"challenge=1", "not JSON"),
        (b'{"eventType": "VERIFY"', "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[]", "not an object"),
        (b'"VERIFY"', "not an object"),
        (b"null", "not an object"),
        (b"{}", "no eventType and no eventName"),
        (b'{"eventType": null, "eventName": ["verify"]}', "no eventType and no eventName"),
        (DEEP.encode(), "nested too deep"),
        (RATHER_DEEP.encode(), "nested too deep"),
        (LONG_NUMBER.encode(), "a number too long"),
    ],
)
def test_what_is_no_event_says_why(body: bytes, why: str) -> None:
    with pytest.raises(NotAnEventError, match=why):
        webhooks.parse(body)
