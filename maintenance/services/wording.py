"""What an alert is called, in words that a mechanic and a fleet manager understand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from maintenance.engine.findings import Finding
from maintenance.models import Rule
from maintenance.services import code_words, wording_values
from maintenance.services import wording_states as states
from maintenance.services.wording_values import day_of, distance_of, moment_of, short

distance = wording_values.distance
pressure = wording_values.pressure
SYSTEMS = {
    "abs": "ABS",
    "activesafety": "active safety",
    "airbag": "airbag",
    "brakefluid": "brake fluid",
    "driverassistance": "driver assistance",
    "emissions": "emissions",
    "engine": "engine",
    "evbatteryconditioning": "battery conditioning",
    "evcharging": "charging system",
    "evdriveunit": "drive unit",
    "evhvbattery": "high-voltage battery",
    "lighting": "lighting",
    "mil": "check engine lamp",
    "oillife": "oil life",
    "oilpressure": "oil pressure",
    "oiltemperature": "oil temperature",
    "telematics": "telematics",
    "tirepressure": "tire pressure",
    "tirepressuremonitoring": "tire pressure monitoring",
    "tpms": "tire pressure monitoring",
    "transmission": "transmission",
    "washerfluid": "washer fluid",
    "waterinfuel": "water in fuel",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of evidence: what was looked at, and what it said."""

    name: str
    text: str


def topic_name(topic: str) -> str:
    """engine-oil reads Engine oil."""
    return topic.replace("-", " ").replace("_", " ").capitalize()


def summary(rule: Rule, finding: Finding, unit: str) -> str:
    """One line that says what is the matter. `unit` is mi or km."""
    return _SUMMARIES[rule.kind](rule, finding, unit)


def _oil_life(rule: Rule, finding: Finding, unit: str) -> str:
    return _("Engine oil life %(value)s %%") % {"value": short(finding.value)}


def _service_interval(rule: Rule, finding: Finding, unit: str) -> str:
    return _("%(what)s service") % {"what": topic_name(rule.topic)}


def _trouble_code(rule: Rule, finding: Finding, unit: str) -> str:
    return code_words.name(finding.subject, str(finding.evidence.get("own_meaning") or ""))


def _system_status(rule: Rule, finding: Finding, unit: str) -> str:
    name = SYSTEMS.get(finding.subject, finding.subject)
    description = str(finding.evidence.get("description") or "").strip()
    if description:
        return _("Warning: %(system)s: %(text)s") % {"system": name, "text": description}
    return _("Warning: %(system)s") % {"system": name}


_SUMMARIES: Mapping[str, Callable[[Rule, Finding, str], str]] = {
    Rule.Kind.OIL_LIFE: _oil_life,
    Rule.Kind.SERVICE_INTERVAL: _service_interval,
    Rule.Kind.TROUBLE_CODE: _trouble_code,
    Rule.Kind.SYSTEM_STATUS: _system_status,
    Rule.Kind.TIRE_PRESSURE: states.tire_pressure,
    Rule.Kind.FUEL_LEVEL: states.fuel_level,
    Rule.Kind.STATE_OF_CHARGE: states.state_of_charge,
    Rule.Kind.STALE_DATA: states.stale_data,
    Rule.Kind.CONNECTION: states.connection,
}


def explain(kind: str, evidence: Mapping[str, Any], unit: str) -> list[Line]:
    """The evidence of an alert as lines to read; what is missing is left out."""
    return [
        Line(name, text)
        for name, text in (
            *_explain_kind(kind, evidence, unit),
            (_("Rule"), str(evidence.get("rule", {}).get("name", ""))),
        )
        if text
    ]


def _explain_kind(kind: str, evidence: Mapping[str, Any], unit: str) -> list[tuple[str, str]]:
    explanations: Mapping[str, Callable[[], list[tuple[str, str]]]] = {
        Rule.Kind.OIL_LIFE: lambda: states.explain_level(_("Remaining oil life"), evidence),
        Rule.Kind.SERVICE_INTERVAL: lambda: _explain_interval(evidence, unit),
        Rule.Kind.TROUBLE_CODE: lambda: _explain_code(evidence),
        Rule.Kind.SYSTEM_STATUS: lambda: _explain_system(evidence),
        Rule.Kind.TIRE_PRESSURE: lambda: states.explain_tire(evidence, unit),
        Rule.Kind.FUEL_LEVEL: lambda: states.explain_level(_("Fuel level"), evidence),
        Rule.Kind.STATE_OF_CHARGE: lambda: states.explain_level(_("State of charge"), evidence),
        Rule.Kind.STALE_DATA: lambda: states.explain_silence(evidence),
        Rule.Kind.CONNECTION: lambda: states.explain_connection(evidence),
    }
    return explanations[kind]()


def _explain_system(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (_("System"), SYSTEMS.get(str(evidence.get("system")), str(evidence.get("system") or ""))),
        (_("The car says"), str(evidence.get("description") or "")),
    ]


def _explain_code(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    code = str(evidence.get("code") or "")
    since = (_("Active since"), moment_of(evidence.get("timestamp")))
    if not code:
        return [since]
    severity = str(evidence.get("severity") or "")
    return [
        (_("Code"), code),
        (_("Meaning"), code_words.meaning(code, str(evidence.get("own_meaning") or ""))),
        (_("Severity"), code_words.severity(severity)),
        (_("For the driver"), code_words.advice(code, severity)),
        since,
    ]


def _explain_interval(evidence: Mapping[str, Any], unit: str) -> list[tuple[str, str]]:
    return [
        (_("Odometer"), distance_of(evidence.get("odometer_km"), unit)),
        (_("Last service at"), distance_of(evidence.get("service_odometer_km"), unit)),
        (_("Last service on"), day_of(evidence.get("service_done_on"))),
        (_("Due at"), distance_of(evidence.get("due_odometer_km"), unit)),
        (_("Due on"), day_of(evidence.get("due_on"))),
    ]
