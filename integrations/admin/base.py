"""What all our admins share: hints for empty lists, panels below the form, read-only rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise

from fleetportal.site import FirstStep, Tile


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A table below the form. `lead` stands above it, `more` is where the rest is listed."""

    title: str
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    empty: str = ""
    lead: str = ""
    more: str = ""


def acting_user(request: HttpRequest) -> User:
    """Who is logged in; the admin lets nobody else in."""
    return cast(User, request.user)


class PortalAdmin(admin.ModelAdmin):
    """An admin with a hint for the empty list and panels on the page of one object."""

    empty_hint: str | Promise = ""
    change_form_template = "admin/form_with_panels.html"
    empty_value_display = "\u2013"
    list_per_page = 50

    def get_panels(self, request: HttpRequest, obj: Any) -> list[Panel]:
        return []

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        """What the overview shows of this model."""
        return []

    def get_first_steps(self, request: HttpRequest) -> list[FirstStep]:
        """What is to be done before this model is of use."""
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = context.get("original")
        context["panels"] = self.get_panels(request, obj) if obj is not None else []
        return super().render_change_form(request, context, *args, **kwargs)

    def say_how_many(self, request: HttpRequest, text: str, count: int) -> None:
        """Tell what an action did, with `%(count)d` in the text; nothing at all is a warning."""
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, text % {"count": count}, level)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who may run actions: those whom Django lets change this model."""
        codename = get_permission_codename("change", self.opts)
        return acting_user(request).has_perm(f"{self.opts.app_label}.{codename}")


class ReadOnlyAdmin(PortalAdmin):
    """For rows the system writes: staff look, filter and run actions."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
