"""Vehicles: what is known of each, how it is reached, and what stands in the way."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, F, OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from kombu.exceptions import KombuError

from fleetportal import clock
from fleetportal.site import FirstStep, Tile
from integrations import tasks
from integrations.admin import reporting, vehicle_overview, vehicle_panels, words
from integrations.admin.base import Panel, PortalAdmin, acting_user
from integrations.admin.connections import status_badge
from integrations.admin.fleetio_actions import FleetioActions
from integrations.admin.reporting import ReportsFilter
from integrations.admin.vehicle_filters import WITHHELD, AttentionFilter, PollFilter
from integrations.admin.vehicle_reading import HowItIsRead
from integrations.clients.readings import ODOMETER, OIL_LIFE
from integrations.models import Make, ProviderGate, Signal, Vehicle, VehicleGroup
from integrations.services import activity, gates

POLLS_AT_ONCE = 100


@admin.register(Vehicle)
class VehicleAdmin(HowItIsRead, FleetioActions):
    list_display: tuple[str, ...] = (
        "car",
        "connection_status",
        "matter",
        "odometer",
        "oil_life",
        "last_read",
        "last_webhook",
        "in_fleetio",
        "group",
    )
    list_filter = (
        AttentionFilter,
        PollFilter,
        ReportsFilter,
        "connection__status",
        "group",
        "make",
    )
    search_fields = (
        "vin",
        "name",
        "fleetio_name",
        "make",
        "model",
        "smartcar_id",
        "connection__driver__name",
        "connection__driver__email",
    )
    list_select_related = ("group", "connection__driver")
    autocomplete_fields = ("group",)
    actions: tuple[str, ...] = ("poll_now", "create_in_fleetio", "fill_in_fleetio")
    empty_hint = gettext_lazy(
        "Vehicles appear by themselves when a driver connects them. Add a driver and mail them"
        " a portal link."
    )
    fieldsets = (
        (None, {"fields": (("name", "group"), ("described", "vin"))}),
        (
            gettext_lazy("How it is read"),
            {
                "fields": (
                    "problem",
                    ("connection", "connection_status"),
                    ("last_read", "next_poll"),
                    ("last_webhook", "subscription"),
                    "reported",
                    ("calls", "poll_failures"),
                )
            },
        ),
        (gettext_lazy("In Fleetio"), {"fields": (("in_fleetio", "fleetio_odometer"),)}),
    )
    readonly_fields = (
        "described",
        "vin",
        "connection",
        "connection_status",
        "last_read",
        "next_poll",
        "last_webhook",
        "subscription",
        "reported",
        "calls",
        "poll_failures",
        "problem",
        "in_fleetio",
        "fleetio_odometer",
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        def latest(code: str) -> Subquery:
            return Subquery(
                Signal.objects.filter(vehicle=OuterRef("pk"), code=code).values("value")[:1]
            )

        rows = super().get_queryset(request).select_related("group", "connection__driver")
        gate = ProviderGate.objects.filter(paused_until__isnull=False).values("paused_until")
        return (
            reporting.with_shared(words.with_unit(rows))
            .annotate(
                odometer_km=latest(ODOMETER),
                oil=latest(OIL_LIFE),
                smartcar_paused_until=Subquery(gate.filter(name=gates.SMARTCAR)[:1]),
                tokens_paused_until=Subquery(gate.filter(name=gates.SMARTCAR_TOKENS)[:1]),
            )
            .prefetch_related(Prefetch("signals", queryset=WITHHELD, to_attr="withheld"))
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Vehicle, form: Any, change: bool) -> None:
        # Workers write the other columns meanwhile: only what was typed may be saved.
        obj.save(update_fields=[name for name in ("name", "group") if name in form.changed_data])
        if form.changed_data:
            what = f"Vehicle changed: {words.changes(obj, form)}"
            activity.record(what, now=clock.now(), about=obj, user=acting_user(request))

    @admin.display(description=gettext_lazy("vehicle"), ordering="name")
    def car(self, vehicle: Vehicle) -> str:
        return words.lines([str(vehicle), words.small(vehicle.vin or _("VIN not known yet"))])

    @admin.display(description=gettext_lazy("vehicle"))
    def described(self, vehicle: Vehicle) -> str:
        parts = (vehicle.year, vehicle.make, vehicle.model)
        return " ".join(str(part) for part in parts if part) or _("not identified yet")

    @admin.display(description=gettext_lazy("connection"), ordering="connection__status")
    def connection_status(self, vehicle: Vehicle) -> str:
        return status_badge(vehicle.connection)

    @admin.display(description=gettext_lazy("odometer"), ordering="odometer_km")
    def odometer(self, vehicle: Any) -> str:
        return words.distance(vehicle.odometer_km, vehicle.portal_unit)

    @admin.display(description=gettext_lazy("oil life"), ordering="oil")
    def oil_life(self, vehicle: Any) -> str:
        return words.percent(vehicle.oil)

    @admin.display(description=gettext_lazy("Fleetio"), ordering="fleetio_name")
    def in_fleetio(self, vehicle: Vehicle) -> str:
        if vehicle.fleetio_id:
            return vehicle.fleetio_name or f"#{vehicle.fleetio_id}"
        note = vehicle.fleetio_note or _("not looked for yet")
        return words.badge("quiet", _("Not matched: %(note)s") % {"note": note})

    @admin.display(description=gettext_lazy("odometer in Fleetio"))
    def fleetio_odometer(self, vehicle: Any) -> str:
        return words.distance(vehicle.fleetio_odometer_km, vehicle.portal_unit)

    def get_panels(self, request: HttpRequest, obj: Vehicle) -> list[Panel]:
        return vehicle_panels.of(obj, meaning_of=self.code_meaning())

    def code_meaning(self) -> Callable[[str], str] | None:
        """What says in words what a trouble code means; nothing here knows it."""
        return None

    @admin.action(description=gettext_lazy("Poll now"), permissions=["change"])
    def poll_now(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> None:
        """Wake a worker for each car; the request itself never talks to Smartcar."""
        chosen = list(queryset.values_list("pk", flat=True)[: POLLS_AT_ONCE + 1])
        try:
            for pk in chosen[:POLLS_AT_ONCE]:
                tasks.poll_vehicle.delay(pk, asked_at=clock.now().isoformat())
        except (KombuError, OSError):
            text = _("The workers cannot be reached (the broker does not answer). Nothing is lost:")
            text += " " + _("the cars are read when they are due.")
            self.message_user(request, text, messages.ERROR)
            return
        count = min(len(chosen), POLLS_AT_ONCE)
        text = ngettext(
            "%(count)d car is being read; look again in a minute.",
            "%(count)d cars are being read; look again in a minute.",
            count,
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)
        if len(chosen) > POLLS_AT_ONCE:
            text = _("Only the first %(count)d were taken.") % {"count": POLLS_AT_ONCE}
            self.message_user(request, text, messages.WARNING)

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        return vehicle_overview.tiles()

    def get_first_steps(self, request: HttpRequest) -> list[FirstStep]:
        return vehicle_overview.first_steps()


@admin.register(VehicleGroup)
class VehicleGroupAdmin(PortalAdmin):
    list_display = ("name", "cars")
    search_fields = ("name",)
    empty_hint = gettext_lazy("A group holds vehicles that share rules, such as Vans.")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(size=Count("vehicles"))

    @admin.display(description=gettext_lazy("vehicles"), ordering="size")
    def cars(self, group: Any) -> int:
        return int(group.size)

    def get_panels(self, request: HttpRequest, obj: VehicleGroup) -> list[Panel]:
        cars = obj.vehicles.order_by(F("name").asc(), "pk")[:100]
        return [
            Panel(
                title=_("Vehicles"),
                headers=(_("Vehicle"), _("VIN")),
                rows=[(words.link(car), car.vin or words.NOTHING) for car in cars],
                empty=_("No vehicle yet: choose this group on the page of a vehicle."),
            )
        ]


@admin.register(Make)
class MakeAdmin(PortalAdmin):
    list_display = ("name", "refresh_minutes")
    search_fields = ("name",)
    list_per_page = 100
    empty_hint = gettext_lazy("Say how often a make refreshes its cars' data.")
