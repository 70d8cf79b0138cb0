import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests

from integrations.clients.errors import Outcome
from integrations.clients.retry_after import parse_retry_after
from integrations.clients.smartcar_errors import (
    api_error,
    management_error,
    oauth_error,
    read_fault,
)

TABLE = [
    ("AUTHENTICATION", None, 401, None, Outcome.REFRESH),
    ("PERMISSION", None, 403, "REAUTHENTICATE", Outcome.NOT_GRANTED),
    ("VALIDATION", None, 400, None, Outcome.REJECTED),
    ("VALIDATION", "PARAMETER", 400, None, Outcome.REJECTED),
    ("RESOURCE_NOT_FOUND", "PATH", 404, None, Outcome.REJECTED),
    ("RESOURCE_NOT_FOUND", "VERSION", 404, None, Outcome.REJECTED),
    ("RATE_LIMIT", "SMARTCAR_API", 429, "RETRY_LATER", Outcome.WAIT_ALL),
    ("RATE_LIMIT", "VEHICLE", 429, "RETRY_LATER", Outcome.WAIT),
    ("BILLING", "VEHICLE_REQUEST_LIMIT", 430, "CONTACT_SUPPORT", Outcome.QUOTA),
    ("BILLING", "VEHICLE_LIMIT", 430, "CONTACT_SUPPORT", Outcome.QUOTA),
    ("BILLING", "INVALID_PLAN", 430, "CONTACT_SUPPORT", Outcome.NOT_CAPABLE),
    ("BILLING", "ACCOUNT_SUSPENDED", 430, None, Outcome.STOP),
    ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE", 501, None, Outcome.NOT_CAPABLE),
    ("COMPATIBILITY", "SMARTCAR_NOT_CAPABLE", 501, None, Outcome.NOT_CAPABLE),
    ("COMPATIBILITY", "MAKE_NOT_COMPATIBLE", 501, None, Outcome.NOT_CAPABLE),
    ("COMPATIBILITY", "PLATFORM_NOT_CAPABLE", 501, "REAUTHENTICATE", Outcome.RECONNECT),
    ("SERVER", "INTERNAL", 500, "RETRY_LATER", Outcome.RETRY),
    ("SERVER", "RECORD_NOT_FOUND", 500, "CONTACT_SUPPORT", Outcome.NOT_CAPABLE),
    ("SERVER", "MULTIPLE_RECORDS_FOUND", 500, "CONTACT_SUPPORT", Outcome.NOT_CAPABLE),
    *(
        ("CONNECTED_SERVICES_ACCOUNT", code, 400, "REAUTHENTICATE", Outcome.RECONNECT)
        for code in ("AUTHENTICATION_FAILED", "PERMISSION", "NO_VEHICLES", "VEHICLE_MISSING")
    ),
    *(
        ("CONNECTED_SERVICES_ACCOUNT", code, 400, None, Outcome.DRIVER)
        for code in ("ACCOUNT_ISSUE", "SUBSCRIPTION", "VIRTUAL_KEY_REQUIRED")
    ),
    ("VEHICLE_STATE", "REMOTE_ACCESS_DISABLED", 409, None, Outcome.DRIVER),
    *(
        ("VEHICLE_STATE", code, 409, None, Outcome.ASLEEP)
        for code in (
            "ASLEEP",
            "UNREACHABLE",
            "UNKNOWN",
            "LOW_BATTERY",
            "IN_MOTION",
            "IGNITION_ON",
            "VEHICLE_OFFLINE_FOR_SERVICE",
            "CHARGING_IN_PROGRESS",
            "DOOR_OPEN",
        )
    ),
    *(
        ("UPSTREAM", code, 502, "RETRY_LATER", Outcome.RETRY)
        for code in ("INVALID_DATA", "KNOWN_ISSUE", "NO_RESPONSE", "UNKNOWN_ISSUE")
    ),
    ("UPSTREAM", "RATE_LIMIT", 502, "RETRY_LATER", Outcome.WAIT),
]


def respond(body: bytes, status: int, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def fault(body: Any, status: int | None, headers: Any = None) -> Any:
    return read_fault(body, status=status, headers=headers)


@pytest.mark.parametrize(
    ("type_", "code", "status", "resolution", "outcome"),
    TABLE,
    ids=[f"{row[0]}-{row[1]}" for row in TABLE],
)
def test_every_documented_error_has_its_outcome(
    type_: str, code: str | None, status: int, resolution: str | None, outcome: Outcome
) -> None:
    body = {"type": type_, "code": code, "resolution": {"type": resolution}}
    assert fault(body, status).outcome is outcome
    # A resolution may be a string, and it must not matter for a documented pair.
    assert fault({**body, "resolution": resolution}, status).outcome is outcome
    v3 = {"errors": [{**body, "status": str(status)}]}
    assert fault(v3, status).outcome is outcome


@pytest.mark.parametrize(
    ("type_", "resolution", "status", "outcome"),
    [
        ("NEW", "REAUTHENTICATE", 400, Outcome.RECONNECT),
        ("NEW", "RETRY_LATER", 400, Outcome.RETRY),
        ("NEW", "USER_ACTION_REQUIRED", 400, Outcome.DRIVER),
        ("NEW", None, 400, Outcome.REJECTED),
        ("NEW", None, 403, Outcome.NOT_GRANTED),
        ("NEW", None, 501, Outcome.NOT_CAPABLE),
        ("NEW", None, 599, Outcome.RETRY),
        ("RATE_LIMIT", "RETRY_LATER", 429, Outcome.WAIT),
        ("BILLING", "CONTACT_SUPPORT", 430, Outcome.QUOTA),
        ("COMPATIBILITY", None, 501, Outcome.NOT_CAPABLE),
        ("CONNECTED_SERVICES_ACCOUNT", None, 400, Outcome.DRIVER),
    ],
)
def test_an_unknown_code_follows_its_resolution_then_its_status(
    type_: str, resolution: str | None, status: int, outcome: Outcome
) -> None:
    body = {"type": type_, "code": "SOMETHING_NEW", "resolution": {"type": resolution}}
    assert fault(body, status).outcome is outcome


@pytest.mark.parametrize(("status", "outcome"), [(403, "retry"), (501, "retry"), (502, "retry")])
def test_a_gateways_page_does_not_switch_a_signal_off(status: int, outcome: str) -> None:
    error = api_error(respond(b"<html>Forbidden</html>", status), "Smartcar: GET /odometer")
    assert error.outcome == outcome
    assert (error.type, error.status_code) == ("", status)


def test_bodies_of_any_shape_are_survived() -> None:
    scraps: list[Any] = [None, 1, "x", [], {}, {"errors": []}, {"errors": [None]}, {"type": 3}]
    for body, status in itertools.product(scraps, (None, 400, 500)):
        assert fault(body, status, {"Retry-After": None}).type == ""


def test_an_error_says_who_what_and_which_request_but_not_the_description() -> None:
    body = b"""{"type": "RATE_LIMIT", "code": "VEHICLE", "description": "token abc-123",
        "requestId": "5dea93a1-3f79"}"""
    error = api_error(respond(body, 429, retry_after="120"), "Smartcar: POST batch")
    assert str(error) == "Smartcar: POST batch: RATE_LIMIT:VEHICLE (HTTP 429)"
    assert (error.request_id, error.retry_after) == ("5dea93a1-3f79", 120.0)


@pytest.mark.parametrize(
    ("body", "status", "outcome", "type_"),
    [
        (b'{"error": "invalid_grant"}', 400, Outcome.RECONNECT, "invalid_grant"),
        (b'{"error": "invalid_client"}', 401, Outcome.STOP, "invalid_client"),
        (b'{"error": "unauthorized_client"}', 400, Outcome.REJECTED, "unauthorized_client"),
        (b'{"error": "invalid_request"}', 400, Outcome.REJECTED, "invalid_request"),
        (b'{"error": "server_error"}', 500, Outcome.RETRY, "server_error"),
        (b"", 401, Outcome.STOP, ""),
        (b"", 429, Outcome.WAIT_ALL, ""),
        (b"<html>", 400, Outcome.RETRY, ""),
        (b"[]", 502, Outcome.RETRY, ""),
        (b'{"error": "Invalid refresh_token: 5b9-77"}', 400, Outcome.RETRY, ""),
    ],
)
def test_oauth_errors_count_against_a_token_only_when_understood(
    body: bytes, status: int, outcome: Outcome, type_: str
) -> None:
    error = oauth_error(respond(body, status, Content_Type="application/json"), "Smartcar: refresh")
    assert (error.outcome, error.type, error.status_code) == (outcome, type_, status)
    assert "5b9-77" not in str(error)


def test_an_oauth_description_with_the_token_is_not_shown() -> None:
    body = b'{"error": "invalid_grant", "error_description": "Invalid refresh_token: 5b9-77."}'
    error = oauth_error(respond(body, 400), "Smartcar: refresh")
    assert "5b9-77" not in str(error) + repr(vars(error))


def test_a_401_of_the_management_api_refuses_our_own_token() -> None:
    body = b'{"type": "AUTHENTICATION", "code": null}'
    assert management_error(respond(body, 401), "x").outcome is Outcome.STOP


SENT = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (120, 120.0),
        (1.5, 1.5),
        ("120", 120.0),
        (" 7 ", 7.0),
        (format_datetime(SENT + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(SENT - timedelta(seconds=90), usegmt=True), 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        (True, None),
        ([], None),
    ],
)
def test_retry_after_is_read_in_every_form(value: Any, seconds: float | None) -> None:
    assert parse_retry_after(value, sent_at=format_datetime(SENT, usegmt=True)) == seconds


def test_retry_after_of_a_batch_item_is_found_in_any_case() -> None:
    body = {"type": "RATE_LIMIT", "code": "VEHICLE"}
    assert fault(body, 429, {"retry-after": "9"}).retry_after == 9.0
