"""A stand-in for Fleetio's API, version 2025-05-05: https://developer.fleetio.com/docs"""

import threading
from datetime import datetime, timedelta
from typing import Any

from integrations.sandbox.fleet import Fleet
from integrations.sandbox.fleetio_issues import (
    create_issue,
    list_issue,
    move_issue,
    show_issue,
    update_issue,
)
from integrations.sandbox.fleetio_lists import BadList, Row, make_old_page, make_page, parse_time
from integrations.sandbox.fleetio_meters import create_meter_entry
from integrations.sandbox.fleetio_records import Invalid, Records, stamp
from integrations.sandbox.messages import Clock, Reply, Request, json_reply
from integrations.sandbox.server import StubServer

API = "/api"
KM_PER_MILE = 1.609344
# From this version on every list is a cursor envelope.
FIRST_CURSOR_VERSION = "2024-06-30"
LISTS = (
    "vehicles",
    "vehicle_statuses",
    "vehicle_types",
    "meter_entries",
    "issues",
    "comments",
    "issue_priorities",
)


class FleetioServer(StubServer):
    """Fleetio with one account.

    `requests_per_minute` (off: None) refuses what exceeds it in a minute of the clock.
    `list_lag` keeps what was created within so many seconds out of lists.
    """

    def __init__(self, fleet: Fleet, clock: Clock, *, api_token: str, account_token: str) -> None:
        super().__init__(clock)
        self.api_token = api_token
        self.account_token = account_token
        self.records = Records(clock)
        self.requests_per_minute: int | None = None
        self.list_lag = 0.0
        self._rate_lock = threading.Lock()
        self._minute, self._used = clock(), 0
        self._add_routes()
        self._add_fleet(fleet)

    def issues(self, vin: str = "", *, state: str = "") -> list[Row]:
        """Return the issues as list rows, of one vehicle or in one state if wanted."""
        rows = [list_issue(self.records, row) for row in self.records.rows("issues")]
        return [
            row
            for row in rows
            if (not vin or row["vehicle"]["vin"] == vin)
            and (not state or row["state"].casefold() == state.casefold())
        ]

    def move_issue(self, issue_id: int, move: str, note: str | None = None) -> Row:
        """Let a mechanic `close`, `resolve` or `reopen` an issue, as in Fleetio's own pages."""
        return move_issue(self.records, self.records.get("issues", issue_id), move, note)

    def meter_entries(self, vin: str) -> list[Row]:
        """Return the vehicle's meter entries, oldest first."""
        vehicle_id = self.records.vehicle(vin)["id"]
        rows = self.records.rows("meter_entries")
        return [row for row in rows if row["vehicle_id"] == vehicle_id]

    def find_reply(self, request: Request) -> Reply:
        """Carry the request out after Fleetio's checks of credentials and rate."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
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

    def _add_routes(self) -> None:
        self.route("GET", f"{API}/accounts", self._accounts)
        for kind in LISTS:
            self.route("GET", f"{API}/({kind})", self._list)
            self.route("GET", f"{API}/({kind})/(\\d+)", self._show)
        self.route("GET", f"{API}/vehicles/archived", self._archived)
        self.route("POST", f"{API}/(vehicles|meter_entries|issues|comments)", self._create)
        self.route("PATCH", f"{API}/vehicles/(\\d+)", self._update_vehicle)
        self.route("PATCH", f"{API}/vehicles/(\\d+)/(archive|restore)", self._archive)
        self.route("PATCH", f"{API}/issues/(\\d+)", self._update_issue)
        self.route("PATCH", f"{API}/issues/(\\d+)/(close|resolve|reopen)", self._move_issue)

    def _accounts(self, request: Request) -> Reply:
        row = {
            "id": self.records.account_id,
            "name": "Sandbox Fleet",
            "token": self.account_token,
            "plan": "Professional",
        }
        return self._page("accounts", [row], request)

    def _list(self, request: Request, kind: str) -> Reply:
        with self.records.lock:
            rows = self._visible(self.records.rows(kind))
            if kind == "vehicles":
                rows = [row for row in rows if row["archived_at"] is None]
            if kind == "issues":
                rows = [list_issue(self.records, row) for row in rows]
            return self._page(kind, rows, request)

    def _archived(self, request: Request) -> Reply:
        rows = [row for row in self.records.rows("vehicles") if row["archived_at"] is not None]
        return self._page("vehicles", rows, request)

    def _visible(self, rows: list[Row]) -> list[Row]:
        if not self.list_lag:
            return rows
        newest = stamp(self.clock() - timedelta(seconds=self.list_lag))
        return [row for row in rows if row["created_at"] <= newest]

    def _page(self, kind: str, rows: list[Row], request: Request) -> Reply:
        version = request.headers.get("x-api-version", "")
        if parse_time(version) is not None and version >= FIRST_CURSOR_VERSION:
            return json_reply(make_page(kind, rows, request.query))
        page, headers = make_old_page(rows, request.query)
        return json_reply(page, headers=headers)

    def _show(self, _: Request, kind: str, key: str) -> Reply:
        with self.records.lock:
            row = self.records.get(kind, key)
            return json_reply(show_issue(self.records, row) if kind == "issues" else row)

    def _create(self, request: Request, kind: str) -> Reply:
        with self.records.lock:
            body = request.json()
            if kind == "issues":
                row = show_issue(self.records, create_issue(self.records, body))
            elif kind == "vehicles":
                row = self.records.create_vehicle(body)
            elif kind == "meter_entries":
                row = create_meter_entry(self.records, body)
            else:
                row = self.records.create_comment(body)
            return json_reply(row, 201, {"Location": f"{self.origin}{API}/{kind}/{row['id']}"})

    def _update_vehicle(self, request: Request, key: str) -> Reply:
        with self.records.lock:
            row = self.records.get("vehicles", key)
            return json_reply(self.records.update_vehicle(row, request.json()))

    def _archive(self, _: Request, key: str, move: str) -> Reply:
        with self.records.lock:
            archived_at = stamp(self.clock()) if move == "archive" else None
            row = self.records.get("vehicles", key)
            return json_reply(self.records.touch(row, archived_at=archived_at))

    def _update_issue(self, request: Request, key: str) -> Reply:
        with self.records.lock:
            row = update_issue(self.records, self.records.get("issues", key), request.json())
            return json_reply(show_issue(self.records, row))

    def _move_issue(self, request: Request, key: str, move: str) -> Reply:
        with self.records.lock:
            row = self.records.get("issues", key)
            moved = move_issue(self.records, row, move, request.json().get("note"))
            return json_reply(show_issue(self.records, moved))

    def _add_fleet(self, fleet: Fleet) -> None:
        """Put most cars into the account: with four or more, one in km, one in hours, one not."""
        status = self.records.rows("vehicle_statuses")[0]["id"]
        type_ids = {row["name"]: row["id"] for row in self.records.rows("vehicle_types")}
        units = {1: "km", 2: "hr", len(fleet.cars) - 1: ""} if len(fleet.cars) >= 4 else {}
        for place, car in enumerate(fleet.cars):
            if not (unit := units.get(place, "mi")):
                continue
            vehicle = self.records.create_vehicle(
                {
                    "name": car.name,
                    "vin": car.vin,
                    "make": car.make.title(),
                    "model": car.model,
                    "year": car.year,
                    "primary_meter_unit": unit,
                    "vehicle_status_id": status,
                    "vehicle_type_id": type_ids["Car" if car.is_electric else "Van"],
                }
            )
            self._add_first_reading(vehicle, car.odometer_km, fleet.now)

    def _add_first_reading(self, vehicle: Row, odometer_km: float, now: datetime) -> None:
        known_km = odometer_km - 400
        values = {"km": known_km, "mi": known_km / KM_PER_MILE, "hr": known_km / 40}
        create_meter_entry(
            self.records,
            {
                "vehicle_id": vehicle["id"],
                "value": round(values[vehicle["primary_meter_unit"]], 1),
                "date": (now - timedelta(days=7)).isoformat(),
            },
        )


def _problem(status: int, title: str, detail: str, request: Request) -> Reply:
    body: dict[str, Any] = {"status": status, "title": title, "detail": detail}
    return json_reply({**body, "instance": request.path}, status)
