"""One row store as small as can be: carries steps out as the portal does, and refuses nonsense."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from maintenance.engine.episodes import Action, EpisodeView, Step, advance
from maintenance.engine.findings import Finding
from maintenance.engine.rules import RuleSpec

STARTS = {Action.PEND}
ON_OPEN = {
    Action.WORSEN,
    Action.NOTE_FIRING,
    Action.CONFIRM_CLEAR,
    Action.FORGET_CLEAR,
    Action.RESOLVE,
}


@dataclass
class Ledger:
    """The rows of one (vehicle, topic, subject)."""

    unresolved: EpisodeView | None = None
    previous: EpisodeView | None = None
    actions: list[Action] = field(default_factory=list)

    def apply(self, finding: Finding, spec: RuleSpec, now: datetime) -> Step:
        step = advance(self.unresolved, self.previous, finding, spec, now)
        self.actions.append(step.action)
        self._check(step)
        self._store(step)
        return step

    def close(self, now: datetime) -> None:
        """A person closes what is open."""
        if self.unresolved is not None and self.unresolved.is_open:
            self.previous = replace(
                self.unresolved,
                is_open=False,
                is_resolved=True,
                resolved_at=now,
                resolved_by_person=True,
                cleared_since_resolved=False,
            )
            self.unresolved = None

    def reopen(self, now: datetime) -> None:
        """A person says of what was resolved last that it is not over."""
        if self.unresolved is None and self.previous is not None:
            self.unresolved = replace(
                self.previous,
                is_open=True,
                is_resolved=False,
                resolved_at=None,
                resolved_by_person=False,
                cleared_since_resolved=False,
                clear_count=0,
                reopened_by_person_at=now,
            )
            self.previous = None

    def _check(self, step: Step) -> None:
        was_open = self.unresolved is not None and self.unresolved.is_open
        if step.action is Action.NOTHING:
            assert step.episode == self.unresolved
        elif step.action in STARTS:
            assert self.unresolved is None
        elif step.action in ON_OPEN:
            assert was_open
        elif step.action in {Action.COUNT, Action.DROP}:
            assert self.unresolved is not None
            assert not was_open
        elif step.action in {Action.OPEN, Action.REOPEN}:
            assert not was_open
        if step.action in {Action.REOPEN, Action.NOTE_CLEAR}:
            assert self.previous is not None
        assert step.episode is None or not (step.episode.is_open and step.episode.is_resolved)

    def _store(self, step: Step) -> None:
        if step.action is Action.NOTE_CLEAR:
            self.previous = step.episode
        elif step.action is Action.RESOLVE:
            self.unresolved, self.previous = None, step.episode
        elif step.action is Action.DROP:
            self.unresolved = None
        elif step.action is Action.REOPEN:
            self.unresolved, self.previous = step.episode, None
        elif step.action is not Action.NOTHING:
            self.unresolved = step.episode
