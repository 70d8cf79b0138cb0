"""When each service of a car will be due, by how it is driven.

Kilometres, percent, local days. A day is never told by the clock of a time zone but counted
from `today`: so many times 24 hours from now are so many days.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from math import inf

from maintenance.engine.facts import ServiceFact
from maintenance.engine.foreseen import Basis, Forecast, History, Why
from maintenance.engine.oil_changes import since_last_rise
from maintenance.engine.one_off import is_done
from maintenance.engine.rules import OilLife, RuleSpec, ServiceInterval
from maintenance.engine.usage import Pace, Said, km_per_day, pace, thinned

__all__ = ["Basis", "Forecast", "History", "Why", "forecasts"]

HORIZON = 3650  # days; what is further away nobody can tell
_HARDLY = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Driving:
    """How the car is driven, as of now."""

    km: float | None
    days_ago: float  # when the odometer showed it
    per_day: Pace | None
    today: date


def forecasts(
    rules: Sequence[RuleSpec], history: History, *, now: datetime, today: date
) -> list[Forecast]:
    """One for each rule that has an interval or is about oil life, in the order of the rules."""
    read_at, km = history.odometer or (now, None)
    driving = _Driving(
        km=km,
        days_ago=max((now - read_at) / timedelta(days=1), 0.0),
        per_day=km_per_day(history.odometers, now),
        today=today,
    )
    found = []
    for spec in rules:
        known = Forecast(rule_id=spec.id, topic=spec.topic)
        match spec.condition:
            case ServiceInterval(is_once=True):
                service = history.services.get(spec.topic)
                found.append(_once(known, spec.condition, service, driving))
            case ServiceInterval():
                service = history.services.get(spec.topic)
                found.append(_interval(known, spec.condition, service, driving))
            case OilLife():
                found.append(_oil_life(known, spec.condition, history, driving, now))
            case _:
                pass
    return found


def _interval(
    known: Forecast, interval: ServiceInterval, service: ServiceFact | None, driving: _Driving
) -> Forecast:
    """The earlier of its two parts, each since the last service."""
    if service is None:
        return replace(known, why=Why.NO_SERVICE)
    if interval.distance_km and service.odometer_km is None:
        known = replace(known, why=Why.NO_SERVICE_ODOMETER)
    elif interval.distance_km and service.odometer_km is not None:
        known = _at_odometer(known, service.odometer_km + interval.distance_km, driving)
    if interval.days:
        known = _or_on(known, service.done_on + timedelta(days=interval.days), driving.today)
    return known


def _once(
    known: Forecast, once: ServiceInterval, service: ServiceFact | None, driving: _Driving
) -> Forecast:
    """The earlier of the odometer and the day that the rule names."""
    if service is not None and is_done(once, service):
        return replace(known, why=Why.DONE)
    if once.due_odometer_km:
        known = _at_odometer(known, once.due_odometer_km, driving)
    return known if once.due_on is None else _or_on(known, once.due_on, driving.today)


def _at_odometer(known: Forecast, due_km: float, driving: _Driving) -> Forecast:
    known = replace(known, due_km=due_km)
    if driving.km is None:
        return replace(known, why=Why.NO_ODOMETER)
    left = due_km - driving.km
    return _by_km(
        replace(known, left_km=left, based_on=Basis.DISTANCE), (left, left, left), driving
    )


def _or_on(known: Forecast, day: date, today: date) -> Forecast:
    """What is known, or that day when it is earlier."""
    if known.due_on is not None and known.due_on <= day:
        return replace(known, late=day if known.late is None else min(known.late, day))
    early = day if known.early is None else min(known.early, day)
    is_due = known.is_due or day <= today
    return replace(known, is_due=is_due, due_on=day, early=early, late=day, based_on=Basis.TIME)


def _by_km(known: Forecast, lefts: tuple[float, float, float], driving: _Driving) -> Forecast:
    """By what is left to drive: at worst, typically, at best."""
    worst, left, best = lefts
    if left <= 0:
        today = driving.today
        return replace(known, is_due=True, due_on=today, early=today, late=today)
    if driving.per_day is None:
        return replace(known, why=Why.FEW_ODOMETERS)
    rate, ago = driving.per_day, driving.days_ago
    due_on = _day(left, rate.typical, ago, driving.today)
    if due_on is None:
        return replace(known, why=Why.NOT_DRIVEN)
    early = _day(worst, rate.fast, ago, driving.today) or due_on
    late = _day(best, rate.slow, ago, driving.today)
    return replace(known, due_on=due_on, early=early, late=late)


def _day(left: float, rate: float, days_ago: float, today: date) -> date | None:
    """The day on which it is used up; not before today, for it was not when last looked at."""
    if rate <= 0 or left / rate > HORIZON:
        return None
    return today + timedelta(days=int(max(left / rate - days_ago, 0.0)))


def _oil_life(
    known: Forecast, condition: OilLife, history: History, driving: _Driving, now: datetime
) -> Forecast:
    """By how oil life falls with the distance since the oil was changed, else with the days."""
    known = replace(known, based_on=Basis.OIL_LIFE)
    if history.oil_life is None:
        return replace(known, why=Why.NO_OIL_LIFE, based_on=None)
    read_at, value = history.oil_life
    if 0 < value < condition.due_below:
        today = driving.today
        return replace(
            known, is_due=True, due_on=today, early=today, late=today, due_km=driving.km, left_km=0
        )
    rows = thinned(since_last_rise(history.oil_lives, condition.clear_jump))
    left = value - condition.due_below
    lefts = _km_left(rows, left, history, read_at)
    if lefts is not None and driving.km is not None:
        known = replace(known, due_km=driving.km + lefts[1], left_km=lefts[1])
        found = _by_km(known, lefts, driving)
        if found.due_on is not None:
            return found
    return _by_days(known, rows, left, now - read_at, driving.today)


def _km_left(
    rows: Sequence[Said], left: float, history: History, read_at: datetime
) -> tuple[float, float, float] | None:
    """Until `left` percent are used up, from the present odometer on: at worst, typically, at best.

    Hardly anything when it should be used up already: as last read it was not.
    """
    at_odometer = [(_odometer_at(history.odometers, at), oil, at) for at, oil in rows]
    rate = pace([(km, -oil, at) for km, oil, at in at_odometer if km is not None])
    if rate is None or rate.typical <= 0 or history.odometer is None:
        return None
    # The odometer may have gone on since the oil was read.
    driven = history.odometer[1] - (_odometer_at(history.odometers, read_at) or history.odometer[1])
    worst, typical, best = (
        max(left / each - driven, _HARDLY) if each > 0 else inf
        for each in (rate.fast, rate.typical, rate.slow)
    )
    return worst, typical, best


def _by_days(
    known: Forecast, rows: Sequence[Said], left: float, age: timedelta, today: date
) -> Forecast:
    rate = pace([(at.timestamp() / 86_400, -oil, at) for at, oil in rows])
    if rate is None:
        return replace(known, why=Why.FEW_OIL_LIVES)
    ago = max(age / timedelta(days=1), 0.0)
    due_on = _day(left, rate.typical, ago, today)
    if due_on is None:
        return replace(known, why=Why.NOT_FALLING)
    early = _day(left, rate.fast, ago, today) or due_on
    return replace(
        known, due_on=due_on, early=early, late=_day(left, rate.slow, ago, today), why=None
    )


def _odometer_at(odometers: Sequence[Said], at: datetime) -> float | None:
    """On the line between the readings around it; None outside of them."""
    place = bisect_left(odometers, at, key=lambda row: row[0])
    if place == len(odometers):
        return None
    after = odometers[place]
    if after[0] == at:
        return after[1]
    if place == 0:
        return None
    before = odometers[place - 1]
    share = (at - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])
