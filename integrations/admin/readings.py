"""What the cars said: latest states, history, trouble codes."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from integrations.admin import words
from integrations.admin.base import ReadOnlyAdmin
from integrations.admin.vehicle_panels import support
from integrations.models import Reading, Signal, TroubleCode

BY_VEHICLE = ("vehicle__vin", "vehicle__name", "vehicle__fleetio_name")
_LEVELS = {"clean": "good", "doubtful": "soon", "rejected": "overdue"}


class _SaidByACar(ReadOnlyAdmin):
    """Rows with a signal's code and its value."""

    def get_queryset(self, request: HttpRequest) -> Any:
        return words.with_unit(super().get_queryset(request).select_related("vehicle"))

    @admin.display(description=gettext_lazy("signal"), ordering="code")
    def signal(self, row: Any) -> str:
        return words.signal_name(row.code)

    @admin.display(description=gettext_lazy("value"), ordering="value")
    def shown_value(self, row: Any) -> str:
        return words.signal_value(row.code, row.value, row.data, row.portal_unit)


@admin.register(Signal)
class SignalAdmin(_SaidByACar):
    list_display = ("signal", "vehicle", "shown_value", "recorded", "is_wanted", "readable")
    list_filter = ("support", "is_wanted", "code")
    search_fields = ("code", *BY_VEHICLE)
    date_hierarchy = "recorded_at"
    fields = (
        "vehicle",
        "signal",
        "shown_value",
        "recorded_at",
        "fetched_at",
        "source",
        "is_wanted",
        "urgency",
        "readable",
        "recheck_at",
    )
    readonly_fields = ("signal", "shown_value", "readable")
    empty_hint = gettext_lazy("Signals appear when a car is read for the first time.")

    @admin.display(description=gettext_lazy("recorded by the car"), ordering="recorded_at")
    def recorded(self, signal: Signal) -> str:
        return words.ago(signal.recorded_at)

    @admin.display(description=gettext_lazy("readable"), ordering="support")
    def readable(self, signal: Signal) -> str:
        return support(signal)


@admin.register(Reading)
class ReadingAdmin(_SaidByACar):
    list_display = ("signal", "vehicle", "shown_value", "recorded_at", "source", "judged")
    list_filter = ("quality", "source", "code")
    search_fields = ("code", "request_id", *BY_VEHICLE)
    date_hierarchy = "recorded_at"
    show_full_result_count = False
    fields = (
        "vehicle",
        "signal",
        "shown_value",
        "recorded_at",
        "fetched_at",
        "source",
        "request_id",
        "judged",
        "reason",
    )
    readonly_fields = ("signal", "shown_value", "judged")
    empty_hint = gettext_lazy("Readings appear when a car is read for the first time.")

    @admin.display(description=gettext_lazy("quality"), ordering="quality")
    def judged(self, reading: Reading) -> str:
        return words.badge(_LEVELS[reading.quality], reading.get_quality_display())


@admin.register(TroubleCode)
class TroubleCodeAdmin(ReadOnlyAdmin):
    list_display = ("code", "vehicle", "count", "first_seen_at", "last_seen_at", "cleared_at")
    list_filter = (("cleared_at", admin.EmptyFieldListFilter),)
    search_fields = ("code", *BY_VEHICLE)
    list_select_related = ("vehicle",)
    date_hierarchy = "last_seen_at"
    empty_hint = gettext_lazy("No car has reported a trouble code so far.")
