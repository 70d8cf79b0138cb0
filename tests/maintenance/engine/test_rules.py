from datetime import date, timedelta

import pytest

from maintenance.engine.rules import (
    DEFAULT_CLEAR_READINGS,
    DEFAULT_HOLD,
    DEFAULT_REPEAT,
    Condition,
    Connection,
    FuelLevel,
    Hold,
    Kind,
    OilLife,
    ServiceInterval,
    Stage,
    StaleData,
    StateOfCharge,
    SystemStatus,
    TirePressure,
    TroubleCode,
    signals_needed,
)
from tests.maintenance.engine.builders import make_spec


def test_stages_are_ordered_by_urgency() -> None:
    assert Stage.SOON < Stage.DUE < Stage.OVERDUE
    assert Stage.OVERDUE > Stage.DUE >= Stage.DUE > Stage.SOON
    assert not Stage.OVERDUE <= Stage.SOON
    assert max(Stage.OVERDUE, Stage.SOON, Stage.DUE) is Stage.OVERDUE


@pytest.mark.parametrize(
    ("kind", "hold", "clear_readings"),
    [
        (Kind.OIL_LIFE, Hold(readings=2, apart=timedelta(hours=12), zero_readings=3), 1),
        (Kind.SERVICE_INTERVAL, Hold(readings=1), 1),
        (Kind.TROUBLE_CODE, Hold(readings=2, or_after=timedelta(hours=24)), 2),
        (Kind.SYSTEM_STATUS, Hold(readings=2), 2),
        (Kind.TIRE_PRESSURE, Hold(readings=2, apart=timedelta(hours=6), zero_readings=3), 1),
        (Kind.FUEL_LEVEL, Hold(readings=2), 1),
        (Kind.STATE_OF_CHARGE, Hold(readings=2), 1),
        (Kind.STALE_DATA, Hold(), 1),
        (Kind.CONNECTION, Hold(), 1),
    ],
    ids=lambda value: str(value) if isinstance(value, Kind) else "",
)
def test_defaults_are_those_of_the_design(kind: Kind, hold: Hold, clear_readings: int) -> None:
    assert DEFAULT_HOLD[kind] == hold
    assert DEFAULT_CLEAR_READINGS[kind] == clear_readings


def test_every_kind_keeps_readings_for_three_days_and_reopens_for_two_weeks() -> None:
    spec = make_spec()
    assert spec.freshness == timedelta(hours=72)
    assert spec.reopen_window == timedelta(days=14)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (OilLife(), ("internalcombustionengine-oillife",)),
        (ServiceInterval(distance_km=8000), ("odometer-traveleddistance",)),
        (ServiceInterval(distance_km=8000, days=180), ("odometer-traveleddistance",)),
        (ServiceInterval(days=180), ()),
        (ServiceInterval(due_odometer_km=8000), ("odometer-traveleddistance",)),
        (ServiceInterval(due_on=date(2026, 3, 1)), ()),
        (TirePressure(), ("wheel-tires",)),
        (FuelLevel(), ("internalcombustionengine-fuellevel",)),
        (StateOfCharge(), ("tractionbattery-stateofcharge",)),
        (StaleData(), ()),
        (Connection(), ()),
        (TroubleCode(patterns=("P03*",)), ("diagnostics-dtclist",)),
        (SystemStatus(), ("diagnostics-*",)),
        (SystemStatus(patterns=("ABS", "brake*")), ("diagnostics-abs", "diagnostics-brake*")),
    ],
    ids=str,
)
def test_a_rule_says_which_signals_it_reads(
    condition: Condition, expected: tuple[str, ...]
) -> None:
    assert signals_needed(make_spec(condition)) == expected


def test_a_condition_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="OilLife is no condition of trouble_code"):
        make_spec(OilLife(), kind=Kind.TROUBLE_CODE)


def test_what_is_open_is_told_again_each_week_tires_sooner_and_a_lost_connection_never() -> None:
    week, three_days = timedelta(days=7), timedelta(days=3)
    own = {Kind.TIRE_PRESSURE: three_days, Kind.CONNECTION: None}
    assert {**dict.fromkeys(Kind, week), **own} == DEFAULT_REPEAT


def test_only_what_rests_on_readings_has_a_history() -> None:
    assert {kind for kind in Kind if not kind.has_history} == {Kind.STALE_DATA, Kind.CONNECTION}
