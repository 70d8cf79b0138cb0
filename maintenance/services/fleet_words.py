"""The fleet's own words for notices: templates that an admin wrote, rendered where they can reach
nothing but what is handed to them.

They see plain texts and lists, never an object; what they can do with them, and how much, is
`bounded_templates`' to say.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from integrations.models import Activity
from integrations.services import activity
from maintenance.models import NoticeTemplate
from maintenance.services import bounded_templates

logger = logging.getLogger(__name__)

Name = NoticeTemplate.Name
MOST_CHARACTERS = 100_000
TOLD_AGAIN = timedelta(days=1)

_OF_ALERT = {
    "fleet": _("the fleet's name"),
    "what": _("what is the matter, in one line"),
    "vehicle": _("the vehicle; empty when it is about none"),
    "vin": _("its VIN"),
    "stage": _("due soon, due or overdue, and why it is told"),
    "severity": _("low, medium, high or critical"),
    "lines": _("the evidence, a list of lines"),
    "recorded": _("when the car recorded it"),
    "since": _("when the alert opened"),
    "over_since": _("when it ended"),
    "resolution": _("how it ended"),
    "note": _("the note on the alert"),
    "alert_url": _("address of the alert in the admin; empty for drivers"),
    "act_url": _("address to acknowledge or snooze; empty for drivers"),
    "issue": _("number of the issue in Fleetio, if there is one"),
    "issue_url": _("its address"),
}
PLACEHOLDERS: Mapping[str, Mapping[str, Any]] = {
    Name.ALERT: _OF_ALERT,
    Name.RESOLVED: _OF_ALERT,
    Name.SUMMARY: {
        "fleet": _("the fleet's name"),
        "title": _("how many alerts for how many vehicles"),
        "groups": _(
            "a list with, for each vehicle, vehicle, act_url, more (how many are not listed) and"
            " alerts, a list of what and stage"
        ),
        "more_vehicles": _("how many vehicles are not listed"),
        "list_url": _("address of all alerts in the admin; empty for drivers"),
    },
}


@dataclass(frozen=True, slots=True)
class Words:
    subject: str
    body: str


def render(name: NoticeTemplate.Name, known: Mapping[str, Any], *, now: datetime) -> Words | None:
    """The fleet's words for this notice; None when it has none, or they are broken.

    A broken template is written down for the admins, and keeps no notice from being sent.
    """
    template = NoticeTemplate.objects.filter(name=name, is_enabled=True).first()
    if template is None:
        return None
    try:
        return fill_in(template, plain(name, known))
    except Exception as exc:  # noqa: BLE001  whatever an admin wrote
        logger.warning("notice template %s: %s", name, exc)
        _tell_admins(template, exc, now)
        return None


def fill_in(template: NoticeTemplate, values: Mapping[str, Any]) -> Words:
    """The words with these values. Raises what a template raises when it is broken."""
    subject = bounded_templates.render(template.subject, values)
    body = bounded_templates.render(template.body, values)
    return Words(" ".join(subject.split())[:250], body[:MOST_CHARACTERS])


def check(name: NoticeTemplate.Name, source: str) -> None:
    """Raise ValidationError, in words for an admin, unless this can be used for such notices."""
    empty = dict.fromkeys(PLACEHOLDERS[name], "")
    try:
        text = bounded_templates.render(source, sample(name), show_unknown=True)
        bounded_templates.render(source, empty)
    except Exception as exc:
        raise ValidationError(_("This does not work: %(error)s"), params={"error": exc}) from exc
    if unknown := bounded_templates.UNKNOWN.search(text):
        raise ValidationError(_("There is no placeholder “%(name)s”."), params={"name": unknown[1]})


def sample(name: NoticeTemplate.Name) -> dict[str, Any]:
    """Every placeholder with something in it."""
    line = {"what": "Engine oil life 14 %", "stage": "Due"}
    values: dict[str, Any] = {
        key: f"({description})" for key, description in PLACEHOLDERS[name].items()
    }
    if name != Name.SUMMARY:
        values["lines"] = ["Remaining oil life: 14 %", "Due below: 20 %"]
        return values
    van = {"vehicle": "Van 7 (2021 FORD TRANSIT)", "act_url": "", "more": "", "alerts": [line]}
    return {**values, "title": "2 alerts for 2 vehicles", "groups": [van, {**van, "more": "3"}]}


def plain(name: NoticeTemplate.Name, known: Mapping[str, Any]) -> dict[str, Any]:
    """What `notice_content` knows, as texts and lists; every placeholder is there."""
    found = _of_many(known) if name == Name.SUMMARY else _of_one(known)
    found["fleet"] = known["portal"].fleet_name
    return {key: found.get(key) or "" for key in PLACEHOLDERS[name]}


def _of_one(known: Mapping[str, Any]) -> dict[str, Any]:
    alert, vehicle = known["alert"], known["vehicle"]
    return {
        "what": alert.summary,
        "vehicle": str(vehicle or ""),
        "vin": (vehicle.vin if vehicle else "") or "",
        "stage": str(known["stage_name"]),
        "severity": str(alert.get_severity_display()),
        "lines": [f"{line.name}: {line.text}" for line in known["lines"]],
        "recorded": _moment(alert.reported_at),
        "since": _moment(alert.opened_at),
        "over_since": _moment(alert.resolved_at),
        "resolution": str(alert.get_resolution_display()) if alert.resolution else "",
        "note": alert.note,
        "issue": str(known.get("issue") or ""),
        **{key: known.get(key, "") for key in ("alert_url", "act_url", "issue_url")},
    }


def _of_many(known: Mapping[str, Any]) -> dict[str, Any]:
    groups: Sequence[Mapping[str, Any]] = known["groups"]
    return {
        "title": known["title"],
        "more_vehicles": str(known["more_vehicles"] or ""),
        "list_url": known.get("list_url", ""),
        "groups": [
            {
                "vehicle": str(group["vehicle"] or ""),
                "act_url": group.get("act_url", ""),
                "more": str(group["more"] or ""),
                "alerts": [
                    {"what": item["what"], "stage": str(item["stage_name"])}
                    for item in group["items"]
                ],
            }
            for group in groups
        ],
    }


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return ""
    local = localtime(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname()}"


def _tell_admins(template: NoticeTemplate, exc: Exception, now: datetime) -> None:
    """Once a day, however many notices there are."""
    what = f"The template was not used, it is broken: {exc}"[:255]
    told = Activity.objects.filter(
        content_type=ContentType.objects.get_for_model(template),
        object_id=template.pk,
        what=what,
        at__gt=now - TOLD_AGAIN,
    )
    if not told.exists():
        activity.record(what, now=now, about=template)
