"""A rule in words: for which vehicles, when it fires, who hears of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from maintenance.models import FromStage, Rule
from maintenance.models.rules import split
from maintenance.services import wording
from maintenance.services.wording_values import day_of


def scope(rule: Rule) -> str:
    """Such as: every vehicle; group Vans; FORD Transit 2019 to 2022."""
    parts = []
    if rule.vehicle:
        parts.append(_("vehicle %(vehicle)s") % {"vehicle": rule.vehicle})
    if rule.group:
        parts.append(_("group %(group)s") % {"group": rule.group})
    described = " ".join(part for part in (rule.make, rule.model, _years(rule)) if part)
    if described:
        parts.append(described)
    return ", ".join(parts) or _("every vehicle")


def _years(rule: Rule) -> str:
    first, last = rule.year_from, rule.year_to
    if first and last:
        return str(first) if first == last else f"{first}\u2013{last}"
    if first:
        return _("from %(year)d") % {"year": first}
    return _("up to %(year)d") % {"year": last} if last else ""


def thresholds(rule: Rule, unit: str) -> str:
    """When the rule fires, with the defaults of its kind filled in."""
    return condition(rule.kind, asdict(rule.to_spec().condition), unit)


def condition(  # noqa: PLR0911  one return for each kind
    kind: str, columns: Mapping[str, Any], unit: str
) -> str:
    """The same for a rule as it was, from an alert's evidence."""
    match kind:
        case Rule.Kind.OIL_LIFE:
            return _oil_life(columns)
        case Rule.Kind.FUEL_LEVEL | Rule.Kind.STATE_OF_CHARGE:
            return _("below %(due)s %%") % {"due": _number(columns.get("due_below"))}
        case Rule.Kind.SERVICE_INTERVAL:
            return _once(columns, unit) or _interval(columns, unit)
        case Rule.Kind.TIRE_PRESSURE:
            return _tires(columns, unit)
        case Rule.Kind.STALE_DATA:
            return _("nothing fresh for as long as readings count, and 3 times the make's habit")
        case Rule.Kind.CONNECTION:
            return _("lost, or the consent ends in 14, 7 or 1 days")
        case _other:
            return _patterns(columns)


def _oil_life(columns: Mapping[str, Any]) -> str:
    text = _("soon below %(soon)s %%, due below %(due)s %%, overdue below %(overdue)s %%")
    return text % {
        "soon": _number(columns.get("soon_below")),
        "due": _number(columns.get("due_below")),
        "overdue": _number(columns.get("overdue_below")),
    }


def _patterns(columns: Mapping[str, Any]) -> str:
    wanted = [str(each) for each in columns.get("patterns") or ()]
    parts = [", ".join(wanted) if wanted and wanted != ["*"] else _("any")]
    for name, text in (("ignored", _("except %(list)s")), ("critical", _("critical: %(list)s"))):
        if listed := [str(each) for each in columns.get(name) or ()]:
            parts.append(text % {"list": ", ".join(listed)})
    return "; ".join(parts)


def _tires(columns: Mapping[str, Any], unit: str) -> str:
    front, rear = columns.get("placard_front_kpa"), columns.get("placard_rear_kpa")
    parts = [
        text % {"pressure": wording.pressure(float(kpa), unit)}
        for text, kpa in (
            (_("front placard %(pressure)s: low at 80 %%, high at 125 %%"), front),
            (_("rear placard %(pressure)s: low at 80 %%, high at 125 %%"), rear),
            (_("low at %(pressure)s"), None if front and rear else columns.get("low_kpa")),
            (_("high at %(pressure)s"), columns.get("high_kpa")),
        )
        if kpa
    ]
    return "; ".join(parts)


def _once(columns: Mapping[str, Any], unit: str) -> str:
    km, day = columns.get("due_odometer_km"), columns.get("due_on")
    far = wording.distance(float(km), unit) if km else ""
    if far and day:
        text = _("once, at %(far)s or on %(day)s, whichever is first")
        return text % {"far": far, "day": day_of(day)}
    if day:
        return _("once, on %(day)s") % {"day": day_of(day)}
    return _("once, at %(far)s") % {"far": far} if far else ""


def _interval(columns: Mapping[str, Any], unit: str) -> str:
    km, days = columns.get("distance_km"), columns.get("days")
    far = wording.distance(float(km), unit) if km else ""
    long = _("%(days)d days") % {"days": days} if days else ""
    if far and long:
        return _("every %(far)s or %(long)s, whichever is first") % {"far": far, "long": long}
    return _("every %(interval)s") % {"interval": far or long}


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "?"


def recipients(rule: Rule) -> str:
    """Who gets the mails; reads only what was prefetched."""
    if rule.mail_from_stage == FromStage.NEVER:
        return _("nobody: mails are off")
    names = [user.get_full_name() or user.get_username() for user in rule.staff.all()]
    names += [_("group %(group)s") % {"group": group} for group in rule.staff_groups.all()]
    names += split(rule.extra_addresses)
    if not names:
        names = list(settings.MAINTENANCE_EMAILS)
    if rule.notify_driver:
        names.append(_("the driver"))
    return ", ".join(names) or _("nobody: name somebody, or set MAINTENANCE_EMAILS")
