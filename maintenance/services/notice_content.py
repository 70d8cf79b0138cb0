"""What one message says: of one alert, or of many, by vehicle, what matters most first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.models import PortalSettings
from integrations.services import mail
from maintenance.engine import rules as engine
from maintenance.models import Alert, FleetioIssue, NoticeTemplate, Recipient, Severity, Stage
from maintenance.services import links, wording
from maintenance.services.notifying import Event
from maintenance.services.recipients import only_drives

MOST_VEHICLES = 50  # listed in one message; the admin's list has them all
MOST_ALERTS = links.MOST_ALERTS  # listed of one vehicle
Name = NoticeTemplate.Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One alert in a message, and what is said of it. Without an event it is over."""

    alert: Alert
    stage: Stage
    event: Event | None = Event.OPENED

    @property
    def headline(self) -> str:
        if self.event is None:
            return _("Resolved")
        came_and_went = self.event is Event.RELEASED and self.alert.resolved_at
        words = {
            Event.REMINDER: _("Reminder: %(stage)s"),
            Event.RETURNED: _("Back again: %(stage)s"),
            Event.FLAPPING: _("Comes and goes: %(stage)s"),
            Event.ESCALATED: _("Nobody took care yet: %(stage)s"),
            Event.SNOOZE_OVER: _("Snooze is over: %(stage)s"),
            Event.RELEASED: (
                _("Came and went: %(stage)s") if came_and_went else _("Held until now: %(stage)s")
            ),
        }
        return words.get(self.event, "%(stage)s") % {"stage": self.stage.label}

    @property
    def urgency(self) -> tuple[bool, int, engine.Stage]:
        severity = Severity(self.alert.severity).rank
        return self.event is not None, severity, engine.Stage(self.stage.value)


def name_of(items: Sequence[Item]) -> NoticeTemplate.Name:
    """Which words a message about these takes."""
    if len(items) > 1:
        return Name.SUMMARY
    return Name.ALERT if items[0].event else Name.RESOLVED


def context(
    items: Sequence[Item], recipient: Recipient, *, now: datetime, is_private: bool = True
) -> dict[str, Any]:
    """What the templates of a message about these know, in the reader's words and units.

    Links that act in the reader's name stand only in what is private. To be called inside
    `mail.reading_as`.
    """
    acting = (recipient, now) if is_private and not only_drives(recipient) else None
    if len(items) == 1:
        known = of_alert(items[0].alert, recipient)
        known |= {"stage": items[0].stage, "stage_name": items[0].headline, **_act(items, acting)}
    else:
        known = _of_many(items, recipient, acting)
    if is_private:
        known["unsubscribe_url"] = links.unsubscribe_url(recipient)
    known["portal"] = PortalSettings.load()
    return known


def _act(items: Sequence[Item], acting: tuple[Recipient, datetime] | None) -> dict[str, str]:
    """Where the reader acts on those that are not over."""
    alerts = [item.alert for item in items if item.event and item.alert.resolved_at is None]
    if acting is None or not alerts:
        return {}
    recipient, now = acting
    return {"act_url": links.alerts_url(recipient, alerts, now=now)}


def of_alert(alert: Alert, recipient: Recipient) -> dict[str, Any]:
    """One alert, its evidence in words, and where to look."""
    unit = recipient.units or PortalSettings.load().distance_unit
    return {
        "alert": alert,
        "vehicle": alert.vehicle,
        "what": alert.summary,
        "lines": wording.explain(alert.kind, alert.evidence, unit),
        **({} if only_drives(recipient) else _links(alert)),
    }


def _links(alert: Alert) -> dict[str, Any]:
    """Where staff look. The way to Fleetio leads through the admin: Fleetio's own address holds
    the account token.
    """
    found: dict[str, Any] = {"alert_url": _alert_url(alert)}
    issue = FleetioIssue.objects.filter(alert=alert).first()
    if issue:
        path = reverse("admin:maintenance_fleetioissue_open", args=[issue.pk])
        found |= {"issue": issue, "issue_url": mail.absolute(path)}
    return found


def _alert_url(alert: Alert) -> str:
    return mail.absolute(reverse("admin:maintenance_alert_change", args=[alert.pk]))


def _of_many(
    items: Sequence[Item], recipient: Recipient, acting: tuple[Recipient, datetime] | None
) -> dict[str, Any]:
    vehicles: dict[int | None, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.urgency, reverse=True):
        vehicles.setdefault(item.alert.vehicle_id, []).append(item)
    groups = list(vehicles.values())
    known: dict[str, Any] = {
        "title": _title(items, groups),
        "groups": [_group(group, acting) for group in groups[:MOST_VEHICLES]],
        "more_vehicles": max(len(groups) - MOST_VEHICLES, 0),
    }
    if not only_drives(recipient):
        known["list_url"] = mail.absolute(reverse("admin:maintenance_alert_changelist"))
    return known


def _title(items: Sequence[Item], groups: Sequence[Sequence[Item]]) -> str:
    if any(item.event for item in items):
        alerts = ngettext("%(count)d alert", "%(count)d alerts", len(items))
    else:
        alerts = ngettext("%(count)d alert is over", "%(count)d alerts are over", len(items))
    alerts %= {"count": len(items)}
    if len(groups) == 1:
        vehicle = groups[0][0].alert.vehicle
        return f"{alerts} \N{EN DASH} {vehicle}" if vehicle else alerts
    vehicles = ngettext("%(count)d vehicle", "%(count)d vehicles", len(groups))
    vehicles %= {"count": len(groups)}
    return _("%(alerts)s for %(vehicles)s") % {"alerts": alerts, "vehicles": vehicles}


def _group(items: Sequence[Item], acting: tuple[Recipient, datetime] | None) -> dict[str, Any]:
    """What is said of one vehicle."""
    shown = items[:MOST_ALERTS]
    return {
        "vehicle": items[0].alert.vehicle,
        **_act(shown, acting),
        "items": [
            {
                "alert": item.alert,
                "what": item.alert.summary,
                "stage": item.stage if item.event else "",
                "stage_name": item.headline,
                "is_over": item.event is None,
            }
            for item in shown
        ],
        "more": len(items) - len(shown),
    }
