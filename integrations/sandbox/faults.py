"""Errors on demand: what a stand-in server does instead of, or besides, answering properly."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.sandbox.messages import Request

FOREVER = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Which requests go wrong, how often, and how.

    A request matches when all that is given agrees: `method`, `path` (a prefix), `pattern` (a
    regular expression searched in the path), `vehicle` (Smartcar id or VIN) and `when`. With
    `item` only that path inside a Smartcar batch, or that signal (by code) inside an answer of
    v3, fails; the batch or answer itself is a 200.
    The first `skip` matches pass unharmed, then `times` fail (`None`: until removed).

    `error` is a (type, code) of Smartcar's tables. `carried_out` decides whether the work is done
    although another reply, or none, comes back. `alter` gets the proper JSON reply and returns
    the one to send; it and `delay` alone imply that the work is done.
    """

    method: str = ""
    path: str = ""
    pattern: str = ""
    vehicle: str = ""
    item: str = ""
    when: Callable[[Request], bool] | None = None
    times: int | None = 1
    skip: int = 0

    error: tuple[str, str | None] | None = None
    status: int | None = None
    body: object = None
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: int | str | None = None
    alter: Callable[[Any], Any] | None = None
    delay: float = 0.0
    drop: bool = False
    carried_out: bool = False

    @property
    def keeps_the_reply(self) -> bool:
        """Is the proper reply sent, only later or changed?"""
        return not self.drop and self.error is None and self.status is None and self.body is None

    def extra_headers(self) -> dict[str, str]:
        """Headers the failing reply carries besides the usual ones."""
        extra = dict(self.headers)
        if self.retry_after is not None:
            extra["Retry-After"] = str(self.retry_after)
        return extra

    def matches(self, request: Request, names: frozenset[str], item: str) -> bool:
        """Does this fault concern the request (`item`: the path or signal in it, if any)?"""
        return (
            self.item == item
            and (not self.method or self.method.upper() == request.method)
            and request.path.startswith(self.path)
            and (not self.pattern or re.search(self.pattern, request.path) is not None)
            and (not self.vehicle or self.vehicle in names)
            and (self.when is None or self.when(request))
        )


class Faults:
    """The faults a server is to commit, in the order they were added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, int] = {}
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Arm the fault and return it, so that it can be counted and removed later."""
        with self._lock:
            self._faults.append(fault)
            self._seen[id(fault)] = 0
        return fault

    def remove(self, fault: Fault) -> None:
        """Disarm the fault; its count stays readable."""
        with self._lock:
            self._faults = [armed for armed in self._faults if armed is not fault]

    def clear(self) -> None:
        """Disarm everything."""
        with self._lock:
            self._faults.clear()

    def committed(self, fault: Fault) -> int:
        """How often the fault has struck."""
        with self._lock:
            struck = max(0, self._seen.get(id(fault), 0) - fault.skip)
            return struck if fault.times is None else min(struck, fault.times)

    def take(
        self, request: Request, *, names: frozenset[str] = frozenset(), item: str = ""
    ) -> Fault | None:
        """Return the fault that strikes this request now, and count it."""
        with self._lock:
            matching = [fault for fault in self._faults if fault.matches(request, names, item)]
            for fault in matching:
                self._seen[id(fault)] += 1
                place = self._seen[id(fault)] - fault.skip
                if place > 0 and (fault.times is None or place <= fault.times):
                    return fault
        return None

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._faults))


def bad_gateway(**match: Any) -> Fault:
    """A proxy's HTML page, as gateways send it for 502."""
    page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return Fault(status=502, body=page, content_type="text/html", **match)


def empty_body(status: int = 200, **match: Any) -> Fault:
    """A reply that announces JSON and has no body."""
    return Fault(status=status, body=b"", **match)


def garbage(status: int = 200, **match: Any) -> Fault:
    """A reply that announces JSON and is cut off in the middle."""
    return Fault(status=status, body=b'{"distance": 104.', **match)


def no_content_type(status: int = 500, **match: Any) -> Fault:
    """A reply without the Content-Type header."""
    return Fault(status=status, body=b"upstream failure", content_type=None, **match)


def wrong_types(**match: Any) -> Fault:
    """The proper reply with every value of another type: numbers as words, objects as lists."""
    return Fault(alter=_twist, **match)


def slow(seconds: float, **match: Any) -> Fault:
    """The proper reply, `seconds` late; the work is done before the wait."""
    return Fault(delay=seconds, **match)


def dropped_before(**match: Any) -> Fault:
    """The connection ends without an answer and nothing was done."""
    return Fault(drop=True, **match)


def dropped_after(**match: Any) -> Fault:
    """The connection ends without an answer although everything was done."""
    return Fault(drop=True, carried_out=True, **match)


def _twist(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _twist(item) for key, item in value.items()}
    if isinstance(value, list):
        return {str(place): item for place, item in enumerate(value)}
    if isinstance(value, (int, float)):
        return "n/a"
    return [value]
