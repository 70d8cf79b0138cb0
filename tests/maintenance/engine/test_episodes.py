from dataclasses import replace
from datetime import timedelta

import pytest

from maintenance.engine.episodes import Action, Step, advance, combine
from maintenance.engine.findings import EpisodeView, Finding
from maintenance.engine.rules import Hold, RuleSpec, ServiceInterval, Stage, TroubleCode
from tests.maintenance.engine.builders import (
    DAY,
    HELD_TWICE,
    HOUR,
    NOW,
    clear,
    firing,
    make_open,
    make_resolved,
    make_spec,
    unknown,
)
from tests.maintenance.engine.ledger import Ledger

OIL = make_spec()
AT_ONCE = make_spec(hold=Hold())
TWICE = make_spec(hold=HELD_TWICE, clear_readings=2)
CODES = make_spec(TroubleCode())
SERVICE = make_spec(ServiceInterval(days=180))


def played(spec: RuleSpec, *findings: Finding) -> list[Action]:
    ledger = Ledger()
    for finding in findings:
        ledger.apply(finding, spec, finding.recorded_at or NOW)
    return ledger.actions


def step_on(
    episode: EpisodeView | None,
    finding: Finding,
    spec: RuleSpec = OIL,
    previous: EpisodeView | None = None,
) -> Step:
    return advance(episode, previous, finding, spec, NOW)


# Holding


@pytest.mark.parametrize(
    ("spec", "hours", "opens"),
    [
        (AT_ONCE, [0], True),
        (TWICE, [0], False),
        (TWICE, [0, 0.01], True),
        (OIL, [0, 11.9], False),
        (OIL, [0, 12], True),
        (OIL, [0, 6, 12], True),
        (OIL, [0, 6, 11.9], False),
        (CODES, [0, 1], True),
        (make_spec(hold=Hold(readings=3, or_after=DAY)), [0, 23.9], False),
        (make_spec(hold=Hold(readings=3, or_after=DAY)), [0, 24], True),
        (make_spec(hold=Hold(readings=9, apart=DAY * 9, or_after=DAY)), [0, 1, 24], True),
    ],
)
def test_an_episode_opens_when_its_hold_is_over(
    spec: RuleSpec, hours: list[float], opens: bool
) -> None:
    readings = [firing(NOW + timedelta(hours=hour), value=18.0) for hour in hours]
    assert (Action.OPEN in played(spec, *readings)) is opens


@pytest.mark.parametrize(
    ("values", "last"),
    [
        ([0, 0], Action.COUNT),
        ([0, 0, 0], Action.OPEN),
        ([18, 0], Action.COUNT),
        ([18, 0, 0], Action.OPEN),
        ([0, 18], Action.OPEN),
    ],
    ids=str,
)
def test_a_reading_of_zero_needs_three(values: list[float], last: Action) -> None:
    readings = [firing(NOW + n * DAY, value=float(v)) for n, v in enumerate(values)]
    assert played(OIL, *readings)[-1] is last


def test_waiting_alone_does_not_prove_a_zero() -> None:
    spec = make_spec(hold=Hold(readings=2, or_after=HOUR, zero_readings=3))
    assert played(spec, firing(value=0.0), firing(NOW + DAY, value=0.0))[-1] is Action.COUNT


def test_a_critical_finding_opens_at_once_and_opens_what_was_pending() -> None:
    assert played(CODES, firing(skip_hold=True)) == [Action.OPEN]
    assert played(CODES, firing(), firing(skip_hold=True)) == [Action.PEND, Action.OPEN]


def test_an_episode_that_skips_stages_announces_only_the_highest() -> None:
    step = step_on(None, firing(stage=Stage.OVERDUE), AT_ONCE)
    assert step.action is Action.OPEN
    assert step.episode is not None
    assert step.episode.stage is Stage.OVERDUE


def test_an_episode_opens_with_the_stage_of_the_reading_that_opens_it() -> None:
    ledger = Ledger()
    ledger.apply(firing(stage=Stage.OVERDUE, value=0.0), OIL, NOW)
    ledger.apply(firing(NOW + DAY, stage=Stage.SOON, value=25.0), OIL, NOW + DAY)
    assert ledger.unresolved is not None
    assert ledger.unresolved.is_open
    assert ledger.unresolved.stage is Stage.SOON
    assert ledger.unresolved.worst == 25


def test_a_pending_episode_that_is_contradicted_is_dropped_and_starts_anew() -> None:
    assert played(TWICE, firing(), clear(NOW + HOUR), firing(NOW + 2 * HOUR)) == [
        Action.PEND,
        Action.DROP,
        Action.PEND,
    ]


@pytest.mark.parametrize("at", [NOW, NOW - HOUR], ids=["same", "older"])
def test_a_reading_already_counted_counts_nothing(at: object) -> None:
    again = replace(firing(), recorded_at=at)  # type: ignore[arg-type]
    assert played(TWICE, firing(), again)[-1] is Action.NOTHING


def test_another_rule_begins_its_own_hold() -> None:
    ledger = Ledger()
    ledger.apply(firing(), TWICE, NOW)
    step = ledger.apply(firing(NOW + HOUR, rule_id=2), replace(TWICE, id=2), NOW)
    assert step.action is Action.COUNT
    assert step.episode is not None
    assert (step.episode.rule_id, step.episode.firing_count) == (2, 1)


# Open


def test_a_higher_stage_worsens_and_a_lower_one_does_not_mend() -> None:
    worse = step_on(make_open(stage=Stage.SOON), firing(stage=Stage.DUE))
    assert worse.action is Action.WORSEN
    milder = step_on(make_open(stage=Stage.DUE), firing(stage=Stage.SOON))
    assert milder.action is Action.NOTE_FIRING
    assert milder.episode is not None
    assert milder.episode.stage is Stage.DUE


def test_the_same_reading_worsens_when_the_rule_was_tightened() -> None:
    episode = make_open(stage=Stage.SOON, last_firing_at=NOW)
    assert step_on(episode, firing(stage=Stage.DUE)).action is Action.WORSEN
    assert step_on(episode, firing(NOW - HOUR, stage=Stage.DUE)).action is Action.NOTHING


@pytest.mark.parametrize(
    ("condition_spec", "values", "worst"),
    [(OIL, [25, 15, 18], 15), (make_spec(ServiceInterval(distance_km=1)), [1, 1.2, 1.1], 1.2)],
    ids=["oil-falls", "interval-grows"],
)
def test_the_worst_value_is_kept(
    condition_spec: RuleSpec, values: list[float], worst: float
) -> None:
    ledger = Ledger(unresolved=make_open())
    for n, value in enumerate(values):
        ledger.apply(firing(NOW + n * HOUR, value=float(value)), condition_spec, NOW)
    assert ledger.unresolved is not None
    assert ledger.unresolved.worst == worst


def test_one_zero_does_not_worsen_an_open_episode_but_three_do() -> None:
    ledger = Ledger(unresolved=make_open(stage=Stage.SOON, worst=25.0))
    zeros = [firing(NOW + n * DAY, stage=Stage.OVERDUE, value=0.0) for n in range(3)]
    assert ledger.apply(zeros[0], OIL, NOW).action is Action.NOTE_FIRING
    assert ledger.unresolved is not None
    assert (ledger.unresolved.stage, ledger.unresolved.worst) == (Stage.SOON, 25)
    assert ledger.apply(zeros[0], OIL, NOW).action is Action.NOTHING
    assert ledger.apply(zeros[1], OIL, NOW).action is Action.NOTE_FIRING
    assert ledger.apply(zeros[2], OIL, NOW).action is Action.WORSEN


def test_a_true_reading_between_zeros_begins_their_count_anew() -> None:
    ledger = Ledger(unresolved=make_open(stage=Stage.SOON, worst=25.0))
    for n, value in enumerate([0.0, 0.0, 24.0, 0.0, 0.0]):
        stage = Stage.SOON if value else Stage.OVERDUE
        ledger.apply(firing(NOW + n * DAY, stage=stage, value=value), OIL, NOW)
    assert Action.WORSEN not in ledger.actions


def test_zeros_too_close_together_prove_nothing() -> None:
    ledger = Ledger(unresolved=make_open(stage=Stage.SOON, worst=25.0))
    for n in range(12):
        finding = firing(NOW + n * HOUR, stage=Stage.OVERDUE, value=0.0)
        ledger.apply(finding, OIL, NOW)
    assert Action.WORSEN not in ledger.actions


# Clearing


def test_clearing_takes_as_many_readings_as_the_rule_says() -> None:
    readings = [clear(NOW), clear(NOW), clear(NOW + HOUR)]
    ledger = Ledger(unresolved=make_open())
    steps = [ledger.apply(finding, TWICE, NOW + DAY) for finding in readings]
    assert [step.action for step in steps] == [
        Action.CONFIRM_CLEAR,
        Action.NOTHING,
        Action.RESOLVE,
    ]
    resolved = steps[-1].episode
    assert resolved is not None
    assert (resolved.is_open, resolved.is_resolved) == (False, True)
    assert resolved.resolved_at == NOW + DAY
    assert not resolved.resolved_by_person


def test_what_is_ignored_ends_at_once_whatever_was_counted() -> None:
    ignored = replace(clear(NOW), skip_hold=True)
    assert step_on(make_open(), ignored, TWICE).action is Action.RESOLVE
    counted = make_open(clear_count=1, last_clear_at=NOW)
    assert step_on(counted, clear(NOW), TWICE).action is Action.NOTHING
    assert step_on(counted, ignored, TWICE).action is Action.RESOLVE


def test_firing_again_forgets_the_clear_readings() -> None:
    ledger = Ledger(unresolved=make_open())
    for n, finding in enumerate([clear(), firing(), clear(), clear()]):
        at = NOW + n * HOUR
        ledger.apply(replace(finding, recorded_at=at), TWICE, at)
    assert ledger.actions == [
        Action.CONFIRM_CLEAR,
        Action.FORGET_CLEAR,
        Action.CONFIRM_CLEAR,
        Action.RESOLVE,
    ]


def test_a_service_clears_on_the_very_reading_that_fired() -> None:
    assert step_on(make_open(last_firing_at=NOW), clear(NOW)).action is Action.RESOLVE


def test_a_reading_older_than_what_the_rule_has_seen_changes_nothing() -> None:
    assert step_on(make_open(), clear(NOW - 2 * HOUR)).action is Action.NOTHING
    pending = make_open(is_open=False)
    assert step_on(pending, clear(NOW - 2 * HOUR)).action is Action.NOTHING
    resolved = make_resolved(last_clear_at=NOW)
    old = firing(NOW - HOUR)
    assert step_on(None, old, AT_ONCE, previous=resolved).action is Action.NOTHING


def test_a_clear_of_the_rule_now_in_force_is_counted_once() -> None:
    ledger = Ledger(unresolved=make_open(rule_id=9))
    actions = [ledger.apply(clear(), TWICE, NOW).action for _ in range(2)]
    assert actions == [Action.CONFIRM_CLEAR, Action.NOTHING]


@pytest.mark.parametrize(
    "episode",
    [None, make_open(), make_open(is_open=False), make_open(clear_count=1)],
    ids=["none", "open", "pending", "clearing"],
)
def test_unknown_does_nothing(episode: EpisodeView | None) -> None:
    step = step_on(episode, unknown(NOW + DAY), previous=make_resolved(resolved_by_person=True))
    assert step == Step(action=Action.NOTHING, episode=episode)


# Coming back


@pytest.mark.parametrize(
    ("ago", "action"),
    [(14 * DAY, Action.REOPEN), (14 * DAY + timedelta(seconds=1), Action.OPEN)],
    ids=["within", "after"],
)
def test_a_return_within_the_window_reopens(ago: timedelta, action: Action) -> None:
    resolved = make_resolved(resolved_at=NOW - ago, stage=Stage.OVERDUE, clear_count=1, worst=1.0)
    step = step_on(None, firing(stage=Stage.SOON, value=25.0), AT_ONCE, previous=resolved)
    assert step.action is action
    assert step.episode == EpisodeView(
        subject="",
        rule_id=1,
        is_open=True,
        stage=Stage.SOON,
        worst=25.0,
        first_firing_at=NOW,
        last_firing_at=NOW,
    )


def test_a_return_is_held_like_any_other() -> None:
    ledger = Ledger(previous=make_resolved())
    ledger.apply(firing(), TWICE, NOW)
    ledger.apply(firing(NOW + HOUR), TWICE, NOW + HOUR)
    assert ledger.actions == [Action.PEND, Action.REOPEN]


@pytest.mark.parametrize(
    ("ago", "action"),
    [(14 * DAY, Action.NOTHING), (14 * DAY + timedelta(seconds=1), Action.OPEN)],
    ids=["within", "after"],
)
def test_what_a_person_closed_stays_closed_for_the_window(ago: timedelta, action: Action) -> None:
    closed = make_resolved(resolved_at=NOW - ago, resolved_by_person=True)
    assert step_on(None, firing(), AT_ONCE, previous=closed).action is action


def test_what_a_person_closed_reopens_once_it_was_seen_clear() -> None:
    ledger = Ledger(unresolved=make_open())
    ledger.close(NOW)
    for n, finding in enumerate([firing(), clear(), clear(), firing()], 1):
        at = NOW + n * HOUR
        ledger.apply(replace(finding, recorded_at=at), AT_ONCE, at)
    assert ledger.actions == [
        Action.NOTHING,
        Action.NOTE_CLEAR,
        Action.NOTHING,
        Action.REOPEN,
    ]


def test_a_clear_without_an_episode_means_nothing() -> None:
    assert step_on(None, clear()) == Step(action=Action.NOTHING, episode=None)
    assert step_on(None, clear(), previous=make_resolved()).action is Action.NOTHING


def test_a_date_counts_as_of_now() -> None:
    step = step_on(None, firing(None), SERVICE)
    assert step.action is Action.OPEN
    assert step.episode is not None
    assert step.episode.last_firing_at == NOW
    assert step_on(step.episode, firing(None), SERVICE).action is Action.NOTHING


# Several rules of one topic


@pytest.mark.parametrize(
    ("findings", "current", "expected"),
    [
        ([clear(rule_id=1), firing(rule_id=2)], 1, 2),
        ([unknown(rule_id=1), firing(rule_id=2)], 1, 2),
        ([firing(rule_id=1, stage=Stage.SOON), firing(rule_id=2, stage=Stage.DUE)], 1, 2),
        ([firing(rule_id=1), firing(rule_id=2)], 2, 2),
        ([firing(rule_id=2), firing(rule_id=1)], None, 1),
        ([clear(rule_id=1), unknown(rule_id=2)], 2, 2),
        ([unknown(rule_id=1), clear(rule_id=2)], 2, 2),
        ([unknown(rule_id=1), clear(rule_id=2)], None, 2),
        ([unknown(rule_id=2), unknown(rule_id=1)], None, 1),
        ([unknown(rule_id=1), clear(rule_id=2)], 3, 2),
    ],
    ids=[
        "firing-over-clear",
        "firing-over-unknown",
        "highest-stage",
        "tie-to-current",
        "tie-to-lowest-id",
        "current-unknown-keeps",
        "current-clear-clears",
        "any-clear",
        "all-unknown",
        "current-gone",
    ],
)
def test_rules_of_one_topic_are_combined(
    findings: list[Finding], current: int | None, expected: int
) -> None:
    assert combine(findings, current).rule_id == expected
    assert combine(findings[::-1], current).rule_id == expected


def test_the_rule_that_fires_takes_the_episode_over() -> None:
    episode = make_open(rule_id=1, worst=12.0, clear_count=1)
    step = step_on(episode, firing(NOW - DAY, rule_id=2, value=1.1), replace(SERVICE, id=2))
    assert step.action is Action.FORGET_CLEAR
    assert step.episode is not None
    assert (step.episode.rule_id, step.episode.worst) == (2, 1.1)


# Reopened by a person


def reopened(**columns: object) -> EpisodeView:
    return replace(make_open(), reopened_by_person_at=NOW, **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("minutes", "action"), [(-60, Action.NOTHING), (0, Action.NOTHING), (1, Action.RESOLVE)]
)
def test_what_the_car_said_until_a_person_reopened_it_does_not_end_it(
    minutes: int, action: Action
) -> None:
    at = NOW + timedelta(minutes=minutes)
    episode = reopened(last_firing_at=NOW - DAY)

    assert advance(episode, None, clear(at), OIL, NOW + DAY).action is action


def test_the_calendar_has_to_disagree_before_it_ends_what_a_person_reopened() -> None:
    """It says the same before and after: the person knew that when reopening."""
    said_before = reopened(last_firing_at=NOW - DAY)
    said_since = reopened(last_firing_at=NOW + HOUR)

    assert advance(said_before, None, clear(None), SERVICE, NOW + DAY).action is Action.NOTHING
    assert advance(said_since, None, clear(None), SERVICE, NOW + DAY).action is Action.RESOLVE
