"""Rate limits, pauses and leases of the providers, shared by every worker through one row."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, Value
from django.db.models.functions import Greatest

from integrations.clients.errors import ClientError, Outcome
from integrations.models import ProviderGate
from integrations.services import activity

SMARTCAR = "smartcar"
FLEETIO = "fleetio"


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


def take(limit: Limit, *, now: datetime, force: bool = False) -> None:
    """Take one call, or raise ClientError saying how long to wait.

    `force` counts the call but never refuses it: a driver who is waiting comes first.
    """
    if _take(limit, now, force=force):
        return
    gate, _created = ProviderGate.objects.get_or_create(name=limit.name)
    if _take(limit, now, force=force):  # there was no row yet
        return
    gate.refresh_from_db()
    if gate.paused_until and gate.paused_until > now:
        wait, why = (gate.paused_until - now).total_seconds(), gate.paused_reason or "paused"
    else:
        ahead = gate.paid_until - limit.instant(now) - (limit.size - 1) * limit.interval
        wait = 60 - now.timestamp() % 60 if limit.by_clock_minute else max(ahead, 1)
        why = "our own rate limit is reached"
    raise ClientError(
        f"{limit.name}: {why}", outcome=Outcome.WAIT_ALL, type="PORTAL_LIMIT", retry_after=wait
    )


def _take(limit: Limit, now: datetime, *, force: bool) -> bool:
    instant = limit.instant(now)
    gate = ProviderGate.objects.filter(name=limit.name)
    if not force:
        gate = gate.filter(
            Q(paused_until__isnull=True) | Q(paused_until__lte=now),
            paid_until__lt=instant + (limit.size - 0.5) * limit.interval,
        )
    moved = Greatest(F("paid_until"), Value(instant)) + Value(limit.interval)
    return gate.update(paid_until=moved) == 1


def pause(name: str, *, until: datetime, reason: str, now: datetime) -> None:
    """Stop all calls to a provider until then. A longer pause that stands already is kept."""
    ProviderGate.objects.get_or_create(name=name)
    paused = (
        ProviderGate.objects.filter(name=name)
        .filter(Q(paused_until__isnull=True) | Q(paused_until__lt=until))
        .update(paused_until=until, paused_reason=reason[:255])
    )
    if paused:
        activity.record(f"Calls to {name} paused: {reason}", now=now)


def resume(name: str) -> bool:
    """Allow calls again. True when they were paused."""
    paused = ProviderGate.objects.filter(name=name, paused_until__isnull=False)
    return paused.update(paused_until=None, paused_reason="") > 0


def acquire_lease(name: str, *, owner: str, seconds: float, now: datetime) -> bool:
    """Become the only sender of an account for a while; the owner renews by asking again."""
    ProviderGate.objects.get_or_create(name=name)
    return (
        ProviderGate.objects.filter(name=name)
        .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now) | Q(lease_owner=owner))
        .update(lease_until=now + timedelta(seconds=seconds), lease_owner=owner)
        == 1
    )


def release_lease(name: str, *, owner: str) -> None:
    ProviderGate.objects.filter(name=name, lease_owner=owner).update(
        lease_until=None, lease_owner=""
    )


def is_paused(name: str, *, now: datetime) -> bool:
    return ProviderGate.objects.filter(name=name, paused_until__gt=now).exists()


def why_paused(name: str) -> str:
    """Until when and why, for people."""
    gate = ProviderGate.objects.get(name=name)
    return f"{name} is paused until {gate.paused_until:%H:%M} UTC: {gate.paused_reason}"
