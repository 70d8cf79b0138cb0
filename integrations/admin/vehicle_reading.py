"""How a vehicle is read, and what stands in the way: columns of its list and its page."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal import clock
from integrations import conf
from integrations.admin import reporting, troubles, words
from integrations.admin.base import PortalAdmin
from integrations.admin.troubles import Trouble
from integrations.models import Connection, Vehicle
from integrations.services import schedule


class HowItIsRead(PortalAdmin):
    @admin.display(description=gettext_lazy("last good poll"), ordering="last_read_at")
    def last_read(self, vehicle: Vehicle) -> str:
        return words.ago(vehicle.last_read_at)

    @admin.display(description=gettext_lazy("last good webhook"), ordering="last_webhook_at")
    def last_webhook(self, vehicle: Vehicle) -> str:
        return words.ago(vehicle.last_webhook_at) if vehicle.last_webhook_at else _("never")

    @admin.display(description=gettext_lazy("reports by itself"))
    def subscription(self, vehicle: Any) -> str:
        """Whether the car is subscribed to the webhook, else why not."""
        if not reporting.webhook_id():
            return _("No webhook is set up: the car is polled.")
        if not vehicle.shared:
            return _("no: nobody shares it now")
        found = reporting.of_vehicle(vehicle)
        return words.lines(_said(found)) if found else words.badge("good", _("Subscribed"))

    @admin.display(description=gettext_lazy("Smartcar reports"))
    def reported(self, vehicle: Vehicle) -> str:
        """What is wrong with the car by Smartcar's own word, until it takes that back."""
        return words.lines(reporting.reported(vehicle))

    @admin.display(description=gettext_lazy("next poll"))
    def next_poll(self, vehicle: Vehicle) -> str:
        if vehicle.connection is None or vehicle.connection.status != Connection.Status.ACTIVE:
            return _("not read: there is no active connection")
        at = troubles.next_read(vehicle)
        due = _("due now") if at and at <= clock.now() else words.ago(at)
        why = reporting.why_polled_then(vehicle)
        return words.lines([due, words.small(why)]) if why else due

    @admin.display(description=gettext_lazy("calls this month"))
    def calls(self, vehicle: Vehicle) -> str:
        this_month = vehicle.calls_month == schedule.month_of(clock.now()).date()
        return _("%(used)d of %(allowed)d") % {
            "used": vehicle.calls_used if this_month else 0,
            "allowed": conf.poll_policy().calls_per_month,
        }

    @admin.display(description=gettext_lazy("problem"))
    def matter(self, vehicle: Any) -> str:
        """For the list: what is the matter, and until when."""
        lines: list[str] = []
        for found in (troubles.of_vehicle(vehicle), reporting.of_vehicle(vehicle)):
            lines += _in_short(found) if found else []
        lines += [words.small(text) for text in troubles.of_signals(vehicle.withheld)]
        return words.lines([*lines, *_rules_failed(vehicle)])

    @admin.display(description=gettext_lazy("problem"))
    def problem(self, vehicle: Any) -> str:
        """For the page: the same with since when, what to do, and what Smartcar said."""
        found = troubles.of_vehicle(vehicle)
        return words.lines([*(_said(found) if found else []), *_rules_failed(vehicle)])


def _in_short(found: Trouble) -> list[str]:
    # What only a person can mend says so in the list already.
    todo = found.todo if found.level in {"due", "overdue"} else ""
    more = [words.small(text) for text in (found.until, todo) if text]
    return [words.badge(found.level, found.matter), *more]


def _said(found: Trouble) -> list[str]:
    lines: list[str] = [words.badge(found.level, found.matter)]
    if found.since:
        lines.append(words.joined([_("Since:"), " ", words.ago(found.since)]))
    lines += [text for text in (found.until, found.todo) if text]
    return [*lines, words.small(found.raw)] if found.raw else lines


def _rules_failed(vehicle: Vehicle) -> list[str]:
    error = vehicle.evaluation_error
    return [_("The rules failed: %(error)s") % {"error": error}] if error else []
