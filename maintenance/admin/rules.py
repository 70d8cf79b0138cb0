"""Rules: what the fleet wants to be told, about which vehicles, and how."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import words
from integrations.admin.base import Panel, PortalAdmin, acting_user
from integrations.admin.panels import timeline
from integrations.services import activity
from maintenance.admin import rule_parts, rule_words
from maintenance.admin.rule_form import RuleForm
from maintenance.models import Rule
from maintenance.services import wanted

_BASICS = (None, {"fields": ("name", "kind", "topic", "is_enabled")})
_SCOPE = (
    gettext_lazy("For which vehicles"),
    {
        "description": gettext_lazy("Everything that is filled in must hold; nothing: every one."),
        "fields": (("vehicle", "group"), ("make", "model"), ("year_from", "year_to")),
    },
)
_HEARS = (
    gettext_lazy("Who hears of it"),
    {
        "fields": (
            "mail_from_stage",
            ("staff", "staff_groups"),
            "extra_addresses",
            "notify_driver",
            ("severity", "repeat_days"),
            ("escalate_after_hours", "escalate_to"),
        )
    },
)
_FLEETIO = (
    gettext_lazy("In Fleetio"),
    {
        "fields": (
            ("issue_from_stage", "priority", "on_clear"),
            ("contacts", "labels"),
            "makes_fault",
        )
    },
)
_SURE = (
    gettext_lazy("How sure it must be"),
    {
        "classes": ("collapse",),
        "fields": (
            ("hold_readings", "hold_apart_hours"),
            ("clear_readings", "freshness_hours"),
            "reopen_days",
        ),
    },
)


@admin.register(Rule)
class RuleAdmin(PortalAdmin):
    form = RuleForm
    list_display = ("name", "is_enabled", "kind", "topic", "scope", "fires", "told", "issue")
    list_filter = ("is_enabled", "kind", "topic", "group")
    search_fields = ("name", "topic", "make", "model", "vehicle__vin", "group__name")
    list_select_related = ("vehicle", "group")
    autocomplete_fields = ("vehicle", "group", "staff", "staff_groups")
    prepopulated_fields = {"topic": ("name",)}
    actions = ("enable", "disable", "evaluate_all")
    empty_hint = gettext_lazy(
        "Without a rule nothing is read and nobody is told. Add one, such as engine oil every"
        " 5,000 miles."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).prefetch_related("staff", "staff_groups")
        return words.with_unit(rows)

    @admin.display(description=gettext_lazy("for"))
    def scope(self, rule: Rule) -> str:
        return rule_words.scope(rule)

    @admin.display(description=gettext_lazy("fires"))
    def fires(self, rule: Any) -> str:
        return rule_words.thresholds(rule, rule.portal_unit)

    @admin.display(description=gettext_lazy("mails to"))
    def told(self, rule: Rule) -> str:
        return rule_words.recipients(rule)

    @admin.display(description=gettext_lazy("Fleetio issue"), ordering="issue_from_stage")
    def issue(self, rule: Rule) -> str:
        return rule.get_issue_from_stage_display()

    def get_fieldsets(self, request: HttpRequest, obj: Rule | None = None) -> Any:
        """A new rule shows every kind's part (the style sheet hides the others), then its own."""
        parts = rule_parts.of_any_kind() if obj is None else rule_parts.of_kind(obj.kind)
        return (_BASICS, *parts, _SCOPE, _HEARS, _FLEETIO, _SURE)

    def get_readonly_fields(self, request: HttpRequest, obj: Rule | None = None) -> Any:
        return () if obj is None else ("kind",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Rule | None = None) -> Any:
        return self.prepopulated_fields if obj is None else {}

    def get_panels(self, request: HttpRequest, obj: Rule) -> list[Panel]:
        return [timeline(obj)]

    def save_model(self, request: HttpRequest, obj: Rule, form: Any, change: bool) -> None:
        now = clock.now()
        obj.updated_at = now
        super().save_model(request, obj, form, change)
        self._note(request, obj, "Rule changed" if change else "Rule added")
        wanted.rules_changed(now=now)

    def delete_model(self, request: HttpRequest, obj: Rule) -> None:
        self._note(request, obj, "Rule deleted")
        super().delete_model(request, obj)
        wanted.rules_changed(now=clock.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        for rule in queryset:
            self._note(request, rule, "Rule deleted")
        super().delete_queryset(request, queryset)
        wanted.rules_changed(now=clock.now())

    def _note(self, request: HttpRequest, rule: Rule, what: str) -> None:
        activity.record(what, now=clock.now(), about=rule, user=acting_user(request))

    @admin.action(description=gettext_lazy("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        done = self._switch(request, queryset, is_enabled=True)
        text = ngettext("%(count)d rule enabled.", "%(count)d rules enabled.", done)
        self.say_how_many(request, text, done)

    @admin.action(description=gettext_lazy("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        done = self._switch(request, queryset, is_enabled=False)
        text = ngettext("%(count)d rule disabled.", "%(count)d rules disabled.", done)
        self.say_how_many(request, text, done)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Rule], *, is_enabled: bool) -> int:
        now = clock.now()
        rules = list(queryset.filter(is_enabled=not is_enabled))
        for rule in rules:
            self._note(request, rule, "Rule enabled" if is_enabled else "Rule disabled")
        ids = [rule.pk for rule in rules]
        Rule.objects.filter(pk__in=ids).update(is_enabled=is_enabled, updated_at=now)
        if rules:
            wanted.rules_changed(now=now)
        return len(rules)

    @admin.action(description=gettext_lazy("Evaluate all vehicles now"), permissions=["change"])
    def evaluate_all(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        wanted.rules_changed(now=clock.now())
        text = _("All vehicles are evaluated within a minute.")
        self.message_user(request, text, messages.SUCCESS)
