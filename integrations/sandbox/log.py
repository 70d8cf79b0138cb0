"""What was asked of a stand-in server, without secrets."""

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations.sandbox.messages import Request

KEPT = 20_000
SECRET_HEADERS = frozenset({"authorization", "account-token", "cookie"})
SECRET_FIELDS = frozenset({"code", "refresh_token", "client_secret", "access_token"})


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """One request as it arrived; `status` is None when it was not answered (yet)."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any
    at: datetime
    status: int | None = None


class RequestLog:
    """The latest requests in order of arrival. Thread-safe; iterating gives a copy."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=KEPT)
        self.total = 0

    def record(self, request: Request) -> LoggedRequest:
        """Write the request down and return its entry."""
        entry = LoggedRequest(
            method=request.method,
            path=request.path,
            query={
                name: (["***"] if name in SECRET_FIELDS else list(values))
                for name, values in request.query.items()
            },
            headers={
                name: value for name, value in request.headers.items() if name not in SECRET_HEADERS
            },
            body=_body_without_secrets(request),
            at=self._clock(),
        )
        with self._lock:
            self._entries.append(entry)
            self.total += 1
        return entry

    def note_status(self, entry: LoggedRequest, status: int) -> None:
        """Write down what the request was answered."""
        with self._lock:
            entry.status = status

    def matching(
        self, method: str = "", path: str = "", *, pattern: str = "", status: int | None = None
    ) -> list[LoggedRequest]:
        """Return the requests of that method, path prefix, path pattern and answered status."""
        return [
            entry
            for entry in self
            if (not method or entry.method == method.upper())
            and entry.path.startswith(path)
            and (not pattern or re.search(pattern, entry.path) is not None)
            and (status is None or entry.status == status)
        ]

    def count(
        self, method: str = "", path: str = "", *, pattern: str = "", status: int | None = None
    ) -> int:
        """Count what `matching` returns."""
        return len(self.matching(method, path, pattern=pattern, status=status))

    def clear(self) -> None:
        """Forget what was asked so far."""
        with self._lock:
            self._entries.clear()
            self.total = 0

    def __iter__(self) -> Iterator[LoggedRequest]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)


def _body_without_secrets(request: Request) -> Any:
    if not request.body:
        return None
    if "form" in request.headers.get("content-type", ""):
        fields: dict[str, Any] = {
            name: values[0] if len(values) == 1 else values
            for name, values in request.form().items()
        }
    else:
        try:
            parsed = json.loads(request.body)
        except ValueError:
            return request.body.decode("utf-8", "replace")
        if not isinstance(parsed, dict):
            return parsed
        fields = parsed
    return {name: "***" if name in SECRET_FIELDS else value for name, value in fields.items()}
