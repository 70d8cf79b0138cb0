"""A stand-in for Fleetio's API, version 2025-05-05: https://developer.fleetio.com/docs"""

import threading
from typing import Any

from integrations.sandbox.fleet import Fleet
from integrations.sandbox.fleetio_issues import list_issue
from integrations.sandbox.fleetio_lists import BadList, Row
from integrations.sandbox.fleetio_people import People, add_fleet
from integrations.sandbox.fleetio_records import Invalid
from integrations.sandbox.fleetio_routes import API, FleetioRoutes
from integrations.sandbox.fleetio_webhooks import FleetioWebhooks
from integrations.sandbox.messages import Clock, Reply, Request, json_reply


class FleetioServer(People, FleetioRoutes):
    """Fleetio with one account, and what `People` do there.

    `requests_per_minute` (off: None) refuses what exceeds it in a minute of the clock.
    """

    def __init__(
        self, fleet: Fleet, clock: Clock, *, api_token: str, account_token: str, webhook_key: str
    ) -> None:
        super().__init__(clock, account_token=account_token)
        self.api_token = api_token
        self.requests_per_minute: int | None = None
        self._rate_lock = threading.Lock()
        self._minute, self._used = clock(), 0
        add_fleet(self.records, fleet)
        self.webhooks = FleetioWebhooks(self.records, key=webhook_key)

    def start(self, port: int = 0) -> None:
        """Listen, and tell the webhook's address of changes."""
        super().start(port)
        self.webhooks.start_sending()

    def stop(self) -> None:
        """Break off what is being told, then close the port."""
        self.webhooks.stop_sending()
        super().stop()

    def issues(self, vin: str = "", *, state: str = "") -> list[Row]:
        """Return the issues as list rows, of one vehicle or in one state if wanted."""
        rows = [list_issue(self.records, row) for row in self.records.rows("issues")]
        return [
            row
            for row in rows
            if (not vin or row["vehicle"]["vin"] == vin)
            and (not state or row["state"].casefold() == state.casefold())
        ]

    def meter_entries(self, vin: str) -> list[Row]:
        """Return the vehicle's meter entries, oldest first."""
        vehicle_id = self.records.vehicle(vin)["id"]
        rows = self.records.rows("meter_entries")
        return [row for row in rows if row["vehicle_id"] == vehicle_id]

    def find_reply(self, request: Request) -> Reply:
        """Carry the request out after Fleetio's checks of credentials and rate."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        self.bulk.work()
        try:
            reply = super().find_reply(request)
        except Invalid as error:
            return json_reply({"errors": error.errors}, 422)
        except BadList as error:
            return json_reply({"errors": {"base": [str(error)]}}, 400)
        except KeyError:
            return _problem(404, "Not Found", "The record could not be found.", request)
        if reply.status == 404:
            return _problem(404, "Not Found", "There is no such path.", request)
        return reply

    def _refusal(self, request: Request) -> Reply | None:
        authorization = request.headers.get("authorization", "")
        # The older spelling is still in Fleetio's own samples.
        accepted = (f"Token {self.api_token}", f'Token token="{self.api_token}"')
        needs_account = request.path != f"{API}/accounts"
        account = request.headers.get("account-token")
        if authorization not in accepted or (needs_account and account != self.account_token):
            return _problem(401, "Unauthorized", "The API key or account is invalid.", request)
        wait = self._seconds_to_wait()
        if wait is None:
            return None
        text = "Too many requests detected from your account token. Please try again later."
        return json_reply({"error": text}, 429, {"Retry-After": str(wait)})

    def _seconds_to_wait(self) -> int | None:
        with self._rate_lock:
            now = self.clock()
            minute = now.replace(second=0, microsecond=0)
            if minute != self._minute:
                self._minute, self._used = minute, 0
            self._used += 1
            if self.requests_per_minute is None or self._used <= self.requests_per_minute:
                return None
            return max(1, 60 - now.second)


def _problem(status: int, title: str, detail: str, request: Request) -> Reply:
    body: dict[str, Any] = {"status": status, "title": title, "detail": detail}
    return json_reply({**body, "instance": request.path}, status)
