"""What goes out together: rows of one bundle become parcels, and a worker claims one.

A parcel is what one attempt sends. Its rows carry its name from the moment they are claimed; what
is unclear goes out again as exactly that parcel, so that it is recognised as the same.
"""

import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from integrations import registry
from integrations.models import OutboxEntry

logger = logging.getLogger(__name__)

State = OutboxEntry.State
# A storm is let pass before it is told, but nobody waits longer than this. What is much comes in
# waves: beat wakes those who find it out once a minute.
GATHER = timedelta(seconds=20)
MUCH, GATHER_MUCH = 10, timedelta(seconds=75)
GATHER_MOST = timedelta(minutes=5)


class _Row(NamedTuple):
    pk: int
    kind: str
    bundle: str
    parcel: str
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Lot:
    """Due rows that belong together: one row, the waiting ones of a bundle, an unclear parcel."""

    kind: str
    pks: tuple[int, ...]
    is_bundle: bool = False
    parcel: str = ""
    unclear: bool = False


def due(lane: str, *, now: datetime, gather: timedelta | None) -> list[Lot]:
    """What may be tried now. In turns of the kinds, so that ten thousand of one kind never starve
    another; the oldest first.
    """
    rows = OutboxEntry.objects.filter(lane=lane).due(now).order_by("next_attempt_at", "pk")
    belonging: dict[tuple[Any, ...], list[_Row]] = {}
    for values in rows.values_list(*_Row._fields):
        row = _Row(*values)
        belonging.setdefault(_together(row), []).append(row)
    return _in_turns(
        lot
        for together in belonging.values()
        if gather is None or not _is_gathering(together, now, gather)
        for lot in _lots(together)
    )


def _together(row: _Row) -> tuple[Any, ...]:
    """The same for rows that may go out together."""
    if not _is_bundled(row):
        return (row.pk,)
    handler = registry.kind(row.kind).bundle_handler
    return row.bundle, handler, row.parcel, row.state != State.PENDING


def _is_bundled(row: _Row) -> bool:
    kind = registry.kinds().get(row.kind)  # a kind that is gone fails when it is tried
    return bool(row.bundle and kind and kind.bundle_handler)


def _is_gathering(rows: Sequence[_Row], now: datetime, gather: timedelta) -> bool:
    """Whether more may still come to a bundle that nobody has tried to send."""
    first = rows[0]
    if not _is_bundled(first) or first.parcel or first.state != State.PENDING:
        return False
    written = [row.created_at for row in rows]
    wait = gather if len(rows) <= MUCH else max(gather, GATHER_MUCH)
    return max(written) > now - wait and min(written) > now - GATHER_MOST


def _lots(rows: Sequence[_Row]) -> list[Lot]:
    first = rows[0]
    is_bundle = _is_bundled(first)
    most = registry.kind(first.kind).most if is_bundle and not first.parcel else len(rows)
    return [
        Lot(
            kind=first.kind,
            pks=tuple(row.pk for row in rows[start : start + most]),
            is_bundle=is_bundle,
            parcel=first.parcel if is_bundle else "",
            unclear=first.state != State.PENDING,
        )
        for start in range(0, len(rows), most)
    ]


def _in_turns(lots: Iterable[Lot]) -> list[Lot]:
    place: dict[str, int] = {}
    ranked = []
    for number, lot in enumerate(lots):
        place[lot.kind] = place.get(lot.kind, 0) + 1
        ranked.append((place[lot.kind], lot.kind, number, lot))
    return [lot for _place, _kind, _number, lot in sorted(ranked, key=lambda one: one[:3])]


def split(lot: Lot, *, now: datetime) -> list[Lot]:
    """The parcels that a lot becomes, as its kind wants them."""
    if not lot.is_bundle or lot.parcel or lot.unclear:
        return [lot]
    how = registry.kind(lot.kind).split
    if how is None:
        return [lot]
    rows = OutboxEntry.objects.due(now).filter(pk__in=lot.pks).select_related("vehicle")
    entries = list(rows.order_by("created_at", "pk"))
    if not entries:  # somebody else has taken them meanwhile
        return []
    try:
        parts = how(entries, now=now)
    except Exception:
        # A fault of ours must not keep anything from being sent.
        logger.exception("bundle of %s", lot.kind)
        return [lot]
    return [replace(lot, pks=tuple(entry.pk for entry in part)) for part in parts if part]


def claim(lot: Lot, *, until: datetime, now: datetime) -> list[OutboxEntry]:
    """Take the rows of a lot that are still to be had, under a lease; none when others have them.

    The flag `unclear` of the lot is true of every row that comes back.
    """
    with transaction.atomic():
        if lot.is_bundle and not _is_first(lot):
            return []
        free = list(
            OutboxEntry.objects.select_for_update(skip_locked=True)
            .due(now)
            .filter(_as_listed(lot), pk__in=lot.pks)
            .order_by("created_at", "pk")
        )
        if not free:
            return []
        parcel = lot.parcel or (uuid.uuid4().hex if lot.is_bundle else "")
        taken = (
            OutboxEntry.objects.due(now)
            .filter(_as_listed(lot), pk__in=[entry.pk for entry in free])
            .update(
                state=State.SENDING,
                attempts=F("attempts") + 1,
                lease_until=until,
                started_at=Coalesce("started_at", now),
                parcel=parcel,
            )
        )
        if taken != len(free):  # somebody was faster, where rows cannot be locked
            transaction.set_rollback(taken > 0)
            return []
    for entry in free:
        entry.state, entry.lease_until, entry.parcel = State.SENDING, until, parcel
        entry.attempts += 1
        entry.started_at = entry.started_at or now
    return free


def _is_first(lot: Lot) -> bool:
    """Hold the lot's oldest row. Who takes row after row beside somebody else gets one half, and
    the other half becomes a message of its own.
    """
    oldest = OutboxEntry.objects.select_for_update(skip_locked=True).filter(pk=min(lot.pks))
    return bool(oldest.values_list("pk", flat=True))


def _as_listed(lot: Lot) -> Q:
    """Still as it was when the lot was listed: others may have sent it meanwhile, or tried to."""
    state = ~Q(state=State.PENDING) if lot.unclear else Q(state=State.PENDING)
    return state & Q(parcel=lot.parcel) if lot.is_bundle else state
