"""Reads one v3-shaped signal, as the v3 API and webhooks give it.

https://smartcar.com/docs/api-reference/signals
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations.clients.errors import Outcome
from integrations.clients.readings import SignalError, SignalReading
from integrations.clients.smartcar_errors import read_fault
from integrations.clients.smartcar_v2_answers import parse_time
from integrations.clients.texts import text_of

MAX_CODE = 80

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9000, 1, 1, tzinfo=UTC)  # later ones overflow in some time zones
# As milliseconds this is 1973, as seconds the year 5138: no car is in between.
_MILLISECONDS_FROM = 1e11
_STATUS = re.compile(r"[A-Z][A-Z_]{0,39}")


def read_signal(
    attributes: Any, meta: Any, *, request_id: str = "", fetched_fallback: datetime | None = None
) -> SignalReading | SignalError | None:
    """What one signal says; None when not even its code can be read.

    The status decides: beside an error stands, in recorded traffic, the body of long ago.
    """
    signal, times = object_of(attributes), object_of(meta)
    code = parse_code(signal.get("code"))
    if code is None:
        return None
    status, fault = _status(signal.get("status"))
    if status == "ERROR":
        return _failed(code, fault, request_id)
    if status != "SUCCESS":
        return _unusable(code, status, request_id)
    flaw = _flaw(signal.get("body"), times.get("oemUpdatedAt"))
    if flaw:
        return _unusable(code, flaw, request_id)
    return SignalReading(
        code=code,
        body=signal["body"],
        recorded_at=parse_moment(times.get("oemUpdatedAt")),
        fetched_at=_fetched_at(times) or fetched_fallback,
        request_id=request_id,
    )


def parse_code(value: Any) -> str | None:
    """A signal's code as we write it; None when it is not one."""
    code = value.strip().lower() if isinstance(value, str) else ""
    return text_of(code, MAX_CODE) or None


def parse_moment(value: Any) -> datetime | None:
    """A time as aware UTC: ISO text, or seconds or milliseconds since 1970.

    The API's examples count seconds, webhooks milliseconds. Zero means "not said".
    """
    if isinstance(value, bool):
        return None
    moment: datetime | None
    try:
        moment = _since_1970(float(value))
    except (TypeError, OverflowError):
        return None
    except ValueError:
        moment = parse_time(value)
    return moment if moment is not None and _EPOCH < moment < _LAST else None


def object_of(value: Any) -> dict[str, Any]:
    """The value if it is an object; an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def _since_1970(count: float) -> datetime:
    unit = "milliseconds" if count >= _MILLISECONDS_FROM else "seconds"
    return _EPOCH + timedelta(**{unit: count})


def _status(value: Any) -> tuple[str, Any]:
    """SUCCESS, ERROR with its fault, or whatever word is there. Older events say no success."""
    fault = value.get("error") if isinstance(value, dict) else None
    word = value.get("value") if isinstance(value, dict) else value
    if word is None:
        return ("ERROR" if fault else "SUCCESS"), fault
    word = word.strip().upper() if isinstance(word, str) else ""
    return (word if _STATUS.fullmatch(word) else "MALFORMED"), fault


def _flaw(body: Any, recorded_at: Any) -> str:
    """Why a successful signal is of no use; empty when it is."""
    if body is None or (isinstance(body, dict) and _says_nothing(body)):
        return "MISSING"
    # A value of no known age must not pass for a new one.
    if not isinstance(body, dict) or not _is_dated_well(recorded_at):
        return "MALFORMED"
    return ""


def _says_nothing(body: Mapping[str, Any]) -> bool:
    said = [body[key] for key in ("value", "values", "status") if key in body]
    return all(value is None for value in said or body.values())


def _is_dated_well(value: Any) -> bool:
    """Makers may leave the time out, or say 0; one that cannot be read is something else."""
    if value in (None, "", 0, "0") or parse_time(value) == _EPOCH:
        return True
    return parse_moment(value) is not None


def _fetched_at(times: Mapping[str, Any]) -> datetime | None:
    """Recordings say `retrievedAt`, the documentation `fetchedAt`."""
    keys = ("retrievedAt", "fetchedAt", "ingestedAt")
    moments = (parse_moment(times.get(key)) for key in keys)
    return next((moment for moment in moments if moment is not None), None)


def _failed(code: str, error: Any, request_id: str) -> SignalError:
    fault = read_fault(error, status=None, headers=None)
    return SignalError(
        code=code,
        outcome=fault.outcome,
        type=fault.type or "ERROR",
        error_code=fault.code,
        message=fault.message,
        request_id=request_id or fault.request_id,
    )


def _unusable(code: str, type_: str, request_id: str) -> SignalError:
    return SignalError(code=code, outcome=Outcome.RETRY, type=type_, request_id=request_id)
