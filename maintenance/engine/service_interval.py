"""Distance or time since the last service of a topic, the first of both."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from maintenance.engine import facts
from maintenance.engine.facts import Facts, ServiceFact, SignalFact
from maintenance.engine.findings import Finding, Reason
from maintenance.engine.rules import RuleSpec, ServiceInterval, Stage, Verdict

# Miles were converted to km: a threshold reached to the millimetre is reached.
_ROUNDING = 1e-6
# A workshop's odometer entry is rounded, and may be of a day whose readings are still to come.
_ODOMETER_SLACK_KM = 5
_DAYS_UNTIL_READ = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One half of the interval; `problem` says why it is not known."""

    name: str
    stage: Stage | None = None
    share: float | None = None  # of the interval that is used up
    problem: Reason | None = None
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Distance:
    """What was driven since the service, if that can be told."""

    service: ServiceFact
    odometer: SignalFact | None
    interval_km: float

    @property
    def used_km(self) -> float | None:
        at_service = self.service.odometer_km
        now = self.odometer.number if self.odometer is not None else None
        return now - at_service if now is not None and at_service is not None else None

    def problem(self, spec: RuleSpec, now: datetime) -> Reason | None:
        if self.service.odometer_km is None:
            return Reason.NO_SERVICE_ODOMETER
        if self.odometer is None:
            return Reason.NO_READING
        if self.used_km is None:
            return Reason.WRONG_SHAPE
        if not self.odometer.is_fresh(now, spec.freshness):
            return Reason.STALE
        # A car that was read days later and shows less: the entry cannot be true.
        days = (self.odometer.recorded_at.date() - self.service.done_on).days
        if self.used_km < -_ODOMETER_SLACK_KM and days >= _DAYS_UNTIL_READ:
            return Reason.ODOMETER_BEHIND_SERVICE
        return None


def judge(spec: RuleSpec, condition: ServiceInterval, known: Facts, now: datetime) -> list[Finding]:
    """One finding, subject "". Without a service nothing is counted: not from 0, not from today.

    With a date part the verdict is as of today, so it carries no reading's time (see Finding).
    """
    odometer = known.signals.get(facts.ODOMETER)
    by_reading = odometer is not None and not condition.days
    at = odometer.recorded_at if odometer is not None and by_reading else None
    evidence: dict[str, Any] = {"part": None, "today": known.today.isoformat()}
    service = known.services.get(spec.topic)
    if service is None:
        return [to_finding(spec, Verdict.UNKNOWN, Reason.NO_SERVICE, at, evidence=evidence)]
    parts = []
    if condition.distance_km:
        used = _Distance(service=service, odometer=odometer, interval_km=condition.distance_km)
        parts.append(_distance(spec, condition, used, now))
    if condition.days:
        parts.append(_time(condition, condition.days, service, known.today))
    verdict, reason, part = decide(parts)
    evidence["service_done_on"] = service.done_on.isoformat()
    for each in parts:
        evidence |= each.evidence
    if part is not None:
        evidence["part"] = part.name
    return [to_finding(spec, verdict, reason, at, evidence=evidence, part=part)]


def decide(parts: list[Part]) -> tuple[Verdict, Reason, Part | None]:
    """The most pressing part speaks; all clear only when every part is known."""
    firing = [part for part in parts if part.stage is not None]
    if firing:
        worst = max(firing, key=lambda part: (part.stage or Stage.SOON, part.share or 0))
        return Verdict.FIRING, Reason.INTERVAL_REACHED, worst
    problem = next((part.problem for part in parts if part.problem), None)
    if problem is not None:
        return Verdict.UNKNOWN, problem, None
    if not parts:
        return Verdict.UNKNOWN, Reason.NO_INTERVAL, None
    nearest = max(parts, key=lambda part: part.share or 0)
    return Verdict.CLEAR, Reason.INTERVAL_NOT_REACHED, nearest


def _distance(spec: RuleSpec, condition: ServiceInterval, since: _Distance, now: datetime) -> Part:
    fact, used = since.odometer, since.used_km
    evidence = {
        "distance_km": since.interval_km,
        "odometer_km": fact.number if fact is not None else None,
        "recorded_at": fact.recorded_at.isoformat() if fact is not None else None,
        "service_odometer_km": since.service.odometer_km,
    }
    problem = since.problem(spec, now)
    if problem is not None or used is None:
        return Part(name="distance", problem=problem, evidence=evidence)
    evidence |= {
        "used_km": used,
        "left_km": since.interval_km - used,
        "due_odometer_km": (since.service.odometer_km or 0) + since.interval_km,
    }
    lead, late = condition.soon_km, condition.overdue_km
    return Part(
        name="distance",
        stage=_stage(used, since.interval_km, condition.soon_fraction, lead, late),
        share=used / since.interval_km,
        evidence=evidence,
    )


def _time(condition: ServiceInterval, days: int, service: ServiceFact, today: date) -> Part:
    used = (today - service.done_on).days
    lead, late = condition.soon_days, condition.overdue_days
    return Part(
        name="time",
        stage=_stage(used, days, condition.soon_fraction, lead, late),
        share=used / days,
        evidence={
            "days": days,
            "used_days": used,
            "left_days": days - used,
            "due_on": (service.done_on + timedelta(days=days)).isoformat(),
        },
    )


def _stage(
    used: float, interval: float, soon_fraction: float, lead: float, late: float
) -> Stage | None:
    used += _ROUNDING
    if used >= interval + late:
        return Stage.OVERDUE
    if used >= interval:
        return Stage.DUE
    # A lead as long as the interval would warn from the day of the service on.
    from_lead = interval - lead if lead < interval else interval
    return Stage.SOON if used >= min(soon_fraction * interval, from_lead) else None


def to_finding(
    spec: RuleSpec,
    verdict: Verdict,
    reason: Reason,
    at: datetime | None,
    *,
    evidence: dict[str, Any],
    part: Part | None = None,
) -> Finding:
    return Finding(
        rule_id=spec.id,
        subject="",
        verdict=verdict,
        stage=part.stage if part is not None else None,
        recorded_at=at,
        value=part.share if part is not None else None,
        reason=reason,
        evidence=evidence,
    )
