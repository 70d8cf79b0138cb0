"""Maintenance mode: which vehicles are in the shop, since when, and what is held back for them."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import confirm, words
from integrations.admin.base import Panel, PortalAdmin, acting_user
from integrations.admin.panels import timeline
from maintenance.admin.alerts import stage_badge, status_badge
from maintenance.models import MaintenanceMode
from maintenance.services import modes


class InForceFilter(admin.SimpleListFilter):
    title = gettext_lazy("in force")
    parameter_name = "in_force"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        in_force = MaintenanceMode.objects.in_force(clock.now()).values("pk")
        match self.value():
            case "yes":
                return queryset.filter(pk__in=in_force)
            case "no":
                return queryset.exclude(pk__in=in_force)
        return queryset


@admin.register(MaintenanceMode)
class MaintenanceModeAdmin(PortalAdmin):
    list_display = ("what", "shown_state", "begins_at", "ends_at", "reason", "started_by")
    list_filter = (InForceFilter, "group")
    search_fields = ("reason", "vehicle__vin", "vehicle__name", "group__name")
    list_select_related = ("vehicle", "group", "started_by")
    autocomplete_fields = ("vehicle", "group")
    fields = (("vehicle", "group"), "reason", ("begins_at", "ends_at"))
    actions = ("end",)
    empty_hint = gettext_lazy(
        "While a vehicle is in the shop nobody is told of its alerts; at the end people hear what"
        " was held back. Begin it here, or with the action in the list of vehicles."
    )

    @admin.display(description=gettext_lazy("vehicle or group"))
    def what(self, mode: MaintenanceMode) -> str:
        return str(mode)

    @admin.display(description=gettext_lazy("state"))
    def shown_state(self, mode: MaintenanceMode) -> str:
        now = clock.now()
        if mode.ended_at or (mode.ends_at and mode.ends_at <= now):
            return words.badge("quiet", _("ended"))
        if mode.begins_at > now:
            return words.badge("quiet", _("to come"))
        return words.badge("soon", _("in force"))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"begins_at": clock.now(), **super().get_changeform_initial_data(request)}

    def get_readonly_fields(self, request: HttpRequest, obj: MaintenanceMode | None = None) -> Any:
        return () if obj is None else ("vehicle", "group", "begins_at")

    def has_change_permission(
        self, request: HttpRequest, obj: MaintenanceMode | None = None
    ) -> bool:
        return super().has_change_permission(request, obj) and not (obj and obj.ended_at)

    def save_model(
        self, request: HttpRequest, obj: MaintenanceMode, form: Any, change: bool
    ) -> None:
        if not change:
            obj.started_by = acting_user(request)
        super().save_model(request, obj, form, change)
        modes.began(obj, now=clock.now(), user=acting_user(request))

    def has_delete_permission(
        self, request: HttpRequest, obj: MaintenanceMode | None = None
    ) -> bool:
        """It is ended instead: then people hear what it held."""
        return False

    def get_panels(self, request: HttpRequest, obj: MaintenanceMode) -> list[Panel]:
        held = Panel(
            title=_("Held back"),
            headers=(_("Vehicle"), _("What"), _("Stage"), _("Status")),
            rows=[
                (words.link(row.vehicle), words.link(row), stage_badge(row), status_badge(row))
                for row in modes.held_by(obj)
            ],
            empty=_("Nothing so far."),
        )
        return [held, timeline(obj)]

    @admin.action(description=gettext_lazy("End maintenance mode"), permissions=["act"])
    def end(
        self, request: HttpRequest, queryset: QuerySet[MaintenanceMode]
    ) -> TemplateResponse | None:
        if not confirm.is_confirmed(request):
            return confirm.page(
                self,
                request,
                queryset,
                action="end",
                title=_("End maintenance mode"),
                text=_("People hear now what was held back."),
                button=_("End maintenance mode"),
            )
        now, user = clock.now(), acting_user(request)
        done = sum(modes.end(row, now=now, user=user) for row in queryset)
        text = ngettext(
            "%(count)d maintenance mode ended.", "%(count)d maintenance modes ended.", done
        )
        self.say_how_many(request, text, done)
        return None
