"""The cars' odometers, on their way to the Fleetio vehicle of the same VIN, in its unit."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from django.db import transaction

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import MeterEntry
from integrations.clients.readings import ODOMETER
from integrations.models import OutboxEntry, PortalSettings, Signal, Vehicle
from integrations.registry import Postponed, Sent
from integrations.services import outbox
from integrations.services.measures import KM_PER_MILE

KIND = "fleetio_odometer"
KM_PER_UNIT = {"km": 1.0, "mi": KM_PER_MILE}
SAME = 0.05  # meter entries carry one decimal


class MeterClient(Protocol):
    def create_meter_entry(
        self, *, vehicle_id: int, value: float, recorded_at: datetime
    ) -> MeterEntry: ...

    def list_meter_entries(self, *, vehicle_id: int, on: date) -> list[MeterEntry]: ...


def queue_odometers(*, now: datetime) -> int:
    """Write an outbox row for each odometer that is clean and differs from what Fleetio has."""
    if not PortalSettings.load().send_odometers:
        return 0
    known = Signal.objects.filter(
        code=ODOMETER,
        value__isnull=False,
        vehicle__fleetio_id__isnull=False,
        vehicle__fleetio_meter_unit__in=KM_PER_UNIT,
    )
    return sum(_queue(signal, now) for signal in known.select_related("vehicle"))


def _queue(signal: Signal, now: datetime) -> bool:
    if not _differs(signal):
        return False
    with transaction.atomic():
        # Somebody else may queue at the same moment, from an older or a newer reading: the car's
        # lock, and the reading as it is now, keep the two from cancelling each other.
        Vehicle.objects.select_for_update().filter(pk=signal.vehicle_id).first()
        signal = Signal.objects.select_related("vehicle").get(pk=signal.pk)
        return _differs(signal) and _write_odometer(signal, now)


def _differs(signal: Signal) -> bool:
    car = signal.vehicle
    if car.fleetio_id is None or car.fleetio_meter_unit not in KM_PER_UNIT or not signal.value:
        return False
    sent = car.fleetio_odometer_km
    unit = car.fleetio_meter_unit
    return sent is None or abs(in_unit(sent, unit) - in_unit(signal.value, unit)) >= SAME


def _write_odometer(signal: Signal, now: datetime) -> bool:
    """One row for each value; one that was refused is not repeated, one that was cancelled may."""
    car, recorded_at = signal.vehicle, signal.recorded_at
    value = in_unit(signal.value or 0, car.fleetio_meter_unit)
    key = f"odometer:{car.pk}:{car.fleetio_id}:{value:.1f}{car.fleetio_meter_unit}"
    rows = OutboxEntry.objects.filter(kind=KIND, vehicle=car)
    same = rows.filter(dedupe_key=key)
    if same.exclude(state=OutboxEntry.State.CANCELLED).exists() or recorded_at is None:
        return False
    same.delete()  # cancelled, so nothing of it ever left the house
    outbox.cancel(rows, reason="a newer odometer followed", now=now)
    outbox.enqueue(
        KIND,
        dedupe_key=key,
        payload={
            "vehicle": car.pk,
            "fleetio_id": car.fleetio_id,
            "km": signal.value,
            "recorded_at": recorded_at.isoformat(),
        },
        about=car,
        vehicle=car,
        now=now,
        bundle=KIND,
    )
    return True


def in_unit(km: float, unit: str) -> float:
    """Kilometres as the number a Fleetio meter of this unit shows, with one decimal."""
    return round(km / KM_PER_UNIT[unit], 1)


def deliver_odometer(
    entry: OutboxEntry, *, client: MeterClient, unclear: bool, now: datetime
) -> Sent | Postponed:
    """Send one odometer. What is unclear is looked for before it is sent again."""
    meter = read(entry)
    if isinstance(meter, Sent):
        return meter
    written = _look(client, meter) if unclear else None
    if written is None:
        written = client.create_meter_entry(
            vehicle_id=meter.fleetio_id, value=meter.value, recorded_at=meter.recorded_at
        )
    return took(meter, written)


@dataclass(frozen=True, slots=True)
class Meter:
    """An odometer on its way, in the unit of the Fleetio vehicle."""

    car: Vehicle
    fleetio_id: int
    km: float
    value: float
    recorded_at: datetime

    def is_in(self, entry: MeterEntry) -> bool:
        """Whether the entry is this one. Fleetio files it under the day of the account's own zone,
        which may be a neighbour of ours.
        """
        if entry.vehicle_id != self.fleetio_id or abs(entry.value - self.value) >= SAME:
            return False
        return entry.date is None or abs((entry.date - self.recorded_at.date()).days) <= 1


def read(entry: OutboxEntry) -> Meter | Sent:
    """What the row is about, as the car is now; or why it is not sent."""
    car = Vehicle.objects.filter(pk=entry.payload["vehicle"]).first()
    if car is None or car.fleetio_id is None or car.fleetio_id != entry.payload["fleetio_id"]:
        return Sent("not sent: the car is not this Fleetio vehicle any more")
    if car.fleetio_meter_unit not in KM_PER_UNIT:
        return Sent(f"not sent: the meter counts {car.fleetio_meter_unit or 'nothing'}")
    km = float(entry.payload["km"])
    return Meter(
        car=car,
        fleetio_id=car.fleetio_id,
        km=km,
        value=in_unit(km, car.fleetio_meter_unit),
        recorded_at=datetime.fromisoformat(entry.payload["recorded_at"]),
    )


def took(meter: Meter, written: MeterEntry) -> Sent:
    """Fleetio has it. Raises ClientError when it counts for nothing there."""
    if written.is_void:
        raise ClientError(
            f"Fleetio voided the odometer: {written.void_reason or 'no reason given'}",
            outcome=Outcome.REJECTED,
        )
    rows = Vehicle.objects.filter(pk=meter.car.pk, fleetio_id=meter.fleetio_id)
    rows.update(fleetio_odometer_km=meter.km)
    return Sent(f"{meter.value:,.1f} {meter.car.fleetio_meter_unit} (meter entry {written.id})")


def _look(client: MeterClient, meter: Meter) -> MeterEntry | None:
    for days in (0, -1, 1):
        on = meter.recorded_at.date() + timedelta(days=days)
        for entry in client.list_meter_entries(vehicle_id=meter.fleetio_id, on=on):
            if meter.is_in(entry):
                return entry
    return None
