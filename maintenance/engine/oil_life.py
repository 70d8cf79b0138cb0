"""Remaining oil life, in percent."""

from collections.abc import Mapping
from datetime import datetime

from maintenance.engine import facts
from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import OilLife, RuleSpec, Stage, Verdict


def judge(
    spec: RuleSpec,
    condition: OilLife,
    known: Facts,
    episodes: Mapping[str, EpisodeView],
    now: datetime,
) -> list[Finding]:
    """One finding, subject ""."""
    fact = known.signals.get(facts.OIL_LIFE)
    if fact is None:
        return [_unknown(spec, Reason.NO_READING)]
    value, at = fact.number, fact.recorded_at
    if value is None:
        return [_unknown(spec, Reason.WRONG_SHAPE, at)]
    if not fact.is_fresh(now, spec.freshness):
        return [_unknown(spec, Reason.STALE, at, value)]
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
                "signal": facts.OIL_LIFE,
                "value": value,
                "unit": "percent",
                "recorded_at": at.isoformat(),
                "worst": worst,
                "soon_below": condition.soon_below,
                "due_below": condition.due_below,
                "overdue_below": condition.overdue_below,
                "clear_at": condition.clear_at,
                "clear_jump": condition.clear_jump,
            },
        )
    ]


def stage_of(condition: OilLife, value: float) -> Stage | None:
    """The highest stage whose threshold the value is strictly below."""
    if value < condition.overdue_below:
        return Stage.OVERDUE
    if value < condition.due_below:
        return Stage.DUE
    return Stage.SOON if value < condition.soon_below else None


def _decide(
    condition: OilLife,
    value: float,
    stage: Stage | None,
    episode: EpisodeView | None,
    worst: float | None,
) -> tuple[Verdict, Reason]:
    """Threshold to fire, a higher one to clear; a jump clears anywhere, for oil was changed."""
    if episode is None or not episode.needs_proof_of_clear:
        if stage is not None:
            return Verdict.FIRING, Reason.BELOW_THRESHOLD
        return Verdict.CLEAR, Reason.ABOVE_THRESHOLD
    if worst is not None and value - worst >= condition.clear_jump:
        return Verdict.CLEAR, Reason.JUMPED
    if stage is not None:
        return Verdict.FIRING, Reason.BELOW_THRESHOLD
    if value >= condition.clear_at:
        return Verdict.CLEAR, Reason.ABOVE_THRESHOLD
    return Verdict.UNKNOWN, Reason.BETWEEN


def _unknown(
    spec: RuleSpec, reason: Reason, at: datetime | None = None, value: float | None = None
) -> Finding:
    return Finding(
        rule_id=spec.id,
        subject="",
        verdict=Verdict.UNKNOWN,
        recorded_at=at,
        value=value,
        reason=reason,
        evidence={
            "signal": facts.OIL_LIFE,
            "value": value,
            "recorded_at": at.isoformat() if at else None,
        },
    )
