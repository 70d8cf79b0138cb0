import json
from datetime import datetime, timedelta

import pytest

from maintenance.engine import facts
from maintenance.engine.conditions import judge
from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import OilLife, Stage, Verdict
from tests.maintenance.engine.builders import (
    HOUR,
    NOW,
    make_facts,
    make_open,
    make_resolved,
    make_signal,
    make_spec,
    oil,
)


def judge_oil(known: Facts, episode: EpisodeView | None = None) -> Finding:
    (finding,) = judge(make_spec(), known, {"": episode} if episode else {}, NOW)
    json.dumps(finding.evidence)
    return finding


@pytest.mark.parametrize(
    ("value", "stage"),
    [
        (30.0, None),
        (29.9, Stage.SOON),
        (20.0, Stage.SOON),
        (19.9, Stage.DUE),
        (5.0, Stage.DUE),
        (4.9, Stage.OVERDUE),
        (0.0, Stage.OVERDUE),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_open", [False, True], ids=["no-episode", "open"])
def test_oil_life_fires_strictly_below_its_thresholds(
    value: float, stage: Stage | None, is_open: bool
) -> None:
    finding = judge_oil(oil(value), make_open(worst=value) if is_open else None)
    assert finding.stage is stage
    assert (finding.verdict is Verdict.FIRING) is (stage is not None)
    assert finding.value == value
    assert finding.recorded_at == NOW


@pytest.mark.parametrize(
    ("value", "worst", "verdict", "reason"),
    [
        (39.9, 15.0, Verdict.UNKNOWN, Reason.BETWEEN),
        (40.0, 15.0, Verdict.CLEAR, Reason.ABOVE_THRESHOLD),
        (30.0, 15.0, Verdict.UNKNOWN, Reason.BETWEEN),
        (33.9, 4.0, Verdict.UNKNOWN, Reason.BETWEEN),
        (34.0, 4.0, Verdict.CLEAR, Reason.JUMPED),
        (34.0, None, Verdict.UNKNOWN, Reason.BETWEEN),
    ],
    ids=["39.9", "40", "30", "jump-29.9", "jump-30", "worst-unknown"],
)
def test_an_open_episode_clears_well_above_the_threshold_or_by_a_jump(
    value: float, worst: float | None, verdict: Verdict, reason: Reason
) -> None:
    finding = judge_oil(oil(value), make_open(worst=worst))
    assert (finding.verdict, finding.reason) == (verdict, reason)
    assert finding.stage is None


def test_a_jump_clears_even_below_the_threshold() -> None:
    spec = make_spec(OilLife(soon_below=40, clear_jump=20))
    (finding,) = judge(spec, oil(35), {"": make_open(worst=10.0)}, NOW)
    assert finding.verdict is Verdict.CLEAR


def test_a_jump_above_another_rules_worst_value_means_nothing() -> None:
    assert judge_oil(oil(35), make_open(worst=0.9, rule_id=2)).reason == Reason.BETWEEN


@pytest.mark.parametrize("value", [30.0, 35.0, 100.0], ids=str)
def test_a_pending_episode_is_broken_by_anything_that_does_not_fire(value: float) -> None:
    pending = make_open(is_open=False, worst=18.0)
    assert judge_oil(oil(value), pending).verdict is Verdict.CLEAR


def test_what_a_person_closed_is_not_clear_while_it_hovers_at_the_threshold() -> None:
    closed = make_resolved(worst=25.0, resolved_by_person=True)
    assert judge_oil(oil(31), closed).verdict is Verdict.UNKNOWN
    assert judge_oil(oil(40), closed).verdict is Verdict.CLEAR
    assert judge_oil(oil(31), make_resolved()).verdict is Verdict.CLEAR


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (make_facts(), Reason.NO_READING),
        (oil(None), Reason.WRONG_SHAPE),
        (oil(float("nan")), Reason.WRONG_SHAPE),
        (oil(3, at=NOW - 72 * HOUR - timedelta(seconds=1)), Reason.STALE),
        (oil(99, at=NOW - 100 * HOUR), Reason.STALE),
    ],
    ids=["missing", "no-number", "nan", "just-stale", "stale-and-good"],
)
def test_what_is_missing_stale_or_unreadable_is_unknown(known: Facts, reason: Reason) -> None:
    for episode in (None, make_open(worst=10.0)):
        finding = judge_oil(known, episode)
        assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, reason)


@pytest.mark.parametrize("at", [NOW - 72 * HOUR, NOW + 9 * HOUR], ids=["72-hours", "future"])
def test_a_reading_counts_up_to_the_edge_of_freshness_and_from_the_future(at: datetime) -> None:
    assert judge_oil(oil(3, at=at)).verdict is Verdict.FIRING


def test_evidence_names_the_reading_and_the_thresholds() -> None:
    evidence = judge_oil(oil(18), make_open(worst=17.0)).evidence
    assert evidence["value"] == 18
    assert evidence["worst"] == 17
    assert evidence["recorded_at"] == NOW.isoformat()
    assert evidence["signal"] == facts.OIL_LIFE
    assert (evidence["soon_below"], evidence["due_below"], evidence["overdue_below"]) == (30, 20, 5)


def test_a_signal_of_another_code_is_not_read() -> None:
    assert judge_oil(make_facts(make_signal(facts.ODOMETER, 3.0))).reason == Reason.NO_READING
