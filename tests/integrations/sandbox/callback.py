"""Where the sandbox sends its events to in tests."""

from typing import Any

from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.server import StubServer


class FleetioCallback(StubServer):
    """A portal that keeps what Fleetio sends; `faults` make it fail."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Request] = []
        self.route("POST", "/webhooks/fleetio/", lambda _: json_reply({}))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [request.json() for request in self.received]

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def answer(self, request: Request) -> Reply | None:
        self.received.append(request)
        return super().answer(request)
