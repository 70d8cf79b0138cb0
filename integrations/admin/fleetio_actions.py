"""Vehicles: create those that Fleetio lacks, and fill what is blank there."""

from collections import Counter
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations import conf
from integrations.admin import confirm, words
from integrations.admin.base import PortalAdmin, acting_user
from integrations.clients.errors import ClientError
from integrations.clients.fleetio import VehicleLabel
from integrations.models import OutboxEntry, PortalSettings, Vehicle
from integrations.services import fleetio_creation
from integrations.services.fleetio_creation import Choice

AT_ONCE = 50
NAME = "name-"


class CreationForm(forms.Form):
    """What Fleetio wants to know of new vehicles, and a name for each."""

    status = forms.TypedChoiceField(label=gettext_lazy("Status"), coerce=int)
    type = forms.TypedChoiceField(label=gettext_lazy("Type"), coerce=int)
    meter_unit = forms.ChoiceField(
        label=gettext_lazy("Meter counts"),
        choices=[("mi", gettext_lazy("miles")), ("km", gettext_lazy("kilometres"))],
        help_text=gettext_lazy("Odometers are sent in this unit. Later it is changed in Fleetio."),
    )

    def __init__(
        self,
        *args: Any,
        cars: list[Vehicle],
        statuses: list[VehicleLabel],
        types: list[VehicleLabel],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._cars = cars
        for field, labels in (("status", statuses), ("type", types)):
            ordered = sorted(labels, key=lambda label: (label.position, label.name))
            self.fields[field].choices = [(label.id, label.name) for label in ordered]  # type: ignore[attr-defined]
        self.fields["meter_unit"].initial = PortalSettings.load().distance_unit
        once = {name for name, count in Counter(car.name for car in cars).items() if count == 1}
        for car in cars:
            with_vin = f"{car} · {(car.vin or '')[-6:]}"
            self.fields[f"{NAME}{car.pk}"] = forms.CharField(
                label=_("Name of %(vin)s") % {"vin": car.vin},
                max_length=255,
                initial=car.name if car.name and car.name in once else with_vin,
                help_text=str(car),
                widget=forms.TextInput(attrs={"size": 50}),
            )

    def clean(self) -> dict[str, Any]:
        """Names must differ among themselves, and from those that Fleetio is known to have."""
        cleaned = super().clean() or {}
        rows = Vehicle.objects.exclude(fleetio_name="").values_list("fleetio_name", flat=True)
        taken = {name.casefold() for name in rows}
        for car in self._cars:
            field = f"{NAME}{car.pk}"
            name = str(cleaned.get(field, "")).casefold()
            if name and name in taken:
                self.add_error(field, ValidationError(_("This name is taken; each needs its own.")))
            taken.add(name)
        return cleaned

    def choice(self, car: Vehicle) -> Choice:
        known = self.cleaned_data
        return Choice(
            name=known[f"{NAME}{car.pk}"],
            status_id=known["status"],
            type_id=known["type"],
            meter_unit=known["meter_unit"],
        )


class FleetioActions(PortalAdmin):
    """The two actions on vehicles; each writes rows, and workers do the rest."""

    @admin.action(description=gettext_lazy("Create in Fleetio"), permissions=["act"])
    def create_in_fleetio(
        self, request: HttpRequest, queryset: QuerySet[Vehicle]
    ) -> TemplateResponse | None:
        cars = self._to_create(request, queryset)
        labels = self._labels(request) if cars else None
        if labels is None:
            return None
        statuses, types = labels
        form = confirm.bind(CreationForm, request, cars=cars, statuses=statuses, types=types)
        if not confirm.is_confirmed(request) or not form.is_valid():
            return confirm.page(
                self,
                request,
                queryset.filter(pk__in=[car.pk for car in cars]),
                action="create_in_fleetio",
                title=_("Create vehicles in Fleetio"),
                text=_(
                    "Fleetio gets a new vehicle for each of these cars, with the VIN, make, model"
                    " and year that the car itself says. Is one there already, it is matched."
                ),
                button=_("Create in Fleetio"),
                form=form,
            )
        user, now = acting_user(request), clock.now()
        done = sum(
            fleetio_creation.queue_creation(car, form.choice(car), now=now, user=user)
            for car in cars
        )
        self._say_queued(request, done)
        return None

    @admin.action(description=gettext_lazy("Fill blank fields in Fleetio"), permissions=["act"])
    def fill_in_fleetio(
        self, request: HttpRequest, queryset: QuerySet[Vehicle]
    ) -> TemplateResponse | None:
        matched = queryset.filter(fleetio_id__isnull=False)
        if not matched:
            text = _("None of these cars is matched to a vehicle in Fleetio.")
            self.message_user(request, text, messages.WARNING)
            return None
        if not confirm.is_confirmed(request):
            return confirm.page(
                self,
                request,
                matched,
                action="fill_in_fleetio",
                title=_("Fill blank fields in Fleetio"),
                text=_(
                    "Make, model and year are written where Fleetio has nothing. What somebody"
                    " wrote there stays as it is."
                ),
                button=_("Fill blank fields"),
            )
        user, now = acting_user(request), clock.now()
        done = sum(fleetio_creation.queue_fill(car, now=now, user=user) for car in matched)
        self._say_queued(request, done)
        return None

    def _to_create(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> list[Vehicle]:
        """Those for which a vehicle can be made; says of the others why not."""
        chosen = list(queryset.order_by("pk")[: AT_ONCE + 1])
        if len(chosen) > AT_ONCE:
            text = _("At most %(count)d at once, please.") % {"count": AT_ONCE}
            self.message_user(request, text, messages.ERROR)
            return []
        reasons = [(car, fleetio_creation.why_not_created(car)) for car in chosen]
        for car, why in reasons:
            if why:
                text = _("%(car)s was left out: %(why)s.") % {"car": car, "why": why}
                self.message_user(request, text, messages.WARNING)
        return [car for car, why in reasons if not why]

    def _labels(self, request: HttpRequest) -> tuple[list[VehicleLabel], list[VehicleLabel]] | None:
        """The account's statuses and types; None, and said why, when there are none to be had."""
        text = _("Fleetio is not set up: FLEETIO_API_TOKEN and FLEETIO_ACCOUNT_TOKEN are missing.")
        if conf.has_fleetio():
            client = conf.get_fleetio_client(someone_waits=True)
            try:
                found = client.list_vehicle_statuses(), client.list_vehicle_types()
            except ClientError as exc:
                text = _("Fleetio could not be asked: %(error)s. Nothing was changed; try again.")
                text %= {"error": exc}
            else:
                if all(found):
                    return found
                text = _("Fleetio has no vehicle status or no vehicle type yet: make one there.")
        self.message_user(request, text, messages.ERROR)
        return None

    def _say_queued(self, request: HttpRequest, done: int) -> None:
        text = ngettext(
            "%(count)d vehicle is on its way to Fleetio.",
            "%(count)d vehicles are on their way to Fleetio.",
            done,
        ) % {"count": done}
        link = format_html('<a href="{}">{}</a>', words.list_url(OutboxEntry), _("See how it goes"))
        level = messages.SUCCESS if done else messages.WARNING
        self.message_user(request, format_html("{} {}", text, link), level)
