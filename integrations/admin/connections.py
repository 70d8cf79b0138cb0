"""What drivers consented to, and the tokens that came of it."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations import conf
from integrations.admin import confirm, troubles, words
from integrations.admin.base import Panel, ReadOnlyAdmin, acting_user
from integrations.admin.panels import timeline
from integrations.admin.reporting import subscription_badge
from integrations.models import Connection, OAuthToken, Vehicle, VehicleAccess
from integrations.services import activity, revoking

Status = Connection.Status


def status_badge(connection: Connection | None) -> str:
    if connection is None:
        return words.badge("quiet", _("Nobody shares it"))
    return words.badge(connection.status, connection.get_status_display())


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "driver", "shown_status", "reason", "cars", "mode", "made")
    list_filter = ("status", "mode", "group")
    search_fields = ("driver__name", "driver__email", "smartcar_user_id", "vehicles__vin")
    list_select_related = ("driver",)
    date_hierarchy = "connected_at"
    actions = ("revoke",)
    empty_hint = gettext_lazy("A connection appears when a driver has used a portal link.")
    fieldsets = (
        (None, {"fields": ("driver", "shown_status", "reason", "since", "made")}),
        (gettext_lazy("How long it lasts"), {"fields": ("consent_ends_on",)}),
        (
            gettext_lazy("At Smartcar"),
            {
                "fields": (
                    "smartcar_user_id",
                    "mode",
                    "permissions_asked",
                    ("vehicles_listed_at", "generation"),
                )
            },
        ),
        (gettext_lazy("New cars"), {"fields": ("group",)}),
    )
    # All but the day on which the consent ends, which only people know.
    readonly_fields = (
        "driver",
        "shown_status",
        "reason",
        "since",
        "made",
        "smartcar_user_id",
        "mode",
        "permissions_asked",
        "vehicles_listed_at",
        "generation",
        "group",
    )

    def has_change_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        """That day alone: workers may have written the rest since the page was opened."""
        now = clock.now()
        with transaction.atomic():
            rows = Connection.objects.filter(pk=obj.pk)
            rows.update(consent_ends_on=obj.consent_ends_on)
            cars = Vehicle.objects.filter(accesses__connection=obj)
            cars.update(evaluation_due_at=now)
            what = words.changes(obj, form) or _("nothing changed")
            activity.record(what, now=now, about=obj, user=acting_user(request))

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).select_related("driver", "group")
        return rows.annotate(cars_read=Count("vehicles", distinct=True))

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def shown_status(self, connection: Connection) -> str:
        return status_badge(connection)

    @admin.display(description=gettext_lazy("why"), ordering="status_reason")
    def reason(self, connection: Connection) -> str:
        found = troubles.of_connection(connection)
        if found is None:
            return connection.status_reason or words.NOTHING
        raw = [words.small(found.raw)] if found.raw else []
        return words.lines([found.matter, found.todo, *raw])

    @admin.display(description=gettext_lazy("cars"), ordering="cars_read")
    def cars(self, connection: Any) -> int:
        return int(connection.cars_read)

    @admin.display(description=gettext_lazy("connected"), ordering="connected_at")
    def made(self, connection: Connection) -> str:
        return words.ago(connection.connected_at)

    @admin.display(description=gettext_lazy("since"))
    def since(self, connection: Connection) -> str:
        return words.ago(connection.status_changed_at)

    @admin.display(description=gettext_lazy("permissions asked for"))
    def permissions_asked(self, connection: Connection) -> str:
        return ", ".join(map(str, connection.scope)) or words.NOTHING

    @admin.display(description=gettext_lazy("listed through"))
    def generation(self, connection: Connection) -> str:
        """Smartcar's generation that listed the cars: another one may know them by other ids."""
        if connection.vehicles_listed_at is None:
            return words.NOTHING
        through, in_use = connection.listed_through, settings.SMARTCAR_API_VERSION
        if through == in_use or connection.status == Status.REVOKED:
            return through
        text = _("%(through)s; %(in_use)s, which is in use now, has not listed them yet")
        return text % {"through": through, "in_use": in_use}

    def get_panels(self, request: HttpRequest, obj: Connection) -> list[Panel]:
        ways = obj.accesses.select_related("vehicle")
        cars = Panel(
            title=_("Cars"),
            headers=(_("Vehicle"), _("Granted"), _("Webhook"), _("Connected"), _("Ended")),
            rows=[
                (
                    words.link(way.vehicle),
                    granted(way),
                    subscription_badge(way),
                    words.ago(way.connected_at),
                    words.ago(way.ended_at),
                )
                for way in ways
            ],
            empty=_("Smartcar has not listed any car yet."),
        )
        return [cars, timeline(obj)]

    @admin.action(description=gettext_lazy("Revoke"), permissions=["act"])
    def revoke(
        self, request: HttpRequest, queryset: QuerySet[Connection]
    ) -> TemplateResponse | None:
        if not confirm.is_confirmed(request):
            return confirm.page(
                self,
                request,
                queryset,
                action="revoke",
                title=_("Revoke connections"),
                text=_(
                    "The cars are not read any more, the tokens are erased and Smartcar is told."
                    " Only the driver can connect them again, through a new portal link."
                ),
                button=_("Revoke"),
                is_destructive=True,
            )
        client = conf.get_smartcar_client(someone_waits=True)
        done = sum(
            revoking.revoke(
                connection,
                client=client,
                reason=_("Revoked by the fleet"),
                now=clock.now(),
                user=acting_user(request),
            )
            for connection in queryset
        )
        text = ngettext("%(count)d connection revoked.", "%(count)d connections revoked.", done)
        self.say_how_many(request, text, done)
        return None


def granted(way: VehicleAccess) -> str:
    if way.permissions is None:
        return _("not read yet")
    return ", ".join(map(str, way.permissions)) or _("nothing")


@admin.register(OAuthToken)
class OAuthTokenAdmin(ReadOnlyAdmin):
    """When tokens end and how refreshing them goes. The tokens themselves are never loaded."""

    list_display = (
        "connection",
        "access_expires",
        "refresh_expires",
        "version",
        "failures",
        "last_error",
        "lease_until",
    )
    list_display_links = ("connection",)
    list_filter = ("connection__status",)
    search_fields = ("connection__driver__name", "connection__driver__email")
    list_select_related = ("connection__driver",)
    fields = (
        "connection",
        "access_expires",
        "refresh_expires",
        "issued_at",
        "version",
        "failures",
        "last_error",
        "next_attempt_at",
        "lease_until",
    )
    readonly_fields = fields
    empty_hint = gettext_lazy("Tokens appear when a driver connects a car.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OAuthToken]:
        rows = super().get_queryset(request).select_related("connection__driver")
        return rows.defer("access_token", "refresh_token")

    @admin.display(description=gettext_lazy("access token expires"), ordering="access_expires_at")
    def access_expires(self, token: OAuthToken) -> str:
        return words.ago(token.access_expires_at)

    @admin.display(description=gettext_lazy("refresh token expires"), ordering="refresh_expires_at")
    def refresh_expires(self, token: OAuthToken) -> str:
        return words.ago(token.refresh_expires_at)
