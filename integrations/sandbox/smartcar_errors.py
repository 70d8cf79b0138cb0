"""Smartcar's errors: https://smartcar.com/docs/errors/api-errors and its subpages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RETRY, RECONSENT, SUPPORT, ACTION = (
    "RETRY_LATER",
    "REAUTHENTICATE",
    "CONTACT_SUPPORT",
    "ACTION_REQUIRED",
)
ACCOUNT = "CONNECTED_SERVICES_ACCOUNT"

# (type, code) -> (HTTP status, resolution type)
ERRORS: dict[tuple[str, str | None], tuple[int, str | None]] = {
    ("AUTHENTICATION", None): (401, None),
    ("PERMISSION", None): (403, RECONSENT),
    ("VALIDATION", None): (400, None),
    ("VALIDATION", "PARAMETER"): (400, None),
    ("RESOURCE_NOT_FOUND", "PATH"): (404, None),
    ("RESOURCE_NOT_FOUND", "VERSION"): (404, None),
    ("RATE_LIMIT", "SMARTCAR_API"): (429, RETRY),
    ("RATE_LIMIT", "VEHICLE"): (429, RETRY),
    ("BILLING", "VEHICLE_REQUEST_LIMIT"): (430, SUPPORT),
    ("BILLING", "VEHICLE_LIMIT"): (430, SUPPORT),
    ("BILLING", "INVALID_PLAN"): (430, SUPPORT),
    ("BILLING", "ACCOUNT_SUSPENDED"): (430, None),
    ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE"): (501, None),
    ("COMPATIBILITY", "SMARTCAR_NOT_CAPABLE"): (501, None),
    ("COMPATIBILITY", "MAKE_NOT_COMPATIBLE"): (501, None),
    ("COMPATIBILITY", "PLATFORM_NOT_CAPABLE"): (501, RECONSENT),
    (ACCOUNT, "AUTHENTICATION_FAILED"): (400, RECONSENT),
    (ACCOUNT, "PERMISSION"): (400, RECONSENT),
    (ACCOUNT, "ACCOUNT_ISSUE"): (400, None),
    (ACCOUNT, "SUBSCRIPTION"): (400, None),
    (ACCOUNT, "NO_VEHICLES"): (400, None),
    (ACCOUNT, "VEHICLE_MISSING"): (400, None),
    (ACCOUNT, "VIRTUAL_KEY_REQUIRED"): (400, ACTION),
    ("VEHICLE_STATE", "UNKNOWN"): (409, RETRY),
    ("VEHICLE_STATE", "LOW_BATTERY"): (409, RETRY),
    ("UPSTREAM", "INVALID_DATA"): (502, RETRY),
    ("UPSTREAM", "KNOWN_ISSUE"): (502, RETRY),
    ("UPSTREAM", "NO_RESPONSE"): (502, RETRY),
    ("UPSTREAM", "UNKNOWN_ISSUE"): (502, RETRY),
    ("UPSTREAM", "RATE_LIMIT"): (502, RETRY),
    ("SERVER", "INTERNAL"): (500, RETRY),
    ("SERVER", "RECORD_NOT_FOUND"): (500, SUPPORT),
    ("SERVER", "MULTIPLE_RECORDS_FOUND"): (500, SUPPORT),
}
ERRORS |= {
    ("VEHICLE_STATE", code): (409, None)
    for code in (
        "ASLEEP",
        "UNREACHABLE",
        "IN_MOTION",
        "IGNITION_ON",
        "VEHICLE_OFFLINE_FOR_SERVICE",
        "REMOTE_ACCESS_DISABLED",
        "CHARGING_IN_PROGRESS",
        "CHARGING_PLUG_CONNECTED",
        "CHARGING_PLUG_NOT_CONNECTED",
        "FULLY_CHARGED",
        "NOT_CHARGING",
        "CHARGE_FAULT",
        "DOOR_OPEN",
        "HOOD_OPEN",
        "TRUNK_OPEN",
    )
}
# What only v3 says: https://smartcar.com/docs/errors/api-errors/v3
V3_ERRORS: dict[tuple[str, str | None], tuple[int, str | None]] = {
    ("AUTHENTICATION", "UNAUTHORIZED"): (401, None),
    ("PERMISSION", "UNKNOWN"): (403, RECONSENT),
    ("VALIDATION", "MISSING_PARAMETER"): (400, None),
    ("VALIDATION", "INVALID_INPUT_FORMAT"): (400, None),
    ("RESOURCE_NOT_FOUND", "INVALID_PATH"): (404, None),
    ("RESOURCE_NOT_FOUND", "NOT_FOUND"): (404, None),
    ("RESOURCE_CONFLICT", "ALREADY_EXISTS"): (409, None),
}
# Resolutions that come with a page to open.
RESOLUTION_URLS: dict[tuple[str, str | None], str] = {
    (ACCOUNT, "AUTHENTICATION_FAILED"): (
        "https://connect.smartcar.com/oauth/reauthenticate?response_type=vehicle_id"
    ),
    (ACCOUNT, "VIRTUAL_KEY_REQUIRED"): "https://www.tesla.com/_ak/smartcar.com",
}
# The page of docs is named after the type, in lower case with dashes.
USER_MESSAGE = "Your car could not be reached this time."
DOCS = "https://smartcar.com/docs/errors/api-errors"


@dataclass(kw_only=True)
class SmartcarError(Exception):
    """An error of the tables, raised while a request is being carried out.

    A code that is not in the tables gets the status of its type and no resolution, so that
    clients can be shown codes that are yet to be invented.
    """

    type: str
    code: str | None = None
    description: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """HTTP status of this error."""
        return find_error(self.type, self.code)[0]

    @property
    def text(self) -> str:
        """What is wrong, for a developer."""
        return self.description or describe(self.type, self.code)

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the error object of v2.0, as a response or as an item of a batch."""
        status, resolution = find_error(self.type, self.code)
        body: dict[str, Any] = {
            "type": self.type,
            "code": self.code,
            "description": self.text,
            "docURL": doc_url(self.type, self.code),
            "statusCode": status,
            "requestId": request_id,
            "resolution": {"type": resolution},
            "suggestedUserMessage": USER_MESSAGE,
        }
        if url := RESOLUTION_URLS.get((self.type, self.code)):
            body["resolution"]["url"] = url
        return body


def find_error(type_: str, code: str | None) -> tuple[int, str | None]:
    """Return HTTP status and resolution type of an error, known or not."""
    for table in (ERRORS, V3_ERRORS):
        if (type_, code) in table:
            return table[type_, code]
    of_type = [status for (known, _), (status, _) in ERRORS.items() if known == type_]
    return (of_type[0] if of_type else 500), None


def doc_url(type_: str, code: str | None) -> str:
    """Return the address of the error's page."""
    page = f"{type_.lower().replace('_', '-')}-errors"
    anchor = (code or "null").lower().replace("_", "-")
    return f"{DOCS}/{page}#{anchor}"


def describe(type_: str, code: str | None) -> str:
    """Return a sentence about the error."""
    words = " ".join(part for part in (type_, code) if part).replace("_", " ").lower()
    return f"The request failed: {words}."
