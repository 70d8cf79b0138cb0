"""Outgoing work as rows: written in the transaction that decided it, visible, cancelled, retried.

`delivery` sends it.
"""

from datetime import datetime
from typing import Any, cast

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import CharField, Model, QuerySet

from integrations import registry
from integrations.models import OutboxEntry, Vehicle
from integrations.models.prepared import Prepared, given, insert, together
from integrations.services import activity

State = OutboxEntry.State
_COLUMNS = tuple(f.attname for f in OutboxEntry._meta.concrete_fields if not f.primary_key)
_OF_KEY = Prepared(
    lambda: OutboxEntry.objects.filter(dedupe_key=given("key", CharField)).order_by()
)
UNFINISHED = (State.PENDING, State.SENDING, State.UNKNOWN)


def enqueue(
    kind: str,
    *,
    dedupe_key: str,
    payload: dict[str, Any],
    now: datetime,
    about: Model | None = None,
    vehicle: Vehicle | None = None,
    due_at: datetime | None = None,
    bundle: str = "",
) -> OutboxEntry:
    """Write one effect. The same key means the same effect: it is written once.

    Rows of one `bundle` may go out together, when their kind is sent so.
    """
    fields: dict[str, Any] = {}
    if about is not None:
        fields = {
            "content_type": ContentType.objects.get_for_model(about),
            "object_id": about.pk,
        }
    new = OutboxEntry(
        dedupe_key=dedupe_key,
        kind=kind,
        lane=registry.kind(kind).lane,
        payload=payload,
        bundle=bundle,
        vehicle=vehicle,
        next_attempt_at=due_at or now,
        created_at=now,
        **fields,
    )
    _written, (entry,) = together(
        insert(OutboxEntry, [new], _COLUMNS), _OF_KEY.rows(key=dedupe_key)
    )
    return cast(OutboxEntry, entry)


def entries_about(about: Model) -> QuerySet[OutboxEntry]:
    return OutboxEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(about), object_id=about.pk
    )


def count(*, about: Model) -> int:
    return entries_about(about).count()


def cancel(
    entries: QuerySet[OutboxEntry], *, reason: str, now: datetime, failed_too: bool = False
) -> int:
    """Cancel what has not been tried yet; with `failed_too` also what was, and surely did not
    arrive. What is on its way or unclear goes on to its end.
    """
    waiting = entries.filter(state=State.PENDING)  # what may have arrived is unknown
    if not failed_too:
        waiting = waiting.filter(started_at__isnull=True)
    return waiting.update(state=State.CANCELLED, last_error=reason[:255], finished_at=now)


def note(entry: OutboxEntry, **known: Any) -> None:
    """Remember what the attempt is about to do, or did: the next one has to know."""
    if entry.payload | known != entry.payload:
        entry.payload |= known
        OutboxEntry.objects.filter(pk=entry.pk).update(payload=entry.payload)


@transaction.atomic
def retry(entry: OutboxEntry, *, now: datetime, user: Any = None) -> bool:
    """Give a row that was given up, or waits, another chance now; a person asked for it.

    What went out together goes again together.
    """
    if entry.parcel:
        others = OutboxEntry.objects.filter(parcel=entry.parcel, lane=entry.lane)
        changed = sum(_retry(row, now) for row in others)
    else:
        changed = _retry(entry, now)
    if changed:
        activity.record(f"Try again: {entry}", now=now, about=entry, user=user)
    return bool(changed)


def _retry(entry: OutboxEntry, now: datetime) -> int:
    changed = OutboxEntry.objects.filter(
        pk=entry.pk, state__in=[State.DEAD, State.PENDING, State.UNKNOWN]
    ).update(next_attempt_at=now, finished_at=None)
    OutboxEntry.objects.filter(pk=entry.pk, state=State.DEAD).update(
        # It may have arrived before it was given up: look before sending.
        state=State.UNKNOWN if entry.started_at else State.PENDING,
        attempts=0,
    )
    return changed
