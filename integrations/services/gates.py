"""Rate limits and pauses of the providers, shared by every worker through one row each.

Every call passes here: it is counted, it waits while the provider told us to, and what the
provider says to all of us (wait, or that it refuses our credentials) is heard in this one place.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import CharField, DateTimeField, F, FloatField, Q, QuerySet
from django.db.models.functions import Greatest

from integrations.clients.errors import ClientError, Outcome
from integrations.models import ProviderGate
from integrations.models.prepared import Prepared, given
from integrations.services import activity
from integrations.signals import provider_refused

SMARTCAR = "smartcar"
SMARTCAR_TOKENS = "smartcar tokens"
SMARTCAR_MANAGEMENT = "smartcar management"
FLEETIO = "fleetio"

OURS = "PORTAL_LIMIT"  # the type of an error that the portal itself raised: nothing was called
REFUSED_WAIT = timedelta(minutes=5)  # our own credentials: heals soon after they are mended
PROBE = timedelta(seconds=90)  # for the one call that tries them again
DEFAULT_WAIT = 60.0
LONGEST_WAIT = 86_400.0  # a nonsense Retry-After must not silence a provider for good

# What a failed call says nothing good by about our credentials.
STILL_UNKNOWN = {Outcome.STOP, Outcome.WAIT_ALL, Outcome.RETRY}

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`size` calls at once, refilled by `per_minute`; or that many per clock minute."""

    name: str
    size: float
    per_minute: float
    by_clock_minute: bool = False

    @property
    def interval(self) -> float:
        return 60 / self.per_minute

    def instant(self, now: datetime) -> float:
        seconds = now.timestamp()
        return seconds - seconds % 60 if self.by_clock_minute else seconds


@contextmanager
def counted(limit: Limit, *, clock: Clock, force: bool = False) -> Iterator[None]:
    """Around one call that the limit counts."""
    is_probe = take(limit, now=clock(), force=force)
    with _heard(limit.name, clock, is_probe=is_probe or force):
        yield


@contextmanager
def uncounted(name: str, *, clock: Clock, force: bool = False) -> Iterator[None]:
    """Around one call that no limit counts; a pause holds it back all the same."""
    gate = ProviderGate.objects.filter(name=name).first()
    is_probe = gate is not None and not force and _pass(gate, clock())
    with _heard(name, clock, is_probe=is_probe or force):
        yield


@contextmanager
def _heard(name: str, clock: Clock, *, is_probe: bool) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        hear(name, exc, now=clock())
        if is_probe and exc.outcome not in STILL_UNKNOWN:
            _accepted(name, clock())  # an answer about something else
        raise
    if is_probe:
        _accepted(name, clock())


def hear(name: str, exc: ClientError, *, now: datetime) -> None:
    """Stop or wait when the provider says so to all of us."""
    if exc.outcome is Outcome.STOP:
        refuse(name, reason=str(exc), now=now)
    elif exc.outcome is Outcome.WAIT_ALL:
        wait = timedelta(seconds=min(max(exc.retry_after or DEFAULT_WAIT, 1), LONGEST_WAIT))
        pause(name, until=now + wait, reason=str(exc), now=now)


def take(limit: Limit, *, now: datetime, force: bool = False) -> bool:
    """Take one call, or raise ClientError saying how long to wait.

    `force` counts the call but never refuses it: a driver who is waiting comes first. True when
    the call is the one that tries whether refused credentials are good again.
    """
    if _take(limit, now, force=force):
        return False
    gate, _created = ProviderGate.objects.get_or_create(name=limit.name)
    if _take(limit, now, force=force):  # there was no row yet
        return False
    gate.refresh_from_db()
    if _pass(gate, now):
        return True
    ahead = gate.paid_until - limit.instant(now) - (limit.size - 1) * limit.interval
    wait = 60 - now.timestamp() % 60 if limit.by_clock_minute else max(ahead, 1)
    raise ClientError(
        f"{limit.name}: our own rate limit is reached",
        outcome=Outcome.WAIT_ALL,
        type=OURS,
        retry_after=wait,
    )


def _pass(gate: ProviderGate, now: datetime) -> bool:
    """Raise while calls are paused. True for the one call that may try refused credentials."""
    if gate.paused_until and gate.paused_until > now:
        raise _closed(gate, now)
    if gate.refused_at is None:
        return False
    mine = ProviderGate.objects.filter(pk=gate.pk, paused_until=gate.paused_until)
    if not mine.update(paused_until=now + PROBE):
        gate.refresh_from_db()
        raise _closed(gate, now)
    return True


def _closed(gate: ProviderGate, now: datetime) -> ClientError:
    """While our credentials are refused it is STOP, as the refusal itself was."""
    until = gate.paused_until or now
    return ClientError(
        f"{gate.name}: {gate.paused_reason or 'paused'}",
        outcome=Outcome.STOP if gate.refused_at else Outcome.WAIT_ALL,
        type=OURS,
        retry_after=(until - now).total_seconds(),
    )


def _take(limit: Limit, now: datetime, *, force: bool) -> bool:
    instant = limit.instant(now)
    price: dict[str, Any] = {"instant": instant, "interval": limit.interval}
    if force:
        return _ANY_GATE.update(name=limit.name, **price).run() == 1
    most = instant + (limit.size - 0.5) * limit.interval
    return _OPEN_GATE.update(name=limit.name, now=now, most=most, **price).run() == 1


def _paid() -> dict[str, Any]:
    later = Greatest(F("paid_until"), given("instant", FloatField))
    return {"paid_until": later + given("interval", FloatField)}


_ANY_GATE = Prepared(lambda: ProviderGate.objects.filter(name=given("name", CharField)), _paid)
_OPEN_GATE = Prepared(
    lambda: ProviderGate.objects.filter(
        Q(paused_until__isnull=True) | Q(paused_until__lte=given("now", DateTimeField)),
        name=given("name", CharField),
        refused_at__isnull=True,
        paid_until__lt=given("most", FloatField),
    ),
    _paid,
)


def pause(name: str, *, until: datetime, reason: str, now: datetime) -> None:
    """Stop all calls to a provider until then. A longer pause that stands already is kept."""
    if _pause(name, until=until, reason=reason):
        activity.record(f"Calls to {name} paused: {reason}", now=now)


def _pause(name: str, *, until: datetime, reason: str) -> bool:
    ProviderGate.objects.get_or_create(name=name)
    return (
        ProviderGate.objects.filter(name=name)
        .filter(Q(paused_until__isnull=True) | Q(paused_until__lt=until))
        .update(paused_until=until, paused_reason=reason[:255])
        == 1
    )


def refuse(name: str, *, reason: str, now: datetime) -> None:
    """The provider refuses our credentials or our account: pause, and tell staff, once.

    It is tried again every few minutes, so that it heals soon after somebody mended it.
    """
    _pause(name, until=now + REFUSED_WAIT, reason=reason)
    with transaction.atomic():  # a refusal that nobody was told of is told of the next time
        first = ProviderGate.objects.filter(name=name, refused_at__isnull=True)
        if first.update(refused_at=now):
            activity.record(f"{name} refuses our credentials: {reason}", now=now)
            provider_refused.send(sender=ProviderGate, name=name, reason=reason, now=now)


def _accepted(name: str, now: datetime) -> None:
    """Credentials that were refused are good again."""
    if _open(ProviderGate.objects.filter(name=name, refused_at__isnull=False)):
        activity.record(f"{name} accepts our credentials again", now=now)


def resume(name: str, *, now: datetime) -> bool:
    """Allow calls again, because a person says so. True when they were paused."""
    gate = ProviderGate.objects.filter(name=name)
    return _open(gate.filter(Q(paused_until__gt=now) | Q(refused_at__isnull=False)))


def _open(gates: QuerySet[ProviderGate]) -> bool:
    return gates.update(paused_until=None, paused_reason="", refused_at=None) > 0


def paused(name: str, *, now: datetime) -> ProviderGate | None:
    """The provider's row while calls to it are paused."""
    return ProviderGate.objects.filter(name=name, paused_until__gt=now).first()


def is_paused(name: str, *, now: datetime) -> bool:
    return paused(name, now=now) is not None
