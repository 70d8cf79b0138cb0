"""The portal's own settings: one row. They live here because the rules depend on them."""

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from fleetportal import clock
from integrations.admin.base import PortalAdmin, acting_user
from integrations.models import PortalSettings
from integrations.services import activity
from maintenance.models.rules import split
from maintenance.services import wanted

PERMISSION = re.compile(r"^(read|control|write|required)[:a-z_]{2,60}$")


class PermissionsField(forms.CharField):
    """A list of permissions, typed with commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        names = list(dict.fromkeys(split(str(super().to_python(value)))))
        for name in names:
            if not PERMISSION.match(name):
                raise forms.ValidationError(
                    _("“%(name)s” is no permission. Write them like read_fuel, read_tires."),
                    params={"name": name},
                )
        return names

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != list(split(str(data or "")))


class PortalSettingsForm(forms.ModelForm):
    extra_permissions = PermissionsField(
        label=_("More permissions to ask for"),
        required=False,
        help_text=_("Beyond what the enabled rules need; commas between them: read_fuel."),
    )
    link_days = forms.IntegerField(label=_("Portal links last (days)"), min_value=1, max_value=365)

    class Meta:
        model = PortalSettings
        fields = "__all__"  # noqa: DJ007  every one of them is an admin's to set

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"])


@admin.register(PortalSettings)
class PortalSettingsAdmin(PortalAdmin):
    form = PortalSettingsForm
    list_display = ("fleet_name", "distance_unit", "link_days", "send_odometers")
    fieldsets = (
        (_("Your fleet"), {"fields": ("fleet_name", "contact_email", "distance_unit")}),
        (_("Drivers connect"), {"fields": ("country", "link_days", "extra_permissions")}),
        (_("Fleetio"), {"fields": ("send_odometers",)}),
    )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> PortalSettings | None:
        """The row, or its defaults as long as nobody saved it."""
        return PortalSettings.load() if object_id == "1" else None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:integrations_portalsettings_change", args=[1]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: PortalSettings, form: Any, change: bool
    ) -> None:
        now = clock.now()
        super().save_model(request, obj, form, change)
        activity.record("Portal settings changed", now=now, about=obj, user=acting_user(request))
        wanted.rules_changed(now=now)
