"""Services that were done: people enter them here, or for many vehicles at once."""

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminDateWidget
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetportal import clock
from integrations.admin import words
from integrations.admin.base import PortalAdmin, acting_user
from integrations.services import activity
from maintenance.admin.distances import DistanceField, DistanceFormMixin
from maintenance.models import Rule, ServiceRecord
from maintenance.services import evaluation, services, wording


def topics(*, only_enabled: bool) -> list[tuple[str, str]]:
    """The topics that rules have, to choose from."""
    rules = Rule.objects.enabled() if only_enabled else Rule.objects.all()
    names = rules.order_by("topic").values_list("topic", flat=True).distinct()
    return [(name, wording.topic_name(name)) for name in names]


def not_later_than_today(day: date) -> None:
    if day > timezone.localdate(clock.now()):
        raise ValidationError(_("This day has not come yet."))
    if day.year < 1950:
        raise ValidationError(_("That is too long ago."))


class ServiceRecordForm(DistanceFormMixin, forms.ModelForm):
    topic = forms.ChoiceField(label=_("Service"), help_text=_("The topics of the rules."))
    odometer_km = DistanceField(
        label=_("Odometer"),
        required=False,
        help_text=_("When it was done. Without it no interval in distance can be counted."),
    )

    class Meta:
        model = ServiceRecord
        fields = ("vehicle", "topic", "odometer_km", "done_on", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_portal_unit()
        if "topic" in self.fields:
            choices = topics(only_enabled=False)
            current = self.instance.topic
            if current and current not in dict(choices):
                choices.append((current, wording.topic_name(current)))
            self.fields["topic"].choices = choices  # type: ignore[attr-defined]
        if "done_on" in self.fields:
            self.fields["done_on"].validators.append(not_later_than_today)

    def clean_odometer_km(self) -> float | None:
        return self.kept("odometer_km")


class ServicedForm(DistanceFormMixin, forms.Form):
    """What “Mark serviced” asks for."""

    topic = forms.ChoiceField(label=_("Service"))
    odometer_km = DistanceField(
        label=_("Odometer"),
        required=False,
        help_text=_("Empty and done today: the odometer that each car shows now."),
    )
    done_on = forms.DateField(
        label=_("Done on"), widget=AdminDateWidget, validators=[not_later_than_today]
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_portal_unit()
        self.fields["topic"].choices = topics(only_enabled=True)  # type: ignore[attr-defined]


@admin.register(ServiceRecord)
class ServiceRecordAdmin(PortalAdmin):
    form = ServiceRecordForm
    list_display = ("shown_topic", "vehicle", "done_on", "odometer", "source", "note", "created_by")
    list_filter = ("topic", "source", "vehicle__group")
    search_fields = ("topic", "note", "vehicle__vin", "vehicle__name", "vehicle__fleetio_name")
    list_select_related = ("vehicle", "created_by")
    autocomplete_fields = ("vehicle",)
    date_hierarchy = "done_on"
    empty_hint = _(
        "Intervals are counted from the last service. Record the last one of each vehicle, here"
        " or with “Mark serviced” in the list of vehicles."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return words.with_unit(super().get_queryset(request))

    @admin.display(description=_("service"), ordering="topic")
    def shown_topic(self, record: ServiceRecord) -> str:
        return wording.topic_name(record.topic)

    @admin.display(description=_("odometer"), ordering="odometer_km")
    def odometer(self, record: Any) -> str:
        return words.distance(record.odometer_km, record.portal_unit)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        typed = ("vehicle", "topic", ("odometer_km", "done_on"), "note")
        return typed if obj is None else (*typed, ("source", "created_by", "created_at"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("vehicle", "source", "created_by", "created_at")

    def save_model(self, request: HttpRequest, obj: ServiceRecord, form: Any, change: bool) -> None:
        now, user = clock.now(), acting_user(request)
        if not change:
            obj.created_at = now
            obj.created_by = user
        super().save_model(request, obj, form, change)
        what = "Service record changed" if change else "Service recorded"
        services.recorded(obj, now=now, user=user, what=what)

    def delete_model(self, request: HttpRequest, obj: ServiceRecord) -> None:
        self._forget(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ServiceRecord]) -> None:
        self._forget(request, list(queryset.select_related("vehicle")))

    def _forget(self, request: HttpRequest, records: list[ServiceRecord]) -> None:
        """The interval counts from the service before it again."""
        now, user = clock.now(), acting_user(request)
        for record in records:
            what = f"Service deleted: {record}"
            activity.record(what, now=now, about=record.vehicle, user=user)
            record.delete()
        for vehicle_id in {record.vehicle_id for record in records}:
            evaluation.evaluate_vehicle(vehicle_id, now=now)
