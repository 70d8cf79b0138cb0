"""What people do with alerts from their list: each action asks first, and says what it did."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import confirm
from integrations.admin.base import PortalAdmin, acting_user
from maintenance.models import Alert
from maintenance.services import acts, services


class SnoozeForm(confirm.NoteForm):
    until = forms.SplitDateTimeField(
        label=gettext_lazy("Until"),
        widget=AdminSplitDateTime,
        help_text=gettext_lazy("Then the car is looked at again, and what is left is said again."),
    )
    field_order = ("until", "note")

    def clean_until(self) -> Any:
        until = self.cleaned_data["until"]
        if until <= clock.now():
            raise forms.ValidationError(_("This moment is over. Choose one to come."))
        if until > clock.now() + timedelta(days=366):
            raise forms.ValidationError(_("That is more than a year away."))
        return until


Act = Callable[..., bool]


class AlertActions(PortalAdmin):
    """The actions of the list of alerts."""

    def _ask_and_do(
        self,
        request: HttpRequest,
        queryset: QuerySet[Alert],
        act: Act,
        *,
        form_class: type[forms.Form] = confirm.NoteForm,
        done: Callable[[int], str],
        **page: Any,
    ) -> TemplateResponse | None:
        """Show the page that asks; once confirmed, do it to each alert and say how many."""
        form = confirm.bind(form_class, request, **page.pop("form_kwargs", {}))
        if not form.is_valid():
            return confirm.page(self, request, queryset, form=form, **page)
        now, user = clock.now(), acting_user(request)
        count = sum(act(row, user=user, now=now, **form.cleaned_data) for row in queryset)
        self.say_how_many(request, done(count), count)
        return None

    @admin.action(description=gettext_lazy("Acknowledge"), permissions=["act"])
    def acknowledge(
        self, request: HttpRequest, queryset: QuerySet[Alert]
    ) -> TemplateResponse | None:
        return self._ask_and_do(
            request,
            queryset,
            acts.acknowledge,
            action="acknowledge",
            title=_("Acknowledge alerts"),
            text=_("You take care of these; everybody sees that you do, and no reminder is sent."),
            button=_("Acknowledge"),
            done=lambda count: ngettext(
                "%(count)d alert acknowledged.", "%(count)d alerts acknowledged.", count
            ),
        )

    @admin.action(description=gettext_lazy("Snooze"), permissions=["act"])
    def snooze(self, request: HttpRequest, queryset: QuerySet[Alert]) -> TemplateResponse | None:
        tomorrow = clock.now() + timedelta(days=1)
        return self._ask_and_do(
            request,
            queryset,
            acts.snooze,
            form_class=SnoozeForm,
            form_kwargs={"initial": {"until": tomorrow}},
            action="snooze",
            title=_("Snooze alerts"),
            text=_("Nobody hears of these until the moment you choose."),
            button=_("Snooze"),
            done=lambda count: ngettext(
                "%(count)d alert snoozed.", "%(count)d alerts snoozed.", count
            ),
        )

    @admin.action(description=gettext_lazy("Will not be fixed"), permissions=["act"])
    def waive(self, request: HttpRequest, queryset: QuerySet[Alert]) -> TemplateResponse | None:
        return self._ask_and_do(
            request,
            queryset,
            acts.waive,
            action="waive",
            title=_("Will not be fixed"),
            text=_("Nobody hears of these again until the car has stopped reporting them once."),
            button=_("Will not be fixed"),
            done=lambda count: ngettext(
                "%(count)d alert will not be fixed.", "%(count)d alerts will not be fixed.", count
            ),
        )

    @admin.action(description=gettext_lazy("Resolve"), permissions=["act"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Alert]) -> TemplateResponse | None:
        return self._ask_and_do(
            request,
            queryset,
            acts.resolve,
            action="resolve",
            title=_("Resolve alerts"),
            text=_(
                "They end now, messages not sent yet are cancelled, and those who were told"
                " hear that it is over. If the work was done, choose “Mark serviced” instead."
            ),
            button=_("Resolve"),
            is_destructive=True,
            done=lambda count: ngettext(
                "%(count)d alert resolved.", "%(count)d alerts resolved.", count
            ),
        )

    @admin.action(description=gettext_lazy("Reopen"), permissions=["act"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Alert]) -> TemplateResponse | None:
        return self._ask_and_do(
            request,
            queryset,
            acts.reopen,
            action="reopen",
            title=_("Reopen alerts"),
            text=_("They are open again, until the car says otherwise from now on."),
            button=_("Reopen"),
            done=lambda count: ngettext(
                "%(count)d alert reopened.", "%(count)d alerts reopened.", count
            ),
        )

    @admin.action(description=gettext_lazy("Mark serviced"), permissions=["act"])
    def mark_serviced(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        now, user = clock.now(), acting_user(request)
        done = sum(services.mark_serviced(row, now=now, user=user) for row in queryset)
        text = ngettext(
            "%(count)d service recorded, today and at the present odometer.",
            "%(count)d services recorded, today and at the present odometer.",
            done,
        )
        self.say_how_many(request, text, done)
