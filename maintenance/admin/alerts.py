"""Alerts: what is the matter, why it was decided, and where each message about it stands."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal.site import Tile
from integrations.admin import words
from integrations.admin.base import Panel, ReadOnlyAdmin
from integrations.admin.panels import outgoing, timeline
from integrations.services import outbox
from maintenance.admin import rule_words
from maintenance.admin.alert_actions import AlertActions
from maintenance.models import Alert, FleetioIssue, Stage
from maintenance.services import wording

Status = Alert.Status
_LEVELS = {
    Status.PENDING: "quiet",
    Status.OPEN: "overdue",
    Status.ACKNOWLEDGED: "soon",
    Status.SNOOZED: "quiet",
    Status.RESOLVED: "good",
}


def stage_badge(alert: Alert) -> str:
    return words.badge(alert.stage, alert.get_stage_display())


def status_badge(alert: Alert) -> str:
    return words.badge(_LEVELS[Status(alert.status)], alert.get_status_display())


def issue_link(alert: Alert) -> str:
    issue: FleetioIssue | None = getattr(alert, "fleetio_issue", None)
    if issue is None:
        return words.NOTHING
    url = reverse("admin:maintenance_fleetioissue_open", args=[issue.pk])
    return format_html('<a href="{}">{} ({})</a>', url, issue, issue.state)


class StatusFilter(admin.SimpleListFilter):
    """What is not over yet, unless somebody asks for more."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("announced", _("Needs somebody")), *Status.choices, ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        chosen = self.value()
        first = {
            "selected": chosen is None,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": _("Not over"),
        }
        rest = list(super().choices(changelist))[1:]
        return [first, *rest]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case None:
                return queryset.exclude(status=Status.RESOLVED)
            case "all":
                return queryset
            case "announced":
                return queryset.exclude(status__in=[Status.PENDING, Status.RESOLVED])
        return queryset.filter(status=self.value())


@admin.register(Alert)
class AlertAdmin(AlertActions, ReadOnlyAdmin):
    list_display = (
        "summary",
        "vehicle",
        "shown_stage",
        "shown_status",
        "opened",
        "issue",
        "acknowledged_name",
    )
    list_filter = (
        StatusFilter,
        "stage",
        "severity",
        "held_because",
        "kind",
        "topic",
        "vehicle__group",
    )
    search_fields = ("summary", "topic", "subject", "vehicle__vin", "vehicle__name", "rule__name")
    list_select_related = ("vehicle", "fleetio_issue")
    date_hierarchy = "opened_at"
    actions = ("acknowledge", "snooze", "waive", "resolve", "reopen", "mark_serviced")
    empty_hint = gettext_lazy(
        "No alert: nothing needs maintenance as far as the cars say. What is over is found with"
        " the filter “Resolved”."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("summary", "vehicle_link"),
                    ("shown_stage", "shown_severity", "shown_status"),
                    ("opened", "last_reading"),
                    ("issue", "shown_quiet"),
                )
            },
        ),
        (gettext_lazy("Why it was decided"), {"fields": ("evidence_lines", "rule_as_it_was")}),
        (
            gettext_lazy("What people did"),
            {
                "fields": (
                    ("acknowledged_at", "acknowledged_name"),
                    ("waived_at", "waived_name"),
                    ("snoozed_until", "remind_at", "escalate_at"),
                    ("resolved_at", "resolution", "resolved_by"),
                    "note",
                )
            },
        ),
        (
            gettext_lazy("For technicians"),
            {
                "classes": ("collapse",),
                "fields": (
                    "topic",
                    "subject",
                    "pending_since",
                    ("times_opened", "flapping_since"),
                    "worst",
                    "evidence",
                ),
            },
        ),
    )
    readonly_fields = (
        "vehicle_link",
        "shown_stage",
        "shown_severity",
        "shown_quiet",
        "shown_status",
        "opened",
        "last_reading",
        "issue",
        "evidence_lines",
        "rule_as_it_was",
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        rows = rows.select_related("rule", "vehicle", "fleetio_issue")
        return words.with_unit(rows)

    @admin.display(description=gettext_lazy("vehicle"))
    def vehicle_link(self, alert: Alert) -> str:
        return words.link(alert.vehicle)

    @admin.display(description=gettext_lazy("stage"), ordering="stage")
    def shown_stage(self, alert: Alert) -> str:
        return stage_badge(alert)

    @admin.display(description=gettext_lazy("severity"))
    def shown_severity(self, alert: Alert) -> str:
        return alert.get_severity_display()

    @admin.display(description=gettext_lazy("who hears of it"))
    def shown_quiet(self, alert: Alert) -> str:
        """Why people hear nothing at the moment, if so."""
        if alert.held_because:
            return _("Nobody for now: %(why)s") % {"why": alert.get_held_because_display()}
        if alert.waived_at:
            return _("Nobody until it has cleared: it will not be fixed")
        if alert.flapping_since:
            return _("It comes and goes: said once, then when it stays away for a day")
        return words.NOTHING

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def shown_status(self, alert: Alert) -> str:
        return status_badge(alert)

    @admin.display(description=gettext_lazy("opened"), ordering="opened_at")
    def opened(self, alert: Alert) -> str:
        return words.ago(alert.opened_at)

    @admin.display(description=gettext_lazy("reading of"))
    def last_reading(self, alert: Alert) -> str:
        return words.ago(alert.reported_at)

    @admin.display(description=gettext_lazy("Fleetio issue"))
    def issue(self, alert: Alert) -> str:
        return issue_link(alert)

    @admin.display(description=gettext_lazy("evidence"))
    def evidence_lines(self, alert: Any) -> str:
        lines = wording.explain(alert.kind, alert.evidence, alert.portal_unit)
        rows = format_html_join(
            "", "<dt>{}</dt><dd>{}</dd>", ((row.name, row.text) for row in lines)
        )
        return format_html('<dl class="fp-lines">{}</dl>', rows) if lines else words.NOTHING

    @admin.display(description=gettext_lazy("the rule as it was"))
    def rule_as_it_was(self, alert: Any) -> str:
        was = alert.evidence.get("rule") or {}
        if not was:
            return words.NOTHING
        text = rule_words.condition(alert.kind, was, alert.portal_unit)
        name = str(was.get("name", ""))
        if alert.rule is None:
            return _("%(name)s: %(text)s (deleted since)") % {"name": name, "text": text}
        return format_html("{}: {}", SafeString(words.link(alert.rule, name)), text)

    def get_panels(self, request: HttpRequest, obj: Alert) -> list[Panel]:
        return [outgoing(outbox.entries_about(obj)), timeline(obj)]

    def get_tiles(self, request: HttpRequest) -> list[Tile]:
        counts = Alert.objects.announced().aggregate(
            **{stage.value: Count("pk", filter=Q(stage=stage)) for stage in Stage}
        )
        return [
            Tile(
                label=_("Alerts: %(stage)s") % {"stage": stage.label},
                value=str(counts[stage.value]),
                level=stage.value if counts[stage.value] else "good",
                url=words.list_url(Alert, f"status=announced&stage__exact={stage.value}"),
            )
            for stage in reversed(Stage)
        ]
