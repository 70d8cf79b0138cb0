"""Outgoing messages: where each stands, and what a person can do about it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from fleetportal.site import Tile
from integrations import registry
from integrations.admin import confirm, words
from integrations.admin.base import ReadOnlyAdmin, acting_user
from integrations.admin.panels import kind_label, state_badge
from integrations.models import OutboxEntry
from integrations.services import activity, outbox


def about_link(row: Any, text: str = "") -> str:
    """A link to what the row is about, without loading it."""
    kind = row.content_type
    if kind is None or row.object_id is None:
        return text or words.NOTHING
    try:
        url = reverse(f"admin:{kind.app_label}_{kind.model}_change", args=[row.object_id])
    except NoReverseMatch:
        return text or words.NOTHING
    return format_html('<a href="{}">{}</a>', url, text or f"{kind.name} {row.object_id}")


class KindFilter(admin.SimpleListFilter):
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return sorted((name, kind_label(name)) for name in registry.kinds())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(OutboxEntry)
class OutboxEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "message",
        "shown_state",
        "about_what",
        "vehicle",
        "attempts",
        "next_attempt",
        "outcome",
        "written",
    )
    list_filter = ("state", KindFilter, "lane")
    search_fields = ("dedupe_key", "last_error", "result", "vehicle__vin", "vehicle__name")
    list_select_related = ("vehicle", "content_type")
    date_hierarchy = "created_at"
    actions = ("try_again", "cancel")
    empty_hint = gettext_lazy("Mails, Fleetio issues and odometers appear here once decided.")
    fieldsets = (
        (None, {"fields": ("message", "about_what", "vehicle", "shown_state", "outcome")}),
        (
            gettext_lazy("When"),
            {
                "fields": (
                    "created_at",
                    "started_at",
                    "attempts",
                    "next_attempt_at",
                    "finished_at",
                )
            },
        ),
        (
            gettext_lazy("For technicians"),
            {
                "classes": ("collapse",),
                "fields": ("lane", "dedupe_key", "parcel", "payload", "lease_until"),
            },
        ),
    )
    readonly_fields = ("message", "about_what", "shown_state", "outcome", "parcel", "lease_until")

    @admin.display(description=gettext_lazy("message"), ordering="kind")
    def message(self, entry: OutboxEntry) -> str:
        return kind_label(entry.kind)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def shown_state(self, entry: OutboxEntry) -> str:
        return state_badge(entry)

    @admin.display(description=gettext_lazy("about"))
    def about_what(self, entry: OutboxEntry) -> str:
        return about_link(entry)

    @admin.display(description=gettext_lazy("next attempt"), ordering="next_attempt_at")
    def next_attempt(self, entry: OutboxEntry) -> str:
        return words.NOTHING if entry.finished_at else words.ago(entry.next_attempt_at)

    @admin.display(description=gettext_lazy("result or error"))
    def outcome(self, entry: OutboxEntry) -> str:
        return entry.result or entry.last_error or words.NOTHING

    @admin.display(description=gettext_lazy("written"), ordering="created_at")
    def written(self, entry: OutboxEntry) -> str:
        return words.ago(entry.created_at)

    @admin.action(description=gettext_lazy("Try again now"), permissions=["act"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> None:
        now, user = clock.now(), acting_user(request)
        done = sum(outbox.retry(entry, now=now, user=user) for entry in queryset)
        text = ngettext(
            "%(count)d message is tried again within seconds.",
            "%(count)d messages are tried again within seconds.",
            done,
        )
        self.say_how_many(request, text, done)

    @admin.action(description=gettext_lazy("Cancel"), permissions=["act"])
    def cancel(
        self, request: HttpRequest, queryset: QuerySet[OutboxEntry]
    ) -> TemplateResponse | None:
        if not confirm.is_confirmed(request):
            return confirm.page(
                self,
                request,
                queryset,
                action="cancel",
                title=_("Cancel messages"),
                text=_(
                    "Messages that nobody has tried to send yet will not be sent. What is on its"
                    " way goes on to its end."
                ),
                button=_("Cancel these messages"),
                is_destructive=True,
            )
        now, user = clock.now(), acting_user(request)
        waiting = list(queryset)
        rows = OutboxEntry.objects.filter(pk__in=[entry.pk for entry in waiting])
        done = outbox.cancel(rows, reason=_("cancelled by %(user)s") % {"user": user}, now=now)
        cancelled = OutboxEntry.objects.filter(
            pk__in=[entry.pk for entry in waiting], state=OutboxEntry.State.CANCELLED
        )
        for entry in cancelled.filter(finished_at=now).select_related("vehicle"):
            activity.record(
                f"Cancelled: {entry}", now=now, about=entry, vehicle=entry.vehicle, user=user
            )
        text = ngettext("%(count)d message cancelled.", "%(count)d messages cancelled.", done)
        self.say_how_many(request, text, done)
        return None

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        dead = OutboxEntry.objects.filter(state=OutboxEntry.State.DEAD).count()
        return [
            Tile(
                label=_("Messages given up"),
                value=str(dead),
                level="overdue" if dead else "good",
                url=words.list_url(OutboxEntry, "state__exact=dead"),
            )
        ]
