"""Works off what Fleetio said by itself: it only says which record to look at.

Events come late, twice and in any order, so what they tell of a record is not believed: the record
is asked for. While Fleetio does not answer, or calls are paused, they wait and nothing is lost.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q, QuerySet

from integrations import registry
from integrations.clients import fleetio_webhooks
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio_webhooks import FleetioEvent
from integrations.models import WebhookEvent, WebhookProvider
from integrations.registry import EventHandler, Heard
from integrations.services import gates, leases

logger = logging.getLogger(__name__)

State = WebhookEvent.State
AT_ONCE = 500
RETRY = timedelta(minutes=1)
GIVEN_UP = timedelta(days=1)


@dataclass(slots=True)
class Counts:
    """What one run came to."""

    processed: int = 0
    ignored: int = 0
    failed: int = 0
    waiting: int = 0
    stopped: str = ""


@dataclass(slots=True)
class _Group:
    """The waiting events about one record, oldest first, and who knows what to do."""

    handler: EventHandler | None
    event: FleetioEvent
    pks: list[int]


def process_due(
    *,
    now: datetime,
    limit: int | None = AT_ONCE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counts:
    """Work off what waits, oldest first, each record once."""
    counts, time_now = Counts(), leases.going_on(now)
    groups = _groups(list(_free(now).order_by("received_at", "pk")[:limit]))
    for done, group in enumerate(groups, start=1):
        if group.handler and (gate := gates.paused(gates.FLEETIO, now=time_now())):
            counts.stopped = f"fleetio is paused: {gate.paused_reason}"
            counts.waiting += len(group.pks)
            continue  # what needs no call need not wait
        try:
            _process(group, counts, time_now())
        except (OperationalError, InterfaceError) as exc:
            if not connection.is_usable():
                raise
            logger.warning("webhook events wait: %s", type(exc).__name__)
            counts.waiting += len(group.pks)
        progress(done, len(groups))
    return counts


def _free(now: datetime) -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(
        Q(lease_until__isnull=True) | Q(lease_until__lte=now),
        provider=WebhookProvider.FLEETIO,
        state=State.RECEIVED,
    )


def _groups(rows: Sequence[WebhookEvent]) -> list[_Group]:
    """Events about one record together; an import is a record of its own."""
    groups: dict[tuple[Any, ...], _Group] = {}
    for row in rows:
        event = fleetio_webhooks.parse(row.body.encode())
        handler = registry.event_handler(event.event)
        key = (handler, event.record_id) if handler else (None, row.pk)
        if key in groups:
            groups[key].event = event
            groups[key].pks.append(row.pk)
        else:
            groups[key] = _Group(handler, event, [row.pk])
    return list(groups.values())


def _process(group: _Group, counts: Counts, now: datetime) -> None:
    until = now + leases.LEASE
    mine = [pk for pk in group.pks if _free(now).filter(pk=pk).update(lease_until=until)]
    if not mine:
        return  # somebody else has them
    rows = WebhookEvent.objects.filter(pk__in=mine, state=State.RECEIVED)
    with leases.kept(rows, "lease_until", until=until):
        heard = _hear(group, rows, counts, now)
    if heard is None:
        return
    state = State.PROCESSED if heard.matters else State.IGNORED
    done = _finish(rows, state, now, note=heard.note[:255], vehicle=heard.vehicle, error="")
    counts.processed += done if heard.matters else 0
    counts.ignored += 0 if heard.matters else done


def _hear(
    group: _Group, rows: QuerySet[WebhookEvent], counts: Counts, now: datetime
) -> Heard | None:
    """What the record came to; None when the events wait, or failed."""
    if group.handler is None:
        return Heard(f"{group.event.event}: nothing depends on it", matters=False)
    try:
        return group.handler(group.event, now=now)
    except ClientError as exc:
        _could_not_ask(rows, exc, counts, now)
    except (OperationalError, InterfaceError):
        rows.update(lease_until=None)
        raise
    except Exception as exc:
        logger.exception("Fleetio's %s failed", group.event.event)
        error = f"{type(exc).__name__}: {exc}"[:500]
        counts.failed += _finish(rows, State.FAILED, now, error=error)
    return None


def _could_not_ask(
    rows: QuerySet[WebhookEvent], exc: ClientError, counts: Counts, now: datetime
) -> None:
    """A limit or an outage: they wait. What is refused, or fails for a day, is given up."""
    lost = rows.filter(received_at__lt=now - GIVEN_UP)
    if exc.outcome is Outcome.REJECTED:
        lost = rows
    if exc.outcome not in {Outcome.WAIT_ALL, Outcome.STOP}:
        counts.failed += _finish(lost, State.FAILED, now, error=str(exc)[:500])
    counts.waiting += rows.update(lease_until=now + RETRY, note=f"waits: {exc}"[:255])


def _finish(
    rows: QuerySet[WebhookEvent], state: WebhookEvent.State, now: datetime, **columns: Any
) -> int:
    return rows.update(state=state, lease_until=None, processed_at=now, **columns)
