"""Read the cars that are due, one request per car, and make the best of every answer."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import BigIntegerField, DateTimeField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Upper
from django.utils.functional import SimpleLazyObject

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import (
    ATTRIBUTES,
    IDENTITY,
    PERMISSIONS,
    VIN,
    SignalError,
    SignalReading,
    came_from_the_car,
)
from integrations.models import Make, Reading, Signal, Vehicle
from integrations.models.people import vin_validator
from integrations.models.prepared import Prepared, Statement, given, together
from integrations.services import gates, leases, poll_failures, poll_outcomes, schedule, vehicles
from integrations.services.ingest import Ingested, ingest
from integrations.services.measures import storable
from integrations.services.reads import ReadClient, Results, internal, read

logger = logging.getLogger(__name__)

DEFAULT_HABIT = Make.DEFAULT_HABIT

_ID, _NOW = given("vehicle", BigIntegerField), given("now", DateTimeField)
_DUE = Prepared(lambda: Vehicle.objects.allowed(_NOW).filter(pk=_ID, next_poll_at__lte=_NOW))
_ASKED_FOR = Prepared(
    lambda: Vehicle.objects.allowed(_NOW).filter(
        Q(last_polled_at__isnull=True) | Q(last_polled_at__lt=given("asked_at", DateTimeField)),
        pk=_ID,
    )
)
# Many columns, and a token to decrypt, that a poll seldom looks at; then they are fetched alone.
_SELDOM = (
    "created_at",
    "poll_lease_until",
    "last_polled_at",
    "last_error",
    "reported_errors",
    "fleetio_note",
    "fleetio_meter_unit",
    "fleetio_odometer_km",
    "evaluation_due_at",
    "evaluation_error",
    "connection__status_reason",
    "connection__status_changed_at",
    "connection__scope",
    "connection__mode",
    "connection__vehicles_listed_at",
    "connection__listed_through",
    "connection__is_ending",
    "connection__token__refresh_token",
    "connection__token__refresh_expires_at",
    "connection__token__issued_at",
    "connection__token__next_attempt_at",
    "connection__token__last_error",
)
_READABLE = Prepared(
    lambda: (
        _with_habit(Vehicle.objects.readable())
        .select_related("connection__token")
        .defer(*_SELDOM)
        .filter(pk=_ID)
        .order_by()
    )
)
_WANTED = Prepared(
    lambda: (
        Signal.objects.filter(
            Q(recheck_at__isnull=True) | Q(recheck_at__lte=_NOW), vehicle=_ID, is_wanted=True
        )
        .order_by("-urgency", "code")
        .values_list("code")
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """What the deployment allows."""

    calls_per_month: int


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


def interrupted(*, now: datetime) -> QuerySet[Vehicle, int]:
    """Ids of the due cars whose reader died over them."""
    return (
        Vehicle.objects.due(now).filter(poll_lease_until__isnull=False).values_list("pk", flat=True)
    )


def poll_vehicle(
    vehicle_id: int,
    *,
    client: ReadClient,
    policy: PollPolicy,
    now: datetime,
    asked_at: datetime | None = None,
) -> Polled | None:
    """Read one car and store what it said. None: somebody else reads it, or it is not due.

    `asked_at`: a person asked for it then, so it need not be due. Never raises for a provider's
    fault: it is written on the vehicle, with when to try again.
    """
    claimed, found, wanted = together(
        _claim(vehicle_id, now, asked_at),
        _READABLE.rows(vehicle=vehicle_id),
        _WANTED.values(vehicle=vehicle_id, now=now),
    )
    if not claimed:
        return None
    if not found:
        # The consent ended or the car was merged since somebody asked for it.
        Vehicle.objects.filter(pk=vehicle_id).update(poll_lease_until=None)
        return None
    (vehicle,) = found
    mine: Any = SimpleLazyObject(lambda: Vehicle.objects.filter(pk=vehicle_id))
    with leases.kept(mine, "poll_lease_until", until=now + leases.LEASE):
        return _poll(vehicle, [code for (code,) in wanted], client, policy, now)


def _poll(
    vehicle: Vehicle, wanted: list[str], client: ReadClient, policy: PollPolicy, now: datetime
) -> Polled:
    wanted = wanted or _wanted_of_new(vehicle, now)
    if not vehicle.identified_at:
        wanted = [*IDENTITY, *wanted]
    if not wanted:
        why = "No enabled rule wants anything that this car can give"
        columns = poll_outcomes.of_nothing_wanted()
        return _asked_nothing(vehicle, columns, until=now + poll_failures.DAILY, why=why)
    codes = _affordable(wanted, policy.calls_per_month - _calls_used(vehicle, now), client)
    if not codes:
        why = "This month's calls are used up"
        columns = poll_outcomes.of_own_count(vehicle, now)
        return _asked_nothing(vehicle, columns, until=schedule.next_month(now), why=why)
    time_now = leases.going_on(now)
    try:
        results = read(vehicle, codes, client=client, now=now)
    except ClientError as exc:
        return _failed(vehicle, exc, time_now())
    # A read may take a minute: what follows from it is dated when it is known.
    now = time_now()
    try:
        return _store(identify(vehicle, results, now), results, client.cost(codes), policy, now)
    except Exception as exc:
        # What cannot be stored was paid for: without a pause it would be asked for all day.
        logger.exception("vehicle %s: what it said could not be stored", vehicle.pk)
        return _failed(vehicle, internal(exc), now, cost=client.cost(codes))


def _claim(vehicle_id: int, now: datetime, asked_at: datetime | None) -> Statement[int]:
    lease = {"poll_lease_until": now + leases.LEASE}
    if asked_at is None:
        return _DUE.update(lease, vehicle=vehicle_id, now=now)
    # Two people who say "read all now" at once mean one reading.
    return _ASKED_FOR.update(lease, vehicle=vehicle_id, now=now, asked_at=asked_at)


def _with_habit(vehicles: QuerySet[Vehicle]) -> QuerySet[Vehicle]:
    habit = Make.objects.filter(name=Upper(OuterRef("make"))).values("refresh_minutes")[:1]
    return vehicles.annotate(habit=Subquery(habit))


def _wanted_of_new(vehicle: Vehicle, now: datetime) -> list[str]:
    """What rules want and the car may give, when they have not looked at it yet."""
    known = {signal.code: signal for signal in vehicle.signals.all()}
    if any(signal.is_wanted for signal in known.values()):
        return []
    wanted = registry.wanted_signals()
    asked = [code for code in wanted if _may_ask(known.get(code), now)]
    return sorted(asked, key=lambda code: (-wanted[code], code))


def _affordable(codes: list[str], calls_left: int, client: ReadClient) -> list[str]:
    """As many of the codes as this month's calls allow, the most urgent first."""
    while codes and client.cost(codes) > calls_left:
        codes = codes[:-1]
    return codes


def _may_ask(signal: Signal | None, now: datetime) -> bool:
    return signal is None or signal.recheck_at is None or signal.recheck_at <= now


def _paid(vehicle: Vehicle, cost: int, now: datetime) -> dict[str, Any]:
    used = _calls_used(vehicle, now) + cost
    return {"calls_month": schedule.month_of(now).date(), "calls_used": used}


def _calls_used(vehicle: Vehicle, now: datetime) -> int:
    return vehicle.calls_used if vehicle.calls_month == schedule.month_of(now).date() else 0


def identify(vehicle: Vehicle, results: Results, now: datetime) -> Vehicle:
    """Write what the results say of the car itself; returns the vehicle that it turned out to be.

    The VIN is asked for again next time when it did not come.
    """
    said = {
        r.code: storable(r.body)
        for r in results
        if isinstance(r, SignalReading) and r.code in IDENTITY
    }
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
    worst = None if came_from_the_car(results) else poll_failures.worst(errors)
    columns: dict[str, Any] = {
        "poll_lease_until": None,
        "last_polled_at": now,
        **_paid(vehicle, cost, now),
    }
    if worst is None:
        poll_failures.hear_items(errors, now)
        columns |= {
            "last_read_at": now,
            "poll_failures": 0,
            "last_error": "",
            **poll_outcomes.of_items(vehicle, errors, now),
            "not_before": poll_failures.told_to_wait(errors, now),
            "next_poll_at": _next_poll(vehicle, policy, columns["calls_used"], cost, now),
        }
    else:
        columns |= poll_failures.consequences(vehicle, worst, now)
    ingested = ingest(vehicle, results, source=Reading.Source.POLL, now=now, columns=columns)
    if worst is None:
        return Polled(vehicle.pk, ingested)
    return Polled(vehicle.pk, ingested, outcome=worst.outcome, error=str(worst))


def _next_poll(
    vehicle: Vehicle, policy: PollPolicy, calls_used: int, cost: int, now: datetime
) -> datetime:
    """A car that reports by itself is polled as seldom as its webhook allows."""
    habit = _habit(vehicle)
    reports = schedule.safety_net(
        last_webhook_at=vehicle.last_webhook_at, last_read_at=now, habit=habit, now=now
    )
    left = policy.calls_per_month - calls_used
    return reports or now + schedule.poll_interval(calls_left=left, cost=cost, habit=habit, now=now)


def _habit(vehicle: Vehicle) -> timedelta:
    minutes: int | None = getattr(vehicle, "habit", None)
    return timedelta(minutes=minutes) if minutes else DEFAULT_HABIT


def _failed(vehicle: Vehicle, exc: ClientError, now: datetime, cost: int = 0) -> Polled:
    columns = {"poll_lease_until": None, "last_polled_at": now, **_paid(vehicle, cost, now)}
    if exc.type == gates.OURS:
        columns = {"poll_lease_until": None}  # nothing was asked: the car stays due
    Vehicle.objects.filter(pk=vehicle.pk).update(
        **columns | poll_failures.consequences(vehicle, exc, now)
    )
    logger.warning("vehicle %s: %s", vehicle.pk, exc)
    return Polled(vehicle.pk, Ingested(), outcome=exc.outcome, error=str(exc))


def _asked_nothing(
    vehicle: Vehicle, columns: dict[str, Any], *, until: datetime, why: str
) -> Polled:
    columns = {"poll_lease_until": None, "next_poll_at": until, "last_error": why, **columns}
    Vehicle.objects.filter(pk=vehicle.pk).update(**columns)
    return Polled(vehicle.pk, Ingested(), outcome=Outcome.QUOTA, error=why)
