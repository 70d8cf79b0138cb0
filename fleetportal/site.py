"""The admin site: Django's own, with our name, an order that fits the work, and an overview.

What the overview says comes from the registered admins: each may offer tiles and first steps.
"""

from dataclasses import dataclass, field
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

# What people work with comes first, what they only look up later.
ORDER = (
    "Alert",
    "Rule",
    "CodeOverride",
    "ServiceRecord",
    "FleetioIssue",
    "Recipient",
    "PortalSettings",
    "Vehicle",
    "Driver",
    "ConnectLink",
    "Connection",
    "VehicleGroup",
    "OutboxEntry",
    "WebhookEvent",
    "WebhookEndpoint",
    "Activity",
    "TroubleCode",
    "Signal",
    "Reading",
    "VehicleAccess",
    "Make",
    "OAuthToken",
    "ProviderGate",
    "Heartbeat",
)
APP_ORDER = ("maintenance", "integrations", "auth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One number or fact of the overview. `level` is good, quiet, soon, due or overdue."""

    label: str
    value: str
    level: str = "quiet"
    url: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)  # text and address


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStep:
    """One thing to do before the portal is of use; `place` orders them."""

    place: int
    text: str
    url: str
    is_done: bool


class PortalAdminSite(AdminSite):
    site_header = _("Fleet Portal")
    site_title = _("Fleet Portal")
    index_title = _("Overview")
    site_url = None
    # What kind of portal this is, when it is not the real one; shown before and after the login.
    notice: tuple[str, ...] = ()

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return super().each_context(request) | {"notice": self.notice}

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        steps = sorted(self._offers(request, "get_first_steps"), key=lambda step: step.place)
        context = {
            "tiles": self._offers(request, "get_tiles"),
            "first_steps": [] if all(step.is_done for step in steps) else steps,
            **(extra_context or {}),
        }
        return super().index(request, context)

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        apps: list[dict[str, Any]] = super().get_app_list(request, app_label)
        for app in apps:
            app["models"].sort(key=lambda model: _place(ORDER, model["object_name"]))
        apps.sort(key=lambda app: _place(APP_ORDER, app["app_label"]))
        return apps

    def _offers(self, request: HttpRequest, name: str) -> list[Any]:
        """What the admins of models that this user may see have to say."""
        offers = []
        admins = sorted(self._registry.items(), key=lambda item: _place(ORDER, item[0].__name__))
        for _model, model_admin in admins:
            ask = getattr(model_admin, name, None)
            if ask is not None and model_admin.has_view_permission(request):
                offers += ask(request)
        return offers


def _place(order: tuple[str, ...], name: str) -> int:
    return order.index(name) if name in order else len(order)
