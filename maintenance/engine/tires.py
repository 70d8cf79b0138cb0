"""Tire pressure, wheel by wheel, in kPa: low and high are two things with a life of their own.

The subject of a low tire is its wheel (`front-left`), of a high one `front-left-high`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from maintenance.engine import facts
from maintenance.engine.facts import Facts, SignalFact
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import RuleSpec, Stage, TirePressure, Verdict

HIGH = "-high"
_LOW_PART, _LOW_CLEAR_PART, _FLAT_PART = 0.8, 0.9, 0.6  # of the placard
_HIGH_PART, _HIGH_CLEAR_PART = 1.25, 1.15
_FLAT_KPA = 140.0  # where no placard is known
_CLEAR_ABOVE_LOW_KPA = 14.0  # 2 psi: 193 kPa clear at 207
_HIGH_KPA_CLEAR_PART = 0.95
_LOWEST_KPA, _HIGHEST_KPA = 50.0, 1500.0  # beyond these no tire is, but for a flat one's 0
_ROUNDING = 1e-6  # 80 % of 230 kPa is 184, and a little more in floating point


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """From where on a wheel fires in one direction, and where it is well again."""

    at: float
    clear: float
    is_high: bool = False
    overdue: float | None = None

    def fires(self, kpa: float) -> bool:
        return kpa >= self.at - _ROUNDING if self.is_high else kpa <= self.at + _ROUNDING

    def clears(self, kpa: float) -> bool:
        return kpa <= self.clear + _ROUNDING if self.is_high else kpa >= self.clear - _ROUNDING

    def stage(self, kpa: float) -> Stage:
        is_flat = self.overdue is not None and kpa <= self.overdue + _ROUNDING
        return Stage.OVERDUE if is_flat else Stage.DUE


def judge(
    spec: RuleSpec,
    condition: TirePressure,
    known: Facts,
    episodes: Mapping[str, EpisodeView],
    now: datetime,
) -> list[Finding]:
    """FIRING for each wheel that is low or high; a verdict for each episode's wheel besides."""
    fact = known.signals.get(facts.TIRES)
    wheels, problem = _wheels(spec, fact, now)
    subjects = {*episodes, *wheels, *(name + HIGH for name in wheels)}
    findings = []
    for subject in sorted(subjects):
        wheel = subject.removesuffix(HIGH)
        finding = _judge_one(spec, condition, subject, wheels.get(wheel), episodes.get(subject))
        if finding.verdict is Verdict.FIRING or subject in episodes:
            reason = problem if problem is not None else finding.reason
            findings.append(_dated(finding, fact, reason))
    return findings


def contradicts(condition: TirePressure) -> bool:
    """Whether a wheel could be low and high at once, or be neither only by turns."""
    for wheel in ("front-", "rear-"):
        placard = _placard(condition, wheel)
        high = _high(condition, placard)
        if high is not None and high.clear < _low(condition, placard).clear:
            return True
    return False


def subject_of(row: int, column: int) -> str:
    """What a wheel is called. Row 0 is the front, column 0 the left.

    https://smartcar.com/docs/api-reference/signals
    """
    axle = {0: "front", 1: "rear"}.get(row, f"axle-{row + 1}")
    side = {0: "left", 1: "right"}.get(column, f"wheel-{column + 1}")
    return f"{axle}-{side}"


def _wheels(
    spec: RuleSpec, fact: SignalFact | None, now: datetime
) -> tuple[dict[str, float | None], Reason | None]:
    """The pressure of each wheel, None for one that means nothing; or why none is known."""
    if fact is None:
        return {}, Reason.NO_READING
    if not fact.is_fresh(now, spec.freshness):
        return {}, Reason.STALE
    entries = fact.data.get("values") if isinstance(fact.data, Mapping) else None
    if not isinstance(entries, list | tuple):
        return {}, Reason.WRONG_SHAPE
    wheels = dict(_read(entries))
    if len(wheels) > 1 and set(wheels.values()) == {0}:
        return {}, Reason.IMPOSSIBLE  # four flat tires at once are a car that does not know
    return wheels, None


def _read(entries: Iterable[Any]) -> Iterator[tuple[str, float | None]]:
    for entry in entries:
        if not isinstance(entry, Mapping):
            continue
        row, column = _place(entry.get("row")), _place(entry.get("column"))
        if row is not None and column is not None:
            yield subject_of(row, column), _possible(entry.get("tirePressure"))


def _place(value: Any) -> int | None:
    is_place = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_place else None


def _possible(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if value == 0 or _LOWEST_KPA <= value <= _HIGHEST_KPA else None


def _judge_one(
    spec: RuleSpec,
    condition: TirePressure,
    subject: str,
    kpa: float | None,
    episode: EpisodeView | None,
) -> Finding:
    is_high = subject.endswith(HIGH)
    wheel = subject.removesuffix(HIGH)
    placard = _placard(condition, wheel)
    limit = _high(condition, placard) if is_high else _low(condition, placard)
    verdict, reason = _decide(limit, kpa, episode)
    is_firing = verdict is Verdict.FIRING
    return Finding(
        rule_id=spec.id,
        subject=subject,
        verdict=verdict,
        stage=limit.stage(kpa) if is_firing and limit and kpa is not None else None,
        value=None if is_high else kpa,  # the lowest is the worst; of a high one nothing is kept
        reason=reason,
        evidence={
            "wheel": wheel,
            "is_high": is_high,
            "pressure_kpa": kpa,
            "placard_kpa": placard,
            "limit_kpa": limit.at if limit else None,
            "clear_kpa": limit.clear if limit else None,
        },
    )


def _decide(
    limit: _Limit | None, kpa: float | None, episode: EpisodeView | None
) -> tuple[Verdict, Reason]:
    if kpa is None:
        return Verdict.UNKNOWN, Reason.IMPOSSIBLE
    if limit is None:
        return Verdict.CLEAR, Reason.IGNORED
    if limit.fires(kpa):
        return Verdict.FIRING, Reason.ABOVE_LIMIT if limit.is_high else Reason.BELOW_THRESHOLD
    needs_proof = episode is not None and episode.needs_proof_of_clear
    if needs_proof and not limit.clears(kpa):
        return Verdict.UNKNOWN, Reason.BETWEEN
    return Verdict.CLEAR, Reason.WITHIN_LIMITS


def _placard(condition: TirePressure, wheel: str) -> float | None:
    is_front = wheel.startswith("front-")
    return condition.placard_front_kpa if is_front else condition.placard_rear_kpa


def _low(condition: TirePressure, placard: float | None) -> _Limit:
    if placard:
        at, clear, flat = (placard * part for part in (_LOW_PART, _LOW_CLEAR_PART, _FLAT_PART))
        return _Limit(at=at, clear=clear, overdue=flat)
    at = condition.low_kpa
    return _Limit(at=at, clear=at + _CLEAR_ABOVE_LOW_KPA, overdue=_FLAT_KPA)


def _high(condition: TirePressure, placard: float | None) -> _Limit | None:
    """The lower one, where the rule names a placard and a limit of its own; None without both."""
    limits = []
    if placard:
        limits.append((placard * _HIGH_PART, placard * _HIGH_CLEAR_PART))
    if condition.high_kpa:
        limits.append((condition.high_kpa, condition.high_kpa * _HIGH_KPA_CLEAR_PART))
    if not limits:
        return None
    return _Limit(
        at=min(at for at, _clear in limits), clear=min(c for _at, c in limits), is_high=True
    )


def _dated(finding: Finding, fact: SignalFact | None, reason: str) -> Finding:
    """The finding with the time of the reading that it rests on."""
    at = fact.recorded_at if fact is not None else None
    stamp = {"signal": facts.TIRES, "recorded_at": at.isoformat() if at else None}
    return replace(finding, recorded_at=at, reason=reason, evidence={**finding.evidence, **stamp})
