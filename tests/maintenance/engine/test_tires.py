from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance.engine import facts
from maintenance.engine.conditions import judge
from maintenance.engine.episodes import Action
from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import Stage, TirePressure, Verdict
from maintenance.engine.tires import subject_of
from tests.maintenance.engine.builders import (
    HOUR,
    NOW,
    WHEELS,
    make_facts,
    make_open,
    make_signal,
    make_spec,
    tires,
)
from tests.maintenance.engine.ledger import Ledger

PLACARD = TirePressure(placard_front_kpa=240, placard_rear_kpa=300)
NAMES = st.sampled_from(list(WHEELS))


def judge_tires(
    known: Facts,
    condition: TirePressure | None = None,
    episodes: dict[str, EpisodeView] | None = None,
    now: datetime = NOW,
) -> dict[str, Finding]:
    found = judge(make_spec(condition or TirePressure()), known, episodes or {}, now)
    return {finding.subject: finding for finding in found}


def open_for(subject: str) -> dict[str, EpisodeView]:
    return {subject: make_open(subject=subject)}


@pytest.mark.parametrize(
    ("condition", "wheel", "kpa", "stage"),
    [
        (TirePressure(), "front_left", 193.1, None),
        (TirePressure(), "front_left", 193.0, Stage.DUE),
        (TirePressure(), "rear_right", 140.1, Stage.DUE),
        (TirePressure(), "rear_right", 140.0, Stage.OVERDUE),
        (TirePressure(), "rear_right", 50.0, Stage.OVERDUE),
        (TirePressure(), "rear_right", 0, Stage.OVERDUE),
        (TirePressure(low_kpa=400), "front_left", 400.1, None),
        (TirePressure(low_kpa=400), "front_left", 400.0, Stage.DUE),
        (PLACARD, "front_left", 192.1, None),
        (PLACARD, "front_left", 192.0, Stage.DUE),
        (PLACARD, "front_left", 144.1, Stage.DUE),
        (PLACARD, "front_left", 144.0, Stage.OVERDUE),
        (PLACARD, "rear_left", 240.1, None),
        (PLACARD, "rear_left", 240.0, Stage.DUE),
        (PLACARD, "rear_left", 180.0, Stage.OVERDUE),
        (TirePressure(placard_rear_kpa=300), "front_left", 194.0, None),
        (TirePressure(placard_rear_kpa=300), "front_left", 193.0, Stage.DUE),
        (TirePressure(placard_front_kpa=230), "front_left", 184.0, Stage.DUE),
    ],
)
def test_a_wheel_is_low_at_the_threshold_and_not_above(
    condition: TirePressure, wheel: str, kpa: float, stage: Stage | None
) -> None:
    pressures: dict[str, Any] = {wheel: kpa}
    finding = judge_tires(tires(**pressures), condition).get(wheel.replace("_", "-"))
    assert (finding.stage if finding else None) == stage


def test_wheels_that_are_well_are_not_spoken_of() -> None:
    assert judge_tires(tires()) == {}
    assert judge_tires(tires(rear_left=150)).keys() == {"rear-left"}


@pytest.mark.parametrize(
    ("condition", "wheel", "kpa", "is_high"),
    [
        (TirePressure(), "front_left", 1500.0, False),
        (PLACARD, "front_left", 299.9, False),
        (PLACARD, "front_left", 300.0, True),
        (PLACARD, "rear_left", 374.9, False),
        (PLACARD, "rear_left", 375.0, True),
        (TirePressure(high_kpa=350), "front_left", 349.9, False),
        (TirePressure(high_kpa=350), "front_left", 350.0, True),
        (TirePressure(placard_front_kpa=240, high_kpa=290), "front_left", 290.0, True),
        (TirePressure(placard_front_kpa=240, high_kpa=400), "front_left", 300.0, True),
    ],
)
def test_a_wheel_is_high_at_the_threshold_and_never_without_one(
    condition: TirePressure, wheel: str, kpa: float, is_high: bool
) -> None:
    pressures: dict[str, Any] = {wheel: kpa}
    high = wheel.replace("_", "-") + "-high"
    finding = judge_tires(tires(**pressures), condition).get(high)
    assert (finding is not None) is is_high
    if finding is not None:
        assert (finding.stage, finding.reason) == (Stage.DUE, Reason.ABOVE_LIMIT)


@pytest.mark.parametrize(
    ("condition", "subject", "kpa", "verdict"),
    [
        (TirePressure(), "front-left", 206.9, Verdict.UNKNOWN),
        (TirePressure(), "front-left", 207.0, Verdict.CLEAR),
        (TirePressure(low_kpa=400), "front-left", 413.9, Verdict.UNKNOWN),
        (TirePressure(low_kpa=400), "front-left", 414.0, Verdict.CLEAR),
        (PLACARD, "front-left", 215.9, Verdict.UNKNOWN),
        (PLACARD, "front-left", 216.0, Verdict.CLEAR),
        (PLACARD, "front-left-high", 276.1, Verdict.UNKNOWN),
        (PLACARD, "front-left-high", 276.0, Verdict.CLEAR),
        (TirePressure(high_kpa=400), "front-left-high", 380.1, Verdict.UNKNOWN),
        (TirePressure(high_kpa=400), "front-left-high", 380.0, Verdict.CLEAR),
        (TirePressure(), "front-left-high", 380.0, Verdict.CLEAR),
    ],
)
def test_an_open_episode_clears_only_well_away_from_where_it_fired(
    condition: TirePressure, subject: str, kpa: float, verdict: Verdict
) -> None:
    found = judge_tires(tires(front_left=kpa), condition, open_for(subject))
    assert found[subject].verdict is verdict


def test_a_pending_episode_is_broken_by_anything_that_does_not_fire() -> None:
    pending = {"front-left": make_open(subject="front-left", is_open=False)}
    assert judge_tires(tires(front_left=194), episodes=pending)["front-left"].verdict is (
        Verdict.CLEAR
    )


def test_a_wheel_that_swings_from_low_to_high_is_not_low_any_more() -> None:
    found = judge_tires(tires(front_left=310), PLACARD, open_for("front-left"))
    assert found["front-left"].verdict is Verdict.CLEAR
    assert found["front-left-high"].verdict is Verdict.FIRING


@pytest.mark.parametrize("kpa", [None, True, "165", -3, 49.9, 1500.1, float("nan")], ids=str)
def test_an_impossible_pressure_says_nothing_of_its_wheel_alone(kpa: Any) -> None:
    found = judge_tires(tires(front_left=kpa, rear_left=150), episodes=open_for("front-left"))
    assert (found["front-left"].verdict, found["front-left"].reason) == (
        Verdict.UNKNOWN,
        Reason.IMPOSSIBLE,
    )
    assert found["rear-left"].verdict is Verdict.FIRING


def test_a_wheel_that_is_not_there_any_more_is_unknown() -> None:
    data = {"values": [{"row": 0, "column": 1, "tirePressure": 240}, "torn", {"row": "x"}]}
    known = make_facts(make_signal(facts.TIRES, data=data))
    assert judge_tires(known, episodes=open_for("front-left"))["front-left"].verdict is (
        Verdict.UNKNOWN
    )


def test_four_wheels_at_zero_are_a_car_that_does_not_know() -> None:
    flat = tires(front_left=0, front_right=0, rear_left=0, rear_right=0)
    assert judge_tires(flat) == {}
    found = judge_tires(flat, episodes=open_for("front-left"))
    assert found["front-left"].reason == Reason.IMPOSSIBLE


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (make_facts(), Reason.NO_READING),
        (tires(NOW - 72 * HOUR - timedelta(seconds=1), front_left=100), Reason.STALE),
        (make_facts(make_signal(facts.TIRES, data={"values": "x"})), Reason.WRONG_SHAPE),
        (make_facts(make_signal(facts.TIRES, 3.0)), Reason.WRONG_SHAPE),
    ],
    ids=["missing", "stale", "no-list", "no-object"],
)
def test_what_is_missing_stale_or_unreadable_is_unknown(known: Facts, reason: Reason) -> None:
    assert judge_tires(known) == {}
    found = judge_tires(known, episodes=open_for("front-left"))
    assert (found["front-left"].verdict, found["front-left"].reason) == (Verdict.UNKNOWN, reason)


@pytest.mark.parametrize(
    ("row", "column", "subject"),
    [
        (0, 0, "front-left"),
        (0, 1, "front-right"),
        (1, 0, "rear-left"),
        (1, 1, "rear-right"),
        (1, 3, "rear-wheel-4"),
        (2, 0, "axle-3-left"),
    ],
)
def test_wheels_are_called_by_axle_and_side(row: int, column: int, subject: str) -> None:
    assert subject_of(row, column) == subject


def test_evidence_says_what_was_read_and_what_it_was_held_against() -> None:
    evidence = judge_tires(tires(front_left=165), PLACARD)["front-left"].evidence
    assert evidence == {
        "wheel": "front-left",
        "is_high": False,
        "pressure_kpa": 165.0,
        "placard_kpa": 240,
        "limit_kpa": 192.0,
        "clear_kpa": 216.0,
        "signal": "wheel-tires",
        "recorded_at": NOW.isoformat(),
    }


def play(readings: list[tuple[int, dict[str, float]]]) -> tuple[dict[str, Ledger], list[Action]]:
    """Each reading so many hours after the one before; all that was done, in order."""
    spec, ledgers, at = make_spec(PLACARD), dict[str, Ledger](), NOW
    done = []
    for hours, pressures in readings:
        at += hours * HOUR
        views = {
            subject: view
            for subject, ledger in ledgers.items()
            if (view := ledger.unresolved or ledger.previous)
        }
        for finding in judge(spec, tires(at, **pressures), views, at):
            ledger = ledgers.setdefault(finding.subject, Ledger())
            done.append(ledger.apply(finding, spec, at).action)
    return ledgers, done


def test_two_readings_six_hours_apart_open_and_a_cold_night_does_not() -> None:
    low = {"front_left": 180.0}
    assert play([(0, low), (5, low)])[1] == [Action.PEND, Action.NOTHING]
    assert play([(0, low), (6, low)])[1] == [Action.PEND, Action.OPEN]
    assert play([(0, low), (6, {})])[1] == [Action.PEND, Action.DROP]


def test_a_single_zero_is_believed_only_when_said_three_times() -> None:
    flat = {"front_left": 0.0}
    assert play([(0, flat), (6, flat), (6, flat)])[1] == [Action.PEND, Action.COUNT, Action.OPEN]


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),
            st.dictionaries(
                NAMES.map(lambda name: name.replace("-", "_")),
                st.sampled_from([0.0, 100.0, 180.0, 200.0, 240.0, 290.0, 310.0, 400.0]),
            ),
        ),
        max_size=20,
    )
)
def test_no_wheel_is_open_as_low_and_as_high(
    readings: list[tuple[int, dict[str, float]]],
) -> None:
    ledgers, _done = play(readings)
    is_open = {
        subject
        for subject, ledger in ledgers.items()
        if ledger.unresolved is not None and ledger.unresolved.is_open
    }
    assert not any(f"{wheel}-high" in is_open for wheel in is_open)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.floats(0, 1600),
    st.sampled_from(["front-left", "front-left-high"]),
    st.sampled_from([TirePressure(), PLACARD, TirePressure(high_kpa=320, low_kpa=220)]),
)
def test_what_fires_never_clears_at_the_same_pressure(
    kpa: float, subject: str, condition: TirePressure
) -> None:
    fresh = judge_tires(tires(front_left=kpa), condition).get(subject)
    again = judge_tires(tires(front_left=kpa), condition, open_for(subject))[subject]
    is_firing = fresh is not None and fresh.verdict is Verdict.FIRING
    assert is_firing is (again.verdict is Verdict.FIRING)
