"""The life of an episode: pending, open, resolved, and back. Pure: views in, views out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from maintenance.engine import holds
from maintenance.engine.findings import EpisodeView, Finding
from maintenance.engine.rules import Kind, RuleSpec, Verdict

__all__ = ["Action", "EpisodeView", "Step", "advance", "combine", "is_recent"]


class Action(StrEnum):
    """What to do with the rows; the view that goes with it says what they become."""

    NOTHING = "nothing"
    PEND = "pend"  # a new pending row
    COUNT = "count"  # pending: one more reading towards the hold
    OPEN = "open"  # the pending row, or a new one, opens
    REOPEN = "reopen"  # the previous row opens again; a pending row is deleted
    WORSEN = "worsen"  # open: a higher stage
    NOTE_FIRING = "note_firing"  # open: still firing; nobody needs to hear of it
    CONFIRM_CLEAR = "confirm_clear"  # open: clear, but not often enough yet
    FORGET_CLEAR = "forget_clear"  # open: firing again before it was clear often enough
    RESOLVE = "resolve"
    DROP = "drop"  # the pending row was contradicted and is deleted
    NOTE_CLEAR = "note_clear"  # the previous row, closed by a person, was seen clear since
    CORRECT = "correct"  # pending or open: the counters, after older readings came


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An action and the view after it.

    The view is of the previous row for REOPEN and NOTE_CLEAR, else of the unresolved one (for
    DROP as it was). It is None only for NOTHING without an unresolved episode.
    """

    action: Action
    episode: EpisodeView | None


def combine(findings: Sequence[Finding], current_rule_id: int | None) -> Finding:
    """One verdict from all rules that share a topic and a subject (at least one finding).

    The highest FIRING wins, ties go to the current episode's rule, then to the lowest id. When
    none fires the current rule decides; without it, CLEAR if any is, else UNKNOWN.
    """

    def preference(finding: Finding) -> tuple[int, bool, int]:
        rank = finding.stage.rank if finding.stage is not None else -1
        return rank, finding.rule_id == current_rule_id, -finding.rule_id

    firing = [finding for finding in findings if finding.verdict is Verdict.FIRING]
    if firing:
        return max(firing, key=preference)
    own = [finding for finding in findings if finding.rule_id == current_rule_id]
    clear = [finding for finding in findings if finding.verdict is Verdict.CLEAR]
    return min(own or clear or findings, key=lambda finding: finding.rule_id)


def advance(
    episode: EpisodeView | None,
    previous: EpisodeView | None,
    finding: Finding,
    spec: RuleSpec,
    now: datetime,
) -> Step:
    """What one finding does to an episode.

    `episode` is the unresolved one, `previous` the latest resolved one of the same vehicle,
    topic and subject; `spec` is the rule of the finding. UNKNOWN does nothing. A reading counts
    once, and not at all when the same rule has already counted a later one; so the same finding
    applied again does nothing. The episode belongs to the rule that fired last: when another
    rule takes over, the counters begin anew.
    """
    at = finding.recorded_at or now
    if finding.verdict is Verdict.UNKNOWN or _is_outdated(episode or previous, finding, at):
        return Step(action=Action.NOTHING, episode=episode)
    if finding.verdict is Verdict.CLEAR:
        return _clear(episode, previous, finding, spec, now)
    if episode is not None and episode.is_open:
        return _fire_open(episode, finding, spec, at)
    if episode is None and _is_silenced(previous, spec, now):
        return Step(action=Action.NOTHING, episode=None)
    return _fire_waiting(episode, previous, finding, spec, now)


def _is_outdated(view: EpisodeView | None, finding: Finding, at: datetime) -> bool:
    """Whether the rule has already seen something newer that says the opposite.

    Equal times are not outdated: a service record or an edited rule changes what one and the
    same reading means.
    """
    if view is None or view.rule_id != finding.rule_id:
        return False
    is_firing = finding.verdict is Verdict.FIRING
    opposite = view.last_clear_at if is_firing else view.last_firing_at
    return opposite is not None and at < opposite


def is_recent(previous: EpisodeView | None, spec: RuleSpec, now: datetime) -> bool:
    """Whether what comes now is the same episode again."""
    return (
        previous is not None
        and previous.resolved_at is not None
        and now - previous.resolved_at <= spec.reopen_window
    )


def _is_silenced(previous: EpisodeView | None, spec: RuleSpec, now: datetime) -> bool:
    """Whether a person closed it while it fired, and that still holds."""
    return (
        previous is not None
        and previous.resolved_by_person
        and not previous.cleared_since_resolved
        and is_recent(previous, spec, now)
    )


def _fire_waiting(
    episode: EpisodeView | None,
    previous: EpisodeView | None,
    finding: Finding,
    spec: RuleSpec,
    now: datetime,
) -> Step:
    """Nothing is open: count towards the hold, open when it is over."""
    at = finding.recorded_at or now
    mine = episode is not None and episode.rule_id == finding.rule_id
    pending = holds.count(episode if mine else None, finding, spec.hold, at)
    if not holds.is_hold_over(pending, finding, spec.hold, at):
        if episode is None:
            return Step(action=Action.PEND, episode=pending)
        action = Action.NOTHING if pending == episode else Action.COUNT
        return Step(action=action, episode=pending)
    opened = replace(
        pending,
        is_open=True,
        stage=finding.stage,
        worst=finding.value,
        firing_count=0,
        last_firing_at=max(at, pending.last_firing_at or at),
    )
    # The stage is what is true now: the same row, but a new life with its own announcements.
    return Step(
        action=Action.REOPEN if is_recent(previous, spec, now) else Action.OPEN, episode=opened
    )


def _fire_open(episode: EpisodeView, finding: Finding, spec: RuleSpec, at: datetime) -> Step:
    """It is open: worsen, or write down that it still fires. The stage never falls."""
    nothing = Step(action=Action.NOTHING, episode=episode)
    mine = episode.rule_id == finding.rule_id
    last = episode.last_firing_at if mine else None
    is_worse = finding.stage is not None and (
        episode.stage is None or finding.stage > episode.stage
    )
    if last is not None and (at < last or (at == last and not is_worse)):
        return nothing
    counted = 0
    if is_worse and holds.is_zero_in_doubt(finding, spec.hold):
        zeros = episode.firing_count if mine else 0
        if zeros and not holds.is_next(last, spec.hold, at):
            return nothing
        counted = zeros + 1
        is_worse = counted >= holds.readings_needed(finding, spec.hold)
    in_doubt = counted > 0 and not is_worse
    after = replace(
        episode,
        rule_id=finding.rule_id,
        stage=finding.stage if is_worse else episode.stage,
        worst=_worst(episode.worst if mine else None, None if in_doubt else finding.value, spec),
        firing_count=counted if in_doubt else 0,
        last_firing_at=at,
        clear_count=0,
    )
    if is_worse:
        return Step(action=Action.WORSEN, episode=after)
    action = Action.FORGET_CLEAR if episode.clear_count else Action.NOTE_FIRING
    return Step(action=action, episode=after)


def _worst(known: float | None, value: float | None, spec: RuleSpec) -> float | None:
    if known is None or value is None:
        return value if known is None else known
    return max(known, value) if spec.kind is Kind.SERVICE_INTERVAL else min(known, value)


def _clear(
    episode: EpisodeView | None,
    previous: EpisodeView | None,
    finding: Finding,
    spec: RuleSpec,
    now: datetime,
) -> Step:
    if episode is None:
        return _clear_resolved(previous, finding, spec, now)
    if not episode.is_open:
        return Step(action=Action.DROP, episode=episode)
    return _clear_open(episode, finding, spec, now)


def _clear_resolved(
    previous: EpisodeView | None, finding: Finding, spec: RuleSpec, now: datetime
) -> Step:
    """What a person closed while it fired has cleared: from here on it may come back."""
    if previous is None or not _is_silenced(previous, spec, now):
        return Step(action=Action.NOTHING, episode=None)
    at = finding.recorded_at or now
    seen = replace(previous, cleared_since_resolved=True, last_clear_at=at)
    return Step(action=Action.NOTE_CLEAR, episode=seen)


def _clear_open(episode: EpisodeView, finding: Finding, spec: RuleSpec, now: datetime) -> Step:
    """One reading more towards the end, unless a person keeps it open against that reading."""
    at = finding.recorded_at or now
    mine, last = episode.rule_id == finding.rule_id, episode.last_clear_at
    is_counted = mine and last is not None and at <= last
    is_kept = episode.is_kept_open(at, by_calendar=finding.recorded_at is None)
    if (is_counted or is_kept) and not finding.skip_hold:
        return Step(action=Action.NOTHING, episode=episode)
    counted = replace(
        episode,
        rule_id=finding.rule_id,
        clear_count=episode.clear_count + 1,
        last_clear_at=at,
        firing_count=0,
    )
    if counted.clear_count < spec.clear_readings and not finding.skip_hold:
        return Step(action=Action.CONFIRM_CLEAR, episode=counted)
    resolved = replace(counted, is_open=False, is_resolved=True, resolved_at=now)
    return Step(action=Action.RESOLVE, episode=resolved)
