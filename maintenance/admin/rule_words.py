"""A rule in words: for which vehicles, when it fires, who hears of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from maintenance.models import FromStage, Rule
from maintenance.models.rules import split
from maintenance.services import wording


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


def condition(kind: str, columns: Mapping[str, Any], unit: str) -> str:
    """The same for a rule as it was, from an alert's evidence."""
    if kind == Rule.Kind.OIL_LIFE:
        text = _("soon below %(soon)s %%, due below %(due)s %%, overdue below %(overdue)s %%")
        return text % {
            "soon": _number(columns.get("soon_below")),
            "due": _number(columns.get("due_below")),
            "overdue": _number(columns.get("overdue_below")),
        }
    if kind == Rule.Kind.SERVICE_INTERVAL:
        return _interval(columns, unit)
    wanted = [str(each) for each in columns.get("patterns") or ()]
    parts = [", ".join(wanted) if wanted and wanted != ["*"] else _("any")]
    for name, text in (("ignored", _("except %(list)s")), ("critical", _("critical: %(list)s"))):
        if listed := [str(each) for each in columns.get(name) or ()]:
            parts.append(text % {"list": ", ".join(listed)})
    return "; ".join(parts)


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
