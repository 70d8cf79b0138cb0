"""Send what the outbox holds, whoever comes first, each effect once.

Rows are claimed by a conditional update and committed as `sending` before the call. When the
answer is lost, or the worker dies, they are unclear: the handler looks in the outside world
before it does anything again. `next_attempt_at` is the only gate besides a live lease.
"""

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case, F, When

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import activity, gates, leases, parcels, schedule
from integrations.services.delivery_failures import as_client_error, explain

logger = logging.getLogger(__name__)

State = OutboxEntry.State
Result = Sent | Postponed | ClientError
# Longer than one attempt (several calls of at most 25 s), and than a list lags behind a create:
# what a dead worker was sending is looked for before it is sent again.
LEASE = timedelta(seconds=90)
SETTLE = timedelta(seconds=45)


@dataclass(slots=True)
class DeliveryCount:
    """What one run of delivering came to."""

    done: int = 0
    waiting: int = 0
    dead: int = 0
    unclear: int = 0
    stopped: str = ""
    refused: bool = False
    tried: Counter[str] = field(default_factory=Counter)  # by lane, as the next one
    unanswered: Counter[str] = field(default_factory=Counter)

    @property
    def unreachable(self) -> bool:
        """Somebody, Fleetio or the mail server, did not answer at all."""
        return any(self.unanswered[lane] == tried for lane, tried in self.tried.items())

    @property
    def attempted(self) -> int:
        return self.tried.total()


def deliver_due(
    *,
    clock: Callable[[], datetime],
    lanes: Iterable[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
    gather: timedelta | None = None,
) -> DeliveryCount:
    """Make one attempt at each row that is due now, and stop at a limiter.

    With `gather` a bundle waits until nothing has joined it for so long.
    """
    total = DeliveryCount()
    for lane in lanes:
        if lane != registry.FLEETIO:
            _deliver_lane(lane, lambda: True, total, clock=clock, progress=progress, gather=gather)
            continue
        # Fleetio has no idempotency key: one sender at a time makes look-then-create safe.
        with leases.only_sender(lane, owner=account_owner(), now=clock()) as lease:
            if lease is None:
                total.stopped = "another worker is sending to Fleetio"
            else:
                _deliver_lane(
                    lane, lease.is_held, total, clock=clock, progress=progress, gather=gather
                )
    return total


def account_owner() -> str:
    """Who holds an account's lease. A host's name may be long; its end tells pods apart."""
    return f"{socket.gethostname()[-32:]}:{os.getpid()}:{threading.get_ident()}"


def _deliver_lane(
    lane: str,
    is_sender: Callable[[], bool],
    total: DeliveryCount,
    *,
    clock: Callable[[], datetime],
    progress: Callable[[int, int], None],
    gather: timedelta | None,
) -> None:
    lots = parcels.due(lane, now=clock(), gather=gather)
    done, rows = 0, sum(len(lot.pks) for lot in lots)
    for lot in lots:
        for parcel in parcels.split(lot, now=clock()):
            now = clock()
            if gate := gates.paused(lane, now=now):
                why = f"{lane} is paused until {gate.paused_until:%H:%M} UTC: {gate.paused_reason}"
                total.stopped, total.refused = why, gate.refused_at is not None
                return
            if not is_sender():
                total.stopped = "another worker took over"
                return
            if not _attempt(parcel, now, total):
                return
        done += len(lot.pks)
        progress(done, rows)


def _attempt(lot: parcels.Lot, now: datetime, total: DeliveryCount) -> bool:
    """One attempt at one parcel; False when the lane has to stop."""
    entries = parcels.claim(lot, until=now + LEASE, now=now)
    if not entries:
        return True
    total.tried[entries[0].lane] += len(entries)
    try:
        with as_client_error(entries[0]):
            results = _call(entries, lot.unclear, now)
    except ClientError as exc:
        results = [exc] * len(entries)
    alike: dict[Result, list[OutboxEntry]] = {}
    for entry, result in zip(entries, results, strict=True):
        alike.setdefault(result, []).append(entry)
    # So that an unclear parcel is never left in halves; rows that fared alike need one statement.
    with transaction.atomic() if len(alike) > 1 else nullcontext():
        goes_on = [
            _write_down(rows, result, lot.unclear, now, total) for result, rows in alike.items()
        ]
    return all(goes_on)


def _call(entries: Sequence[OutboxEntry], unclear: bool, now: datetime) -> Sequence[Result]:
    """Let the kind's handler do it; one result for each row."""
    kind = registry.kind(entries[0].kind)
    results: Sequence[Result] = []
    if kind.bundle_handler:
        results = kind.bundle_handler(entries, unclear=unclear, now=now)
    elif kind.handler:
        results = [kind.handler(entry, unclear=unclear, now=now) for entry in entries]
    if len(results) != len(entries):
        raise ValueError(f"{len(results)} results for {len(entries)} messages")
    return results


def _write_down(
    entries: Sequence[OutboxEntry],
    result: Result,
    unclear: bool,
    now: datetime,
    total: DeliveryCount,
) -> bool:
    """Write how the attempt ended for rows that fared alike. False stops the lane."""
    if isinstance(result, ClientError):
        return _failed(entries, result, unclear, now, total)
    if isinstance(result, Postponed):
        _postpone(entries, result, unclear)
        total.waiting += len(entries)
    else:
        _sent(entries, result, now)
        total.done += len(entries)
    return True


def _postpone(entries: Sequence[OutboxEntry], outcome: Postponed, unclear: bool) -> None:
    columns: dict[str, Any] = {"state": State.UNKNOWN}
    if not unclear:
        columns = {"state": State.PENDING, "started_at": None, "attempts": F("attempts") - 1}
        columns["parcel"] = ""
    _finish(entries, next_attempt_at=outcome.until, last_error=outcome.reason[:255], **columns)


def _sent(entries: Sequence[OutboxEntry], sent: Sent, now: datetime) -> None:
    _finish(entries, state=State.DONE, result=sent.result[:255], last_error="", finished_at=now)


def _finish(entries: Sequence[OutboxEntry], **columns: Any) -> int:
    """Write how the attempt ended; not where somebody else took the row over meanwhile."""
    mine = OutboxEntry.objects.filter(
        pk__in=[entry.pk for entry in entries],
        state=State.SENDING,
        lease_until=entries[0].lease_until,
    )
    return mine.update(lease_until=None, **columns)


def _failed(
    entries: Sequence[OutboxEntry],
    exc: ClientError,
    unclear: bool,
    now: datetime,
    total: DeliveryCount,
) -> bool:
    """Write down how the attempt failed and what happens next. False stops the lane."""
    unclear = unclear or exc.may_have_happened
    text = explain(exc)
    logger.warning("%s (of %d): %s", entries[0], len(entries), text)
    # A parcel that surely did not arrive is none any more: others may join its rows.
    columns: dict[str, Any] = (
        {"state": State.UNKNOWN} if unclear else {"state": State.PENDING, "parcel": ""}
    )
    columns["last_error"] = text
    if exc.outcome in {Outcome.STOP, Outcome.WAIT_ALL}:
        total.refused = exc.outcome is Outcome.STOP
        _wait_for_account(entries, columns, unclear, now)
        total.waiting += len(entries)
        total.stopped = text
        return False
    # What is unclear lives and dies together.
    most = max(entry.attempts for entry in entries)
    allowed = min(registry.most_attempts(entry.kind) for entry in entries)
    dead: list[OutboxEntry] = []
    living: list[OutboxEntry] = []
    for entry in entries:
        is_over = (most if unclear else entry.attempts) >= allowed
        (dead if exc.outcome is Outcome.REJECTED or is_over else living).append(entry)
    _give_up(dead, columns, now)
    total.dead += len(dead)
    if living:
        total.unanswered[living[0].lane] += len(living) if exc.status_code is None else 0
        wait = max(schedule.backoff(most), SETTLE if unclear else timedelta())
        _finish(living, **columns, next_attempt_at=now + wait)
        total.unclear += len(living) if unclear else 0
        total.waiting += 0 if unclear else len(living)
    return True


def _wait_for_account(
    entries: Sequence[OutboxEntry], columns: dict[str, Any], unclear: bool, now: datetime
) -> None:
    """The account waits, so the rows need no time of their own."""
    columns = {**columns, "attempts": F("attempts") - 1, "next_attempt_at": now}
    # Nothing left the house at a first attempt: it may still be cancelled.
    first = Case(When(attempts=1, then=None), default=F("started_at"))
    _finish(entries, **columns, **({} if unclear else {"started_at": first}))


@transaction.atomic
def _give_up(entries: Sequence[OutboxEntry], columns: dict[str, Any], now: datetime) -> None:
    columns = {**columns, "state": State.DEAD, "finished_at": now}
    for entry in entries:
        if _finish([entry], **columns):
            activity.record(
                f"Given up: {entry}. {columns['last_error']}",
                now=now,
                about=entry.about,
                vehicle=entry.vehicle,
            )
