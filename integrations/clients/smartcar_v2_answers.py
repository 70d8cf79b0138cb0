"""Reads what the v2 API answers; nothing in an answer is taken for granted.

An answer as a whole that cannot be read gives None, one path of it gives SignalErrors.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import SignalError, SignalReading
from integrations.clients.smartcar_errors import Fault, read_fault
from integrations.clients.smartcar_types import ConnectionInfo, TokenPair
from integrations.clients.smartcar_v2_paths import MalformedError, MissingError, Path

ACCESS_LIFE = timedelta(hours=2)
REFRESH_LIFE = timedelta(days=60)  # not in the answer; documented
_YEAR = timedelta(days=366)

Headers = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for one path: a body with its headers, or a fault."""

    body: Any = None
    headers: Headers = field(default_factory=dict)
    fault: Fault | None = None

    def judge(
        self, path: Path, asked: Iterable[str], *, secret: str
    ) -> list[SignalReading | SignalError]:
        """Readings of all that the path gave, or an error for each asked code."""
        fault = self.fault
        if fault is None and not self._is_dated_well:
            # A value of no known age must not pass for a new one.
            fault = _unusable("MALFORMED", self.headers)
        if fault is None:
            try:
                bodies = path.translate(self.body, self._imperial)
            except MissingError:
                fault = _unusable("MISSING", self.headers)
            except MalformedError:
                fault = _unusable("MALFORMED", self.headers)
            else:
                return [self._reading(code, body) for code, body in bodies.items()]
        return [_signal_error(code, fault, secret) for code in asked]

    @property
    def _is_dated_well(self) -> bool:
        """Makers may leave the time out; one that cannot be read is something else."""
        age = self.headers.get("sc-data-age")
        return not age or parse_time(age) is not None

    @property
    def _imperial(self) -> bool:
        return str(self.headers.get("sc-unit-system", "")).lower() == "imperial"

    def _reading(self, code: str, body: dict[str, Any]) -> SignalReading:
        return SignalReading(
            code=code,
            body=body,
            recorded_at=parse_time(self.headers.get("sc-data-age")),
            fetched_at=parse_time(self.headers.get("sc-fetched-at")),
            request_id=str(self.headers.get("sc-request-id") or ""),
        )


def of_response(response: requests.Response) -> Answer:
    """The answer of a single read."""
    try:
        return Answer(body=response.json(), headers=response.headers)
    except ValueError:
        return Answer(fault=_unusable("MALFORMED", response.headers))


def of_error(error: ClientError) -> Answer:
    """The answer of a single read that failed."""
    return Answer(
        fault=Fault(
            outcome=error.outcome,
            type=error.type,
            code=error.code,
            message=str(error),
            status_code=error.status_code,
            retry_after=error.retry_after,
            request_id=error.request_id,
        )
    )


def of_batch(
    items: Iterable[Any], wanted: Iterable[str], response: requests.Response
) -> dict[str, Answer]:
    """An answer for each wanted path; of two items for one path the first counts."""
    answers: dict[str, Answer] = {}
    paths = set(wanted)
    for item in items:
        path = item.get("path") if isinstance(item, dict) else None
        path = "/" + path.strip("/") if isinstance(path, str) else ""
        if path in paths and path not in answers:
            answers[path] = of_item(item, response.headers)
    lost = Answer(fault=_unusable("UNANSWERED", response.headers))
    return {path: answers.get(path, lost) for path in paths}


def of_item(item: Mapping[str, Any], outer: Headers) -> Answer:
    """One item of a batch. Error items have no headers; the request id is the batch's own."""
    own = item.get("headers")
    headers: CaseInsensitiveDict[Any] = CaseInsensitiveDict(
        {key: outer[key] for key in ("sc-request-id", "sc-unit-system") if key in outer}
    )
    if isinstance(own, dict):
        headers.update({key: value for key, value in own.items() if value is not None})
    status, body = _integer(item.get("code")), item.get("body")
    if status is None:
        return Answer(fault=_unusable("MALFORMED", headers))
    if 200 <= status < 300:
        return Answer(body=body, headers=headers)
    return Answer(fault=read_fault(body, status=status, headers=headers))


def not_in_v2(code: str) -> SignalError:
    """The error for a signal that only v3 knows."""
    return SignalError(
        code=code, outcome=Outcome.NOT_CAPABLE, type="NOT_IN_V2", message="not in API v2.0"
    )


def token_pair(answer: Any) -> TokenPair | None:
    """The pair of a token answer. What else is missing from it must not lose the tokens."""
    pair = answer if isinstance(answer, dict) else {}
    access, refresh = pair.get("access_token"), pair.get("refresh_token")
    if not is_text(access) or not is_text(refresh):
        return None
    return TokenPair(
        access_token=str(access),
        refresh_token=str(refresh),
        expires_in=lifetime(pair.get("expires_in"), ACCESS_LIFE),
        refresh_expires_in=REFRESH_LIFE,
    )


def vehicle_page(answer: Any) -> tuple[list[str], Any] | None:
    """The ids of one page of vehicles, and the count it claims."""
    ids = answer.get("vehicles") if isinstance(answer, dict) else None
    if not isinstance(ids, list) or not all(is_text(x) for x in ids):
        return None
    paging = answer.get("paging")
    return ids, paging.get("count") if isinstance(paging, dict) else None


def connection_page(answer: Any) -> tuple[list[ConnectionInfo], str] | None:
    """One page of connections, and the cursor of the next; empty when it is the last."""
    rows = answer.get("connections") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        return None
    found = []
    for row in rows:
        if not isinstance(row, dict):
            return None
        user, vehicle = row.get("userId"), row.get("vehicleId")
        if not isinstance(user, str) or not isinstance(vehicle, str) or not (user and vehicle):
            return None
        when = parse_time(row.get("connectedAt") or row.get("createdAt"))
        found.append(ConnectionInfo(user_id=user, vehicle_id=vehicle, connected_at=when))
    paging = answer.get("paging")
    cursor = paging.get("cursor") if isinstance(paging, dict) else None
    return found, "" if cursor is None else str(cursor)


def parse_time(value: Any) -> datetime | None:
    """An ISO time as aware UTC; None when it cannot be read. Without a zone it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_text(value: Any) -> bool:
    """Whether an id or a token is there at all."""
    return isinstance(value, str) and bool(value.strip())


def lifetime(value: Any, default: timedelta) -> timedelta:
    """The seconds of an `expires_in`; the documented default for what cannot be one."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if isinstance(value, bool) or not math.isfinite(seconds):
        return default
    return timedelta(seconds=seconds) if 0 < seconds <= _YEAR.total_seconds() else default


def _integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _unusable(type_: str, headers: Headers) -> Fault:
    return Fault(
        outcome=Outcome.RETRY,
        type=type_,
        code="",
        message="",
        status_code=None,
        retry_after=None,
        request_id=str(headers.get("sc-request-id") or ""),
    )


def _signal_error(code: str, fault: Fault, secret: str) -> SignalError:
    return SignalError(
        code=code,
        outcome=fault.outcome,
        type=fault.type,
        error_code=fault.code,
        message=fault.message.replace(secret, "***") if secret else fault.message,
        status_code=fault.status_code,
        retry_after=fault.retry_after,
        request_id=fault.request_id,
    )
