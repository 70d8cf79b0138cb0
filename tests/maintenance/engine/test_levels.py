"""Fuel and charge; what they share with oil life is tried there."""

import pytest

from maintenance.engine import facts
from maintenance.engine.conditions import judge
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import FuelLevel, Level, OilLife, Stage, StateOfCharge, Verdict
from tests.maintenance.engine.builders import NOW, make_facts, make_open, make_signal, make_spec

SIGNALS = {FuelLevel: facts.FUEL_LEVEL, StateOfCharge: facts.STATE_OF_CHARGE}
BOTH = pytest.mark.parametrize("condition", [FuelLevel(), StateOfCharge()], ids=["fuel", "charge"])


def judge_level(
    condition: Level, value: float, episode: EpisodeView | None = None, code: str = ""
) -> Finding:
    assert isinstance(condition, FuelLevel | StateOfCharge)
    known = make_facts(make_signal(code or SIGNALS[type(condition)], value))
    episodes = {"": episode} if episode else {}
    (finding,) = judge(make_spec(condition), known, episodes, NOW)
    return finding


@BOTH
@pytest.mark.parametrize(
    ("value", "stage"), [(10.0, None), (9.9, Stage.DUE), (0.0, Stage.DUE), (100.0, None)]
)
def test_it_is_due_below_ten_percent(
    condition: FuelLevel | StateOfCharge, value: float, stage: Stage | None
) -> None:
    finding = judge_level(condition, value)
    assert finding.stage == stage
    assert finding.verdict is (Verdict.FIRING if stage else Verdict.CLEAR)


@BOTH
@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (9.9, Verdict.FIRING),
        (10.0, Verdict.UNKNOWN),
        (19.9, Verdict.UNKNOWN),
        (20.0, Verdict.CLEAR),
    ],
)
def test_an_open_one_clears_from_twenty_percent_on_and_no_jump_does(
    condition: FuelLevel | StateOfCharge, value: float, verdict: Verdict
) -> None:
    assert judge_level(condition, value, make_open(worst=0.0)).verdict is verdict


def test_each_reads_its_own_signal() -> None:
    finding = judge_level(FuelLevel(), 5, code=facts.STATE_OF_CHARGE)
    assert finding.reason == Reason.NO_READING
    assert judge_level(FuelLevel(), 5).evidence == {
        "signal": "internalcombustionengine-fuellevel",
        "value": 5,
        "unit": "percent",
        "recorded_at": NOW.isoformat(),
        "worst": None,
        "due_below": 10,
        "clear_at": 20,
    }


def test_a_level_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="OilLife is no condition of fuel_level"):
        make_spec(OilLife(), kind=make_spec(FuelLevel()).kind)
