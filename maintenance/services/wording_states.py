"""What alerts about tires, fuel, charge and connections are called."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from maintenance.engine.findings import Finding, Reason
from maintenance.models import Rule
from maintenance.services.wording_values import (
    day_of,
    moment_of,
    percent_of,
    pressure_of,
    short,
    wheel_name,
)

Named = list[tuple[str, str]]


def tire_pressure(rule: Rule, finding: Finding, unit: str) -> str:
    known = finding.evidence
    text = (
        _("%(wheel)s high: %(pressure)s") if known["is_high"] else _("%(wheel)s low: %(pressure)s")
    )
    return text % {
        "wheel": wheel_name(known["wheel"]),
        "pressure": pressure_of(known["pressure_kpa"], unit),
    }


def fuel_level(rule: Rule, finding: Finding, unit: str) -> str:
    return _("Fuel level %(value)s %%") % {"value": short(finding.value)}


def state_of_charge(rule: Rule, finding: Finding, unit: str) -> str:
    return _("Battery charge %(value)s %%") % {"value": short(finding.value)}


def stale_data(rule: Rule, finding: Finding, unit: str) -> str:
    last = finding.evidence.get("last_recorded_at")
    if last:
        return _("No fresh data since %(day)s") % {"day": day_of(last)}
    connected = day_of(finding.evidence.get("connected_at"))
    return _("No data at all since it was connected on %(day)s") % {"day": connected}


def connection(rule: Rule, finding: Finding, unit: str) -> str:
    match finding.reason:
        case Reason.CONSENT_ENDS:
            day = day_of(finding.evidence.get("ends_on"))
            return _("The consent ends on %(day)s") % {"day": day}
        case Reason.NEEDS_RECONNECT:
            return _("Connection lost: the driver has to connect again")
        case _other:
            return _("Connection ended: the car is no longer shared")


def explain_tire(evidence: Mapping[str, Any], unit: str) -> Named:
    limit = _("High at") if evidence.get("is_high") else _("Low at")
    wheel = evidence.get("wheel")
    return [
        (_("Wheel"), wheel_name(str(wheel)) if wheel else ""),
        (_("Pressure"), pressure_of(evidence.get("pressure_kpa"), unit)),
        (_("Placard"), pressure_of(evidence.get("placard_kpa"), unit)),
        (limit, pressure_of(evidence.get("limit_kpa"), unit)),
        (_("Clears at"), pressure_of(evidence.get("clear_kpa"), unit)),
    ]


def explain_level(name: str, evidence: Mapping[str, Any]) -> Named:
    return [
        (name, percent_of(evidence.get("value"))),
        (_("Due below"), percent_of(evidence.get("due_below"))),
        (_("Clears at"), percent_of(evidence.get("clear_at"))),
    ]


def explain_silence(evidence: Mapping[str, Any]) -> Named:
    return [
        (_("Last data of"), moment_of(evidence.get("last_recorded_at"))),
        (_("Connected"), moment_of(evidence.get("connected_at"))),
        (_("Quiet for more than"), _hours(evidence.get("limit_hours"))),
    ]


def explain_connection(evidence: Mapping[str, Any]) -> Named:
    return [
        (_("Driver"), str(evidence.get("driver") or "")),
        (_("Why"), str(evidence.get("why") or "")),
        (_("Since"), moment_of(evidence.get("since"))),
        (_("Ends on"), day_of(evidence.get("ends_on"))),
    ]


def _hours(value: Any) -> str:
    if not isinstance(value, int | float):
        return ""
    return _("%(hours)s hours") % {"hours": short(float(value))}
