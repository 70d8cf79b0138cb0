"""What an alert is called, in words that a mechanic and a fleet manager understand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from integrations.services.measures import KM_PER_MILE
from maintenance.engine.findings import Finding
from maintenance.models import Rule
from maintenance.services import code_words

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


def distance(km: float, unit: str) -> str:
    """Kilometres in the unit that the reader chose, rounded to whole ones."""
    value = km / KM_PER_MILE if unit == "mi" else km
    return f"{number_format(round(value), use_l10n=True, force_grouping=True)} {unit}"


def topic_name(topic: str) -> str:
    """engine-oil reads Engine oil."""
    return topic.replace("-", " ").replace("_", " ").capitalize()


def summary(rule: Rule, finding: Finding, unit: str) -> str:
    """One line that says what is the matter. `unit` is mi or km."""
    return _SUMMARIES[rule.kind](rule, finding, unit)


def _oil_life(rule: Rule, finding: Finding, unit: str) -> str:
    return _("Engine oil life %(value)s %%") % {"value": _short(finding.value)}


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
}


def _short(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}" if value == round(value) else f"{value:.1f}"


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
    if kind == Rule.Kind.OIL_LIFE:
        return [
            (_("Remaining oil life"), _percent(evidence.get("value"))),
            (_("Due below"), _percent(evidence.get("due_below"))),
            (_("Clears at"), _percent(evidence.get("clear_at"))),
        ]
    if kind == Rule.Kind.SERVICE_INTERVAL:
        return _explain_interval(evidence, unit)
    if kind == Rule.Kind.TROUBLE_CODE:
        return _explain_code(evidence)
    return [
        (_("System"), SYSTEMS.get(str(evidence.get("system")), str(evidence.get("system") or ""))),
        (_("The car says"), str(evidence.get("description") or "")),
    ]


def _explain_code(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    code = str(evidence.get("code") or "")
    since = (_("Active since"), _moment(evidence.get("timestamp")))
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
        (_("Odometer"), _distance(evidence.get("odometer_km"), unit)),
        (_("Last service at"), _distance(evidence.get("service_odometer_km"), unit)),
        (_("Last service on"), _day(evidence.get("service_done_on"))),
        (_("Due at"), _distance(evidence.get("due_odometer_km"), unit)),
        (_("Due on"), _day(evidence.get("due_on"))),
    ]


def _percent(value: Any) -> str:
    return f"{_short(float(value))} %" if isinstance(value, int | float) else ""


def _distance(value: Any, unit: str) -> str:
    return distance(float(value), unit) if isinstance(value, int | float) else ""


def _moment(value: Any) -> str:
    """An ISO time in the reader's zone and form; what is none is shown as it came."""
    moment = parse_datetime(str(value)) if value else None
    if moment is None or timezone.is_naive(moment):
        return str(value or "")
    local = timezone.localtime(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname()}"


def _day(value: Any) -> str:
    day = parse_date(str(value)) if value else None
    return date_format(day, "DATE_FORMAT") if day else str(value or "")
