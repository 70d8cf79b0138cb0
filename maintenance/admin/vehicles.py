"""What maintenance adds to the admin of vehicles: rules, alerts, services, and two actions."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import confirm, words
from integrations.admin.base import Panel, acting_user
from integrations.admin.vehicles import VehicleAdmin, VehicleGroupAdmin
from integrations.models import Vehicle, VehicleGroup
from maintenance.admin import forecasts
from maintenance.admin.alerts import issue_link, stage_badge, status_badge
from maintenance.admin.service_records import ServicedForm, state_badge
from maintenance.admin.vehicle_modes import VehicleModeActions
from maintenance.models import Alert, ServiceRecord
from maintenance.services import (
    code_book,
    code_words,
    coverage,
    evaluation,
    services,
    wanted,
    wording,
)

admin.site.unregister([Vehicle, VehicleGroup])


@admin.register(Vehicle)
class MaintainedVehicleAdmin(VehicleModeActions, VehicleAdmin):
    list_display = (*VehicleAdmin.list_display[:1], "open_alerts", *VehicleAdmin.list_display[1:])
    actions = (*VehicleAdmin.actions, "evaluate_rules", "mark_serviced", "begin_mode", "end_mode")

    def get_queryset(self, request: HttpRequest) -> Any:
        needs_somebody = ~Q(alerts__status__in=[Alert.Status.PENDING, Alert.Status.RESOLVED])
        count = Count("alerts", filter=needs_somebody & Q(alerts__isnull=False))
        return super().get_queryset(request).annotate(alerts_open=count)

    @admin.display(description=gettext_lazy("alerts"), ordering="alerts_open")
    def open_alerts(self, vehicle: Any) -> str:
        if not vehicle.alerts_open:
            return words.NOTHING
        return words.badge("overdue", vehicle.alerts_open)

    def get_panels(self, request: HttpRequest, obj: Vehicle) -> list[Panel]:
        known, *rest = super().get_panels(request, obj)
        unit = words.unit_of(obj)
        forecast = forecasts.panel(obj, unit)
        return [_alerts(obj), known, forecast, _rules(obj), _services(obj, unit), *rest]

    def code_meaning(self) -> Callable[[str], str]:
        book = code_book.now_in_force()

        def meaning(code: str) -> str:
            judged = book.judge(code)
            severity = code_words.severity(judged.severity)
            text = code_words.meaning(code, judged.own_meaning) or _("not a code of the standard")
            if judged.is_ignored:
                severity = _("ignored")
            return f"{text} ({severity})"

        return meaning

    def save_model(self, request: HttpRequest, obj: Vehicle, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "group" in form.changed_data:  # other rules may be in force now
            wanted.write_for(obj, list(obj.signals.all()))
            Vehicle.objects.filter(pk=obj.pk).update(evaluation_due_at=clock.now())

    @admin.action(description=gettext_lazy("Evaluate rules"), permissions=["change"])
    def evaluate_rules(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        changed, failed = evaluation.evaluate_all(now=clock.now(), vehicle_ids=ids)
        text = ngettext(
            "%(count)d vehicle evaluated, something changed for %(changed)d.",
            "%(count)d vehicles evaluated, something changed for %(changed)d.",
            len(ids),
        )
        counts = {"count": len(ids), "changed": changed}
        self.message_user(request, text % counts, messages.SUCCESS)
        if failed:
            text = _("The rules failed for %(count)d; their pages say why.") % {"count": failed}
            self.message_user(request, text, messages.ERROR)

    @admin.action(description=gettext_lazy("Mark serviced"), permissions=["change"])
    def mark_serviced(
        self, request: HttpRequest, queryset: QuerySet[Vehicle]
    ) -> TemplateResponse | None:
        today = timezone.localdate(clock.now())
        initial: dict[str, Any] = {"done_on": today}
        if len(chosen := list(queryset[:2])) == 1:
            initial["odometer_km"] = getattr(chosen[0], "odometer_km", None)
        form = confirm.bind(ServicedForm, request, initial=initial)
        if not form.is_valid():
            return confirm.page(
                self,
                request,
                queryset,
                action="mark_serviced",
                title=_("Mark serviced"),
                text=_("The interval of the chosen service starts again for these vehicles."),
                button=_("Record the service"),
                form=form,
            )
        typed = form.cleaned_data
        # The service fills in the present odometer when neither it nor a day is named.
        present = typed["odometer_km"] is None and typed["done_on"] == today
        vehicles = list(queryset)
        for vehicle in vehicles:
            services.record(
                vehicle,
                topic=typed["topic"],
                odometer_km=typed["odometer_km"],
                done_on=None if present else typed["done_on"],
                now=clock.now(),
                user=acting_user(request),
            )
        text = ngettext(
            "%(count)d service recorded.", "%(count)d services recorded.", len(vehicles)
        )
        self.message_user(request, text % {"count": len(vehicles)}, messages.SUCCESS)
        return None


@admin.register(VehicleGroup)
class ScopedVehicleGroupAdmin(VehicleGroupAdmin):
    """Deleting a group takes its rules along, so the others may be in force now."""

    def delete_model(self, request: HttpRequest, obj: VehicleGroup) -> None:
        super().delete_model(request, obj)
        wanted.rules_changed(now=clock.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[VehicleGroup]) -> None:
        super().delete_queryset(request, queryset)
        wanted.rules_changed(now=clock.now())


def _alerts(vehicle: Vehicle) -> Panel:
    rows = vehicle.alerts.select_related("fleetio_issue").order_by(
        F("resolved_at").desc(nulls_first=True), "-pk"
    )
    return Panel(
        title=_("Alerts"),
        headers=(_("What"), _("Stage"), _("Status"), _("Opened"), _("Fleetio issue")),
        rows=[
            (
                words.link(row, row.summary),
                stage_badge(row),
                status_badge(row),
                words.ago(row.opened_at),
                issue_link(row),
            )
            for row in rows[:20]
        ],
        empty=_("None so far."),
        more=words.list_url(Alert, f"status=all&vehicle__id__exact={vehicle.pk}"),
    )


def _rules(vehicle: Vehicle) -> Panel:
    found = coverage.of(vehicle, now=clock.now())
    return Panel(
        title=_("Rules"),
        headers=(_("Rule"), _("Kind"), _("Topic"), _("Applies"), _("Why not")),
        rows=[
            (
                words.link(each.rule),
                each.rule.get_kind_display(),
                wording.topic_name(each.rule.topic),
                words.badge("good", _("yes")) if each.applies else words.badge("soon", _("no")),
                each.reason or words.NOTHING,
            )
            for each in found
        ],
        empty=_("No enabled rule is for this vehicle."),
    )


def _services(vehicle: Vehicle, unit: str) -> Panel:
    rows = vehicle.services.shown().order_by("-is_proposed", "-done_on", "-pk")[:20]
    return Panel(
        title=_("Services"),
        headers=(_("Service"), _("Done on"), _("Odometer"), _("Source"), _("Note")),
        rows=[
            (
                words.link(row, wording.topic_name(row.topic)),
                row.done_on,
                words.distance(row.odometer_km, unit),
                row.get_source_display(),
                _to_confirm(row) if row.is_proposed else row.note or words.NOTHING,
            )
            for row in rows
        ],
        empty=_("None recorded: intervals start with the first one."),
        more=words.list_url(ServiceRecord, f"vehicle__id__exact={vehicle.pk}"),
    )


def _to_confirm(row: ServiceRecord) -> str:
    """Where a person says whether it was done; the list has the buttons."""
    waiting = f"state=proposed&vehicle__id__exact={row.vehicle_id}"
    url = words.list_url(ServiceRecord, waiting)
    return format_html(
        '{} {} <a href="{}">{}</a>',
        state_badge(row),
        row.note,
        url,
        _("Confirm or dismiss"),
    )
