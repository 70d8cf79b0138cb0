"""What runs low, in percent: oil life, fuel, charge."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import Level, RuleSpec, Stage, Verdict


def judge(
    spec: RuleSpec,
    condition: Level,
    known: Facts,
    episodes: Mapping[str, EpisodeView],
    now: datetime,
) -> list[Finding]:
    """One finding, subject ""."""
    fact = known.signals.get(condition.signal)
    if fact is None:
        return [_unknown(spec, condition, Reason.NO_READING)]
    value, at = fact.number, fact.recorded_at
    if value is None:
        return [_unknown(spec, condition, Reason.WRONG_SHAPE, at)]
    if not fact.is_fresh(now, spec.freshness):
        return [_unknown(spec, condition, Reason.STALE, at, value)]
    episode = episodes.get("")
    worst = episode.worst if episode is not None and episode.rule_id == spec.id else None
    stage = stage_of(condition, value)
    verdict, reason = _decide(condition, value, stage, episode, worst)
    return [
        Finding(
            rule_id=spec.id,
            subject="",
            verdict=verdict,
            stage=stage if verdict is Verdict.FIRING else None,
            recorded_at=at,
            value=value,
            reason=reason,
            evidence={
                "signal": condition.signal,
                "value": value,
                "unit": "percent",
                "recorded_at": at.isoformat(),
                "worst": worst,
                **_thresholds(condition),
            },
        )
    ]


def stage_of(condition: Level, value: float) -> Stage | None:
    """The highest stage whose threshold the value is strictly below."""
    for stage, threshold in (
        (Stage.OVERDUE, condition.overdue_below),
        (Stage.DUE, condition.due_below),
        (Stage.SOON, condition.soon_below),
    ):
        if threshold is not None and value < threshold:
            return stage
    return None


def _thresholds(condition: Level) -> dict[str, Any]:
    names = ("soon_below", "due_below", "overdue_below", "clear_at", "clear_jump")
    return {name: at for name in names if (at := getattr(condition, name)) is not None}


def _decide(
    condition: Level,
    value: float,
    stage: Stage | None,
    episode: EpisodeView | None,
    worst: float | None,
) -> tuple[Verdict, Reason]:
    """Threshold to fire, a higher one to clear; a jump clears anywhere, if it means anything."""
    if episode is None or not episode.needs_proof_of_clear:
        if stage is not None:
            return Verdict.FIRING, Reason.BELOW_THRESHOLD
        return Verdict.CLEAR, Reason.ABOVE_THRESHOLD
    jump = condition.clear_jump
    if jump is not None and worst is not None and value - worst >= jump:
        return Verdict.CLEAR, Reason.JUMPED
    if stage is not None:
        return Verdict.FIRING, Reason.BELOW_THRESHOLD
    if value >= condition.clear_at:
        return Verdict.CLEAR, Reason.ABOVE_THRESHOLD
    return Verdict.UNKNOWN, Reason.BETWEEN


def _unknown(
    spec: RuleSpec,
    condition: Level,
    reason: Reason,
    at: datetime | None = None,
    value: float | None = None,
) -> Finding:
    return Finding(
        rule_id=spec.id,
        subject="",
        verdict=Verdict.UNKNOWN,
        recorded_at=at,
        value=value,
        reason=reason,
        evidence={
            "signal": condition.signal,
            "value": value,
            "recorded_at": at.isoformat() if at else None,
        },
    )
