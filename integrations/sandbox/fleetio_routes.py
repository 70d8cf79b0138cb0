"""Fleetio's paths: https://developer.fleetio.com/docs/api, version 2025-05-05."""

from collections.abc import Callable
from datetime import timedelta

from integrations.sandbox.fleetio_bulk import BulkJobs
from integrations.sandbox.fleetio_comments import (
    create_comment,
    create_contact,
    create_label,
    create_service_task,
)
from integrations.sandbox.fleetio_faults import create_fault, create_fault_rule, update_fault
from integrations.sandbox.fleetio_issues import (
    create_issue,
    list_issue,
    move_issue,
    show_issue,
    update_issue,
)
from integrations.sandbox.fleetio_lists import Row, make_old_page, make_page, parse_time
from integrations.sandbox.fleetio_meters import create_meter_entry
from integrations.sandbox.fleetio_records import ISSUE_MOVES, Records, stamp
from integrations.sandbox.fleetio_service import (
    create_service_entry,
    line_items,
    list_service_entry,
    show_service_entry,
)
from integrations.sandbox.messages import Clock, Reply, Request, json_reply
from integrations.sandbox.server import StubServer

API = "/api"
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
    "contacts",
    "labels",
    "fault_rules",
    "faults",
    "service_tasks",
    "service_entries",
)
CREATE: dict[str, Callable[[Records, Row], Row]] = {
    "vehicles": lambda records, body: records.create_vehicle(body),
    "meter_entries": create_meter_entry,
    "issues": create_issue,
    "comments": create_comment,
    "contacts": create_contact,
    "labels": create_label,
    "fault_rules": create_fault_rule,
    "faults": create_fault,
    "service_tasks": create_service_task,
    "service_entries": create_service_entry,
}


class FleetioRoutes(StubServer):
    """What can be read and written in the account `account_token`.

    `list_lag` keeps what was created within so many seconds out of lists. What no page says can be
    had either way: without `shows_comments` an issue never holds its comments, with `embeds_tasks`
    a service entry holds its tasks.
    """

    def __init__(self, clock: Clock, *, account_token: str) -> None:
        super().__init__(clock)
        self.account_token = account_token
        self.records = Records(clock)
        self.bulk = BulkJobs(self.records)
        self.list_lag = 0.0
        self.shows_comments = True
        self.embeds_tasks = False
        self._add_routes()

    def _add_routes(self) -> None:
        self.route("GET", f"{API}/accounts", self._accounts)
        for kind in LISTS:
            self.route("GET", f"{API}/({kind})", self._list)
            self.route("GET", f"{API}/({kind})/(\\d+)", self._show)
        self.route("GET", f"{API}/vehicles/archived", self._archived)
        self.route("GET", f"{API}/vehicles/(\\d+)/service_entries", self._entries_of_vehicle)
        entries = f"{API}/service_entries/(\\d+)/service_entry_line_items"
        self.route("GET", entries, self._line_items)
        self.route("POST", f"{API}/({'|'.join(CREATE)})", self._create)
        self.route("PATCH", f"{API}/vehicles/(\\d+)", self._update_vehicle)
        self.route("PATCH", f"{API}/vehicles/(\\d+)/(archive|restore)", self._archive)
        self.route("PATCH", f"{API}/issues/(\\d+)", self._update_issue)
        self.route("PATCH", f"{API}/issues/(\\d+)/(close|resolve|reopen)", self._move_issue)
        self.route("PATCH", f"{API}/faults/(\\d+)", self._update_fault)
        self.route("POST", f"{API}/bulk_api_jobs", self._create_job)
        self.route("GET", f"{API}/bulk_api_jobs/(\\d+)", self._show_job)

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
            if kind == "service_entries":
                rows = [list_service_entry(row) for row in rows]
            return self._page(kind, rows, request)

    def _archived(self, request: Request) -> Reply:
        rows = [row for row in self.records.rows("vehicles") if row["archived_at"] is not None]
        return self._page("vehicles", rows, request)

    def _entries_of_vehicle(self, request: Request, key: str) -> Reply:
        with self.records.lock:
            vehicle = self.records.get("vehicles", key)
            rows = self._visible(self.records.rows("service_entries"))
            mine = [list_service_entry(row) for row in rows if row["vehicle_id"] == vehicle["id"]]
            return self._page("vehicle_service_entries", mine, request)

    def _line_items(self, request: Request, key: str) -> Reply:
        with self.records.lock:
            return self._page("line_items", line_items(self.records, key), request)

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

    def _show(self, request: Request, kind: str, key: str) -> Reply:
        with self.records.lock:
            included = request.param("includes").split(",")
            row = self.records.get(kind, key)
            return json_reply(self._shown(kind, row, comments="comments" in included))

    def _shown(self, kind: str, row: Row, *, comments: bool = False) -> Row:
        if kind == "issues":
            return show_issue(self.records, row, comments=comments and self.shows_comments)
        if kind == "service_entries":
            return show_service_entry(self.records, row, whole=self.embeds_tasks)
        return row

    def _create(self, request: Request, kind: str) -> Reply:
        with self.records.lock:
            row = CREATE[kind](self.records, request.json())
            location = {"Location": f"{self.origin}{API}/{kind}/{row['id']}"}
            return json_reply(self._shown(kind, row), 201, location)

    def _create_job(self, request: Request) -> Reply:
        job = self.bulk.create(request.json())
        return json_reply(self.bulk.show(job), 201)

    def _show_job(self, _: Request, key: str) -> Reply:
        return json_reply(self.bulk.show(self.records.get("bulk_api_jobs", key)))

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
            body = request.json()
            note = body.get("note", body.get(f"{ISSUE_MOVES[move].lower()}_note"))
            moved = move_issue(self.records, row, move, note)
            return json_reply(show_issue(self.records, moved))

    def _update_fault(self, request: Request, key: str) -> Reply:
        with self.records.lock:
            row = self.records.get("faults", key)
            return json_reply(update_fault(self.records, row, request.json()))
