"""Channels: their address is typed once and never shown again."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal import clock
from integrations.admin.base import PortalAdmin
from maintenance.models import Channel
from maintenance.services import channels, trials


class ChannelForm(forms.ModelForm):
    address = forms.CharField(
        label=gettext_lazy("Address"),
        required=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 50}),
        help_text=gettext_lazy(
            "As Apprise writes it, such as ntfys://host/topic, tgram://token/chat, slack://… or"
            " jsons://host/path. It is not shown again. Empty: it stays as it is."
        ),
    )

    class Meta:
        model = Channel
        fields = ("recipient", "name", "is_enabled")

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"].strip()
        if not address and self.instance.pk is None:
            raise forms.ValidationError(_("Give the address."))
        if address:
            try:
                channels.check(address)
            except channels.ChannelError as exc:
                raise forms.ValidationError(_("Not usable: %s.") % exc) from None
        return address

    def save(self, commit: bool = True) -> Any:
        if address := self.cleaned_data["address"]:
            self.instance.url, self.instance.last_error = address, ""
        return super().save(commit)


def _closed(rows: QuerySet[Channel]) -> QuerySet[Channel]:
    """Nothing here shows the address, so it is not opened."""
    return rows.defer("url")


class ChannelInline(admin.TabularInline):
    model = Channel
    form = ChannelForm
    fields = ("name", "address", "is_enabled", "last_sent_at", "last_error")
    readonly_fields = ("last_sent_at", "last_error")
    extra = 0
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return _closed(super().get_queryset(request))


@admin.register(Channel)
class ChannelAdmin(PortalAdmin):
    form = ChannelForm
    fields = ("recipient", "name", "address", "is_enabled", "last_sent_at", "last_error")
    readonly_fields = ("last_sent_at", "last_error")
    list_display = ("name", "recipient", "is_enabled", "last_sent_at", "last_error")
    list_filter = ("is_enabled",)
    list_select_related = ("recipient",)
    search_fields = ("name", "recipient__email")
    autocomplete_fields = ("recipient",)
    actions = ("send_test",)
    empty_hint = gettext_lazy(
        "Beside mail, a recipient can have channels: a chat, a messenger, a plain webhook."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return _closed(super().get_queryset(request))

    @admin.action(description=gettext_lazy("Send a test"), permissions=["act"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        for channel in queryset:
            problems = trials.try_channel(channel, now=clock.now())
            report(self, request, str(channel), problems)


def report(model_admin: Any, request: HttpRequest, name: str, problems: list[str]) -> None:
    """Say how a test went."""
    for problem in problems:
        model_admin.message_user(request, problem, messages.ERROR)
    if not problems:
        text = _("A test was sent: %s") % name
        model_admin.message_user(request, text, messages.SUCCESS)
