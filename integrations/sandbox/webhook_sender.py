"""Delivers events as providers do: at least once, in no order, several at a time.

https://smartcar.com/docs/integrations/webhooks/delivery-behavior and
https://developer.fleetio.com/docs/overview/webhooks
"""

import http.client
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from integrations.sandbox.log import KEPT
from integrations.sandbox.messages import Clock

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt; `status` is None when there was no answer in time."""

    event_id: str
    event_type: str
    attempt: int
    status: int | None
    at: datetime


class Sendable(Protocol):
    """An event: `id` is the same for each delivery."""

    @property
    def id(self) -> str: ...

    @property
    def type(self) -> str: ...


SomeEvent = TypeVar("SomeEvent", bound=Sendable)


class Sender(ABC, Generic[SomeEvent]):
    """Sends events to `url` (None: nowhere). Thread-safe.

    `waits` are the seconds before each attempt, in real time; `compress` multiplies them, 0 leaves
    them out. An attempt may take `timeout` seconds; answered with one of `accepted` it is the last.
    Each event is sent `doubled` times, and the next `lost_replies` answers are not heard.
    `deliveries` are the latest attempts, in order.
    """

    waits: Sequence[float] = ()
    accepted: range = range(200, 300)
    timeout = 15.0

    def __init__(self, clock: Clock) -> None:
        self.compress = 1.0
        self.doubled = 1
        self.lost_replies = 0
        self.deliveries: deque[Delivery] = deque(maxlen=KEPT)
        self._clock = clock
        self._url: str | None = None
        self._held: list[SomeEvent] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._open: set[http.client.HTTPConnection] = set()

    @abstractmethod
    def package(self, event: SomeEvent) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of one delivery, made now."""

    @property
    def url(self) -> str | None:
        """The callback. Only this machine is ever called."""
        return self._url

    @url.setter
    def url(self, url: str | None) -> None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme != "http" or parts.hostname not in LOOPBACK:
                raise ValueError("the sandbox sends its events to http on this machine only")
        self._url = url

    @contextmanager
    def held(self) -> Iterator[list[SomeEvent]]:
        """Hold events back, in the list given; `deliver` sends them, in any order, if at all."""
        events: list[SomeEvent] = []
        self._held = events
        try:
            yield events
        finally:
            self._held = None

    def dispatch(self, events: list[SomeEvent], *, wait: bool) -> None:
        """Send the events at once, each on a thread of its own, unless they are held back."""
        if self._held is not None:
            self._held.extend(events)
        elif self.url is not None and events:
            self.deliver(events, threads=1 if wait else len(events) * self.doubled, wait=wait)

    def deliver(self, events: Iterable[SomeEvent], *, threads: int = 1, wait: bool = True) -> None:
        """Begin the events in this order, `threads` at a time; `wait` for the last to be done.

        One thread that is waited for is the caller's.
        """
        queue = deque(event for event in events for _ in range(self.doubled))
        if wait and threads == 1:
            self._work(queue)
            return
        workers = [
            threading.Thread(target=self._work, args=(queue,), daemon=True, name="sandbox-webhook")
            for _ in range(threads)
        ]
        with self._lock:
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            self._threads.update(workers)
        for worker in workers:
            worker.start()
        if wait:
            for worker in workers:
                worker.join()

    def settle(self, timeout: float = 10.0) -> bool:
        """Wait for what is being sent in the background; False when that took too long."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in threads)

    def start_sending(self) -> None:
        """Allow deliveries; they are from the beginning and after `stop_sending` not."""
        self._stopping.clear()

    def stop_sending(self) -> None:
        """Break off what is being sent and drop what waits for another attempt."""
        self._stopping.set()
        with self._lock:
            for connection in self._open:
                if connection.sock is not None:
                    with suppress(OSError):  # It may have ended by itself.
                        connection.sock.shutdown(socket.SHUT_RDWR)
        self.settle(self.timeout)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, bytes]:
        """Send this and return status and body of the answer; a redirect is not followed."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(
            str(parts.hostname), parts.port, timeout=self.timeout
        )
        with self._lock:
            self._open.add(connection)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target or "/", body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None, b""
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)

    def note(self, event_id: str, event_type: str, attempt: int, status: int | None) -> None:
        """Write an attempt down."""
        delivery = Delivery(
            event_id=event_id,
            event_type=event_type,
            attempt=attempt,
            status=status,
            at=self._clock(),
        )
        with self._lock:
            self.deliveries.append(delivery)

    def _work(self, queue: deque[SomeEvent]) -> None:
        while True:
            with self._lock:
                if not queue:
                    return
                event = queue.popleft()
            self._send(event)

    def _send(self, event: SomeEvent) -> None:
        for attempt, wait in enumerate(self.waits, start=1):
            stopped, url = self._stopping.wait(wait * self.compress), self.url
            if stopped or url is None:
                return
            body, headers = self.package(event)
            status, _ = self.post(url, body, headers)
            status = None if self._loses_reply() else status
            self.note(event.id, event.type, attempt, status)
            if status is not None and status in self.accepted:
                return

    def _loses_reply(self) -> bool:
        with self._lock:
            is_lost = self.lost_replies > 0
            self.lost_replies -= is_lost
            return is_lost
