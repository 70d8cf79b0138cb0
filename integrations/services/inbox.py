"""What Smartcar says by itself, kept before it is answered; `webhooks` works it off.

A genuine delivery costs a single insert. A forged one costs an HMAC for each token; of no more than
4 KB, a look at whether it is VERIFY; and once a minute, a note that it was refused.
https://smartcar.com/docs/integrations/webhooks/best-practices/security
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import Error, InterfaceError, OperationalError, connection
from django.db.models import Q

from integrations.clients import smartcar_webhooks
from integrations.clients.smartcar_webhooks import Event, NotAnEventError
from integrations.models import WebhookEndpoint, WebhookEvent, WebhookProvider
from integrations.models.prepared import insert
from integrations.services import webhook_setup

logger = logging.getLogger(__name__)

SMARTCAR = WebhookProvider.SMARTCAR
State = WebhookEvent.State
Verify = WebhookEndpoint.Verify

LONGEST_VERIFY = 4 * 1024  # bytes of an unsigned body that is looked at
TOO_OLD = timedelta(days=7)
TOO_OLD_NOTE = "older than 7 days"
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Smartcar is told; `challenge` is the proof that VERIFY asks for."""

    status: int
    challenge: str = ""


@dataclass(slots=True)
class Row:
    """What becomes a WebhookEvent. The model itself takes longer to make than to store."""

    event_id: str
    kind: str
    body: str
    smartcar_id: str
    occurred_at: datetime | None
    received_at: datetime
    processed_at: datetime | None = None
    state: str = State.RECEIVED.value
    note: str = ""
    provider: str = SMARTCAR.value
    error: str = ""


_COLUMNS = tuple(column.name for column in fields(Row))


def receive(body: bytes, *, signature: str | None, tokens: Sequence[str], now: datetime) -> Answer:
    """Keep one delivery, once however often it comes. Raises what the database raises."""
    signed_with = [t for t in tokens if smartcar_webhooks.is_genuine(body, signature, [t])]
    is_genuine = bool(signed_with)
    # Smartcar's check of the address comes with a signature, or without one.
    event = _read(body) if is_genuine or len(body) <= LONGEST_VERIFY else None
    if event is not None and event.is_verify:
        return _verify(event, is_genuine, signed_with or tokens, now)
    if not is_genuine:
        refuse(webhook_setup.BAD_SIGNATURE if tokens else webhook_setup.NO_TOKEN, now=now)
        return Answer(401)
    if event is None:
        return Answer(400)
    keep(_row(event, body.decode(), now))
    return Answer(200)


def _read(body: bytes) -> Event | None:
    try:
        return smartcar_webhooks.parse(body)
    except NotAnEventError:
        return None


def _row(event: Event, body: str, now: datetime) -> Row:
    row = Row(
        event_id=event.event_id,  # of 80 characters at most, as wide as its columns
        kind=event.kind,
        body=body,
        smartcar_id=event.smartcar_id,
        occurred_at=event.occurred_at,
        received_at=now,
    )
    if event.sent_at is not None and event.sent_at < now - TOO_OLD:
        row.state, row.note, row.processed_at = State.IGNORED.value, TOO_OLD_NOTE, now
    return row


def keep(row: Row) -> None:
    """Store an event once, however often it comes.

    One round trip: whether a kept connection still lives is not asked beforehand.

    One that does not is replaced, and the insert is repeated: the row comes once all the same.
    """
    is_kept = connection.connection is not None and not connection.in_atomic_block
    connection.health_check_done = True  # type: ignore[attr-defined]
    statement = insert(WebhookEvent, [row], _COLUMNS)
    try:
        statement.run()
    except (OperationalError, InterfaceError):
        if not is_kept:
            raise
        connection.close()
        statement.run()


# --- Smartcar's check of the address ----------------------------------------------------------


def _verify(event: Event, is_genuine: bool, tokens: Sequence[str], now: datetime) -> Answer:
    """Answered only while an admin wants it: it signs a text of the asker's choice.

    With the token that Smartcar signed it with, if it did; else with the newest.
    https://smartcar.com/docs/integrations/webhooks/callback-verification
    """
    row = webhook_setup.endpoint()
    if not tokens:
        outcome = Verify.NO_TOKEN
    elif row.window_until is None or row.window_until <= now:
        outcome = Verify.CLOSED
    elif not smartcar_webhooks.is_plausible(event.challenge):
        outcome = Verify.IMPLAUSIBLE
    else:
        outcome = Verify.ANSWERED
    _remember_verify(row, outcome, now)
    if outcome is not Verify.ANSWERED:
        return Answer(400 if is_genuine else 401)
    return Answer(200, smartcar_webhooks.sign(tokens[0], str(event.challenge).encode()))


def _remember_verify(row: WebhookEndpoint, outcome: Verify, now: datetime) -> None:
    """The same outcome once a minute, so that who asks without end makes us write little."""
    if (
        row.verify_outcome == outcome
        and row.verify_seen_at is not None
        and row.verify_seen_at > now - MINUTE
    ):
        return
    seen: dict[str, Any] = {"verify_seen_at": now, "verify_outcome": outcome}
    if outcome is Verify.ANSWERED:
        seen["verified_at"] = now
    WebhookEndpoint.objects.filter(pk=row.pk).update(**seen)


# --- Refusals ---------------------------------------------------------------------------------


def refuse(why: str, *, now: datetime, provider: WebhookProvider = SMARTCAR) -> None:
    """Remember that a delivery was refused: once a minute, whatever is thrown at us."""
    if not once_a_minute(f"refused:{provider}"):
        return
    logger.warning("a webhook delivery of %s was refused: %s", provider.label, why)
    try:
        rows = WebhookEndpoint.objects.filter(pk=webhook_setup.endpoint(provider).pk)
        rows.filter(Q(refused_at__isnull=True) | Q(refused_at__lte=now - MINUTE)).update(
            refused_at=now, refused_why=why
        )
    except Error as exc:  # it is refused all the same
        logger.warning("the refusal could not be written down: %s", type(exc).__name__)


def once_a_minute(what: str) -> bool:
    """True the first time in this process within a minute."""
    return cache.add(f"webhook:{what}", True, timeout=int(MINUTE.total_seconds()))
