"""What is asked of Fleetio about meters, one by one and in bulk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import requests

from integrations.clients.fleetio_records import MeterEntry, read_meter_entry
from integrations.clients.fleetio_values import format_time
from integrations.clients.fleetio_wire import FleetioWire

BULK_RECORDS = 100  # in one job: https://developer.fleetio.com/docs/overview/bulk-api
BULK_JOBS = 10  # at the same time; further ones wait


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJob:
    """Work that Fleetio took on. `state` is its own word in small letters.

    Neither an id nor a state is documented: both are empty when the answer shows none. What
    became of the records is only seen by reading them.
    """

    id: str
    state: str


class MeterCalls(FleetioWire):
    def create_meter_entry(
        self, *, vehicle_id: int, value: float, recorded_at: datetime
    ) -> MeterEntry:
        """Record an odometer, in the vehicle's own unit. The entry may come back void.

        https://developer.fleetio.com/docs/api/v-1-meter-entries-create
        """
        body = meter_record(vehicle_id=vehicle_id, value=value, recorded_at=recorded_at)
        return self._create("/meter_entries", body, read_meter_entry)

    def list_meter_entries(
        self,
        *,
        vehicle_id: int | None = None,
        on: date | None = None,
        created_after: datetime | None = None,
    ) -> list[MeterEntry]:
        """Entries of a vehicle, of a day of the account's own zone, or made after a moment (oldest
        first).

        Compared again here, because an unknown filter may be ignored. A row that does not say
        when it was made is kept. https://developer.fleetio.com/docs/api/v-1-meter-entries-index
        """
        params: dict[str, str] = {}
        if vehicle_id is not None:
            params["filter[vehicle_id][eq]"] = str(vehicle_id)
        if on is not None:
            params["filter[date][eq]"] = on.isoformat()
        if created_after is not None:
            params["filter[created_at][gt]"] = format_time(created_after)
            params["sort[created_at]"] = "asc"
        return [
            entry
            for entry in self._all("/meter_entries", params, read_meter_entry)
            if (vehicle_id is None or entry.vehicle_id == vehicle_id)
            and (on is None or entry.date == on)
            and (
                created_after is None
                or entry.created_at is None
                or entry.created_at > created_after
            )
        ]

    def create_bulk_job(
        self, resource: str, operation: str, records: Sequence[Mapping[str, Any]]
    ) -> BulkJob:
        """Hand over up to BULK_RECORDS records, each as the body of its own POST would be.

        It counts as one request. That Fleetio took the job says nothing of its records.
        https://developer.fleetio.com/docs/overview/bulk-api
        """
        if not 0 < len(records) <= BULK_RECORDS:
            raise ValueError(f"a bulk job has 1 to {BULK_RECORDS} records, not {len(records)}")
        path = "/bulk_api_jobs"
        body = {"resource": resource, "operation": operation, "records": list(records)}
        response = self._request("POST", path, json=body)
        location = response.headers.get("Location", "").rstrip("/").rpartition("/")[2]
        answer = self._answer(response, f"POST {path}", may_have_happened=True)
        job = _read_job(answer)
        return BulkJob(id=job.id or location[:_LONGEST], state=job.state)

    def get_bulk_job(self, job_id: str) -> BulkJob:
        """The job as it is now, with the id it was made with. Its path is not documented."""
        path = f"/bulk_api_jobs/{quote(job_id, safe='')}"
        answer = self._answer(self._request("GET", path), "GET /bulk_api_jobs")
        return BulkJob(id=job_id, state=_read_job(answer).state)

    def _answer(
        self, response: requests.Response, label: str, *, may_have_happened: bool = False
    ) -> Any:
        """The JSON of an answer that may have no body at all."""
        if not response.content.strip():
            return {}
        return self._json(response, label, may_have_happened=may_have_happened)


def meter_record(*, vehicle_id: int, value: float, recorded_at: datetime) -> dict[str, Any]:
    """The body of POST /meter_entries, and a record of a bulk job."""
    return {"vehicle_id": vehicle_id, "value": value, "date": format_time(recorded_at)}


_LONGEST = 80  # of an id or a state, which are kept and shown


def _read_job(answer: Any) -> BulkJob:
    row = answer if isinstance(answer, dict) else {}
    inner = row.get("bulk_api_job")
    row = inner if isinstance(inner, dict) else row
    state = row.get("state") or row.get("status")
    return BulkJob(
        id=_word(row.get("id")), state=_word(state if isinstance(state, str) else "").lower()
    )


def _word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    word = str(value).strip()
    return word if word.isprintable() and len(word) <= _LONGEST else ""
