"""When services will be due, by how a car is driven."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance.engine.facts import ServiceFact
from maintenance.engine.forecast import Basis, Forecast, History, Why, forecasts
from maintenance.engine.rules import OilLife, ServiceInterval, TroubleCode
from maintenance.engine.usage import POINTS, Said, km_per_day, thinned
from tests.maintenance.engine.builders import DAY, NOW, TODAY, make_spec


def said(*readings: tuple[float, float], now: datetime = NOW) -> list[Said]:
    """(days ago, value), oldest first."""
    return [(now - days * DAY, value) for days, value in readings]


def history(
    odometers: list[Said] | None = None,
    oil: list[Said] | None = None,
    service: tuple[date, float | None] | None = None,
) -> History:
    odometers, oil = odometers or [], oil or []
    services = {}
    if service:
        services["engine-oil"] = ServiceFact(
            topic="engine-oil", done_on=service[0], odometer_km=service[1]
        )
    return History(
        odometers=odometers,
        oil_lives=oil,
        odometer=odometers[-1] if odometers else None,
        oil_life=oil[-1] if oil else None,
        services=services,
    )


def forecast(condition: Any, known: History, **when: Any) -> Forecast:
    (found,) = forecasts([make_spec(condition)], known, **{"now": NOW, "today": TODAY, **when})
    return found


STEADY = said((20, 9000), (10, 9500), (0, 10_000))  # 50 km a day
SERVICED = (TODAY - 100 * DAY, 6000.0)


# --- How a car is driven ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odometer", "typical"),
    [
        ([], None),
        ([(0, 10_000)], None),
        ([(2, 9_900), (0, 10_000)], None),  # too near
        ([(3, 9_900), (0, 10_050)], 50),
        ([(100, 0), (1, 10_000), (0, 10_050)], None),  # too old
        ([(10, 10_000), (0, 10_000)], 0),
        ([(30, 8500), (20, 9000), (15, 9250), (10, 60_000), (9.9, 9505), (0, 10_000)], 50),
        ([(30, 90_000), (20, 90_500), (10, 500), (5, 750), (0, 1000)], 50),  # a new odometer
        ([(30, 10_002), (0, 10_000)], 0),
    ],
)
def test_kilometres_a_day(odometer: list[tuple[float, float]], typical: float | None) -> None:
    pace = km_per_day(said(*odometer), NOW)
    if typical is None:
        assert pace is None
    else:
        assert pace
        assert pace.typical == pytest.approx(typical, abs=1)
        assert 0 <= pace.slow <= pace.typical <= pace.fast


def test_many_readings_are_thinned_to_some_with_both_ends() -> None:
    many = said(*((90 - n / 100, n) for n in range(9000)))
    few = thinned(many)
    assert len(few) == len(set(few)) == POINTS
    assert (few[0], few[-1]) == (many[0], many[-1])


# --- Intervals ----------------------------------------------------------------------------------


def test_a_distance_is_reached_on_a_day() -> None:
    found = forecast(ServiceInterval(distance_km=5000), history(STEADY, service=SERVICED))
    assert (found.due_on, found.due_km, found.left_km) == (TODAY + 20 * DAY, 11_000, 1000)
    assert (found.based_on, found.is_due, found.why) == (Basis.DISTANCE, False, None)


def test_an_old_odometer_counts_from_its_own_day() -> None:
    old = [(at - 5 * DAY, km) for at, km in STEADY]
    found = forecast(ServiceInterval(distance_km=5000), history(old, service=SERVICED))
    assert found.due_on == TODAY + 15 * DAY


def test_the_earlier_part_decides() -> None:
    known = history(STEADY, service=SERVICED)
    by_time = forecast(ServiceInterval(distance_km=5000, days=110), known)
    assert (by_time.due_on, by_time.based_on) == (TODAY + 10 * DAY, Basis.TIME)
    assert (by_time.left_km, by_time.late) == (1000, TODAY + 10 * DAY)
    by_distance = forecast(ServiceInterval(distance_km=5000, days=365), known)
    assert (by_distance.due_on, by_distance.based_on) == (TODAY + 20 * DAY, Basis.DISTANCE)


@pytest.mark.parametrize(
    "condition", [ServiceInterval(distance_km=4000), ServiceInterval(days=100)]
)
def test_what_is_reached_is_due(condition: ServiceInterval) -> None:
    found = forecast(condition, history(STEADY, service=SERVICED))
    assert (found.is_due, found.due_on) == (True, TODAY)


def test_a_range_comes_from_how_unevenly_it_is_driven() -> None:
    uneven = said((40, 8000), (30, 8100), (20, 9000), (10, 9100), (0, 10_000))
    found = forecast(ServiceInterval(distance_km=8000), history(uneven, service=SERVICED))
    assert found.early
    assert found.due_on
    assert found.late
    assert TODAY < found.early < found.due_on < found.late


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (history(STEADY), Why.NO_SERVICE),
        (history(STEADY, service=(TODAY, None)), Why.NO_SERVICE_ODOMETER),
        (history(service=SERVICED), Why.NO_ODOMETER),
        (history(STEADY[-1:], service=SERVICED), Why.FEW_ODOMETERS),
        (history(said((9, 10_000), (0, 10_000)), service=SERVICED), Why.NOT_DRIVEN),
        (history(said((9, 10_000), (0, 10_000.1)), service=SERVICED), Why.NOT_DRIVEN),
    ],
)
def test_what_is_not_known_says_why(known: History, why: Why) -> None:
    found = forecast(ServiceInterval(distance_km=5000), known)
    assert (found.why, found.due_on, found.is_due) == (why, None, False)


def test_the_time_part_is_known_without_any_odometer() -> None:
    found = forecast(ServiceInterval(distance_km=5000, days=110), history(service=SERVICED))
    assert (found.due_on, found.why) == (TODAY + 10 * DAY, Why.NO_ODOMETER)


def test_what_is_due_once_needs_no_service() -> None:
    by_km = forecast(ServiceInterval(due_odometer_km=11_000), history(STEADY))
    assert (by_km.due_on, by_km.left_km) == (TODAY + 20 * DAY, 1000)
    both = ServiceInterval(due_odometer_km=11_000, due_on=TODAY + 3 * DAY)
    assert forecast(both, history(STEADY)).due_on == TODAY + 3 * DAY


def test_what_was_due_once_and_is_done_is_not_due_again() -> None:
    found = forecast(
        ServiceInterval(due_odometer_km=11_000), history(STEADY, service=(TODAY, 10_900.0))
    )
    assert (found.why, found.due_on) == (Why.DONE, None)


def test_rules_that_foresee_nothing_have_no_forecast() -> None:
    spec = make_spec(TroubleCode())
    assert forecasts([spec], history(STEADY), now=NOW, today=TODAY) == []


# --- Oil life -----------------------------------------------------------------------------------

OIL = said((20, 60), (10, 50), (0, 40))  # 10 points in 500 km


def test_oil_life_falls_with_the_distance() -> None:
    found = forecast(OilLife(), history(STEADY, OIL))
    assert (found.based_on, found.why) == (Basis.OIL_LIFE, None)
    assert found.left_km == pytest.approx(1000)
    assert found.due_km == pytest.approx(11_000)
    assert found.due_on == TODAY + 20 * DAY


def test_only_the_oil_that_is_in_counts() -> None:
    changed = said((60, 30), (50, 5), (20, 60), (10, 50), (0, 40))
    odometer = said((60, 7000), (20, 9000), (10, 9500), (0, 10_000))
    assert forecast(OilLife(), history(odometer, changed)).due_on == TODAY + 20 * DAY


def test_without_odometers_oil_life_falls_with_the_days() -> None:
    found = forecast(OilLife(), history(oil=OIL))
    assert (found.due_on, found.due_km, found.left_km) == (TODAY + 20 * DAY, None, None)


@pytest.mark.parametrize(
    ("oil", "why"),
    [
        ([], Why.NO_OIL_LIFE),
        ([(0, 40)], Why.FEW_OIL_LIVES),
        ([(2, 41), (0, 40)], Why.FEW_OIL_LIVES),
        ([(9, 40), (0, 40)], Why.NOT_FALLING),
        ([(9, 40), (0, 45)], Why.NOT_FALLING),
    ],
)
def test_oil_life_that_tells_nothing_says_why(oil: list[tuple[float, float]], why: Why) -> None:
    assert forecast(OilLife(), history(STEADY, said(*oil))).why == why


def test_worn_oil_is_due() -> None:
    found = forecast(OilLife(), history(STEADY, said((9, 30), (0, 19))))
    assert (found.is_due, found.due_on, found.due_km) == (True, TODAY, 10_000)


# --- Whatever the history -----------------------------------------------------------------------

ZONES = ["America/New_York", "Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles"]
# Around a leap day, and when the clocks change in one half of the world or the other.
DAYS = st.sampled_from([date(2024, 2, 28), date(2024, 3, 10), date(2024, 11, 3), date(2025, 3, 30)])
DRIVES = st.lists(
    st.tuples(st.floats(0.01, 20), st.floats(0, 900)), min_size=1, max_size=15
)  # days, km


def driven(drives: list[tuple[float, float]], now: datetime, times: float = 1.0) -> list[Said]:
    """A car that drives `times` as far each time, ending now."""
    at = now - timedelta(days=sum(days for days, _ in drives))
    km, rows = 10_000.0, [(at, 10_000.0)]
    for days, distance in drives:
        at, km = at + timedelta(days=days), km + distance * times
        rows.append((at, km))
    return [row for row in rows if row[0] >= now - timedelta(days=90)]


@given(
    drives=DRIVES,
    more=st.floats(1, 3),
    day=DAYS,
    hours=st.integers(0, 47),
    age=st.sampled_from([0, 1, 12]),
    zone=st.sampled_from(ZONES),
    days=st.none() | st.integers(1, 800),
    left=st.floats(-500, 3000),
)
def test_never_before_today_and_the_more_it_is_driven_the_earlier(
    *,
    drives: list[tuple[float, float]],
    more: float,
    day: date,
    hours: int,
    age: int,
    zone: str,
    days: int | None,
    left: float,
) -> None:
    now = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=hours)
    today = now.astimezone(ZoneInfo(zone)).date()
    distance_km = max(sum(km for _days, km in drives) + left, 1.0)
    condition = ServiceInterval(distance_km=distance_km, days=days)
    service = (today - timedelta(days=30), 10_000.0)

    less, much = (
        forecast(
            condition,
            history(driven(drives, now - age * DAY, times), service=service),
            now=now,
            today=today,
        )
        for times in (1.0, more)
    )
    for found in (less, much):
        assert found.is_due or found.due_on is None or found.due_on >= today
        if found.due_on and found.early:
            assert found.early <= found.due_on
            assert found.late is None or found.due_on <= found.late
    assert much.is_due or not less.is_due
    if less.due_on is not None and not much.is_due:
        assert much.due_on is not None
        assert much.due_on <= less.due_on
