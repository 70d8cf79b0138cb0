"""Into the shop and out again: maintenance mode from the list of vehicles."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import confirm
from integrations.admin.base import PortalAdmin, acting_user
from integrations.models import Vehicle
from maintenance.models import MaintenanceMode
from maintenance.services import modes


class ModeForm(forms.Form):
    ends_at = forms.SplitDateTimeField(
        label=gettext_lazy("Until"),
        required=False,
        widget=AdminSplitDateTime,
        help_text=gettext_lazy("Empty: until somebody ends it."),
    )
    reason = forms.CharField(label=gettext_lazy("Why"), required=False, max_length=200)

    def clean_ends_at(self) -> Any:
        ends_at = self.cleaned_data["ends_at"]
        if ends_at and ends_at <= clock.now():
            raise forms.ValidationError(_("This moment is over. Choose one to come."))
        return ends_at


class VehicleModeActions(PortalAdmin):
    """The actions that begin and end maintenance mode for vehicles."""

    @admin.action(description=gettext_lazy("Begin maintenance mode"), permissions=["change"])
    def begin_mode(
        self, request: HttpRequest, queryset: QuerySet[Vehicle]
    ) -> TemplateResponse | None:
        form = confirm.bind(ModeForm, request)
        if not form.is_valid():
            return confirm.page(
                self,
                request,
                queryset,
                action="begin_mode",
                title=_("Begin maintenance mode"),
                text=_(
                    "These vehicles are in the shop: nobody is told of their alerts until it ends;"
                    " then people hear what was held back."
                ),
                button=_("Begin maintenance mode"),
                form=form,
            )
        now, user = clock.now(), acting_user(request)
        vehicles = list(queryset)
        for vehicle in vehicles:
            modes.begin(vehicle=vehicle, now=now, user=user, **form.cleaned_data)
        text = ngettext(
            "%(count)d vehicle is in maintenance mode.",
            "%(count)d vehicles are in maintenance mode.",
            len(vehicles),
        )
        self.message_user(request, text % {"count": len(vehicles)}, messages.SUCCESS)
        return None

    @admin.action(description=gettext_lazy("End maintenance mode"), permissions=["change"])
    def end_mode(self, request: HttpRequest, queryset: QuerySet[Vehicle]) -> None:
        now, user = clock.now(), acting_user(request)
        mine = MaintenanceMode.objects.in_force(now).filter(vehicle__in=queryset)
        done = sum(modes.end(mode, now=now, user=user) for mode in mine)
        text = ngettext(
            "Maintenance mode ended for %(count)d vehicle.",
            "Maintenance mode ended for %(count)d vehicles.",
            done,
        )
        self.say_how_many(request, text, done)
