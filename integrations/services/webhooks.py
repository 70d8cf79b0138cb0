"""Works off the inbox: each event once, whoever comes first, killed at whatever moment.

What an event changes, and that it is worked off, are one transaction. Events come in any order
and are taken by the provider's clock; nothing relies on it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from integrations.clients import smartcar_webhooks, smartcar_webhooks_v2
from integrations.clients.smartcar_webhooks import Event
from integrations.models import WebhookEndpoint, WebhookEvent, WebhookProvider
from integrations.services import activity, leases, webhook_errors, webhook_setup, webhook_states
from integrations.services.webhook_cars import State, Worked

logger = logging.getLogger(__name__)

AT_ONCE = 200
KEPT_FOR = timedelta(days=30)
DELETED_AT_ONCE = 1_000
TRIED_AGAIN = 3


class _TakenOverError(Exception):
    """Somebody else worked the event off meanwhile."""


@dataclass(slots=True)
class Counts:
    """What one run came to."""

    processed: int = 0
    ignored: int = 0
    failed: int = 0


def process_due(
    *,
    now: datetime,
    limit: int | None = AT_ONCE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counts:
    """Work off what waits, the oldest first."""
    counts, time_now = Counts(), leases.going_on(now)
    waiting = list(_free(now).order_by(Coalesce("occurred_at", "received_at"), "pk")[:limit])
    for done, pk in enumerate(waiting, start=1):
        try:
            state = process(pk, now=time_now())
        except (OperationalError, InterfaceError) as exc:
            if not connection.is_usable():
                raise
            logger.warning("webhook event %s waits: %s", pk, type(exc).__name__)
            state = None
        counts.processed += state is State.PROCESSED
        counts.ignored += state is State.IGNORED
        counts.failed += state is State.FAILED
        progress(done, len(waiting))
    return counts


def _free(now: datetime) -> QuerySet[WebhookEvent, int]:
    rows = WebhookEvent.objects.filter(
        Q(lease_until__isnull=True) | Q(lease_until__lte=now),
        provider=WebhookProvider.SMARTCAR,
        state=State.RECEIVED,
    )
    return rows.values_list("pk", flat=True)


def process(event_pk: int, *, now: datetime) -> WebhookEvent.State | None:
    """Work off one event; None when it does not wait, or somebody else has it.

    Raises only what says that the database is in trouble: the event goes on waiting then.
    """
    until = now + leases.LEASE
    mine = WebhookEvent.objects.filter(pk=event_pk, state=State.RECEIVED)
    if not _free(now).filter(pk=event_pk).update(lease_until=until):
        return None
    with leases.kept(mine, "lease_until", until=until):
        try:
            return _with_patience(event_pk, now)
        except _TakenOverError:
            return None
        except (OperationalError, InterfaceError):
            raise
        except Exception as exc:
            logger.exception("webhook event %s failed", event_pk)
            error = f"{type(exc).__name__}: {exc}"[:500]
            _finish(event_pk, state=State.FAILED, processed_at=now, error=error)
            return State.FAILED


def _with_patience(event_pk: int, now: datetime) -> WebhookEvent.State:
    """Two who write the same at once end one of them; when he tries again it is there."""
    for _ in range(TRIED_AGAIN):
        try:
            return _work_off(event_pk, now)
        except (IntegrityError, InternalError) as exc:
            logger.warning("webhook event %s is tried again: %s", event_pk, type(exc).__name__)
    return _work_off(event_pk, now)


@transaction.atomic
def _work_off(event_pk: int, now: datetime) -> WebhookEvent.State:
    row = WebhookEvent.objects.get(pk=event_pk)
    event = smartcar_webhooks.parse(row.body.encode())
    worked = _of_kind(event, row, now)
    if not _finish(
        event_pk,
        state=worked.state,
        note=worked.note[:255],
        vehicle=worked.vehicle,
        kind=event.kind,
        processed_at=now,
        error="",
    ):
        raise _TakenOverError
    return worked.state


def _finish(event_pk: int, **columns: Any) -> bool:
    mine = WebhookEvent.objects.filter(pk=event_pk, state=State.RECEIVED)
    return bool(mine.update(lease_until=None, **columns))


def _of_kind(event: Event, row: WebhookEvent, now: datetime) -> Worked:
    if event.is_test:
        endpoint = webhook_setup.endpoint()
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(test_seen_at=now)
        return Worked(State.IGNORED, "test delivery")
    if event.kind == "VEHICLE_STATE" or event.kind in smartcar_webhooks_v2.KINDS:
        return webhook_states.work_off(event, row, now)
    if event.kind == "VEHICLE_ERROR":
        return webhook_errors.work_off(event, row, now)
    if event.kind == "eventBased":
        return Worked(State.IGNORED, f"{_what_happened(event)}: nothing depends on it")
    return Worked(State.IGNORED, f"unknown kind {event.kind}")


def _what_happened(event: Event) -> str:
    payload = event.message.get("payload")
    said = payload.get("eventType") if isinstance(payload, dict) else None
    words = str(said or "an event").replace("_", " ").lower()
    return words if words.isprintable() and len(words) <= 60 else "an event"


@transaction.atomic
def replay(event: WebhookEvent, *, now: datetime, user: User | None) -> bool:
    """Work an event off once more, because a person asks for it; False when it waits already."""
    changed = (
        WebhookEvent.objects.filter(pk=event.pk)
        .exclude(state=State.RECEIVED)
        .update(state=State.RECEIVED, lease_until=None, processed_at=None, note="", error="")
    )
    if changed:
        activity.record(
            f"To be worked off again: {event}",
            now=now,
            about=event,
            vehicle=event.vehicle,
            user=user,
        )
    return bool(changed)


def forget_old(*, now: datetime) -> int:
    """Delete what was worked off a month ago; what failed stays until somebody looks at it."""
    old = WebhookEvent.objects.filter(
        state__in=[State.PROCESSED, State.IGNORED], received_at__lt=now - KEPT_FOR
    ).order_by()
    deleted = 0
    while batch := list(old.values_list("pk", flat=True)[:DELETED_AT_ONCE]):
        deleted += WebhookEvent.objects.filter(pk__in=batch).delete()[0]
    return deleted
