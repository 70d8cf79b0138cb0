"""Fleetio's API: vehicles, issues, meter entries. One attempt a call, ClientError otherwise.

https://developer.fleetio.com/docs/overview/quick-start. The API knows no idempotency key: an
error with `may_have_happened` must be looked up before it is repeated.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from datetime import date, datetime
from typing import Any, TypeVar

import requests

from integrations.clients import transport
from integrations.clients.errors import ClientError, Gate, Outcome
from integrations.clients.fleetio_records import (
    FleetioIssue,
    FleetioVehicle,
    IssueDraft,
    MeterEntry,
    Priority,
    ShapeError,
    VehicleDraft,
    VehicleLabel,
    format_time,
    read_issue,
    read_meter_entry,
    read_priority,
    read_vehicle,
    read_vehicle_label,
)
from integrations.clients.retry_after import parse_retry_after

__all__ = [
    "FleetioClient",
    "FleetioIssue",
    "FleetioVehicle",
    "IssueDraft",
    "MeterEntry",
    "Priority",
    "VehicleDraft",
    "VehicleLabel",
]

PROVIDER = "Fleetio"
VERSION = "2025-05-05"
READ_TIMEOUT = 20.0  # seconds
PER_PAGE = 100
MAX_PAGES = 500

_Record = TypeVar("_Record")


class FleetioClient:
    """One account. Each request passes `gate`."""

    def __init__(
        self,
        *,
        api_token: str,
        account_token: str,
        base_url: str,
        gate: Gate = nullcontext,
    ) -> None:
        self._account_token = account_token.strip()
        self._base_url = base_url.rstrip("/")
        self._gate = gate
        self._headers = {
            "Authorization": f"Token {api_token.strip()}",
            # Pinned: a key made under another version would change paths and list shapes.
            "X-Api-Version": VERSION,
            "Accept": "application/json",
            "User-Agent": "fleet-portal",
        }

    def check_account(self) -> str | None:
        """The name of the account whose token is ours; None when the key does not reach it.

        The call goes without our account token: a wrong one would be refused like a wrong key.
        """
        response = self._request("GET", "/accounts", names_account=False)
        answer = self._json(response, "GET /accounts")
        rows = answer.get("records", [answer]) if isinstance(answer, dict) else answer
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and row.get("token") == self._account_token:
                return str(row.get("name") or "")
        return None

    def list_vehicles(self) -> list[FleetioVehicle]:
        """All vehicles that are not archived, or an error: never some of them."""
        return self._all("/vehicles", {}, read_vehicle)

    def find_vehicles(self, *, vin: str) -> list[FleetioVehicle]:
        """Vehicles with this VIN that are not archived; the spelling may differ in case.

        Compared again here, because an unknown filter may be ignored.
        https://developer.fleetio.com/docs/api/v-1-vehicles-index
        """
        found = self._all("/vehicles", {"filter[vin][like]": vin}, read_vehicle)
        return [vehicle for vehicle in found if vehicle.vin == vin.upper()]

    def list_archived_vehicles(self) -> list[FleetioVehicle]:
        """All vehicles that are archived: the list of vehicles leaves them out.

        https://developer.fleetio.com/docs/api names no filter for GET /vehicles/archived.
        """
        return self._all("/vehicles/archived", {}, read_vehicle)

    def get_vehicle(self, vehicle_id: int) -> FleetioVehicle:
        """One vehicle as it is now; REJECTED with status 404 when it was deleted.

        https://developer.fleetio.com/docs/api/v-1-vehicles-show
        """
        path = f"/vehicles/{vehicle_id}"
        response = self._request("GET", path)
        return self._record(response, f"GET {path}", read_vehicle)

    def create_vehicle(self, draft: VehicleDraft) -> FleetioVehicle:
        """Create a vehicle. A name or a VIN that is taken is REJECTED, with the field's message.

        https://developer.fleetio.com/docs/api/vehicles-create
        """
        return self._create("/vehicles", draft.to_json(), read_vehicle)

    def update_vehicle(self, vehicle_id: int, fields: Mapping[str, Any]) -> None:
        """Change just these fields of a vehicle; any answer but an error is success.

        Fleetio says 200 with the record in one place and 204 in another.
        https://developer.fleetio.com/docs/api/v-1-vehicles-update
        """
        self._request("PATCH", f"/vehicles/{vehicle_id}", json=fields)

    def list_vehicle_statuses(self) -> list[VehicleLabel]:
        """The vehicle statuses of the account: https://developer.fleetio.com/docs/api"""
        return self._all("/vehicle_statuses", {}, read_vehicle_label)

    def list_vehicle_types(self) -> list[VehicleLabel]:
        """The vehicle types of the account: https://developer.fleetio.com/docs/api"""
        return self._all("/vehicle_types", {}, read_vehicle_label)

    def list_priorities(self) -> list[Priority]:
        """The issue priorities of the account."""
        return self._all("/issue_priorities", {}, read_priority)

    def create_issue(self, draft: IssueDraft) -> FleetioIssue:
        """Create an issue; Fleetio mails the vehicle's watchers about it.

        https://developer.fleetio.com/docs/api/v-2-issues-create
        """
        return self._create("/issues", draft.to_json(), read_issue)

    def get_issue(self, issue_id: int) -> FleetioIssue:
        """One issue as it is now; REJECTED with status 404 when it was deleted."""
        path = f"/issues/{issue_id}"
        response = self._request("GET", path)
        return self._record(response, f"GET {path}", read_issue)

    def list_issues(
        self, *, vehicle_id: int | None = None, updated_after: datetime | None = None
    ) -> list[FleetioIssue]:
        """Issues of a vehicle, or changed after a moment (oldest change first), or all of them.

        Compared again here, because an unknown filter may be ignored. A row that does not name
        its vehicle or its time is kept. https://developer.fleetio.com/docs/overview/filtering-and-sorting
        """
        params: dict[str, str] = {}
        if vehicle_id is not None:
            params["filter[vehicle_id][eq]"] = str(vehicle_id)
        if updated_after is not None:
            params["filter[updated_at][gt]"] = format_time(updated_after)
            params["sort[updated_at]"] = "asc"
        return [
            issue
            for issue in self._all("/issues", params, read_issue)
            if (vehicle_id is None or issue.vehicle_id in (vehicle_id, None))
            and (
                updated_after is None
                or issue.updated_at is None
                or issue.updated_at > updated_after
            )
        ]

    def create_meter_entry(
        self, *, vehicle_id: int, value: float, recorded_at: datetime
    ) -> MeterEntry:
        """Record an odometer, in the vehicle's own unit. The entry may come back void.

        https://developer.fleetio.com/docs/api/v-1-meter-entries-create
        """
        body = {"vehicle_id": vehicle_id, "value": value, "date": format_time(recorded_at)}
        return self._create("/meter_entries", body, read_meter_entry)

    def list_meter_entries(self, *, vehicle_id: int, on: date) -> list[MeterEntry]:
        """Entries of a vehicle on a day of the account's own zone."""
        params = {"filter[vehicle_id][eq]": str(vehicle_id), "filter[date][eq]": on.isoformat()}
        return [
            entry
            for entry in self._all("/meter_entries", params, read_meter_entry)
            if entry.vehicle_id == vehicle_id and entry.date == on
        ]

    def _all(
        self, path: str, params: Mapping[str, str], read: Callable[[Mapping[str, Any]], _Record]
    ) -> list[_Record]:
        where = f"{PROVIDER}: GET {path}"
        try:
            return [read(row) for row in self._rows(path, params)]
        except ShapeError:
            pass
        raise transport.malformed(where)

    def _rows(self, path: str, params: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """All rows of all pages: https://developer.fleetio.com/docs/overview/pagination"""
        label = f"GET {path}"
        cursor = ""
        for _ in range(MAX_PAGES):
            query = {**params, "per_page": str(PER_PAGE)}
            if cursor:
                query["start_cursor"] = cursor
            response = self._request("GET", path, params=query)
            page = self._json(response, label)
            if isinstance(page, list):
                raise ClientError(
                    f"{PROVIDER}: {label}: a list without pages, version {VERSION} is not honoured",
                    outcome=Outcome.REJECTED,
                    status_code=response.status_code,
                    type="VERSION",
                )
            rows = page.get("records") if isinstance(page, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ShapeError
            yield from rows
            following = page.get("next_cursor")
            if following is None or following == "":
                return
            if str(following) == cursor:
                raise ShapeError
            cursor = str(following)
        raise ShapeError  # an answer without an end is not taken for a whole one

    def _create(
        self, path: str, body: Mapping[str, Any], read: Callable[[Mapping[str, Any]], _Record]
    ) -> _Record:
        response = self._request("POST", path, json=body)
        return self._record(response, f"POST {path}", read, may_have_happened=True)

    def _record(
        self,
        response: requests.Response,
        label: str,
        read: Callable[[Mapping[str, Any]], _Record],
        *,
        may_have_happened: bool = False,
    ) -> _Record:
        answer = self._json(response, label, may_have_happened=may_have_happened)
        if isinstance(answer, dict):
            try:
                return read(answer)
            except ShapeError:
                pass
        where = f"{PROVIDER}: {label}"
        raise transport.malformed(where, response, may_have_happened=may_have_happened)

    def _json(
        self, response: requests.Response, label: str, *, may_have_happened: bool = False
    ) -> Any:
        where = f"{PROVIDER}: {label}"
        return transport.read_json(response, where, may_have_happened=may_have_happened)

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        names_account: bool = True,
    ) -> requests.Response:
        account = {"Account-Token": self._account_token} if names_account else {}
        with self._gate():
            return transport.request(
                method,
                self._base_url + path,
                read_timeout=READ_TIMEOUT,
                provider=PROVIDER,
                label=f"{method} {path}",
                classify=_error,
                headers={**self._headers, **account},
                params=params,
                json=json,
            )


_OUTCOMES = {401: Outcome.STOP, 408: Outcome.RETRY, 429: Outcome.WAIT_ALL}


def _error(response: requests.Response, where: str) -> ClientError:
    """https://developer.fleetio.com/docs/overview/response-codes

    The status decides: bodies are empty, plain text, a map of fields or a problem object.
    """
    status = response.status_code
    error = transport.status_error(response, where)
    error.outcome = _OUTCOMES.get(status, error.outcome)
    error.retry_after = parse_retry_after(
        response.headers.get("Retry-After"), sent_at=response.headers.get("Date")
    )
    if status == 422:
        error.fields = _fields(response)
    return error


def _without_keys(response: requests.Response) -> str:
    """The body, which may quote what we proved ourselves with."""
    text = response.text
    for name in ("Authorization", "Account-Token"):
        sent = str(response.request.headers.get(name) or "").removeprefix("Token ")
        text = text.replace(sent, "***") if sent else text
    return text


def _fields(response: requests.Response) -> dict[str, Any]:
    """Messages by field, as Fleetio gives them; what names no field is under `base`."""
    try:
        body = json.loads(_without_keys(response))
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    errors = body.get("errors", body.get("error", body.get("detail")))
    if isinstance(errors, dict):
        return {str(field): messages for field, messages in errors.items()}
    return {"base": errors if isinstance(errors, list) else [str(errors)]} if errors else {}
