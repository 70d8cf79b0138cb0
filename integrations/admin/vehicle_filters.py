"""Which vehicles need somebody, and what their last poll came to: the filters of the list."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.clients.errors import Outcome
from integrations.models import Connection, Signal

FAILING_AFTER = 3
ATTENTION = {
    "reconnect": Q(connection__status=Connection.Status.NEEDS_RECONNECT),
    "driver": Q(poll_outcome=Outcome.DRIVER, connection__status=Connection.Status.ACTIVE),
    "failing": Q(poll_failures__gte=FAILING_AFTER),
    "rules": ~Q(evaluation_error=""),
    "unmatched": Q(fleetio_id__isnull=True),
    "unread": Q(last_read_at__isnull=True),
}
WITHHELD = Signal.objects.filter(
    is_wanted=True, support__in=[Signal.Support.NOT_GRANTED, Signal.Support.NOT_CAPABLE]
)


def _withheld(support: Signal.Support) -> Q:
    return Q(Exists(WITHHELD.filter(vehicle=OuterRef("pk"), support=support)))


def _went(*outcomes: Outcome) -> Q:
    """The last poll went so, and the car is still being read."""
    return Q(poll_outcome__in=outcomes, connection__status=Connection.Status.ACTIVE)


POLLS = {
    "wait": (gettext_lazy("Told to wait"), _went(Outcome.WAIT, Outcome.WAIT_ALL)),
    "quota": (gettext_lazy("Calls of the month used up"), _went(Outcome.QUOTA)),
    "driver": (gettext_lazy("Driver has to act"), ATTENTION["driver"]),
    "reconnect": (gettext_lazy("Driver has to reconnect"), ATTENTION["reconnect"]),
    "asleep": (gettext_lazy("Car does not answer now"), _went(Outcome.ASLEEP)),
    "failed": (gettext_lazy("Failed, tried again"), _went(Outcome.RETRY, Outcome.REFRESH)),
    "refused": (
        gettext_lazy("Refused"),
        _went(Outcome.STOP, Outcome.REJECTED, Outcome.NOT_GRANTED, Outcome.NOT_CAPABLE),
    ),
    "not_granted": (
        gettext_lazy("Driver has not shared something"),
        _withheld(Signal.Support.NOT_GRANTED),
    ),
    "not_capable": (
        gettext_lazy("Car cannot give something"),
        _withheld(Signal.Support.NOT_CAPABLE),
    ),
}


class AttentionFilter(admin.SimpleListFilter):
    title = gettext_lazy("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("reconnect", _("Driver has to reconnect")),
            ("driver", _("Driver has to act")),
            ("failing", _("Polls fail")),
            ("rules", _("Rules fail")),
            ("unmatched", _("Not in Fleetio")),
            ("unread", _("Never read")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = ATTENTION.get(self.value() or "")
        return queryset.filter(condition) if condition is not None else queryset


class PollFilter(admin.SimpleListFilter):
    """What the last poll came to."""

    title = gettext_lazy("polls")
    parameter_name = "polls"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, text) for name, (text, _condition) in POLLS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = POLLS.get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen is not None else queryset
