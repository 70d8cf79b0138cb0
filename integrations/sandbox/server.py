"""A small server on a loopback port: routing, faults, a log of what was asked."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace

from integrations.sandbox.faults import Fault, Faults
from integrations.sandbox.log import RequestLog
from integrations.sandbox.messages import Clock, Reply, Request, json_reply, utc_now
from integrations.sandbox.transport import HTTPServer

Route = Callable[..., Reply]


class StubServer:
    """Serve `routes` on a free port of 127.0.0.1 between `start` and `stop`."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.faults = Faults()
        self.requests = RequestLog(clock)
        self.routes: list[tuple[str, re.Pattern[str], Route]] = []
        self._stopping = threading.Event()
        self._http: HTTPServer | None = None

    def route(self, method: str, pattern: str, answer: Route) -> None:
        """Send requests whose whole path matches to `answer(request, *groups)`."""
        self.routes.append((method, re.compile(pattern), answer))

    @property
    def origin(self) -> str:
        """Scheme, host and port. Raises when the server is not running."""
        if self._http is None:
            raise RuntimeError("the sandbox server is not running")
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self, port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        if self._http is not None:
            raise RuntimeError("the sandbox server is running already")
        self._stopping.clear()
        self._http = HTTPServer(port, self._exchange)
        # A short poll: tests start and stop many servers, and stopping waits for it.
        serve = self._http.serve_forever
        threading.Thread(target=serve, args=(0.01,), daemon=True, name="sandbox").start()

    def stop(self) -> None:
        """Close the port and every open connection; harmless when not running."""
        http, self._http = self._http, None
        if http is not None:
            self._stopping.set()
            http.shutdown()
            http.server_close()
            http.close_connections()

    def names_of(self, request: Request) -> frozenset[str]:
        """Return the names a fault's `vehicle` is compared with; none unless overridden."""
        return frozenset()

    def fault_reply(self, request: Request, fault: Fault) -> Reply:
        """Return the reply the fault asks for instead of the proper one."""
        body = fault.body
        if not isinstance(body, bytes):
            is_text = isinstance(body, str) and fault.content_type != "application/json"
            body = str(body).encode() if is_text else json.dumps(body).encode()
        return Reply(
            status=fault.status or 200,
            body=body,
            content_type=fault.content_type,
            headers=fault.extra_headers(),
        )

    def find_reply(self, request: Request) -> Reply:
        """Carry the request out. Servers add their checks around this."""
        for method, pattern, answer in self.routes:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                return answer(request, *found.groups())
        return json_reply({"error": "not found"}, 404)

    def answer(self, request: Request) -> Reply | None:
        """Carry the request out as its fault allows; None means: hang up."""
        fault = self.faults.take(request, names=self.names_of(request))
        if fault is None:
            return self.find_reply(request)
        reply = None
        if fault.keeps_the_reply or fault.carried_out:
            reply = self.find_reply(request)
        if fault.delay:
            self._stopping.wait(fault.delay)
        if fault.drop:
            return None
        if reply is None or not fault.keeps_the_reply:
            return self.fault_reply(request, fault)
        if fault.alter is not None:
            altered = fault.alter(reply.data)
            reply = replace(reply, body=json.dumps(altered).encode(), data=altered)
        return replace(reply, headers={**reply.headers, **fault.extra_headers()})

    def _exchange(self, request: Request) -> Reply | None:
        entry = self.requests.record(request)
        reply = self.answer(request)
        if reply is not None:
            self.requests.note_status(entry, reply.status)
        return reply
