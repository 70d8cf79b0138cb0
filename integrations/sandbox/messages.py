"""What travels between a client and a stand-in server."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the real time; the clock of a server that was given none."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asked; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def param(self, name: str, default: str = "") -> str:
        """Return the first query value of that name."""
        return self.query.get(name, [default])[0]

    def form(self) -> dict[str, list[str]]:
        """Return the body as a form; empty when it is none."""
        return parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty when it is none."""
        try:
            parsed = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answers. `data` is kept beside `body` so that a fault can change it."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    data: Any = None


def json_reply(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return `data` as a JSON reply."""
    return Reply(status=status, body=json.dumps(data).encode(), data=data, headers=headers or {})


def html_reply(page: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a page."""
    return Reply(
        status=status,
        body=page.encode(),
        content_type="text/html; charset=utf-8",
        headers=headers or {},
    )
