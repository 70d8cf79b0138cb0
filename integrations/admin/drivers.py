"""Drivers, and the links that invite them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from fleetportal.site import FirstStep
from integrations.admin import words
from integrations.admin.base import Panel, PortalAdmin, acting_user
from integrations.admin.connect_links import links_page, state_badge
from integrations.models import Connection, Driver
from integrations.services import activity, connect_links, link_mails


class DriverForm(forms.ModelForm):
    class Meta:
        model = Driver
        fields = ("name", "email", "is_active")

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).strip().lower()
        same = Driver.objects.filter(email__iexact=email).exclude(pk=self.instance.pk)
        if same.exists():
            raise forms.ValidationError(_("There is a driver with this address already."))
        return email


@admin.register(Driver)
class DriverAdmin(PortalAdmin):
    form = DriverForm
    list_display = ("name", "email", "is_active", "cars", "connection_count", "added")
    list_filter = ("is_active", "connections__status")
    search_fields = ("name", "email")
    date_hierarchy = "created_at"
    actions = ("make_link", "mail_link")
    empty_hint = gettext_lazy(
        "Add the first driver, then choose “Mail a portal link” to let them connect a car."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        shared = ~Q(connections__status=Connection.Status.REVOKED)
        return (
            super()
            .get_queryset(request)
            .annotate(
                cars_shared=Count("connections__vehicles", filter=shared, distinct=True),
                connections_made=Count("connections", distinct=True),
            )
        )

    @admin.display(description=gettext_lazy("cars"), ordering="cars_shared")
    def cars(self, driver: Any) -> int:
        return int(driver.cars_shared)

    @admin.display(description=gettext_lazy("connections"), ordering="connections_made")
    def connection_count(self, driver: Any) -> int:
        return int(driver.connections_made)

    @admin.display(description=gettext_lazy("added"), ordering="created_at")
    def added(self, driver: Driver) -> str:
        return words.ago(driver.created_at)

    def save_model(self, request: HttpRequest, obj: Driver, form: Any, change: bool) -> None:
        now = clock.now()
        if not change:
            obj.created_at = now
        super().save_model(request, obj, form, change)
        if form.changed_data:
            what = f"Driver changed: {words.changes(obj, form)}" if change else "Driver added"
            activity.record(what, now=now, about=obj, user=acting_user(request))

    def has_invite_permission(self, request: HttpRequest) -> bool:
        return acting_user(request).has_perm("integrations.add_connectlink")

    @admin.action(description=gettext_lazy("Make a portal link"), permissions=["invite"])
    def make_link(
        self, request: HttpRequest, queryset: QuerySet[Driver]
    ) -> TemplateResponse | None:
        drivers = self._active(request, queryset)
        links = [
            connect_links.create(driver, now=clock.now(), user=acting_user(request))
            for driver in drivers
        ]
        return links_page(self, request, links) if links else None

    @admin.action(description=gettext_lazy("Mail a portal link"), permissions=["invite"])
    def mail_link(self, request: HttpRequest, queryset: QuerySet[Driver]) -> None:
        drivers = self._active(request, queryset)
        now, user = clock.now(), acting_user(request)
        for driver in drivers:
            link_mails.send(connect_links.create(driver, now=now, user=user), now=now, user=user)
        if drivers:
            text = ngettext(
                "%(count)d portal link is on its way by mail.",
                "%(count)d portal links are on their way by mail.",
                len(drivers),
            )
            self.message_user(request, text % {"count": len(drivers)}, messages.SUCCESS)

    def _active(self, request: HttpRequest, queryset: QuerySet[Driver]) -> list[Driver]:
        active = list(queryset.filter(is_active=True))
        if left_out := queryset.count() - len(active):
            text = ngettext(
                "%(count)d inactive driver was left out.",
                "%(count)d inactive drivers were left out.",
                left_out,
            )
            self.message_user(request, text % {"count": left_out}, messages.WARNING)
        return active

    def get_panels(self, request: HttpRequest, obj: Driver) -> list[Panel]:
        connections = obj.connections.prefetch_related("vehicles")
        links = obj.connect_links.select_related("driver")[:10]
        return [
            Panel(
                title=_("Connections"),
                headers=(_("Connection"), _("Status"), _("Cars"), _("Since")),
                rows=[
                    (
                        words.link(row, f"#{row.pk}"),
                        words.badge(row.status, row.get_status_display()),
                        words.lines([words.link(car) for car in row.vehicles.all()]),
                        words.ago(row.connected_at),
                    )
                    for row in connections
                ],
                empty=_("Has not connected a car yet."),
            ),
            Panel(
                title=_("Portal links"),
                headers=(_("Link"), _("State"), _("Made"), _("Mailed"), _("Used")),
                rows=[
                    (
                        words.link(row, f"#{row.pk}"),
                        state_badge(row),
                        words.ago(row.created_at),
                        words.ago(row.sent_at),
                        words.ago(row.used_at),
                    )
                    for row in links
                ],
                empty=_("No portal link was made yet."),
            ),
        ]

    def get_first_steps(self, request: HttpRequest) -> list[FirstStep]:
        return [
            FirstStep(
                place=1,
                text=_("Add a driver and mail a portal link"),
                url=reverse("admin:integrations_driver_add"),
                is_done=Driver.objects.exists(),
            )
        ]
