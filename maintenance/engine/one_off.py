"""A service that is due a single time: at an odometer, on a day, or the first of both."""

from datetime import date, datetime, timedelta
from typing import Any

from maintenance.engine import facts
from maintenance.engine.facts import Facts, ServiceFact, SignalFact
from maintenance.engine.findings import Finding, Reason
from maintenance.engine.rules import RuleSpec, ServiceInterval, Stage, Verdict
from maintenance.engine.service_interval import Part, decide, to_finding

_ROUNDING = 1e-6  # miles were converted to km


def judge(spec: RuleSpec, condition: ServiceInterval, known: Facts, now: datetime) -> list[Finding]:
    """One finding, subject "". It is over with a service of the topic that was done no earlier
    than one is told of it.

    With a day the verdict is as of today, so it carries no reading's time (see Finding).
    """
    odometer = known.signals.get(facts.ODOMETER)
    at = odometer.recorded_at if odometer is not None and condition.due_on is None else None
    service = known.services.get(spec.topic)
    evidence: dict[str, Any] = {
        "part": None,
        "today": known.today.isoformat(),
        "service_done_on": service.done_on.isoformat() if service else None,
        "service_odometer_km": service.odometer_km if service else None,
    }
    if service is not None and is_done(condition, service):
        done = Reason.SERVICE_DONE
        return [to_finding(spec, Verdict.CLEAR, done, at, evidence=evidence)]
    parts = []
    if condition.due_odometer_km:
        parts.append(_distance(spec, condition, condition.due_odometer_km, odometer, now))
    if condition.due_on is not None:
        parts.append(_day(condition, condition.due_on, known.today))
    verdict, reason, part = decide(parts)
    for each in parts:
        evidence |= each.evidence
    if part is not None:
        evidence["part"] = part.name
    return [to_finding(spec, verdict, reason, at, evidence=evidence, part=part)]


def is_done(condition: ServiceInterval, service: ServiceFact) -> bool:
    """Whether this service was the one."""
    due_on, due_km = condition.due_on, condition.due_odometer_km
    if due_on is not None and service.done_on >= due_on - timedelta(days=condition.soon_days):
        return True
    at = service.odometer_km
    return bool(due_km) and at is not None and at + _ROUNDING >= (due_km or 0) - condition.soon_km


def _distance(
    spec: RuleSpec,
    condition: ServiceInterval,
    due_km: float,
    fact: SignalFact | None,
    now: datetime,
) -> Part:
    number = fact.number if fact is not None else None
    evidence = {
        "due_odometer_km": due_km,
        "odometer_km": number,
        "recorded_at": fact.recorded_at.isoformat() if fact is not None else None,
    }
    problem = None
    if fact is None:
        problem = Reason.NO_READING
    elif number is None:
        problem = Reason.WRONG_SHAPE
    elif not fact.is_fresh(now, spec.freshness):
        problem = Reason.STALE
    if problem is not None or number is None:
        return Part(name="distance", problem=problem, evidence=evidence)
    left = due_km - number
    stage = _stage(left, condition.soon_km, condition.overdue_km)
    return Part(name="distance", stage=stage, evidence=evidence | {"left_km": left})


def _day(condition: ServiceInterval, due_on: date, today: date) -> Part:
    left = (due_on - today).days
    return Part(
        name="time",
        stage=_stage(left, condition.soon_days, condition.overdue_days),
        evidence={"due_on": due_on.isoformat(), "left_days": left},
    )


def _stage(left: float, lead: float, late: float) -> Stage | None:
    left -= _ROUNDING
    if left <= -late:
        return Stage.OVERDUE
    if left <= 0:
        return Stage.DUE
    return Stage.SOON if left <= lead else None
