"""Portal links: made, shown, mailed and withdrawn. Their address is signed when it is shown."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import confirm, words
from integrations.admin.base import PortalAdmin, acting_user
from integrations.models import ConnectLink, Make
from integrations.models.people import vin_validator
from integrations.services import connect_links, link_mails, mail

State = ConnectLink.State
_LEVELS = {State.VALID: "good", State.EXPIRED: "soon", State.INACTIVE: "soon"}


def state_badge(link: ConnectLink) -> str:
    state = link.state(clock.now())
    return words.badge(_LEVELS.get(state, "quiet"), state.label)


def links_page(
    model_admin: ModelAdmin, request: HttpRequest, links: Sequence[ConnectLink]
) -> TemplateResponse:
    """The addresses as text to copy, on this page alone: no message keeps them for later."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Portal links"),
        "opts": model_admin.opts,
        "links": [(link, mail.absolute(connect_links.path(link))) for link in links],
    }
    return TemplateResponse(request, "admin/portal_links.html", context)


class VinField(forms.CharField):
    """A VIN in any spelling: spaces and small letters are put right."""

    def to_python(self, value: Any) -> str:
        return "".join(str(super().to_python(value)).split()).upper()


class ConnectLinkForm(forms.ModelForm):
    vin = VinField(
        label=gettext_lazy("VIN"),
        required=False,
        validators=[vin_validator],
        help_text=gettext_lazy("Only this car can be connected. Empty: whatever the driver picks."),
    )
    make = forms.ModelChoiceField(
        label=gettext_lazy("Make"),
        queryset=Make.objects.all(),
        to_field_name="name",
        required=False,
        help_text=gettext_lazy("Skips the choice of brand."),
    )

    class Meta:
        model = ConnectLink
        fields = ("driver", "vin", "make", "group")

    def clean_make(self) -> str:
        make = self.cleaned_data["make"]
        return make.name if make else ""


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(s.value), s.label) for s in State if s is not State.INACTIVE]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        unused = Q(used_at__isnull=True, withdrawn_at__isnull=True)
        match self.value():
            case State.VALID:
                return queryset.filter(unused, expires_at__gt=clock.now(), driver__is_active=True)
            case State.USED:
                return queryset.filter(used_at__isnull=False, withdrawn_at__isnull=True)
            case State.WITHDRAWN:
                return queryset.filter(withdrawn_at__isnull=False)
            case State.EXPIRED:
                return queryset.filter(unused, expires_at__lte=clock.now())
        return queryset


@admin.register(ConnectLink)
class ConnectLinkAdmin(PortalAdmin):
    form = ConnectLinkForm
    list_display = ("__str__", "state", "vin", "make", "group", "made", "mailed", "expires")
    list_filter = (StateFilter, "group")
    search_fields = ("driver__name", "driver__email", "vin")
    list_select_related = ("driver", "group")
    autocomplete_fields = ("driver", "group")
    date_hierarchy = "created_at"
    actions = ("show_link", "mail_link", "withdraw")
    empty_hint = gettext_lazy(
        "A portal link invites one driver to connect a car. Add one here, or choose drivers"
        " in their list and mail it to them."
    )

    @admin.display(description=gettext_lazy("state"))
    def state(self, link: ConnectLink) -> str:
        return state_badge(link)

    @admin.display(description=gettext_lazy("made"), ordering="created_at")
    def made(self, link: ConnectLink) -> str:
        return words.ago(link.created_at)

    @admin.display(description=gettext_lazy("mailed"), ordering="sent_at")
    def mailed(self, link: ConnectLink) -> str:
        return words.ago(link.sent_at)

    @admin.display(description=gettext_lazy("expires"), ordering="expires_at")
    def expires(self, link: ConnectLink) -> str:
        return words.ago(link.expires_at)

    @admin.display(description=gettext_lazy("used"))
    def used(self, link: ConnectLink) -> str:
        return words.ago(link.used_at)

    @admin.display(description=gettext_lazy("address for the driver"))
    def address(self, link: ConnectLink) -> str:
        if link.state(clock.now()) is not State.VALID:
            return _("This link opens nothing any more.")
        return mail.absolute(connect_links.path(link))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        asked = ("driver", "vin", "make", "group")
        if obj is None:
            return asked
        shown = (*asked, "state", "made", "expires", "mailed", "used")
        # Whoever has the address can use it up.
        return ("address", *shown) if self.has_act_permission(request) else shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ConnectLink, form: Any, change: bool) -> None:
        made = connect_links.create(
            obj.driver,
            now=clock.now(),
            vin=obj.vin,
            make=obj.make,
            group=obj.group,
            user=acting_user(request),
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    @admin.action(description=gettext_lazy("Show link"), permissions=["act"])
    def show_link(
        self, request: HttpRequest, queryset: QuerySet[ConnectLink]
    ) -> TemplateResponse | None:
        links = self._open(request, queryset)
        return links_page(self, request, links) if links else None

    @admin.action(description=gettext_lazy("Mail to driver"), permissions=["act"])
    def mail_link(self, request: HttpRequest, queryset: QuerySet[ConnectLink]) -> None:
        links = self._open(request, queryset)
        for link in links:
            link_mails.send(link, now=clock.now(), user=acting_user(request))
        if links:
            text = ngettext(
                "%(count)d portal link is on its way by mail.",
                "%(count)d portal links are on their way by mail.",
                len(links),
            )
            self.message_user(request, text % {"count": len(links)}, messages.SUCCESS)

    @admin.action(description=gettext_lazy("Withdraw"), permissions=["act"])
    def withdraw(
        self, request: HttpRequest, queryset: QuerySet[ConnectLink]
    ) -> TemplateResponse | None:
        if not confirm.is_confirmed(request):
            return confirm.page(
                self,
                request,
                queryset,
                action="withdraw",
                title=_("Withdraw portal links"),
                text=_("These links will open nothing any more. That cannot be taken back."),
                button=_("Withdraw"),
                is_destructive=True,
            )
        now, user = clock.now(), acting_user(request)
        done = sum(connect_links.withdraw(link, now=now, user=user) for link in queryset)
        text = ngettext(
            "%(count)d portal link withdrawn.", "%(count)d portal links withdrawn.", done
        )
        self.say_how_many(request, text, done)
        return None

    def _open(self, request: HttpRequest, queryset: QuerySet[ConnectLink]) -> list[ConnectLink]:
        links = list(queryset)
        usable = [link for link in links if link.state(clock.now()) is State.VALID]
        if closed := len(links) - len(usable):
            text = ngettext(
                "%(count)d link opens nothing any more and was left out.",
                "%(count)d links open nothing any more and were left out.",
                closed,
            )
            self.message_user(request, text % {"count": closed}, messages.WARNING)
        return usable
