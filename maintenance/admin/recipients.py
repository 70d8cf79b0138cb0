"""People who get mails, and how they like them."""

from django.contrib import admin
from django.utils.translation import gettext_lazy

from integrations.admin.base import PortalAdmin
from maintenance.models import Recipient


@admin.register(Recipient)
class RecipientAdmin(PortalAdmin):
    list_display = ("email", "user", "driver", "time_zone", "language", "units")
    list_filter = ("units", "language")
    search_fields = ("email", "user__username", "driver__name")
    list_select_related = ("user", "driver")
    autocomplete_fields = ("user", "driver")
    empty_hint = gettext_lazy(
        "Recipients appear by themselves when a rule first mails somebody. Add one to choose its"
        " time zone or unit beforehand."
    )
