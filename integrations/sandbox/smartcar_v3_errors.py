"""The shapes of v3's errors: https://smartcar.com/docs/errors/api-errors/v3"""

from http import HTTPStatus
from typing import Any

from integrations.sandbox.smartcar_errors import (
    USER_MESSAGE,
    SmartcarError,
    describe,
    doc_url,
    find_error,
)


def error_body(error: SmartcarError) -> dict[str, Any]:
    """Return the body of a refused request."""
    status, resolution = find_error(error.type, error.code)
    return {
        "errors": [
            {
                "status": str(status),
                "type": error.type,
                "code": error.code,
                "title": _phrase(status) or _title(error.type, error.code),
                "detail": error.text,
                "links": {"about": doc_url(error.type, error.code)},
                "resolution": {"type": resolution},
                "suggestedUserMessage": USER_MESSAGE,
            }
        ]
    }


def signal_error(type_: str, code: str | None) -> dict[str, Any]:
    """Return the error inside a signal that could not be had, as recorded traffic shows it."""
    resolution = find_error(type_, code)[1]
    return {
        "type": type_,
        "code": code,
        "title": _title(type_, code),
        "detail": describe(type_, code),
        "description": "Deprecated. Use detail",
        "resolution": {"type": resolution or "UNKNOWN_RESOLUTION_TYPE"},
    }


def _phrase(status: int) -> str:
    # 430, Smartcar's status for billing, is its own invention.
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _title(type_: str, code: str | None) -> str:
    return (code or type_).replace("_", " ").title()
