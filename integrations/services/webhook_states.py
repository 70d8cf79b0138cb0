"""What a car says by itself goes the way of everything that cars say: through ingest.

https://smartcar.com/docs/integrations/webhooks/vehicle-state
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from integrations.clients.readings import (
    ATTRIBUTES,
    IDENTITY,
    VIN,
    SignalError,
    SignalReading,
    came_from_the_car,
)
from integrations.clients.smartcar_signals import object_of
from integrations.clients.smartcar_webhooks import Event
from integrations.clients.smartcar_webhooks_content import CarState, read_states, read_vehicle
from integrations.models import Make, Reading, Vehicle, WebhookEvent
from integrations.services import polling, schedule, subscriptions, webhook_accounts, webhook_cars
from integrations.services.ingest import Ingested, ingest
from integrations.services.webhook_cars import Car, NotOursError, State, Worked

Results = Sequence[SignalReading | SignalError]


def work_off(event: Event, row: WebhookEvent, now: datetime) -> Worked:
    """Take in what the event says of each of its cars."""
    states = read_states(event, received_at=row.received_at)
    places = webhook_cars.in_order(state.smartcar_id for state in states)
    states.sort(key=lambda state: places.index(state.smartcar_id))
    worked = [_of_car(state, event, row, now) for state in states]
    ours = [one for one in worked if one.state is State.PROCESSED]
    note = "; ".join(dict.fromkeys(one.note for one in ours or worked)) or "says nothing of a car"
    if not ours:
        return Worked(State.IGNORED, note)
    return Worked(State.PROCESSED, note, ours[0].vehicle)


def _of_car(state: CarState, event: Event, row: WebhookEvent, now: datetime) -> Worked:
    try:
        car = webhook_cars.hold(state.smartcar_id)
    except NotOursError as exc:
        return Worked(State.IGNORED, str(exc))
    results = _without_old_errors(car.vehicle, state.results, row)
    is_good = came_from_the_car(results)
    vehicle = _identified(car, event, results, now)
    ingested = ingest(
        vehicle,
        results,
        source=Reading.Source.WEBHOOK,
        now=now,
        event_id=row.event_id,
        columns=_columns(vehicle, row, now) if is_good else None,
    )
    if is_good:
        _prove(car, vehicle, results, now)
        _note_subscribed(car, event, now)
    return Worked(State.PROCESSED, _words(ingested, results), vehicle)


def _prove(car: Car, vehicle: Vehicle, results: Results, now: datetime) -> None:
    """The car and its account work: what was reported to be wrong before is over."""
    webhook_accounts.forget_done(vehicle, now)
    if webhook_accounts.is_lost(car.connection):
        # What is read another way is no proof of this one later, as it is stored.
        heard_at = None if vehicle.connection_id == car.connection.pk else _newest(results)
        webhook_accounts.settle(
            car.connection, why=webhook_accounts.READ, heard_at=heard_at, now=now
        )


def _note_subscribed(car: Car, event: Event, now: datetime) -> None:
    """Who reports is subscribed; v3 does not say when it has done what it was asked for."""
    meta = object_of(event.message.get("meta"))
    webhook_id = str(meta.get("webhookId") or event.message.get("webhookId") or "")[:64]
    if car.access.subscribed_to in ("", webhook_id):
        subscriptions.seen(car.access, webhook_id=webhook_id, now=now)


def _without_old_errors(vehicle: Vehicle, results: Results, row: WebhookEvent) -> Results:
    """Events come in any order: that a signal failed is no news when it was read later."""
    failed = [result.code for result in results if isinstance(result, SignalError)]
    if not failed:
        return results
    read_since = webhook_cars.read_since(vehicle, failed, webhook_cars.happened_at(row))
    return [r for r in results if isinstance(r, SignalReading) or r.code not in read_since]


def _newest(results: Results) -> datetime | None:
    """When Smartcar last spoke with the car."""
    times = (
        result.fetched_at or result.recorded_at
        for result in results
        if isinstance(result, SignalReading) and result.code not in IDENTITY
    )
    return max((time for time in times if time is not None), default=None)


def _identified(car: Car, event: Event, results: Results, now: datetime) -> Vehicle:
    """Learn what the car is, as the first poll does; it may turn out to be one that is known."""
    missing = {code for code, known in _identity(car.vehicle) if not known}
    said = [r for r in results if isinstance(r, SignalReading) and r.code in missing]
    described = read_vehicle(event)
    if ATTRIBUTES in missing and described and all(r.code != ATTRIBUTES for r in said):
        said.append(SignalReading(code=ATTRIBUTES, body=described, recorded_at=None))
    if not said:
        return car.vehicle
    vehicle = polling.identify(car.vehicle, said, now)
    if car.access.permissions is None:  # only a poll learns them: let it ask
        Vehicle.objects.filter(pk=vehicle.pk).update(identified_at=None)
    return vehicle


def _identity(vehicle: Vehicle) -> list[tuple[str, str | None]]:
    return [(VIN, vehicle.vin), (ATTRIBUTES, vehicle.make)]


def _columns(vehicle: Vehicle, row: WebhookEvent, now: datetime) -> dict[str, Any]:
    """The webhook works, so the car need not be asked before long."""
    heard_at = max(vehicle.last_webhook_at or row.received_at, row.received_at)
    net = schedule.safety_net(
        last_webhook_at=heard_at,
        last_read_at=vehicle.last_read_at,
        habit=_habit(vehicle),
        now=now,
    )
    next_poll_at = schedule.put_off(
        vehicle.next_poll_at, net=net, not_before=vehicle.not_before, now=now
    )
    return {"last_webhook_at": heard_at, "next_poll_at": next_poll_at}


def _habit(vehicle: Vehicle) -> timedelta:
    make = Make.objects.filter(name=vehicle.make.upper()).first()
    return timedelta(minutes=make.refresh_minutes) if make else polling.DEFAULT_HABIT


def _words(ingested: Ingested, results: Results) -> str:
    counted = {
        "new": ingested.readings,
        "late": len(ingested.late),
        "doubtful": ingested.doubtful,
        "rejected": ingested.rejected,
        "not readable": sum(isinstance(result, SignalError) for result in results),
    }
    return ", ".join(f"{count} {what}" for what, count in counted.items() if count) or "nothing new"
