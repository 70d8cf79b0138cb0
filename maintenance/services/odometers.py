"""What a car's odometer showed on a day or at a moment, by its clean readings around it."""

from datetime import date, datetime, time, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from integrations.clients.readings import ODOMETER
from integrations.models import Reading, Vehicle

BETWEEN = timedelta(days=14)  # readings on both sides that far away say what lies between
BESIDE = timedelta(days=2)  # with readings on one side only

_Shown = tuple[datetime, float]


def odometer_on(vehicle: Vehicle, day: date) -> float | None:
    """What it showed at noon of a local day, in km; None when nobody can tell."""
    noon = timezone.make_aware(datetime.combine(day, time(12)))
    return odometer_at(vehicle, noon)


def odometer_at(vehicle: Vehicle, moment: datetime) -> float | None:
    """What it showed at that moment, in km; None when nobody can tell.

    A reading of the same local day; else the line between the readings before and after, when
    both are at most 14 days away; else the nearest one of two days.
    """
    clean = Reading.objects.filter(
        vehicle=vehicle, code=ODOMETER, quality=Reading.Quality.CLEAN, value__isnull=False
    )
    before = _first(
        clean.filter(recorded_at__lte=moment, recorded_at__gte=moment - BETWEEN), "-recorded_at"
    )
    after = _first(
        clean.filter(recorded_at__gt=moment, recorded_at__lte=moment + BETWEEN), "recorded_at"
    )
    sides = [side for side in (before, after) if side is not None]
    if not sides:
        return None
    at, km = min(sides, key=lambda side: abs(side[0] - moment))
    if timezone.localdate(at) == timezone.localdate(moment):
        return km
    if before and after and after[1] >= before[1]:
        share = (moment - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1])
    return km if abs(at - moment) <= BESIDE else None


def _first(rows: QuerySet[Reading], order: str) -> _Shown | None:
    found = rows.order_by(order, "-fetched_at", "-event_id").values_list("recorded_at", "value")
    at_km = found.first()
    return (at_km[0], at_km[1]) if at_km and at_km[1] is not None else None
