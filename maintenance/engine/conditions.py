"""Judge one rule on what is known of one vehicle."""

from collections.abc import Mapping
from datetime import datetime

from maintenance.engine import diagnostics, oil_life, service_interval
from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import OilLife, RuleSpec, ServiceInterval, SystemStatus, TroubleCode

__all__ = ["Finding", "Reason", "judge"]


def judge(
    spec: RuleSpec, facts: Facts, episodes: Mapping[str, EpisodeView], now: datetime
) -> list[Finding]:
    """What the rule says, at most one finding for each subject.

    `episodes` holds, by subject, the vehicle's episodes of the rule's topic: the unresolved one,
    or else the latest resolved one. Each of them gets a finding. What is missing, stale or
    unreadable is UNKNOWN, never FIRING or CLEAR.
    """
    match spec.condition:
        case OilLife() as condition:
            return oil_life.judge(spec, condition, facts, episodes, now)
        case ServiceInterval() as condition:
            return service_interval.judge(spec, condition, facts, now)
        case TroubleCode() as condition:
            return diagnostics.judge_codes(spec, condition, facts, episodes, now)
        case SystemStatus() as condition:
            return diagnostics.judge_systems(spec, condition, facts, episodes, now)
