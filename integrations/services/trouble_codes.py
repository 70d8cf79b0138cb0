"""When each of a car's trouble codes was first and last seen, and when it was gone."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q

from integrations.clients.readings import TROUBLE_CODES
from integrations.models import Reading, Signal, TroubleCode, Vehicle

_List = tuple[datetime, set[str]]  # when the car recorded it, and what was in it


def present(signal: Signal | None) -> set[str]:
    """The codes that the car's list of trouble codes names; none when it was never read."""
    return _codes(signal.data) if signal is not None else set()


def _codes(data: Any) -> set[str]:
    return {item["code"] for item in data["values"]} if isinstance(data, dict) else set()


def track(vehicle: Vehicle, *, before: set[str], signal: Signal) -> None:
    """Bring the history in line with the list as it is now; `before` are the codes until now."""
    at, now_present = signal.recorded_at, present(signal)
    if at is None or not (before or now_present):
        return
    active = vehicle.trouble_codes.filter(cleared_at__isnull=True)
    if stayed := before & now_present:
        active.filter(code__in=stayed).update(last_seen_at=at)
    if gone := before - now_present:
        active.filter(code__in=gone).update(cleared_at=at)
    if came := now_present - before:
        counts = _appearances(vehicle, Q(code__in=came))
        TroubleCode.objects.bulk_create(
            (
                TroubleCode(
                    vehicle=vehicle,
                    code=code,
                    first_seen_at=at,
                    last_seen_at=at,
                    count=counts.get(code, 0) + 1,
                )
                for code in sorted(came)
            ),
            ignore_conflicts=True,
        )


def put_in_order(vehicle: Vehicle, *, since: datetime, signal: Signal) -> None:
    """Write the history since then anew: a list came late, or a list was corrected.

    The same rows remain as if every list had come in its time. Safe to repeat.
    """
    lists = _lists(vehicle, since, signal)
    if not lists:
        return
    start = lists[0][0]
    touched = vehicle.trouble_codes.filter(Q(cleared_at__isnull=True) | Q(cleared_at__gt=start))
    rows = list(touched)
    begun = [_as_it_began(row, start) for row in rows if row.first_seen_at < start]
    counts = _appearances(vehicle, ~Q(pk__in=[row.pk for row in rows]))
    counts |= {row.code: row.count for row in begun}
    touched.delete()
    TroubleCode.objects.bulk_create(_replay(vehicle, lists, begun, counts))


def _lists(vehicle: Vehicle, since: datetime, signal: Signal) -> list[_List]:
    """In the order of the car's clock, from the last one before `since` on.

    Of one instant the last word counts, and the state is the last one, whatever was kept.
    """
    if signal.recorded_at is None:
        return []
    kept = Reading.objects.filter(
        vehicle=vehicle, code=TROUBLE_CODES, quality=Reading.Quality.CLEAN
    )
    before = kept.filter(recorded_at__lt=since).aggregate(at=Max("recorded_at"))["at"]
    rows = kept.filter(recorded_at__gte=before or since)
    rows = rows.order_by("recorded_at", "fetched_at", "event_id")
    words = {at: _codes(data) for at, data in rows.values_list("recorded_at", "data")}
    words[signal.recorded_at] = present(signal)
    return sorted(words.items())


def _as_it_began(row: TroubleCode, start: datetime) -> TroubleCode:
    """The row as it was when the first of the lists came."""
    last = row.last_seen_at if row.last_seen_at < start else row.first_seen_at
    return TroubleCode(
        vehicle_id=row.vehicle_id,
        code=row.code,
        first_seen_at=row.first_seen_at,
        last_seen_at=last,
        count=row.count,
    )


def _replay(
    vehicle: Vehicle, lists: Iterable[_List], begun: Iterable[TroubleCode], counts: dict[str, int]
) -> list[TroubleCode]:
    active, over = {row.code: row for row in begun}, []
    for at, codes in lists:
        for code in active.keys() - codes:
            gone = active.pop(code)
            gone.cleared_at = at
            over.append(gone)
        for code in sorted(codes):
            if code not in active:
                counts[code] = counts.get(code, 0) + 1
                active[code] = TroubleCode(
                    vehicle=vehicle, code=code, first_seen_at=at, count=counts[code]
                )
            active[code].last_seen_at = at
    return [*over, *active.values()]


def _appearances(vehicle: Vehicle, which: Q) -> dict[str, int]:
    """By code, how often it had appeared. Rows of before they were counted say 1 each."""
    rows = vehicle.trouble_codes.filter(which).order_by().values_list("code")
    found = rows.annotate(Max("count"), Count("pk"))
    return {code: max(counted, known) for code, counted, known in found}
