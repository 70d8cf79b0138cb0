"""The ways to reach cars: what was granted, and whether the car reports by itself."""

from django.contrib import admin
from django.utils.translation import gettext_lazy

from integrations.admin import words
from integrations.admin.base import ReadOnlyAdmin
from integrations.admin.connections import granted
from integrations.admin.reporting import subscription_badge
from integrations.models import VehicleAccess


@admin.register(VehicleAccess)
class VehicleAccessAdmin(ReadOnlyAdmin):
    list_display = (
        "vehicle",
        "connection",
        "smartcar_id",
        "reports",
        "granted",
        "connected_at",
        "ended_at",
    )
    list_filter = (
        ("ended_at", admin.EmptyFieldListFilter),
        "subscription",
        "connection__status",
    )
    search_fields = ("vehicle__vin", "vehicle__name", "smartcar_id", "connection__driver__name")
    list_select_related = ("vehicle", "connection__driver")
    date_hierarchy = "connected_at"
    fieldsets = (
        (None, {"fields": ("vehicle", "connection", "smartcar_id", "granted")}),
        (None, {"fields": (("connected_at", "ended_at"),)}),
        (
            gettext_lazy("Webhook"),
            {"fields": ("reports", "subscription_error", ("webhook_id", "subscription_at"))},
        ),
    )
    readonly_fields = ("granted", "reports", "webhook_id")
    empty_hint = gettext_lazy("Each car that a driver shares appears here once for each way.")

    @admin.display(description=gettext_lazy("granted permissions"))
    def granted(self, way: VehicleAccess) -> str:
        return granted(way)

    @admin.display(description=gettext_lazy("webhook"), ordering="subscription")
    def reports(self, way: VehicleAccess) -> str:
        return subscription_badge(way)

    @admin.display(description=gettext_lazy("webhook's id"))
    def webhook_id(self, way: VehicleAccess) -> str:
        """The webhook that was asked for, whether it was granted or not."""
        return way.subscribed_to or words.NOTHING
