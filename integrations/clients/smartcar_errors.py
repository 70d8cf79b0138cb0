"""Smartcar's errors, sorted by what to do next; for both API generations and the token endpoint.

https://smartcar.com/docs/errors/api-errors
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.retry_after import parse_retry_after

# What the pair means. Pairs on (type, code), never on the description: Smartcar rewords it.
_PAIRS: dict[tuple[str, str], Outcome] = {
    # v3: the application's token is good, but not for this driver's car.
    ("AUTHENTICATION", "ACCESS_DENIED"): Outcome.NOT_GRANTED,
    ("RATE_LIMIT", "SMARTCAR_API"): Outcome.WAIT_ALL,
    ("RATE_LIMIT", "VEHICLE"): Outcome.WAIT,
    ("BILLING", "VEHICLE_REQUEST_LIMIT"): Outcome.QUOTA,
    ("BILLING", "VEHICLE_LIMIT"): Outcome.QUOTA,
    ("BILLING", "INVALID_PLAN"): Outcome.NOT_CAPABLE,
    ("BILLING", "ACCOUNT_SUSPENDED"): Outcome.STOP,
    ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE"): Outcome.NOT_CAPABLE,
    ("COMPATIBILITY", "SMARTCAR_NOT_CAPABLE"): Outcome.NOT_CAPABLE,
    ("COMPATIBILITY", "MAKE_NOT_COMPATIBLE"): Outcome.NOT_CAPABLE,
    ("COMPATIBILITY", "PLATFORM_NOT_CAPABLE"): Outcome.RECONNECT,
    ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED"): Outcome.RECONNECT,
    ("CONNECTED_SERVICES_ACCOUNT", "PERMISSION"): Outcome.RECONNECT,
    ("CONNECTED_SERVICES_ACCOUNT", "NO_VEHICLES"): Outcome.RECONNECT,
    ("CONNECTED_SERVICES_ACCOUNT", "VEHICLE_MISSING"): Outcome.RECONNECT,
    ("CONNECTED_SERVICES_ACCOUNT", "ACCOUNT_ISSUE"): Outcome.DRIVER,
    ("CONNECTED_SERVICES_ACCOUNT", "SUBSCRIPTION"): Outcome.DRIVER,
    ("CONNECTED_SERVICES_ACCOUNT", "VIRTUAL_KEY_REQUIRED"): Outcome.DRIVER,
    ("VEHICLE_STATE", "REMOTE_ACCESS_DISABLED"): Outcome.DRIVER,
    ("UPSTREAM", "RATE_LIMIT"): Outcome.WAIT,
    ("SERVER", "RECORD_NOT_FOUND"): Outcome.NOT_CAPABLE,
    ("SERVER", "MULTIPLE_RECORDS_FOUND"): Outcome.NOT_CAPABLE,
}

# Types whose every other code asks for the same, whatever the resolution says.
_TYPES: dict[str, Outcome] = {
    "AUTHENTICATION": Outcome.REFRESH,
    "PERMISSION": Outcome.NOT_GRANTED,  # of one signal: the connection itself is sound
    "VALIDATION": Outcome.REJECTED,
    "RESOURCE_NOT_FOUND": Outcome.REJECTED,
    "VEHICLE_STATE": Outcome.ASLEEP,
    "UPSTREAM": Outcome.RETRY,
    "SERVER": Outcome.RETRY,
}

_RESOLUTIONS: dict[str, Outcome] = {
    "RETRY_LATER": Outcome.RETRY,
    "REAUTHENTICATE": Outcome.RECONNECT,
    "ACTION_REQUIRED": Outcome.DRIVER,
    "USER_ACTION_REQUIRED": Outcome.DRIVER,
}

_STATUSES: dict[int, Outcome] = {
    401: Outcome.REFRESH,
    403: Outcome.NOT_GRANTED,
    408: Outcome.RETRY,
    409: Outcome.ASLEEP,
    429: Outcome.WAIT,
    430: Outcome.QUOTA,
    501: Outcome.NOT_CAPABLE,
}

# When the body does not name a type the answer may be a gateway's page: what it says must not
# switch a signal off for a month.
_BARE_STATUSES: dict[int, Outcome] = {
    401: Outcome.REFRESH,
    403: Outcome.RETRY,
    408: Outcome.RETRY,
    409: Outcome.RETRY,
    429: Outcome.WAIT,
    430: Outcome.QUOTA,
}

_OAUTH: dict[str, Outcome] = {
    "invalid_grant": Outcome.RECONNECT,
    "invalid_client": Outcome.STOP,
    # "Application not authorized to requested make": says nothing of other drivers' cars.
    "unauthorized_client": Outcome.REJECTED,
    "server_error": Outcome.RETRY,
    "temporarily_unavailable": Outcome.RETRY,
}

# Letters only: an OAuth error may quote the token it refuses, and a token has digits.
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{0,63}")
_REQUEST_ID = re.compile(r"[\w-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One error of Smartcar, read. `message` is for people; `retry_after` is in seconds."""

    outcome: Outcome
    type: str
    code: str
    message: str
    status_code: int | None
    retry_after: float | None
    request_id: str

    @property
    def text(self) -> str:
        """The type and code as Smartcar writes them, or the status."""
        return ":".join(filter(None, (self.type, self.code))) or f"HTTP {self.status_code}"


def decide(*, type_: str, code: str, resolution: str, status: int | None) -> Outcome:
    """What to do about (type, code); for an unknown code the resolution, then the status."""
    known = _PAIRS.get((type_, code)) or _TYPES.get(type_)
    if known is not None:
        return known
    if resolution in _RESOLUTIONS and status not in (429, 430):
        return _RESOLUTIONS[resolution]
    if type_ == "CONNECTED_SERVICES_ACCOUNT":  # all of them are the driver's to mend
        return Outcome.DRIVER
    return _of_status(status, _STATUSES if type_ else _BARE_STATUSES)


def read_fault(body: Any, *, status: int | None, headers: Mapping[str, Any] | None) -> Fault:
    """Read the error body of a v2 call or batch item, or the first error of a v3 one."""
    body = _error_of(body)
    lower = CaseInsensitiveDict(headers or {})
    type_, code = _word(body.get("type")), _word(body.get("code"))
    resolution = body.get("resolution")
    if isinstance(resolution, dict):
        resolution = resolution.get("type")
    return Fault(
        outcome=decide(type_=type_, code=code, resolution=_word(resolution), status=status),
        type=type_,
        code=code,
        message=_sentence(body),
        status_code=status,
        retry_after=parse_retry_after(lower.get("Retry-After"), sent_at=lower.get("Date")),
        request_id=_request_id(body.get("requestId")) or _request_id(lower.get("SC-Request-Id")),
    )


def api_error(response: requests.Response, where: str) -> ClientError:
    """The error of a refused call to the vehicle API."""
    fault = read_fault(_json(response), status=response.status_code, headers=response.headers)
    return _raised(fault, where)


def management_error(response: requests.Response, where: str) -> ClientError:
    """The same for the management API, where 401 refuses our own token, not a driver's."""
    error = api_error(response, where)
    if error.outcome is Outcome.REFRESH:
        error.outcome = Outcome.STOP
    return error


def oauth_error(response: requests.Response, where: str) -> ClientError:
    """The error of the token endpoint. Its description quotes the token, so it is left out.

    https://datatracker.ietf.org/doc/html/rfc6749#section-5.2
    """
    body, status = _json(response), response.status_code
    word = _word(body.get("error")) if isinstance(body, dict) else ""
    if word in _OAUTH:
        outcome = _OAUTH[word]
    elif status == 401:
        outcome = Outcome.STOP
    elif status == 429:
        outcome = Outcome.WAIT_ALL
    else:  # only what is understood may count against a token
        outcome = Outcome.REJECTED if word and status < 500 else Outcome.RETRY
    fault = read_fault({}, status=status, headers=response.headers)
    error = _raised(fault, where, word=word)
    error.outcome, error.type = outcome, word
    return error


def _raised(fault: Fault, where: str, *, word: str = "") -> ClientError:
    return ClientError(
        f"{where}: {word or fault.text} (HTTP {fault.status_code})",
        outcome=fault.outcome,
        status_code=fault.status_code,
        type=fault.type,
        code=fault.code,
        retry_after=fault.retry_after,
        request_id=fault.request_id,
    )


def _of_status(status: int | None, table: Mapping[int, Outcome]) -> Outcome:
    if status is None:
        return Outcome.RETRY
    return table.get(status, Outcome.REJECTED if 400 <= status < 500 else Outcome.RETRY)


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _error_of(body: Any) -> dict[str, Any]:
    if isinstance(body, dict) and isinstance(body.get("errors"), list) and body["errors"]:
        body = body["errors"][0]
    return body if isinstance(body, dict) else {}


def _word(value: Any) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _request_id(value: Any) -> str:
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else ""


def _sentence(body: Mapping[str, Any]) -> str:
    for key in ("suggestedUserMessage", "description", "detail"):
        if isinstance(body.get(key), str) and body[key].strip():
            return " ".join(body[key].split())[:300]
    return ""
