"""Many odometers at once: one job for a hundred, because Fleetio counts a job as one request.

That Fleetio took a job says nothing of its records, so an odometer is there only when its entry was
read back. https://developer.fleetio.com/docs/overview/bulk-api
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import BULK_RECORDS, BulkJob, MeterEntry, meter_record
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import fleetio_odometers
from integrations.services.fleetio_odometers import Meter

FEWEST = 20  # below that each is sent by itself, and its answer is its proof
READ_BACK = timedelta(minutes=2)
PATIENCE = timedelta(minutes=15)
CLOCKS_DIFFER = timedelta(minutes=2)

Result = Sent | Postponed | ClientError


class BulkClient(Protocol):
    def create_meter_entry(
        self, *, vehicle_id: int, value: float, recorded_at: datetime
    ) -> MeterEntry: ...

    def list_meter_entries(
        self,
        *,
        vehicle_id: int | None = None,
        on: date | None = None,
        created_after: datetime | None = None,
    ) -> list[MeterEntry]: ...

    def create_bulk_job(
        self, resource: str, operation: str, records: Sequence[Mapping[str, Any]]
    ) -> BulkJob: ...


def split(entries: Sequence[OutboxEntry], *, now: datetime) -> list[list[OutboxEntry]]:
    """A job for each hundred; few, and those that a job did not bring, each by itself."""
    single = [entry for entry in entries if entry.payload.get("alone")]
    many = [entry for entry in entries if not entry.payload.get("alone")]
    if len(many) < FEWEST:
        return [[entry] for entry in entries]
    jobs = [many[start : start + BULK_RECORDS] for start in range(0, len(many), BULK_RECORDS)]
    return [*jobs, *([entry] for entry in single)]


def deliver(
    entries: Sequence[OutboxEntry], *, client: BulkClient, unclear: bool, now: datetime
) -> list[Result]:
    """Handler of odometers: of one, or of as many as a job takes."""
    if len(entries) == 1 and (not unclear or entries[0].payload.get("alone", True)):
        entry = entries[0]
        return [fleetio_odometers.deliver_odometer(entry, client=client, unclear=unclear, now=now)]
    meters = [fleetio_odometers.read(entry) for entry in entries]
    if unclear:
        return _read_back(entries, meters, client, now)
    return _hand_over(entries, meters, client, now)


def _hand_over(
    entries: Sequence[OutboxEntry],
    meters: Sequence[Meter | Sent],
    client: BulkClient,
    now: datetime,
) -> list[Result]:
    records = [
        meter_record(vehicle_id=meter.fleetio_id, value=meter.value, recorded_at=meter.recorded_at)
        for meter in meters
        if isinstance(meter, Meter)
    ]
    if not records:
        return [meter for meter in meters if isinstance(meter, Sent)]
    _note(entries, alone=False)
    try:
        job = client.create_bulk_job("meter_entry", "create", records)
    except ClientError as exc:
        if exc.outcome is not Outcome.REJECTED:
            raise
        # Not every account may use jobs.
        _note(entries, alone=True)
        return [Postponed(now, f"Sent by itself, for no job was taken: {exc}")] * len(entries)
    text = f"In bulk job {job.id or '?'}, to be read back"
    waits = ClientError(
        text, outcome=Outcome.RETRY, status_code=201, type="BULK", may_have_happened=True
    )
    return [meter if isinstance(meter, Sent) else waits for meter in meters]


def _read_back(
    entries: Sequence[OutboxEntry],
    meters: Sequence[Meter | Sent],
    client: BulkClient,
    now: datetime,
) -> list[Result]:
    since = min(entry.started_at or now for entry in entries)
    listed = client.list_meter_entries(created_after=since - CLOCKS_DIFFER)
    by_vehicle: dict[int | None, list[MeterEntry]] = {}
    for found in listed:
        by_vehicle.setdefault(found.vehicle_id, []).append(found)
    results: list[Result] = []
    for entry, meter in zip(entries, meters, strict=True):
        if isinstance(meter, Sent):
            results.append(meter)
            continue
        written = next(filter(meter.is_in, by_vehicle.get(meter.fleetio_id, [])), None)
        results.append(_outcome(entry, meter, written, since, now))
    return results


def _outcome(
    entry: OutboxEntry, meter: Meter, written: MeterEntry | None, since: datetime, now: datetime
) -> Result:
    if written is not None:
        try:
            return fleetio_odometers.took(meter, written)
        except ClientError as exc:
            return exc
    if now < since + PATIENCE:
        return Postponed(now + READ_BACK, "In a bulk job, to be read back")
    # A parcel of its own: from now on it is looked for, and sent, by itself.
    _note([entry], alone=True, parcel=uuid.uuid4().hex)
    return Postponed(now, "The bulk job did not bring it")


def _note(entries: Sequence[OutboxEntry], *, alone: bool, parcel: str = "") -> None:
    for entry in entries:
        entry.payload["alone"] = alone
        columns: dict[str, Any] = {"payload": entry.payload}
        if parcel:
            columns["parcel"] = parcel
        OutboxEntry.objects.filter(pk=entry.pk).update(**columns)
