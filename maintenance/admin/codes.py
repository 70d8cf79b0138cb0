"""Code overrides: what this fleet thinks of a trouble code, instead of what it usually means."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal import clock
from integrations.admin import words
from integrations.admin.base import Panel, PortalAdmin, acting_user
from integrations.admin.panels import timeline
from integrations.models import TroubleCode
from maintenance.admin import code_import
from maintenance.engine.code_overrides import CodeBook, Override
from maintenance.models import CodeOverride
from maintenance.services import code_overrides, code_words

_LEVELS = {"low": "good", "medium": "soon", "high": "due", "critical": "overdue"}
CARS = 50


@admin.register(CodeOverride)
class CodeOverrideAdmin(PortalAdmin):
    change_list_template = "admin/code_overrides.html"
    list_display = ("pattern", "shown_severity", "is_ignored", "meaning", "note", "changed")
    list_filter = ("is_ignored", "severity")
    search_fields = ("pattern", "text", "note")
    fields = ("pattern", ("severity", "is_ignored"), "text", "note")
    empty_hint = gettext_lazy(
        "Every code counts as its dictionary says. Add a row to ignore a code, to call it more or"
        " less serious, or to say what it means here."
    )

    def get_urls(self) -> Any:
        views = (("import", self.import_view), ("export", self.export_view))
        own = [
            path(
                f"{name}/",
                self.admin_site.admin_view(view),
                name=f"maintenance_codeoverride_{name}",
            )
            for name, view in views
        ]
        return [*own, *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        can_import = {"can_import": code_import.may_import(self, request)}
        return super().changelist_view(request, {**can_import, **(extra_context or {})})

    def import_view(self, request: HttpRequest) -> HttpResponse:
        return code_import.import_view(self, request)

    def export_view(self, request: HttpRequest) -> HttpResponse:
        return code_import.export_view(self, request)

    @admin.display(description=gettext_lazy("severity"), ordering="severity")
    def shown_severity(self, override: CodeOverride) -> str:
        if not override.severity:
            return words.NOTHING
        return words.badge(_LEVELS[override.severity], override.get_severity_display())

    @admin.display(description=gettext_lazy("meaning"), ordering="text")
    def meaning(self, override: CodeOverride) -> str:
        return override.text or code_words.meaning(override.pattern) or words.NOTHING

    @admin.display(description=gettext_lazy("changed"), ordering="updated_at")
    def changed(self, override: CodeOverride) -> str:
        return words.ago(override.updated_at)

    def get_panels(self, request: HttpRequest, obj: CodeOverride) -> list[Panel]:
        return [_cars(obj), timeline(obj)]

    def save_model(self, request: HttpRequest, obj: CodeOverride, form: Any, change: bool) -> None:
        code_overrides.save(obj, now=clock.now(), user=acting_user(request))

    def delete_model(self, request: HttpRequest, obj: CodeOverride) -> None:
        code_overrides.delete([obj], now=clock.now(), user=acting_user(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CodeOverride]) -> None:
        code_overrides.delete(list(queryset), now=clock.now(), user=acting_user(request))


def _cars(override: CodeOverride) -> Panel:
    """Whom it concerns now: the active codes that the pattern fits."""
    mine = CodeBook([Override(id=override.pk, pattern=override.pattern)])
    active = TroubleCode.objects.filter(cleared_at__isnull=True).select_related("vehicle")
    rows = [row for row in active.order_by("code", "vehicle_id") if mine.choose(row.code)]
    return Panel(
        title=_("Active in these vehicles"),
        headers=(_("Vehicle"), _("Code"), _("First seen"), _("Last seen")),
        rows=[
            (
                words.link(row.vehicle),
                row.code,
                words.ago(row.first_seen_at),
                words.ago(row.last_seen_at),
            )
            for row in rows[:CARS]
        ],
        empty=_("No vehicle reports such a code now."),
    )
