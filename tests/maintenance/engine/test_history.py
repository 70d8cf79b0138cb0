"""Episodes that are folded anew, and what makes a row what it should be."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import pytest

from maintenance.engine import facts
from maintenance.engine.conditions import judge
from maintenance.engine.episodes import Action
from maintenance.engine.findings import EpisodeView
from maintenance.engine.history import (
    Life,
    began_since,
    fold,
    is_disproved,
    note_clear,
    reads,
    settled,
    step_to,
)
from maintenance.engine.rules import RuleSpec, Stage, SystemStatus, TroubleCode
from tests.maintenance.engine.builders import DAY, HOUR, NOW, codes, make_spec, oil
from tests.maintenance.engine.ledger import Ledger

OPEN = EpisodeView(
    subject="",
    rule_id=1,
    is_open=True,
    stage=Stage.DUE,
    first_firing_at=NOW,
    last_firing_at=NOW,
)
PENDING = replace(OPEN, is_open=False)
CLOSED = replace(
    OPEN, is_open=False, is_resolved=True, resolved_at=NOW + HOUR, resolved_by_person=True
)
SPEC = make_spec()


def life(episode: EpisodeView | None, previous: EpisodeView | None = None) -> Life:
    return Life(episode=episode, previous=previous)


def test_the_fold_ends_as_the_steps_of_one_reading_after_the_other_do() -> None:
    spec, ledger = make_spec(TroubleCode()), Ledger()
    said = [["P0301"], ["P0301"], [], ["P0301"], [], [], ["P0301"]]
    moments = [codes(*each, at=NOW + n * HOUR) for n, each in enumerate(said)]
    for known in moments:
        view = ledger.unresolved or ledger.previous
        for finding in judge(spec, known, {"P0301": view} if view else {}, NOW + DAY):
            ledger.apply(finding, spec, NOW + DAY)

    lives = fold([spec], moments, {}, NOW + DAY)

    assert lives["P0301"].episode == ledger.unresolved
    assert lives["P0301"].previous == ledger.previous
    told = lives["P0301"].told
    assert told is not None
    assert told.recorded_at == NOW + 6 * HOUR


def test_what_a_person_closed_silences_the_fold() -> None:
    moments = [oil(14.0, at=NOW + n * 13 * HOUR) for n in range(4)]

    assert fold([SPEC], moments, {"": CLOSED}, NOW + 2 * DAY)[""].episode is None
    assert fold([SPEC], moments, {}, NOW + 2 * DAY)[""].episode is not None


@pytest.mark.parametrize(
    ("view", "begins_with"),
    [
        (CLOSED, replace(CLOSED, last_firing_at=NOW + HOUR)),
        (replace(CLOSED, resolved_by_person=False), None),
        (
            replace(CLOSED, resolved_by_person=False, first_firing_at=NOW - 2 * HOUR),
            replace(CLOSED, resolved_by_person=False, first_firing_at=NOW - 2 * HOUR),
        ),
    ],
    ids=["closed by a person", "closed by readings", "closed by readings, and older"],
)
def test_what_the_fold_begins_with(view: EpisodeView, begins_with: EpisodeView | None) -> None:
    assert settled(view, NOW - HOUR) == begins_with


@pytest.mark.parametrize(
    ("at", "since", "inside"),
    [(NOW, NOW, True), (NOW, NOW + HOUR, False), (None, NOW, False)],
)
def test_an_episode_whose_begin_is_not_known_did_not_begin_since(
    at: datetime | None, since: datetime, *, inside: bool
) -> None:
    assert began_since(replace(OPEN, first_firing_at=at), since) is inside


@pytest.mark.parametrize(
    ("row", "true", "disproved"),
    [
        (OPEN, OPEN, False),
        (OPEN, None, True),
        (OPEN, PENDING, True),
        (OPEN, replace(OPEN, stage=Stage.OVERDUE), False),
        (OPEN, replace(OPEN, stage=Stage.SOON), True),
        (PENDING, None, True),
        (PENDING, PENDING, False),
        (PENDING, replace(OPEN, stage=Stage.SOON), False),
    ],
)
def test_when_a_row_is_disproved(
    row: EpisodeView, true: EpisodeView | None, *, disproved: bool
) -> None:
    assert is_disproved(row, life(true)) is disproved


WORSE = replace(OPEN, stage=Stage.OVERDUE)
COUNTED = replace(PENDING, firing_count=2)


@pytest.mark.parametrize(
    ("row", "previous", "true", "action"),
    [
        (None, None, None, Action.NOTHING),
        (OPEN, None, OPEN, Action.NOTHING),
        (None, None, PENDING, Action.PEND),
        (PENDING, None, COUNTED, Action.CORRECT),
        (None, None, OPEN, Action.OPEN),
        (PENDING, None, OPEN, Action.OPEN),
        (PENDING, CLOSED, OPEN, Action.REOPEN),
        (None, replace(CLOSED, resolved_at=NOW - 30 * DAY), OPEN, Action.OPEN),
        (OPEN, None, WORSE, Action.WORSEN),
        (OPEN, None, replace(OPEN, clear_count=1), Action.CORRECT),
    ],
)
def test_what_makes_a_row_true(
    row: EpisodeView | None,
    previous: EpisodeView | None,
    true: EpisodeView | None,
    action: Action,
) -> None:
    assert step_to(row, previous, life(true), SPEC, NOW + DAY).action is action


def test_that_it_was_clear_since_a_person_closed_it_is_noted_once() -> None:
    seen = replace(CLOSED, cleared_since_resolved=True, last_clear_at=NOW + 2 * HOUR)

    step = note_clear(CLOSED, life(None, seen))

    assert (step.action, step.episode) == (Action.NOTE_CLEAR, seen)
    pairs: Iterable[tuple[EpisodeView | None, EpisodeView | None]]
    pairs = ((seen, seen), (CLOSED, CLOSED), (None, seen), (CLOSED, None))
    assert {note_clear(row, life(None, true)).action for row, true in pairs} == {Action.NOTHING}


@pytest.mark.parametrize(
    ("spec", "code", "answer"),
    [
        (SPEC, facts.OIL_LIFE, True),
        (SPEC, facts.ODOMETER, False),
        (make_spec(SystemStatus()), "diagnostics-mil", True),
        (make_spec(SystemStatus()), facts.TROUBLE_CODES, False),
        (make_spec(TroubleCode()), facts.TROUBLE_CODES, True),
    ],
)
def test_which_signals_a_rule_reads(spec: RuleSpec, code: str, *, answer: bool) -> None:
    assert reads(spec, code) is answer
