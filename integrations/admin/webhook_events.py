"""The inbox: what providers said by themselves, what it came to, and once more."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from fleetportal.site import Tile
from integrations.admin import confirm, webhook_words, words
from integrations.admin.base import Panel, ReadOnlyAdmin, acting_user
from integrations.admin.panels import timeline
from integrations.models import WebhookEndpoint, WebhookEvent
from integrations.services import webhooks

State = WebhookEvent.State
REPLAYED_AT_ONCE = 500
LATE_AFTER = timedelta(minutes=5)  # what waits longer waits for a worker that is not there


def failed() -> Q:
    return Q(state=State.FAILED)


def late() -> Q:
    return Q(state=State.RECEIVED, received_at__lt=clock.now() - LATE_AFTER)


def _empty_hint() -> SafeString:
    text = _("What cars report by themselves appears here once the webhook is set up.")
    page = format_html('<a href="{}">{}</a>', words.list_url(WebhookEndpoint), _("Webhook set-up"))
    return format_html("{} {}", text, page)


class KindFilter(admin.SimpleListFilter):
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        known = [(name, text) for name, (text, _kinds) in webhook_words.GROUPS.items()]
        return [*known, ("other", _("Something else"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "other":
            return queryset.exclude(kind__in=webhook_words.KINDS)
        chosen = webhook_words.GROUPS.get(self.value() or "")
        return queryset.filter(kind__in=chosen[1]) if chosen else queryset


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    list_display = ("what", "about", "shown_state", "happened", "received", "outcome")
    list_filter = ("state", KindFilter, "provider")
    search_fields = ("event_id", "smartcar_id", "vehicle__vin", "vehicle__name")
    list_select_related = ("vehicle",)
    date_hierarchy = "received_at"
    show_full_result_count = False
    actions = ("replay",)
    empty_hint = lazy(_empty_hint, SafeString)()
    fieldsets = (
        (None, {"fields": (("what", "shown_state"), "about", "note", "shown_error")}),
        (
            gettext_lazy("When"),
            {"fields": (("occurred_at", "received_at"), "processed_at")},
        ),
        (gettext_lazy("As it came"), {"fields": ("shown_body",)}),
        (
            gettext_lazy("For technicians"),
            {
                "classes": ("collapse",),
                "fields": (("provider", "kind"), "event_id", "smartcar_id", "lease_until"),
            },
        ),
    )
    readonly_fields = ("what", "about", "shown_state", "shown_error", "shown_body", "lease_until")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEvent]:
        return super().get_queryset(request).select_related("vehicle").defer("body")

    @admin.display(description=gettext_lazy("event"), ordering="kind")
    def what(self, event: WebhookEvent) -> str:
        return webhook_words.kind(event)

    @admin.display(description=gettext_lazy("vehicle"), ordering="vehicle")
    def about(self, event: WebhookEvent) -> str:
        """The car, or what Smartcar calls it as long as it is not known here."""
        if event.vehicle is not None:
            return words.link(event.vehicle)
        return words.small(event.smartcar_id) if event.smartcar_id else words.NOTHING

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def shown_state(self, event: WebhookEvent) -> str:
        return webhook_words.state_badge(event)

    @admin.display(description=gettext_lazy("happened"), ordering="occurred_at")
    def happened(self, event: WebhookEvent) -> str:
        return words.ago(event.occurred_at)

    @admin.display(description=gettext_lazy("received"), ordering="received_at")
    def received(self, event: WebhookEvent) -> str:
        return words.ago(event.received_at)

    @admin.display(description=gettext_lazy("what it came to"))
    def outcome(self, event: WebhookEvent) -> str:
        return webhook_words.outcome(event)

    @admin.display(description=gettext_lazy("error"))
    def shown_error(self, event: WebhookEvent) -> str:
        if event.state != State.FAILED:
            return event.error or words.NOTHING
        todo = _("Once its cause is gone, choose “Replay” for it in the list.")
        return words.lines([*event.error.splitlines(), words.small(todo)])

    @admin.display(description=gettext_lazy("body"))
    def shown_body(self, event: WebhookEvent) -> str:
        return webhook_words.body(event)

    def get_panels(self, request: HttpRequest, obj: WebhookEvent) -> list[Panel]:
        return [timeline(obj)]

    @admin.action(description=gettext_lazy("Replay"), permissions=["act"])
    def replay(
        self, request: HttpRequest, queryset: QuerySet[WebhookEvent]
    ) -> TemplateResponse | None:
        if not confirm.is_confirmed(request):
            return confirm.page(
                self,
                request,
                queryset,
                action="replay",
                title=_("Replay events"),
                text=_(
                    "Each event is worked off once more within seconds. What is known already"
                    " stays as it is: old values replace no newer ones, and nothing is counted"
                    " twice."
                ),
                button=_("Replay these events"),
            )
        now, user = clock.now(), acting_user(request)
        chosen = list(queryset[: REPLAYED_AT_ONCE + 1])
        done = sum(
            webhooks.replay(event, now=now, user=user) for event in chosen[:REPLAYED_AT_ONCE]
        )
        text = ngettext(
            "%(count)d event is worked off again within seconds.",
            "%(count)d events are worked off again within seconds.",
            done,
        )
        self.say_how_many(request, text, done)
        if len(chosen) > REPLAYED_AT_ONCE:
            text = _("Only the first %(count)d were taken.") % {"count": REPLAYED_AT_ONCE}
            self.message_user(request, text, messages.WARNING)
        return None

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        """Only when something is wrong: nobody has to know of the inbox otherwise."""
        failures = WebhookEvent.objects.filter(failed()).count()
        waiting = WebhookEvent.objects.filter(late()).count()
        said = (
            (failures, _("Failed: %(count)d"), "state__exact=failed"),
            (waiting, _("Waiting for more than 5 minutes: %(count)d"), "state__exact=received"),
        )
        lines = [
            (text % {"count": count}, words.list_url(WebhookEvent, query))
            for count, text, query in said
            if count
        ]
        if not lines:
            return []
        return [
            Tile(
                label=_("Webhook events not worked off"),
                value=str(failures + waiting),
                level="overdue",
                url=words.list_url(WebhookEvent),
                lines=lines,
            )
        ]
