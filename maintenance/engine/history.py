"""What episodes would be if every reading had come in time. Pure.

Readings that came late are judged again among their neighbours, in the order of the car's clock;
`is_disproved` and `step_to` then say what a row has to become.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from maintenance.engine import facts
from maintenance.engine.conditions import judge
from maintenance.engine.episodes import Action, Step, advance, combine, is_recent
from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding
from maintenance.engine.rules import Kind, RuleSpec, Verdict, signals_needed

_TELLING = {Action.PEND, Action.OPEN, Action.REOPEN, Action.WORSEN, Action.NOTE_CLEAR}


@dataclass(slots=True)
class Life:
    """The episode of one subject, after the readings so far."""

    episode: EpisodeView | None = None
    previous: EpisodeView | None = None
    told: Finding | None = None  # what the row is described by

    def take(self, step: Step, finding: Finding) -> None:
        if step.action in _TELLING or self._is_taken_over(step, finding):
            self.told = finding
        match step.action:
            case Action.RESOLVE:
                self.episode, self.previous = None, step.episode
            case Action.DROP:
                self.episode = None
            case Action.NOTE_CLEAR:
                self.previous = step.episode
            case _:
                self.episode = step.episode

    def _is_taken_over(self, step: Step, finding: Finding) -> bool:
        """Whether another rule owns it from here on; the row is described in that rule's words."""
        is_counted = finding.verdict is Verdict.FIRING and step.action is not Action.NOTHING
        return is_counted and self.episode is not None and self.episode.rule_id != finding.rule_id


def reads(spec: RuleSpec, code: str) -> bool:
    """Whether the rule looks at this signal."""
    if spec.kind is Kind.SYSTEM_STATUS and facts.system_name(code) is None:
        return False
    return any(fnmatchcase(code, pattern) for pattern in signals_needed(spec))


def fold(
    specs: Sequence[RuleSpec],
    moments: Iterable[Facts],
    previous: Mapping[str, EpisodeView],
    now: datetime,
) -> dict[str, Life]:
    """By subject, what the rules of one topic make of a history that begins without an episode.

    `moments` are the facts as they were after each reading, in the order of the car's clock;
    `previous` are the resolved episodes that stay as they are.
    """
    by_id = {spec.id: spec for spec in specs}
    lives = {subject: Life(previous=view) for subject, view in previous.items()}
    for known in moments:
        views = {
            subject: view
            for subject, life in lives.items()
            if (view := life.episode or life.previous)
        }
        findings: dict[str, list[Finding]] = defaultdict(list)
        for spec in specs:
            for finding in judge(spec, known, views, now):
                findings[finding.subject].append(finding)
        for subject, found in findings.items():
            life = lives.setdefault(subject, Life())
            finding = combine(found, life.episode.rule_id if life.episode else None)
            spec = by_id[finding.rule_id]
            life.take(advance(life.episode, life.previous, finding, spec, now), finding)
    return lives


def settled(resolved: EpisodeView, since: datetime) -> EpisodeView | None:
    """The resolved episode as the fold begins with it; None when it is folded anew.

    What a person closed stays closed, and what the car said before that is settled with it. What
    the readings closed is theirs to decide, as far back as they are looked at.
    """
    if resolved.resolved_by_person:
        times = [at for at in (resolved.last_firing_at, resolved.resolved_at) if at]
        return replace(resolved, last_firing_at=max(times, default=None))
    return None if began_since(resolved, since) else resolved


def began_since(view: EpisodeView, since: datetime) -> bool:
    return view.first_firing_at is not None and view.first_firing_at >= since


def is_disproved(row: EpisodeView, life: Life) -> bool:
    """Whether the row's episode is over or never was.

    A stage never falls: where it is lower now, the episode ended in between and another began.
    """
    true = life.episode
    if row.reopened_by_person_at is not None:
        return False  # people know better; the readings to come may end it
    if true is None or not row.is_open:
        return true is None
    return not true.is_open or (
        row.stage is not None and true.stage is not None and true.stage < row.stage
    )


def step_to(
    row: EpisodeView | None,
    previous: EpisodeView | None,
    life: Life,
    spec: RuleSpec,
    now: datetime,
) -> Step:
    """What makes the row (none, or one that is not disproved) what it should be."""
    true = life.episode
    if true is None or row == true:
        return Step(action=Action.NOTHING, episode=row)
    if not true.is_open:
        return Step(action=Action.CORRECT if row else Action.PEND, episode=true)
    if row is None or not row.is_open:
        again = is_recent(previous, spec, now)
        return Step(action=Action.REOPEN if again else Action.OPEN, episode=true)
    is_worse = true.stage is not None and (row.stage is None or true.stage > row.stage)
    return Step(action=Action.WORSEN if is_worse else Action.CORRECT, episode=true)


def note_clear(previous: EpisodeView | None, life: Life) -> Step:
    """Whether what a person closed was seen clear since."""
    true = life.previous
    if previous is None or true is None:
        return Step(action=Action.NOTHING, episode=None)
    if not previous.needs_proof_of_clear or true.needs_proof_of_clear:
        return Step(action=Action.NOTHING, episode=None)
    seen = replace(previous, cleared_since_resolved=True, last_clear_at=true.last_clear_at)
    return Step(action=Action.NOTE_CLEAR, episode=seen)
