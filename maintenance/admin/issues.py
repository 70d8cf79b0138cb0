"""Issues in Fleetio, and the way there that keeps the account's token out of mails."""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin import words
from integrations.admin.base import ReadOnlyAdmin
from maintenance.models import FleetioIssue


@admin.register(FleetioIssue)
class FleetioIssueAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "alert", "state", "in_fleetio", "created_at", "seen")
    list_filter = ("state",)
    search_fields = ("number", "fleetio_id", "alert__summary", "alert__vehicle__vin")
    list_select_related = ("alert__vehicle",)
    date_hierarchy = "created_at"
    fields = ("alert", "number", "state", "in_fleetio", "created_at", "checked_at")
    readonly_fields = ("in_fleetio",)
    empty_hint = gettext_lazy("An alert that is due opens an issue in Fleetio by itself.")

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:pk>/open/",
            self.admin_site.admin_view(self.open_view),
            name="maintenance_fleetioissue_open",
        )
        return [own, *super().get_urls()]

    def open_view(self, request: HttpRequest, pk: int) -> HttpResponseRedirect:
        """Send a person who may see the issue to it in Fleetio."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        issue = get_object_or_404(FleetioIssue, pk=pk)
        if not settings.FLEETIO_ACCOUNT_TOKEN:
            text = _("FLEETIO_ACCOUNT_TOKEN is not set, so the way to Fleetio is not known.")
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(
                reverse("admin:maintenance_fleetioissue_change", args=[issue.pk])
            )
        base = urlsplit(settings.FLEETIO_BASE_URL)
        return HttpResponseRedirect(
            f"{base.scheme}://{base.netloc}/{settings.FLEETIO_ACCOUNT_TOKEN}"
            f"/issues/{issue.fleetio_id}"
        )

    @admin.display(description=gettext_lazy("in Fleetio"))
    def in_fleetio(self, issue: FleetioIssue) -> str:
        url = reverse("admin:maintenance_fleetioissue_open", args=[issue.pk])
        return format_html('<a href="{}">{}</a>', url, _("Open in Fleetio"))

    @admin.display(description=gettext_lazy("seen"), ordering="checked_at")
    def seen(self, issue: FleetioIssue) -> str:
        return words.ago(issue.checked_at)
