"""Trouble codes in the words of those who read alerts and mails.

What a code means comes from the bundled dictionary in English, or from the fleet itself; all else
is translated.
"""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from maintenance.engine.trouble_codes import (
    Advice,
    Area,
    Explained,
    Severity,
    System,
    advice_for,
    explain,
)

LONGEST = 200  # what an alert's summary holds

_AREAS: Mapping[Area, str | Promise] = {
    Area.POWERTRAIN: gettext_lazy("powertrain"),
    Area.BODY: gettext_lazy("body"),
    Area.CHASSIS: gettext_lazy("chassis"),
    Area.NETWORK: gettext_lazy("network"),
}
_SYSTEMS: Mapping[System, str | Promise] = {
    System.FUEL_AIR: gettext_lazy("fuel and air"),
    System.IGNITION: gettext_lazy("ignition"),
    System.EMISSIONS: gettext_lazy("emissions"),
    System.SPEED_IDLE: gettext_lazy("vehicle speed, idle and inputs"),
    System.COMPUTER: gettext_lazy("computers and their outputs"),
    System.TRANSMISSION: gettext_lazy("transmission"),
    System.HYBRID: gettext_lazy("hybrid and electric drive"),
    System.ENGINE: gettext_lazy("engine"),
    System.RESTRAINTS: gettext_lazy("airbags and seat belts"),
    System.BRAKES: gettext_lazy("brakes and stability"),
    System.STEERING: gettext_lazy("steering"),
    System.CHASSIS: gettext_lazy("chassis"),
    System.BODY: gettext_lazy("body"),
    System.NETWORK: gettext_lazy("network"),
}
_SEVERITIES: Mapping[Severity, str | Promise] = {
    Severity.LOW: gettext_lazy("Low"),
    Severity.MEDIUM: gettext_lazy("Medium"),
    Severity.HIGH: gettext_lazy("High"),
    Severity.CRITICAL: gettext_lazy("Critical"),
}
_ADVICE: Mapping[Advice, str | Promise] = {
    Advice.DRIVE_ON: gettext_lazy("Safe to drive; mention it at the next visit to the workshop."),
    Advice.BOOK_SOON: gettext_lazy("Safe to drive; have it looked at in the next days."),
    Advice.BOOK_NOW: gettext_lazy(
        "Drive only as far as needed, and have it looked at today or tomorrow."
    ),
    Advice.AVOID_LOAD: gettext_lazy(
        "Drive gently, without a trailer or high speed, and have it looked at today or tomorrow."
    ),
    Advice.STOP_SAFELY: gettext_lazy(
        "Stop where it is safe, switch the car off, and call for help."
    ),
    Advice.CHARGE_CAUTION: gettext_lazy(
        "Do not charge it before a workshop has looked at it, and park it outside."
    ),
}


def area(value: Area) -> str:
    """What the letter stands for: powertrain."""
    return str(_AREAS[value])


def system(value: System) -> str:
    """The part of the car: fuel and air."""
    return str(_SYSTEMS[value])


def severity(value: str) -> str:
    """How serious it is, from the word that evidence keeps; "" for a word that is none."""
    return str(_SEVERITIES[Severity(value)]) if value in set(Severity) else ""


def advice(code: str, severity: str = "") -> str:
    """One sentence to the driver; `severity` is what counts here, "" what the dictionary says."""
    known = explain(code)
    counts = Severity(severity) if severity in set(Severity) else known.severity
    return str(_ADVICE[advice_for(known, counts)])


def meaning(code: str, own: str = "") -> str:
    """What the code means, or all that its form says; `own` is the fleet's own meaning."""
    known = explain(code)
    if own or known.meaning:
        return own or known.meaning
    if known.area is None:
        return ""
    part = area(known.area) if known.system is None else system(known.system)
    if known.is_manufacturer:
        return _("Code of the manufacturer, %(part)s") % {"part": part}
    return _("Standard code, %(part)s") % {"part": part}


def name(code: str, own: str = "") -> str:
    """One line for alerts and mails, such as P0301: misfire in cylinder 1."""
    known, text = explain(code), meaning(code, own)
    if not known.is_readable and not text:
        return (_("Trouble code %(code)s") % {"code": known.code})[:LONGEST]
    return f"{label(known)}: {text if own else _uncapitalized(text)}"[:LONGEST]


def label(known: Explained) -> str:
    """The code as it is written for people: C0561-71."""
    return f"{known.code}-{known.failure_type}" if known.failure_type else known.code


def _uncapitalized(text: str) -> str:
    """After a colon; names such as ABS keep their capitals."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
