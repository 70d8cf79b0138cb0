"""People who are told, and how they like it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal import clock
from integrations.admin import words
from integrations.admin.base import Panel, PortalAdmin
from integrations.admin.panels import outgoing, timeline
from integrations.models import OutboxEntry
from integrations.services import outbox
from maintenance.admin.channels import ChannelInline, report
from maintenance.models import Recipient, Rule
from maintenance.services import recipients, trials


class RecipientForm(forms.ModelForm):
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Kinds of rules"),
        choices=Rule.Kind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen: all."),
    )

    class Meta:
        model = Recipient
        fields = "__all__"  # noqa: DJ007  the admin's fieldsets choose
        help_texts = {
            "delivery": gettext_lazy(
                "At once: alerts of one vehicle come together, and many at once come together in"
                " one message."
            )
        }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if cleaned and (cleaned.get("quiet_from") is None) != (cleaned.get("quiet_until") is None):
            self.add_error("quiet_until", _("Give both ends of the quiet hours, or none."))
        return cleaned


@admin.register(Recipient)
class RecipientAdmin(PortalAdmin):
    form = RecipientForm
    list_display = ("email", "user", "driver", "gets", "min_severity", "quiet")
    list_filter = ("delivery", "min_severity", ("unsubscribed_at", admin.EmptyFieldListFilter))
    search_fields = ("email", "user__username", "driver__name")
    list_select_related = ("user", "driver")
    autocomplete_fields = ("user", "driver")
    readonly_fields = ("unsubscribed_at",)
    inlines = (ChannelInline,)
    actions = ("send_test", "subscribe")
    empty_hint = gettext_lazy(
        "Recipients appear by themselves when a rule first mails somebody. Add one to choose its"
        " time zone or unit beforehand."
    )
    fieldsets = (
        (None, {"fields": ("email", ("user", "driver"), "unsubscribed_at")}),
        (
            gettext_lazy("How it reads"),
            {"fields": (("time_zone", "language", "units"),)},
        ),
        (gettext_lazy("What"), {"fields": ("min_severity", "kinds")}),
        (
            gettext_lazy("When"),
            {
                "description": gettext_lazy(
                    "By the recipient's own clock. What is critical is sent at once, whatever"
                    " stands here. What waits in quiet hours comes together when they are over."
                ),
                "fields": (
                    ("delivery", "digest_hour", "digest_weekday"),
                    ("quiet_from", "quiet_until"),
                    "most_per_hour",
                ),
            },
        ),
    )

    @admin.display(description=gettext_lazy("gets"), ordering="delivery")
    def gets(self, recipient: Recipient) -> str:
        if recipient.unsubscribed_at:
            return words.badge("quiet", _("Unsubscribed"))
        return recipient.get_delivery_display()

    @admin.display(description=gettext_lazy("quiet hours"))
    def quiet(self, recipient: Recipient) -> str:
        if recipient.quiet_from is None or recipient.quiet_until is None:
            return words.NOTHING
        return f"{recipient.quiet_from:%H:%M}\N{EN DASH}{recipient.quiet_until:%H:%M}"

    def get_panels(self, request: HttpRequest, obj: Recipient) -> list[Panel]:
        waiting = outgoing(_waiting(obj).order_by("next_attempt_at", "pk"))
        waiting = Panel(
            title=_("Waiting to be sent"),
            headers=waiting.headers,
            rows=waiting.rows,
            empty=_("Nothing is waiting."),
        )
        return [waiting, timeline(obj)]

    @admin.action(description=gettext_lazy("Send a test"), permissions=["act"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Recipient]) -> None:
        for recipient in queryset:
            report(self, request, str(recipient), trials.try_recipient(recipient, now=clock.now()))

    @admin.action(description=gettext_lazy("Send alerts again"), permissions=["act"])
    def subscribe(self, request: HttpRequest, queryset: QuerySet[Recipient]) -> None:
        done = sum(recipients.subscribe(recipient, now=clock.now()) for recipient in queryset)
        self.message_user(request, _("Alerts go again to %(count)d more.") % {"count": done})


def _waiting(recipient: Recipient) -> QuerySet[OutboxEntry]:
    return OutboxEntry.objects.filter(payload__recipient=recipient.pk, state__in=outbox.UNFINISHED)
