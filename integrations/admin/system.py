"""The portal itself: what happened, providers and their pauses, the scheduler's pulse."""

from datetime import timedelta

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from fleetportal.site import Tile
from integrations.admin import words
from integrations.admin.base import ReadOnlyAdmin, acting_user
from integrations.admin.outbox import about_link
from integrations.models import Activity, Heartbeat, ProviderGate
from integrations.services import activity, gates

BEAT_AGE = timedelta(minutes=2)


@admin.register(Activity)
class ActivityAdmin(ReadOnlyAdmin):
    list_display = ("when", "actor", "what", "about_what", "vehicle")
    list_display_links = ("when",)
    list_filter = ("at", ("user", admin.RelatedOnlyFieldListFilter), "content_type")
    search_fields = ("what", "actor", "about_text", "vehicle__vin", "vehicle__name")
    list_select_related = ("content_type", "vehicle")
    date_hierarchy = "at"
    show_full_result_count = False
    fields = ("at", "actor", "user", "what", "about_what", "vehicle")
    readonly_fields = ("about_what",)
    empty_hint = gettext_lazy("Everything that people and the portal do is written down here.")

    @admin.display(description=gettext_lazy("when"), ordering="at")
    def when(self, row: Activity) -> str:
        return words.ago(row.at)

    @admin.display(description=gettext_lazy("about"))
    def about_what(self, row: Activity) -> str:
        return about_link(row, row.about_text)


@admin.register(ProviderGate)
class ProviderGateAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "paused_reason", "synced")
    search_fields = ("name", "paused_reason")
    actions = ("resume",)
    fields = (
        "name",
        "state",
        "refused_at",
        "paused_until",
        "paused_reason",
        "synced",
        "lease_until",
    )
    readonly_fields = ("state", "synced", "lease_until")
    empty_hint = gettext_lazy("Providers appear after the first call to them.")

    @admin.display(description=gettext_lazy("state"))
    def state(self, gate: ProviderGate) -> str:
        if gate.refused_at:
            since = words.ago(gate.refused_at)
            return words.badge("overdue", _("refuses our credentials, %(ago)s") % {"ago": since})
        if gate.paused_until and gate.paused_until > clock.now():
            return words.badge("due", _("paused"))
        return words.badge("good", _("calls are allowed"))

    @admin.display(description=gettext_lazy("last complete look"), ordering="synced_until")
    def synced(self, gate: ProviderGate) -> str:
        return words.ago(gate.synced_until)

    @admin.action(description=gettext_lazy("Resume calls"), permissions=["act"])
    def resume(self, request: HttpRequest, queryset: QuerySet[ProviderGate]) -> None:
        stopped = Q(paused_until__gt=clock.now()) | Q(refused_at__isnull=False)
        paused = list(queryset.filter(stopped))
        for gate in paused:
            gates.resume(gate.name, now=clock.now())
            activity.record(
                f"Calls to {gate} allowed again",
                now=clock.now(),
                about=gate,
                user=acting_user(request),
            )
        text = ngettext(
            "Calls to %(count)d provider are allowed again.",
            "Calls to %(count)d providers are allowed again.",
            len(paused),
        )
        level = messages.SUCCESS if paused else messages.WARNING
        self.message_user(request, text % {"count": len(paused)}, level)

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        stopped = Q(paused_until__gt=clock.now()) | Q(refused_at__isnull=False)
        paused = ProviderGate.objects.filter(stopped)
        return [
            Tile(
                label=_("Calls to %(provider)s") % {"provider": gate.name},
                value=_("refused") if gate.refused_at else _("paused"),
                level="overdue",
                url=words.list_url(ProviderGate),
                lines=[(gate.paused_reason, "")],
            )
            for gate in paused
        ]


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "last")
    fields = ("name", "at")
    empty_hint = gettext_lazy("The scheduler never ran: start a worker and beat, or `serve`.")

    @admin.display(description=gettext_lazy("last seen"), ordering="at")
    def last(self, beat: Heartbeat) -> str:
        return words.ago(beat.at)

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        beat = Heartbeat.objects.filter(name="beat").first()
        if beat is None:
            value, level = _("never ran"), "due"
        else:
            value = words.ago(beat.at)
            level = "good" if clock.now() - beat.at <= BEAT_AGE else "overdue"
        return [
            Tile(
                label=_("Scheduler last seen"),
                value=value,
                level=level,
                url=words.list_url(Heartbeat),
            )
        ]
