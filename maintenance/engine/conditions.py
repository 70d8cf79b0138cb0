"""Judge one rule on what is known of one vehicle."""

from collections.abc import Mapping
from datetime import datetime

from maintenance.engine import diagnostics, levels, one_off, reachability, service_interval, tires
from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import (
    Connection,
    Level,
    RuleSpec,
    ServiceInterval,
    StaleData,
    SystemStatus,
    TirePressure,
    TroubleCode,
)

__all__ = ["Finding", "Reason", "judge"]


def judge(  # noqa: PLR0911  one return for each kind
    spec: RuleSpec, facts: Facts, episodes: Mapping[str, EpisodeView], now: datetime
) -> list[Finding]:
    """What the rule says, at most one finding for each subject.

    `episodes` holds, by subject, the vehicle's episodes of the rule's topic: the unresolved one,
    or else the latest resolved one. Each of them gets a finding. What is missing, stale or
    unreadable is UNKNOWN, never FIRING or CLEAR.
    """
    match spec.condition:
        case Level() as condition:
            return levels.judge(spec, condition, facts, episodes, now)
        case ServiceInterval(is_once=True) as condition:
            return one_off.judge(spec, condition, facts, now)
        case ServiceInterval() as condition:
            return service_interval.judge(spec, condition, facts, now)
        case TroubleCode() as condition:
            return diagnostics.judge_codes(spec, condition, facts, episodes, now)
        case SystemStatus() as condition:
            return diagnostics.judge_systems(spec, condition, facts, episodes, now)
        case TirePressure() as condition:
            return tires.judge(spec, condition, facts, episodes, now)
        case StaleData() as condition:
            return reachability.judge_silence(spec, condition, facts, now)
        case Connection() as condition:
            return reachability.judge_connection(spec, condition, facts)
