"""Issues in Fleetio, and the way there that keeps the account's token out of mails."""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import confirm, words
from integrations.admin.base import ReadOnlyAdmin, acting_user
from maintenance.models import FleetioIssue
from maintenance.services import issue_state, issues

_STATES = {
    issue_state.OPEN: (gettext_lazy("Open"), "soon"),
    "resolved": (gettext_lazy("Resolved"), "good"),
    "closed": (gettext_lazy("Closed"), "good"),
    issue_state.DELETED: (gettext_lazy("Deleted in Fleetio"), "quiet"),
}


@admin.register(FleetioIssue)
class FleetioIssueAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "alert", "shown_state", "in_fleetio", "created_at", "seen")
    list_filter = ("state",)
    search_fields = ("number", "fleetio_id", "alert__summary", "alert__vehicle__vin")
    list_select_related = ("alert__vehicle",)
    date_hierarchy = "created_at"
    fields = (
        "alert",
        "number",
        "shown_state",
        "in_fleetio",
        "fault_id",
        "created_at",
        "changed_at",
        "checked_at",
    )
    readonly_fields = ("in_fleetio", "shown_state")
    actions = ("make_again",)
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

    @admin.display(description=gettext_lazy("state in Fleetio"), ordering="state")
    def shown_state(self, issue: FleetioIssue) -> str:
        """Fleetio's own word, where we have none for it."""
        text, level = _STATES.get(issue.state, (issue.state, "quiet"))
        return words.badge(level, str(text))

    @admin.action(
        description=gettext_lazy("Make a new issue for one that was deleted"), permissions=["act"]
    )
    def make_again(
        self, request: HttpRequest, queryset: QuerySet[FleetioIssue]
    ) -> TemplateResponse | None:
        if not confirm.is_confirmed(request):
            return confirm.page(
                self,
                request,
                queryset,
                action="make_again",
                title=_("Make new issues"),
                text=_(
                    "Where the issue was deleted in Fleetio and the alert is still open, a new"
                    " issue is made there within seconds. Nothing happens to the others."
                ),
                button=_("Make new issues"),
            )
        now, user = clock.now(), acting_user(request)
        chosen = list(queryset.select_related("alert__vehicle"))
        done = sum(issues.make_again(issue, now=now, user=user) for issue in chosen)
        text = ngettext(
            "%(count)d new issue is made within seconds.",
            "%(count)d new issues are made within seconds.",
            done,
        )
        self.say_how_many(request, text, done)
        return None

    @admin.display(description=gettext_lazy("in Fleetio"))
    def in_fleetio(self, issue: FleetioIssue) -> str:
        url = reverse("admin:maintenance_fleetioissue_open", args=[issue.pk])
        return format_html('<a href="{}">{}</a>', url, _("Open in Fleetio"))

    @admin.display(description=gettext_lazy("seen"), ordering="checked_at")
    def seen(self, issue: FleetioIssue) -> str:
        return words.ago(issue.checked_at)
