"""What the car says is wrong with itself: trouble codes, and systems that say ALERT."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from maintenance.engine import facts
from maintenance.engine.facts import Facts, SignalFact
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import RuleSpec, Stage, SystemStatus, TroubleCode, Verdict
from maintenance.engine.trouble_codes import Severity


def judge_codes(
    spec: RuleSpec,
    condition: TroubleCode,
    known: Facts,
    episodes: Mapping[str, EpisodeView],
    now: datetime,
) -> list[Finding]:
    """FIRING for each active code; CLEAR or UNKNOWN for each episode whose code is not there.

    What the rule or the fleet's own book ignores is CLEAR, whatever the car says or fails to say.
    """
    fact = known.signals.get(facts.TROUBLE_CODES)
    active, problem = _active_codes(fact, spec, now)
    findings = [
        _code_firing(spec, condition, code, since, known)
        for code, since in active.items()
        if not _is_ignored(condition, known, code)
    ]
    for subject in episodes:
        is_ignored = _is_ignored(condition, known, subject.upper())
        if subject.upper() in active and not is_ignored:
            continue
        verdict, reason = Verdict.CLEAR, Reason.CODE_ABSENT
        if is_ignored:
            reason = Reason.IGNORED
        elif problem is not None:
            verdict, reason = Verdict.UNKNOWN, problem
        evidence = {"code": subject}
        findings.append(
            _finding(spec, subject, verdict, reason, fact, evidence=evidence, skip_hold=is_ignored)
        )
    return sorted(findings, key=lambda finding: finding.subject)


def judge_systems(
    spec: RuleSpec,
    condition: SystemStatus,
    known: Facts,
    episodes: Mapping[str, EpisodeView],
    now: datetime,
) -> list[Finding]:
    """FIRING for each system that says ALERT; a verdict for each episode's system besides."""
    systems = {
        name: fact for code, fact in known.signals.items() if (name := facts.system_name(code))
    }
    findings = []
    for name in sorted({*systems, *episodes}):
        fact = systems.get(name)
        verdict, reason = _system_verdict(spec, condition, name, fact, now)
        if verdict is not Verdict.FIRING and name not in episodes:
            continue
        data = fact.data if fact is not None and isinstance(fact.data, Mapping) else {}
        evidence: dict[str, Any] = {"system": name}
        evidence |= {key: _text(data.get(key)) for key in ("status", "description")}
        findings.append(_finding(spec, name, verdict, reason, fact, evidence=evidence))
    return findings


def _active_codes(
    fact: SignalFact | None, spec: RuleSpec, now: datetime
) -> tuple[dict[str, str | None], Reason | None]:
    """Codes present with the time the car gives for each, and why absence proves nothing."""
    if fact is None:
        return {}, Reason.NO_READING
    if not fact.is_fresh(now, spec.freshness):
        return {}, Reason.STALE
    entries = fact.data.get("values") if isinstance(fact.data, Mapping) else None
    if not isinstance(entries, list | tuple):
        return {}, Reason.WRONG_SHAPE
    codes: dict[str, str | None] = {}
    problem = None
    for entry in entries:
        code = entry.get("code") if isinstance(entry, Mapping) else None
        if isinstance(code, str) and code.strip():
            codes.setdefault(code.strip().upper(), _text(entry.get("timestamp")))
        else:
            problem = Reason.WRONG_SHAPE  # it may be any code: none can be called absent
    return codes, problem


def _code_firing(
    spec: RuleSpec,
    condition: TroubleCode,
    code: str,
    since: str | None,
    known: Facts,
) -> Finding:
    judged = known.codes.judge(code)
    is_critical = judged.is_critical or _any_match(condition.critical, code)
    return _finding(
        spec,
        code,
        Verdict.FIRING,
        Reason.CODE_PRESENT,
        known.signals.get(facts.TROUBLE_CODES),
        evidence={
            "code": code,
            "timestamp": since,
            "is_critical": is_critical,
            "severity": str(Severity.CRITICAL if is_critical else judged.severity),
            "own_meaning": judged.own_meaning,
        },
        skip_hold=is_critical,
    )


def _system_verdict(
    spec: RuleSpec, condition: SystemStatus, name: str, fact: SignalFact | None, now: datetime
) -> tuple[Verdict, Reason]:
    if fact is None:
        return Verdict.UNKNOWN, Reason.NO_READING
    if not fact.is_fresh(now, spec.freshness):
        return Verdict.UNKNOWN, Reason.STALE
    status = fact.data.get("status") if isinstance(fact.data, Mapping) else None
    if status not in ("OK", "ALERT"):
        return Verdict.UNKNOWN, Reason.WRONG_SHAPE
    if not _is_wanted(condition, name):
        return Verdict.CLEAR, Reason.IGNORED
    if status == "ALERT":
        return Verdict.FIRING, Reason.SYSTEM_ALERT
    return Verdict.CLEAR, Reason.SYSTEM_OK


def _is_ignored(condition: TroubleCode, known: Facts, code: str) -> bool:
    return not _is_wanted(condition, code) or known.codes.judge(code).is_ignored


def _is_wanted(condition: TroubleCode | SystemStatus, name: str) -> bool:
    return _any_match(condition.patterns, name) and not _any_match(condition.ignored, name)


def _any_match(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name.upper(), pattern.strip().upper()) for pattern in patterns)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _finding(
    spec: RuleSpec,
    subject: str,
    verdict: Verdict,
    reason: Reason,
    fact: SignalFact | None,
    *,
    evidence: dict[str, Any],
    skip_hold: bool = False,
) -> Finding:
    at = fact.recorded_at if fact is not None else None
    return Finding(
        rule_id=spec.id,
        subject=subject,
        verdict=verdict,
        stage=Stage.DUE if verdict is Verdict.FIRING else None,
        recorded_at=at,
        skip_hold=skip_hold,
        reason=reason,
        evidence={
            **evidence,
            "signal": fact.code if fact is not None else None,
            "recorded_at": at.isoformat() if at is not None else None,
        },
    )
