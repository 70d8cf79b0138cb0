"""Which rules apply to a vehicle, and which cannot, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from django.utils.translation import gettext as _

from integrations.models import Signal, Vehicle
from maintenance.engine.conditions import judge
from maintenance.engine.facts import Facts, system_name
from maintenance.engine.findings import Reason
from maintenance.engine.rules import (
    RuleSpec,
    ServiceInterval,
    SystemStatus,
    Verdict,
    signals_needed,
)
from maintenance.engine.scopes import in_force, matches
from maintenance.models import Rule
from maintenance.services.evaluation import gather_facts, vehicle_facts

Support = Signal.Support


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One rule and one vehicle. `reason` says why it cannot apply; "" when it can."""

    rule: Rule
    applies: bool
    reason: str = ""


def of(vehicle: Vehicle, *, now: datetime) -> list[Coverage]:
    """Every enabled rule whose scope holds for the vehicle, those in force first."""
    rules = {rule.pk: rule for rule in Rule.objects.enabled()}
    about = vehicle_facts(vehicle)
    candidates = [
        (rule.scope, rule.to_spec()) for rule in rules.values() if matches(rule.scope, about)
    ]
    winners = {(spec.kind, spec.topic): spec for spec in in_force(candidates, about)}
    signals = list(vehicle.signals.all())
    facts = gather_facts(vehicle, signals, now)
    found = []
    for _scope, spec in candidates:
        winner = winners[spec.kind, spec.topic]
        if winner.id != spec.id:
            reason = _("overridden by %(rule)s") % {"rule": rules[winner.id]}
        else:
            reason = _obstacle(spec, vehicle, signals, facts, now)
        found.append(Coverage(rule=rules[spec.id], applies=not reason, reason=reason))
    return sorted(found, key=lambda each: (not each.applies, each.rule.kind, each.rule.pk))


def _obstacle(
    spec: RuleSpec, vehicle: Vehicle, signals: Sequence[Signal], facts: Facts, now: datetime
) -> str:
    """What keeps the rule in force from deciding now; "" when nothing does."""
    by_date_only = isinstance(spec.condition, ServiceInterval) and not signals_needed(spec)
    if not by_date_only and (refused := _refused(spec, signals)):
        return refused
    findings = judge(spec, facts, {}, now)
    if any(finding.verdict is not Verdict.UNKNOWN for finding in findings):
        return ""
    if findings:
        return _in_words(findings[0].reason, spec)
    return "" if by_date_only else _not_fresh(spec, signals, now)


def _needed(spec: RuleSpec, signals: Sequence[Signal]) -> list[Signal]:
    patterns = signals_needed(spec)
    found = [row for row in signals if any(fnmatchcase(row.code, each) for each in patterns)]
    if isinstance(spec.condition, SystemStatus):  # its * would take the trouble codes in
        return [row for row in found if system_name(row.code)]
    return found


def _refused(spec: RuleSpec, signals: Sequence[Signal]) -> str:
    """Why none of the signals can be read; "" when one can, or may be."""
    supports = {row.support for row in _needed(spec, signals)}
    if not supports or supports & {Support.OK, Support.UNKNOWN}:
        return ""
    if Support.NOT_GRANTED in supports:
        return _("the driver did not share it")
    return _("the car cannot give it")


def _not_fresh(spec: RuleSpec, signals: Sequence[Signal], now: datetime) -> str:
    """Codes and systems that are silent are fine, as long as they were read lately."""
    times = [row.recorded_at for row in _needed(spec, signals) if row.recorded_at]
    if not times:
        return _in_words(Reason.NO_READING, spec)
    return "" if now - max(times) <= spec.freshness else _in_words(Reason.STALE, spec)


def _in_words(reason: str, spec: RuleSpec) -> str:  # noqa: PLR0911  one return for each reason
    match reason:
        case Reason.NO_READING:
            return _("not read from the car yet")
        case Reason.STALE:
            hours = round(spec.freshness.total_seconds() / 3600)
            return _("the last reading is older than %(hours)d hours") % {"hours": hours}
        case Reason.NO_SERVICE:
            return _("no service recorded yet for %(topic)s: record the last one") % {
                "topic": spec.topic
            }
        case Reason.NO_SERVICE_ODOMETER:
            return _("the last service for %(topic)s has no odometer: add it") % {
                "topic": spec.topic
            }
        case Reason.ODOMETER_BEHIND_SERVICE:
            return _("the odometer is below that of the last service: correct the service record")
        case Reason.NOT_CONNECTED:
            return _("the car is not connected")
        case _:
            return _("what the car says cannot be understood")
