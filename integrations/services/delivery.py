"""Send what the outbox holds, whoever comes first, each effect once.

A row is claimed by a conditional update and committed as `sending` before the call. When the
answer is lost, or the worker dies, the row is unclear: the handler looks in the outside world
before it does anything again. `next_attempt_at` is the only gate besides a live lease.
"""

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from smtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPHeloError,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
)
from typing import Any

from django.db import transaction

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import activity, gates, leases, schedule

logger = logging.getLogger(__name__)

State = OutboxEntry.State
# Longer than one attempt (several calls of at most 25 s), and than a list lags behind a create:
# what a dead worker was sending is looked for before it is sent again.
LEASE = timedelta(seconds=90)
SETTLE = timedelta(seconds=45)
MAX_ATTEMPTS = 20
MAIL_NEVER_SENT = (
    ConnectionRefusedError,
    socket.gaierror,
    SMTPConnectError,
    SMTPHeloError,
    SMTPAuthenticationError,
    SMTPSenderRefused,
)


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
) -> DeliveryCount:
    """Make one attempt at each row that is due now, and stop at a limiter."""
    total = DeliveryCount()
    for lane in lanes:
        if lane != registry.FLEETIO:
            _deliver_lane(lane, lambda: True, clock, progress, total)
            continue
        # Fleetio has no idempotency key: one sender at a time makes look-then-create safe.
        with leases.only_sender(lane, owner=account_owner(), now=clock()) as lease:
            if lease is None:
                total.stopped = "another worker is sending to Fleetio"
            else:
                _deliver_lane(lane, lease.is_held, clock, progress, total)
    return total


def account_owner() -> str:
    """Who holds an account's lease. A host's name may be long; its end tells pods apart."""
    return f"{socket.gethostname()[-32:]}:{os.getpid()}:{threading.get_ident()}"


def _deliver_lane(
    lane: str,
    is_sender: Callable[[], bool],
    clock: Callable[[], datetime],
    progress: Callable[[int, int], None],
    total: DeliveryCount,
) -> None:
    due = list(
        OutboxEntry.objects.filter(lane=lane)
        .due(clock())
        .order_by("next_attempt_at", "pk")
        .values_list("pk", "kind")
    )
    # In turns, so that ten thousand of one kind never starve another.
    for done, pk in enumerate(_in_turns(due), start=1):
        now = clock()
        if gate := gates.paused(lane, now=now):
            why = f"{lane} is paused until {gate.paused_until:%H:%M} UTC: {gate.paused_reason}"
            total.stopped, total.refused = why, gate.refused_at is not None
            return
        if not is_sender():
            total.stopped = "another worker took over"
            return
        if not _attempt(pk, now, total):
            return
        progress(done, len(due))


def _in_turns(rows: list[tuple[int, str]]) -> list[int]:
    place: dict[str, int] = {}
    ranked = []
    for pk, kind in rows:
        place[kind] = place.get(kind, 0) + 1
        ranked.append((place[kind], kind, pk))
    return [pk for _place, _kind, pk in sorted(ranked)]


def _claim(pk: int, now: datetime) -> tuple[OutboxEntry, bool] | None:
    """Take one due row. The flag says whether an earlier attempt may have arrived."""
    entry = OutboxEntry.objects.due(now).filter(pk=pk).first()
    if entry is None:
        return None
    unclear = entry.state != State.PENDING
    taken = OutboxEntry.objects.filter(
        pk=pk, state=entry.state, attempts=entry.attempts, lease_until=entry.lease_until
    ).update(
        state=State.SENDING,
        attempts=entry.attempts + 1,
        lease_until=now + LEASE,
        started_at=entry.started_at or now,
    )
    if not taken:
        return None
    first_start = entry.started_at
    entry.refresh_from_db()
    entry.started_at = first_start or now
    return entry, unclear


def _attempt(pk: int, now: datetime, total: DeliveryCount) -> bool:
    """One attempt at one row; False when the lane has to stop."""
    claimed = _claim(pk, now)
    if claimed is None:
        return True
    entry, unclear = claimed
    total.tried[entry.lane] += 1
    try:
        outcome = _call(entry, unclear, now)
    except ClientError as exc:
        return _failed(entry, exc, unclear, now, total)
    if isinstance(outcome, Postponed):
        _postpone(entry, outcome, unclear)
        total.waiting += 1
    else:
        _sent(entry, outcome, now)
        total.done += 1
    return True


def _call(entry: OutboxEntry, unclear: bool, now: datetime) -> Sent | Postponed:
    """Let the kind's handler do it; every way to fail becomes a ClientError."""
    try:
        return registry.kind(entry.kind).handler(entry, unclear=unclear, now=now)
    except ClientError:
        raise
    except SMTPRecipientsRefused as exc:
        raise ClientError("The address was refused", outcome=Outcome.REJECTED) from exc
    except MAIL_NEVER_SENT as exc:
        text = f"Mail server: {type(exc).__name__}"
        raise ClientError(text, outcome=Outcome.RETRY) from exc
    except (SMTPException, OSError) as exc:
        # After a lost connection the mail may be on its way; it is sent once more, with the
        # same Message-ID.
        text = f"Mail server: {type(exc).__name__}"
        raise ClientError(text, outcome=Outcome.RETRY, may_have_happened=True) from exc
    except Exception as exc:
        # A fault of ours in one message must not keep the others from being sent.
        logger.exception("%s", entry)
        text = f"Internal error: {type(exc).__name__}"
        raise ClientError(text, outcome=Outcome.RETRY, may_have_happened=True) from exc


def _postpone(entry: OutboxEntry, outcome: Postponed, unclear: bool) -> None:
    columns: dict[str, Any] = {"state": State.UNKNOWN}
    if not unclear:
        columns = {"state": State.PENDING, "started_at": None, "attempts": entry.attempts - 1}
    _finish(entry, next_attempt_at=outcome.until, last_error=outcome.reason[:255], **columns)


def _sent(entry: OutboxEntry, sent: Sent, now: datetime) -> None:
    _finish(entry, state=State.DONE, result=sent.result[:255], last_error="", finished_at=now)


def _finish(entry: OutboxEntry, **columns: Any) -> bool:
    """Write how the attempt ended; False when somebody else took the row over meanwhile."""
    mine = OutboxEntry.objects.filter(
        pk=entry.pk, state=State.SENDING, lease_until=entry.lease_until
    )
    return bool(mine.update(lease_until=None, **columns))


def _failed(
    entry: OutboxEntry, exc: ClientError, unclear: bool, now: datetime, total: DeliveryCount
) -> bool:
    """Write down how the attempt failed and what happens next. False stops the lane."""
    unclear = unclear or exc.may_have_happened
    waiting = State.UNKNOWN if unclear else State.PENDING
    text = _explain(exc)
    logger.warning("%s: %s", entry, text)
    if exc.outcome in {Outcome.STOP, Outcome.WAIT_ALL}:
        # The account waits, so the row needs no time of its own.
        total.refused = exc.outcome is Outcome.STOP
        columns: dict[str, Any] = {"attempts": entry.attempts - 1, "next_attempt_at": now}
        if waiting == State.PENDING and entry.attempts == 1:
            columns["started_at"] = None  # nothing left the house: it may still be cancelled
        _finish(entry, state=waiting, last_error=text, **columns)
        total.waiting += 1
        total.stopped = text
        return False
    if exc.outcome is Outcome.REJECTED or entry.attempts >= MAX_ATTEMPTS:
        with transaction.atomic():
            if _finish(entry, state=State.DEAD, last_error=text, finished_at=now):
                activity.record(
                    f"Given up: {entry}. {text}", now=now, about=entry.about, vehicle=entry.vehicle
                )
        total.dead += 1
        return True
    total.unanswered[entry.lane] += exc.status_code is None
    wait = max(schedule.backoff(entry.attempts), SETTLE if unclear else timedelta())
    _finish(entry, state=waiting, last_error=text, next_attempt_at=now + wait)
    total.unclear += unclear
    total.waiting += not unclear
    return True


def _explain(exc: ClientError) -> str:
    """The failure in words, with the field messages of a refusal."""
    fields = "; ".join(
        f"{name}: {', '.join(map(str, texts)) if isinstance(texts, list) else texts}"
        for name, texts in exc.fields.items()
    )
    return f"{exc} ({fields})" if fields else str(exc)
