"""Read the cars that are due, one request per car, and make the best of every answer."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Upper

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import (
    ATTRIBUTES,
    IDENTITY,
    PERMISSIONS,
    VIN,
    SignalError,
    SignalReading,
)
from integrations.models import Make, Reading, Signal, Vehicle
from integrations.models.people import vin_validator
from integrations.services import connection_status, gates, schedule, tokens, vehicles
from integrations.services.ingest import Ingested, ingest
from integrations.services.tokens import TokenClient

logger = logging.getLogger(__name__)

Results = Sequence[SignalReading | SignalError]

DEFAULT_HABIT = timedelta(minutes=30)
SLACK = timedelta(seconds=55)  # for the token, the database and the second look
MIN_WAIT = 60.0
VEHICLE_WAIT = 120.0  # seen in the wild when Smartcar names no time
DAILY = timedelta(days=1)


class ReadClient(TokenClient, Protocol):
    def read(
        self, *, smartcar_id: str, access_token: str, codes: Sequence[str]
    ) -> list[SignalReading | SignalError]: ...

    def cost(self, codes: Sequence[str]) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """What the deployment allows."""

    calls_per_month: int
    read_timeout: timedelta


@dataclass(slots=True)
class Polled:
    """What one poll came to. `outcome` is None when the car was read."""

    vehicle_id: int
    ingested: Ingested
    outcome: Outcome | None = None
    error: str = ""


def due_vehicles(*, now: datetime, every: bool = False, vin: str = "") -> QuerySet[Vehicle, int]:
    """Ids of the cars to read now, the longest waiting first.

    `every` and `vin` ignore the schedule, never a Retry-After or somebody else's poll.
    """
    rows = Vehicle.objects.readable().allowed(now)
    if vin:
        rows = rows.filter(vin=vin.upper())
    elif not every:
        rows = rows.filter(next_poll_at__lte=now)
    return rows.order_by("next_poll_at", "pk").values_list("pk", flat=True)


def poll_vehicle(
    vehicle_id: int,
    *,
    client: ReadClient,
    policy: PollPolicy,
    now: datetime,
    scheduled: bool = True,
) -> Polled | None:
    """Read one car and store what it said. None: somebody else reads it, or it is not due.

    Never raises for a provider's fault: it is written on the vehicle, with when to try again.
    """
    if not _claim(vehicle_id, policy, now, scheduled=scheduled):
        return None
    vehicle = _load(vehicle_id)
    if vehicle is None:
        # The consent ended or the car was merged since somebody asked for it.
        Vehicle.objects.filter(pk=vehicle_id).update(poll_lease_until=None)
        return None
    wanted = _wanted_codes(vehicle, now)
    if not wanted:
        why = "No enabled rule wants anything that this car can give"
        return _asked_nothing(vehicle, until=now + DAILY, why=why)
    codes = _affordable(wanted, policy.calls_per_month - _calls_used(vehicle, now), client)
    if not codes:
        why = "This month's calls are used up"
        return _asked_nothing(vehicle, until=schedule.next_month(now), why=why)
    try:
        results = _read(vehicle, codes, client, now)
    except ClientError as exc:
        return _failed(vehicle, exc, now)
    vehicle = _identify(vehicle, results, now)
    return _store(vehicle, results, client.cost(codes), policy, now)


def _claim(vehicle_id: int, policy: PollPolicy, now: datetime, *, scheduled: bool) -> bool:
    rows = Vehicle.objects.allowed(now).filter(pk=vehicle_id)
    if scheduled:
        rows = rows.filter(next_poll_at__lte=now)
    else:
        # Two people who say "read all now" at once mean one reading.
        rows = rows.filter(Q(last_polled_at__isnull=True) | Q(last_polled_at__lt=now))
    return rows.update(poll_lease_until=now + policy.read_timeout + SLACK) == 1


def _load(vehicle_id: int) -> Vehicle | None:
    habit = Make.objects.filter(name=Upper(OuterRef("make"))).values("refresh_minutes")[:1]
    rows = Vehicle.objects.readable().select_related("connection__token")
    return rows.annotate(habit=Subquery(habit)).filter(pk=vehicle_id).first()


def _wanted_codes(vehicle: Vehicle, now: datetime) -> list[str]:
    """What rules want and the car may give, the most urgent first."""
    signals = list(vehicle.signals.all())
    known = {signal.code: signal for signal in signals}
    wanted = {s.code: s.urgency for s in signals if s.is_wanted} or registry.wanted_signals()
    asked = [code for code in wanted if _may_ask(known.get(code), now)]
    asked.sort(key=lambda code: (-wanted[code], code))
    return asked if vehicle.identified_at else [*IDENTITY, *asked]


def _affordable(codes: list[str], calls_left: int, client: ReadClient) -> list[str]:
    """As many of the codes as this month's calls allow, the most urgent first."""
    while codes and client.cost(codes) > calls_left:
        codes = codes[:-1]
    return codes


def _may_ask(signal: Signal | None, now: datetime) -> bool:
    return signal is None or signal.recheck_at is None or signal.recheck_at <= now


def _calls_used(vehicle: Vehicle, now: datetime) -> int:
    return vehicle.calls_used if vehicle.calls_month == schedule.month_of(now).date() else 0


def _read(vehicle: Vehicle, codes: list[str], client: ReadClient, now: datetime) -> Results:
    """One request; once more after a refused access token; identity items asked for again."""
    connection = vehicle.connection
    token = getattr(connection, "token", None)
    if connection is None or token is None:
        raise ClientError("No token for this connection", outcome=Outcome.RECONNECT)
    access = tokens.get_access_token(token, client=client, now=now)
    try:
        results: Results = client.read(
            smartcar_id=vehicle.smartcar_id, access_token=access, codes=codes
        )
    except ClientError as exc:
        if exc.outcome is not Outcome.REFRESH:
            raise
        access = tokens.get_access_token(token, client=client, now=now, refused=True)
        results = _read_again(vehicle, codes, client, access)
    return [*results, *_ask_alone(vehicle, results, client, access)]


def _read_again(vehicle: Vehicle, codes: list[str], client: ReadClient, access: str) -> Results:
    try:
        return client.read(smartcar_id=vehicle.smartcar_id, access_token=access, codes=codes)
    except ClientError as exc:
        if exc.outcome is Outcome.REFRESH:
            # A brand-new token is refused as well: Smartcar does not know us for this car.
            raise ClientError(str(exc), outcome=Outcome.RECONNECT, type=exc.type) from exc
        raise


def _ask_alone(
    vehicle: Vehicle, results: Results, client: ReadClient, access: str
) -> Iterator[SignalReading | SignalError]:
    """An identity item that the batch refused is asked for once by itself."""
    if not any(isinstance(result, SignalReading) for result in results):
        return
    for result in results:
        if (
            isinstance(result, SignalError)
            and result.code in IDENTITY
            and result.outcome in {Outcome.RETRY, Outcome.REJECTED}
        ):
            try:
                yield from client.read(
                    smartcar_id=vehicle.smartcar_id, access_token=access, codes=[result.code]
                )
            except ClientError as exc:
                logger.info("vehicle %s: %s: %s", vehicle.pk, result.code, exc)


def _identify(vehicle: Vehicle, results: Results, now: datetime) -> Vehicle:
    """Write what the car is. The VIN is asked for again next time when it did not come."""
    said = {r.code: r.body for r in results if isinstance(r, SignalReading) and r.code in IDENTITY}
    if not said:
        return vehicle
    refused = {r.code: r.outcome for r in results if isinstance(r, SignalError)}
    permissions = said.get(PERMISSIONS, {}).get("values")
    attributes = said.get(ATTRIBUTES)
    identified = vehicles.identify(
        vehicle,
        now=now,
        attributes=attributes,
        vin=_vin(said.get(VIN, {}).get("value")),
        permissions=[str(p) for p in permissions] if isinstance(permissions, list) else None,
    )
    settled = {Outcome.NOT_GRANTED, Outcome.NOT_CAPABLE}
    if not identified.vin and refused.get(VIN) not in settled:
        Vehicle.objects.filter(pk=identified.pk).update(identified_at=None)
    return identified


def _vin(value: Any) -> str:
    """The VIN, or "" for what cannot be one: cars that share a placeholder would become one."""
    vin = str(value or "").strip().upper()
    try:
        vin_validator(vin)
    except ValidationError:
        return ""
    return vin if len(set(vin)) > 1 else ""


def _store(
    vehicle: Vehicle, results: Results, cost: int, policy: PollPolicy, now: datetime
) -> Polled:
    errors = [r for r in results if isinstance(r, SignalError)]
    got = any(isinstance(r, SignalReading) for r in results)
    worst = None if got else _worst(errors)
    columns: dict[str, Any] = {
        "poll_lease_until": None,
        "last_polled_at": now,
        "calls_month": schedule.month_of(now).date(),
        "calls_used": _calls_used(vehicle, now) + cost,
    }
    if worst is None:
        columns |= {
            "last_read_at": now,
            "poll_failures": 0,
            "last_error": "",
            "not_before": _told_to_wait(errors, now),
            "next_poll_at": now
            + schedule.poll_interval(
                calls_left=policy.calls_per_month - columns["calls_used"],
                cost=cost,
                habit=_habit(vehicle),
                now=now,
            ),
        }
    else:
        columns |= _consequences(vehicle, worst, now)
    ingested = ingest(vehicle, results, source=Reading.Source.POLL, now=now, columns=columns)
    if worst is None:
        return Polled(vehicle.pk, ingested)
    return Polled(vehicle.pk, ingested, outcome=worst.outcome, error=str(worst))


def _habit(vehicle: Vehicle) -> timedelta:
    minutes: int | None = getattr(vehicle, "habit", None)
    return timedelta(minutes=minutes) if minutes else DEFAULT_HABIT


def _worst(errors: Sequence[SignalError]) -> ClientError | None:
    """When no item succeeded, the failure that says most about the car or the connection."""
    order = [
        Outcome.STOP,
        Outcome.WAIT_ALL,
        Outcome.RECONNECT,
        Outcome.QUOTA,
        Outcome.WAIT,
        Outcome.DRIVER,
        Outcome.ASLEEP,
        Outcome.RETRY,
        Outcome.REFRESH,
        Outcome.REJECTED,
    ]
    for outcome in order:
        for error in errors:
            if error.outcome is outcome:
                text = f"Smartcar: {error.type}:{error.error_code}".strip(":")
                return ClientError(
                    text, outcome=outcome, type=error.type, retry_after=error.retry_after
                )
    return None


def _told_to_wait(errors: Sequence[SignalError], now: datetime) -> datetime | None:
    waits = [error for error in errors if error.outcome is Outcome.WAIT]
    seconds = max((error.retry_after or VEHICLE_WAIT for error in waits), default=None)
    return now + timedelta(seconds=seconds) if seconds is not None else None


def _failed(vehicle: Vehicle, exc: ClientError, now: datetime) -> Polled:
    columns = {"poll_lease_until": None, "last_polled_at": now}
    if exc.type == "PORTAL_LIMIT":
        columns = {"poll_lease_until": None}  # nothing was asked: the car stays due
    Vehicle.objects.filter(pk=vehicle.pk).update(**columns | _consequences(vehicle, exc, now))
    logger.warning("vehicle %s: %s", vehicle.pk, exc)
    return Polled(vehicle.pk, Ingested(), outcome=exc.outcome, error=str(exc))


def _consequences(  # noqa: PLR0911  one return for each outcome
    vehicle: Vehicle, exc: ClientError, now: datetime
) -> dict[str, Any]:
    """What a failed poll means for the car, its connection and everybody else."""
    if exc.type == "PORTAL_LIMIT":
        return {}
    columns: dict[str, Any] = {"last_error": str(exc)[:255]}
    failures = vehicle.poll_failures + 1
    match exc.outcome:
        case Outcome.WAIT:
            wait = timedelta(seconds=max(exc.retry_after or VEHICLE_WAIT, 1))
            return columns | {"not_before": now + wait, "next_poll_at": now + wait}
        case Outcome.WAIT_ALL:
            wait = timedelta(seconds=max(exc.retry_after or MIN_WAIT, MIN_WAIT))
            gates.pause(gates.SMARTCAR, until=now + wait, reason=str(exc), now=now)
            return columns
        case Outcome.STOP:
            gates.pause(gates.SMARTCAR, until=now + DAILY / 24, reason=str(exc), now=now)
            return columns
        case Outcome.QUOTA:
            return columns | {
                "not_before": schedule.next_month(now),
                "next_poll_at": schedule.next_month(now),
            }
        case Outcome.RECONNECT:
            if vehicle.connection:
                connection_status.needs_reconnect(vehicle.connection, reason=str(exc), now=now)
            return columns
        case Outcome.DRIVER:
            return columns | {"next_poll_at": now + DAILY, "poll_failures": failures}
        case Outcome.ASLEEP:
            return columns | {"next_poll_at": now + DEFAULT_HABIT * 4}
        case _:
            again = now + schedule.backoff(failures)
            return columns | {
                "poll_failures": failures,
                "next_poll_at": again,
                "not_before": again,
            }


def _asked_nothing(vehicle: Vehicle, *, until: datetime, why: str) -> Polled:
    Vehicle.objects.filter(pk=vehicle.pk).update(
        poll_lease_until=None, next_poll_at=until, last_error=why
    )
    return Polled(vehicle.pk, Ingested(), outcome=Outcome.QUOTA, error=why)
