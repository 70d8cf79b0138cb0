"""Services that were done: people enter them here, or for many vehicles at once."""

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminDateWidget
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from fleetportal import clock
from fleetportal.site import Tile
from integrations.admin import words
from integrations.admin.base import PortalAdmin, acting_user
from maintenance.admin.distances import DistanceField, DistanceFormMixin
from maintenance.models import Rule, ServiceRecord
from maintenance.services import proposals, services, wording


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


def state_badge(record: ServiceRecord) -> str:
    if record.is_proposed:
        return words.badge("soon", _("proposed"))
    return words.badge("good", _("counts"))


class StateFilter(admin.SimpleListFilter):
    """Whether it counts, or waits for somebody to confirm it."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("proposed", _("Proposed")), ("counting", _("Counts"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "proposed":
                return queryset.proposed()
            case "counting":
                return queryset.counting()
        return queryset


@admin.register(ServiceRecord)
class ServiceRecordAdmin(PortalAdmin):
    form = ServiceRecordForm
    list_display = (
        "shown_topic",
        "vehicle",
        "state",
        "done_on",
        "odometer",
        "source",
        "note",
        "created_by",
    )
    list_filter = (StateFilter, "topic", "source", "vehicle__group")
    actions = ("confirm", "dismiss")
    search_fields = ("topic", "note", "vehicle__vin", "vehicle__name", "vehicle__fleetio_name")
    list_select_related = ("vehicle", "created_by")
    autocomplete_fields = ("vehicle",)
    date_hierarchy = "done_on"
    empty_hint = _(
        "Intervals are counted from the last service. Record the last one of each vehicle, here"
        " or with “Mark serviced” in the list of vehicles."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return words.with_unit(super().get_queryset(request)).shown()

    @admin.display(description=_("service"), ordering="topic")
    def shown_topic(self, record: ServiceRecord) -> str:
        return wording.topic_name(record.topic)

    @admin.display(description=_("state"), ordering="is_proposed")
    def state(self, record: ServiceRecord) -> str:
        return state_badge(record)

    @admin.display(description=_("odometer"), ordering="odometer_km")
    def odometer(self, record: Any) -> str:
        return words.distance(record.odometer_km, record.portal_unit)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        typed = ("vehicle", "topic", ("odometer_km", "done_on"), "note")
        return typed if obj is None else (*typed, ("state", "source", "created_by", "created_at"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("vehicle", "state", "source", "created_by", "created_at")

    def save_model(self, request: HttpRequest, obj: ServiceRecord, form: Any, change: bool) -> None:
        now, user = clock.now(), acting_user(request)
        services.lock(obj.vehicle)
        if not change:
            obj.created_at = now
            obj.created_by = user
        super().save_model(request, obj, form, change)
        if change:
            services.changed(obj, now=now, user=user)
        else:
            services.recorded(obj, now=now, user=user)

    def delete_model(self, request: HttpRequest, obj: ServiceRecord) -> None:
        services.delete(obj, now=clock.now(), user=acting_user(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ServiceRecord]) -> None:
        for record in queryset.select_related("vehicle"):
            self.delete_model(request, record)

    @admin.action(description=_("Confirm: it was done"), permissions=["change"])
    def confirm(self, request: HttpRequest, queryset: QuerySet[ServiceRecord]) -> None:
        count = self._decide(request, queryset, proposals.confirm)
        text = ngettext("%(count)d service counts now.", "%(count)d services count now.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.action(description=_("Dismiss: it was not done"), permissions=["change"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[ServiceRecord]) -> None:
        count = self._decide(request, queryset, proposals.dismiss)
        text = ngettext(
            "%(count)d proposed service dismissed.",
            "%(count)d proposed services dismissed.",
            count,
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    def _decide(self, request: HttpRequest, queryset: Any, decide: Any) -> int:
        """What waits for a decision among the chosen; how many that were."""
        now, user = clock.now(), acting_user(request)
        waiting = list(queryset.proposed().select_related("vehicle"))
        return sum(decide(record, now=now, user=user) for record in waiting)

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        count = ServiceRecord.objects.proposed().count()
        return [
            Tile(
                label=gettext("Services to confirm"),
                value=str(count),
                level="soon" if count else "good",
                url=words.list_url(ServiceRecord, "state=proposed"),
            )
        ]
