"""The page that walks an admin through setting up the webhook."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal import clock
from fleetportal.site import Tile
from integrations.admin import reporting, webhook_flow, webhook_steps, words
from integrations.admin.base import ReadOnlyAdmin, acting_user
from integrations.admin.panels import timeline
from integrations.models import Vehicle, WebhookEndpoint
from integrations.services import webhook_setup

RELOADS_EVERY = 5  # seconds, while the window is open


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """There is one webhook, so its list is the page of setting it up."""

    empty_hint = gettext_lazy("The page of setting up the webhook makes its row by itself.")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._set_window(request)
        return self._page(request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return self.changelist_view(request)

    def _set_window(self, request: HttpRequest) -> HttpResponse:
        if not self.has_act_permission(request):
            raise PermissionDenied
        now, user = clock.now(), acting_user(request)
        wanted = request.POST.get("window")
        if wanted == "open":
            webhook_setup.open_window(now=now, user=user)
            text = _("The window is open. Now press Verify in Smartcar's dashboard.")
        elif wanted == "close":
            webhook_setup.close_window(now=now, user=user)
            text = _("The window is closed.")
        else:
            raise BadRequest
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(words.list_url(WebhookEndpoint))

    def _page(self, request: HttpRequest) -> HttpResponse:
        now, row = clock.now(), webhook_setup.endpoint()
        last_good = webhook_flow.last_good_event()
        is_open = webhook_steps.is_open(row, now)
        reloads = is_open and "still" not in request.GET
        context = {
            **self.admin_site.each_context(request),
            "title": _("Webhook set-up"),
            "opts": self.opts,
            "steps": [
                *webhook_steps.of(row, last_good, now),
                *webhook_flow.of(last_good, now),
            ],
            "problems": webhook_setup.problems(now),
            "panels": [timeline(row)],
            "can_act": self.has_act_permission(request),
            "window": {
                "is_open": is_open,
                "until": words.ago(row.window_until),
                "at": words.moment(row.window_until),
                "has_token": webhook_steps.has_token(),
            },
            "reloads_every": RELOADS_EVERY if reloads else 0,
        }
        return TemplateResponse(request, "admin/webhook_setup.html", context)

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        """Only when cars that should report by themselves do not."""
        if not reporting.webhook_id():
            return []
        silent = reporting.overdue_ways(clock.now()).values("vehicle").distinct().count()
        if not silent:
            return []
        return [
            Tile(
                label=_("Cars not subscribed to the webhook"),
                value=str(silent),
                level="due",
                url=words.list_url(Vehicle, "reports=no"),
                lines=[(_("Webhook set-up"), words.list_url(WebhookEndpoint))],
            )
        ]
