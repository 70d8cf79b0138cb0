"""Fleetio's bulk jobs: taken on at once, worked off later, ten at a time.

https://developer.fleetio.com/docs/overview/bulk-api. What a job looks like is not documented.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from integrations.sandbox.fleetio_faults import create_fault
from integrations.sandbox.fleetio_lists import Row
from integrations.sandbox.fleetio_meters import create_meter_entry
from integrations.sandbox.fleetio_records import Invalid, Records, stamp

MOST_RECORDS, MOST_JOBS = 100, 10
Create = Callable[[Records, Row], Row]
CREATE: dict[str, tuple[str, Create]] = {
    "meter_entry": ("meter_entries", create_meter_entry),
    "fault": ("faults", create_fault),
    "vehicle": ("vehicles", lambda records, body: records.create_vehicle(body)),
}


class BulkJobs:
    """The jobs of an account. One takes `delay` seconds by the account's clock.

    They go on when `work` is called, which each request does. A record that is refused is left
    out, and the job says why.
    """

    def __init__(self, records: Records) -> None:
        self.delay = 0.0
        self._records = records
        self._ends: dict[int, datetime] = {}  # of the jobs at work

    def create(self, body: Row) -> Row:
        """Take a job on; raises `Invalid`."""
        rows, resource = body.get("records"), str(body.get("resource"))
        errors: dict[str, list[str]] = {}
        if resource not in CREATE:
            errors["resource"] = ["is not included in the list"]
        if body.get("operation") != "create":
            errors["operation"] = ["is not included in the list"]
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST_RECORDS:
            errors["records"] = [f"must be 1 to {MOST_RECORDS}"]
        if errors:
            raise Invalid(errors)
        row = {"resource": resource, "operation": "create", "records": rows, "state": "queued"}
        with self._records.lock:
            job = self._records.insert("bulk_api_jobs", {**row, "errors": [], "record_ids": []})
            self._start(self._records.clock())
            return job

    def show(self, job: Row) -> Row:
        """Return the job as it is answered: without the records it was given."""
        return {name: value for name, value in job.items() if name != "records"}

    def work(self) -> None:
        """Do what is due by now, in order."""
        now = self._records.clock()
        with self._records.lock:
            while self._ends:
                key = min(self._ends, key=lambda job: (self._ends[job], job))
                if self._ends[key] > now:
                    return
                ended_at = self._ends.pop(key)
                self._finish(self._records.get("bulk_api_jobs", key))
                self._start(ended_at)

    def _start(self, at: datetime) -> None:
        for job in self._records.rows("bulk_api_jobs"):
            if job["state"] == "queued" and len(self._ends) < MOST_JOBS:
                job["state"] = "processing"
                self._ends[job["id"]] = at + timedelta(seconds=self.delay)

    def _finish(self, job: Row) -> None:
        with self._records.unheard():
            for place, record in enumerate(job["records"]):
                self._create(job, place, record)
        job |= {"state": "completed", "updated_at": stamp(self._records.clock())}
        kind = CREATE[job["resource"]][0]
        made = {"id": job["id"], "resource": kind, "created_record_ids": job["record_ids"]}
        imported = {**made, "updated_record_ids": [], "affected_record_ids": job["record_ids"]}
        self._records.tell("imports", "completed", imported)

    def _create(self, job: Row, place: int, record: Any) -> None:
        _, create = CREATE[job["resource"]]
        try:
            row = create(self._records, record if isinstance(record, dict) else {})
        except Invalid as error:
            job["errors"].append({"index": place, "errors": error.errors})
        else:
            job["record_ids"].append(row["id"])
