"""Whether a car can be read at all: it went quiet, or its consent is lost or ends soon.

Both are judged as of now, so their findings carry no reading's time.
"""

from datetime import date, datetime, timedelta
from typing import Any

from maintenance.engine.facts import ConnectionFact, Consent, Facts, Reach
from maintenance.engine.findings import Finding, Reason
from maintenance.engine.rules import Connection, RuleSpec, Stage, StaleData, Verdict

_HOUR = timedelta(hours=1)
_LOST = {
    Consent.NEEDS_RECONNECT: Reason.NEEDS_RECONNECT,
    Consent.REVOKED: Reason.REVOKED,
    Consent.NOT_SHARED: Reason.NOT_SHARED,
}


def judge_silence(
    spec: RuleSpec, condition: StaleData, known: Facts, now: datetime
) -> list[Finding]:
    """One finding, subject "". While the connection is lost nothing is said: that is its cause.

    A car that never gave anything, or not since it was connected again, counts from there; only
    a fresh reading clears.
    """
    reach = known.reach
    connection = reach.connection if reach is not None else None
    if reach is None or connection is None or connection.consent is not Consent.ACTIVE:
        return [_finding(spec, Verdict.UNKNOWN, Reason.NOT_CONNECTED)]
    limit = max(spec.freshness, condition.habits * reach.habit)
    times = [at for at in (reach.last_recorded_at, reach.since) if at is not None]
    evidence = _silence(reach, limit)
    if not times:
        return [_finding(spec, Verdict.UNKNOWN, Reason.NO_READING, evidence=evidence)]
    if now - max(times) > limit:
        return [_finding(spec, Verdict.FIRING, Reason.SILENT, Stage.DUE, evidence)]
    last = reach.last_recorded_at
    if last is None or now - last > limit:
        return [_finding(spec, Verdict.UNKNOWN, Reason.NO_READING, evidence=evidence)]
    return [_finding(spec, Verdict.CLEAR, Reason.REPORTED, evidence=evidence)]


def _silence(reach: Reach, limit: timedelta) -> dict[str, Any]:
    return {
        "last_recorded_at": _iso(reach.last_recorded_at),
        "connected_at": _iso(reach.since),
        "habit_hours": reach.habit / _HOUR,
        "limit_hours": limit / _HOUR,
    }


def judge_connection(spec: RuleSpec, condition: Connection, known: Facts) -> list[Finding]:
    """One finding, subject "". A car that was never connected is UNKNOWN."""
    connection = known.reach.connection if known.reach is not None else None
    if connection is None:
        return [_finding(spec, Verdict.UNKNOWN, Reason.NOT_CONNECTED)]
    evidence = _consent(connection, known.today)
    if connection.consent in _LOST:
        reason = _LOST[connection.consent]
        return [_finding(spec, Verdict.FIRING, reason, Stage.OVERDUE, evidence)]
    if connection.consent is Consent.ENDED_BY_STAFF:
        return [_finding(spec, Verdict.CLEAR, Reason.ENDED_BY_STAFF, evidence=evidence)]
    stage = _stage(condition, connection.ends_on, known.today)
    if stage is not None:
        return [_finding(spec, Verdict.FIRING, Reason.CONSENT_ENDS, stage, evidence)]
    return [_finding(spec, Verdict.CLEAR, Reason.CONNECTED, evidence=evidence)]


def _stage(condition: Connection, ends_on: date | None, today: date) -> Stage | None:
    if ends_on is None:
        return None
    left = (ends_on - today).days
    for stage, days in (
        (Stage.OVERDUE, condition.overdue_days),
        (Stage.DUE, condition.due_days),
        (Stage.SOON, condition.soon_days),
    ):
        if left <= days:
            return stage
    return None


def _consent(connection: ConnectionFact, today: date) -> dict[str, Any]:
    ends_on = connection.ends_on
    return {
        "consent": connection.consent.value,
        "driver": connection.driver,
        "since": _iso(connection.changed_at),
        "why": connection.reason,
        "ends_on": ends_on.isoformat() if ends_on else None,
        "days_left": (ends_on - today).days if ends_on else None,
        "today": today.isoformat(),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _finding(
    spec: RuleSpec,
    verdict: Verdict,
    reason: Reason,
    stage: Stage | None = None,
    evidence: dict[str, Any] | None = None,
) -> Finding:
    return Finding(
        rule_id=spec.id,
        subject="",
        verdict=verdict,
        stage=stage,
        reason=reason,
        evidence=evidence or {},
    )
