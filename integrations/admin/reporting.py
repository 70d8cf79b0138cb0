"""Which cars report by themselves, which do not, and why: for people, and for filters."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fleetportal import clock
from integrations.admin import poll_words, troubles, words
from integrations.admin.troubles import Trouble
from integrations.models import Make, Vehicle, VehicleAccess
from integrations.services import schedule, subscriptions, webhook_errors
from integrations.services.polling import DEFAULT_HABIT

State = VehicleAccess.Subscription


def webhook_id() -> str:
    """The webhook that cars are subscribed to; "" when there is none."""
    return str(settings.SMARTCAR_WEBHOOK_ID)


def with_shared(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Each row brings the ways along through which its car is shared now, as `shared`."""
    ways = subscriptions.shared_ways().select_related(None)
    return queryset.prefetch_related(Prefetch("accesses", queryset=ways, to_attr="shared"))


def reporting_ways() -> QuerySet[VehicleAccess]:
    return subscriptions.shared_ways().filter(
        subscription=State.SUBSCRIBED, subscribed_to=webhook_id()
    )


def silent_ways() -> QuerySet[VehicleAccess]:
    """The ways to each shared car that is subscribed through none of them."""
    return subscriptions.silent(webhook_id())


def overdue_ways(now: datetime) -> QuerySet[VehicleAccess]:
    """Those that somebody should know of."""
    return subscriptions.silent(webhook_id(), now=now).order_by()


# --- In words -----------------------------------------------------------------------------------


def of_way(way: VehicleAccess) -> Trouble | None:
    """Why nothing is reported this way; None when all is well."""
    is_this = way.subscribed_to == webhook_id()
    if is_this and way.subscription == State.SUBSCRIBED:
        return None
    if is_this and way.subscription == State.REFUSED:
        pair = poll_words.pair_in(way.subscription_error)
        return Trouble(
            level="due",
            matter=_("Smartcar refuses to subscribe it"),
            until=_("Tried again once a day."),
            todo=str(poll_words.WHOLE.get(pair) or poll_words.PAIRS.get(pair, "")),
            since=way.subscription_at,
            raw=way.subscription_error,
        )
    if is_this and way.subscription == State.ASKED:
        matter, until = _("Smartcar was asked to subscribe it"), _("It takes some minutes.")
        return Trouble(level="quiet", matter=matter, until=until, since=way.subscription_at)
    matter = _("Not subscribed to the webhook yet")
    if way.subscription == State.SUBSCRIBED:
        matter = _("Subscribed to another webhook")
    return Trouble(level="soon", matter=matter, until=_("Mended by itself within minutes."))


def of_vehicle(vehicle: Any) -> Trouble | None:
    """Why the car does not report by itself. The row brings its `shared` ways along."""
    if not webhook_id():
        return None
    found = {way.smartcar_id: of_way(way) for way in vehicle.shared}
    if not found or None in found.values():
        return None
    return found.get(vehicle.smartcar_id) or next(iter(found.values()))


def subscription_badge(way: VehicleAccess) -> str:
    """Whether the car reports this way, for a table."""
    if way.ended_at or not way.subscription:
        return words.NOTHING
    level = {State.SUBSCRIBED: "good", State.REFUSED: "due"}.get(State(way.subscription), "quiet")
    text: Any = way.get_subscription_display()
    if way.subscription == State.SUBSCRIBED and way.subscribed_to != webhook_id():
        level, text = "soon", _("To another webhook")
    return words.badge(level, text)


def reported(vehicle: Vehicle) -> list[str]:
    """What Smartcar says by itself to be wrong with the car, a line each."""
    rows = sorted(vehicle.reported_errors.items(), key=lambda row: str(row[1]["at"]), reverse=True)
    return [
        _line(known.get("pair", key), known)
        for key, known in rows
        if known["state"] == webhook_errors.ERROR
    ]


def _line(pair: str, known: dict[str, Any]) -> str:
    whole = poll_words.WHOLE.get(pair) if known["signals"] is None else None
    text = str(whole or poll_words.PAIRS.get(pair) or pair)
    if known["signals"]:
        text = f"{text}: {', '.join(troubles.names_of(known['signals']))}"
    since = words.ago(datetime.fromisoformat(known["at"]))
    return words.joined([text, " ", words.small(words.joined([since, " · ", pair]))])


def why_polled_then(vehicle: Vehicle) -> str:
    """Why a car that can be read is polled when it is; "" when there is nothing to explain."""
    if vehicle.last_webhook_at is None or vehicle.poll_outcome:
        return ""
    if clock.now() - vehicle.last_webhook_at <= schedule.quiet_after(_habit(vehicle)):
        return _("It reports by itself, so it is polled once a day, or once it goes quiet.")
    since = {"time": words.exactly(vehicle.last_webhook_at)}
    return _("Its webhook has been quiet since %(time)s, so it is polled again.") % since


def _habit(vehicle: Vehicle) -> timedelta:
    return next(_habits(Make.objects.filter(name=vehicle.make.upper())), ("", DEFAULT_HABIT))[1]


def _habits(makes: Iterable[Make]) -> Iterator[tuple[str, timedelta]]:
    return ((make.name, timedelta(minutes=make.refresh_minutes)) for make in makes)


# --- In the database's words ----------------------------------------------------------------------


def _heard_lately(now: datetime) -> Q:
    """The cars whose webhook is not quiet, by the habit of their make."""
    usual = schedule.quiet_after(DEFAULT_HABIT)
    lately = Q(last_webhook_at__gte=now - usual)
    for name, habit in _habits(Make.objects.all()):
        if schedule.quiet_after(habit) > usual:
            since = now - schedule.quiet_after(habit)
            lately |= Q(make__iexact=name, last_webhook_at__gte=since)
    return lately


def _has(ways: QuerySet[VehicleAccess]) -> Q:
    return Q(Exists(ways.filter(vehicle=OuterRef("pk"))))


class ReportsFilter(admin.SimpleListFilter):
    """Whether cars report by themselves; not offered while there is no webhook."""

    title = gettext_lazy("reports by itself")
    parameter_name = "reports"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        if not webhook_id():
            return []
        return [("yes", _("Yes")), ("no", _("Not subscribed")), ("quiet", _("Quiet"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "no":
            return queryset.filter(_has(silent_ways()))
        if self.value() == "yes":
            return queryset.filter(_has(reporting_ways()), _heard_lately(clock.now()))
        if self.value() == "quiet":
            lately = queryset.model.objects.filter(_heard_lately(clock.now()))
            return queryset.filter(_has(reporting_ways())).exclude(pk__in=lately.values("pk"))
        return queryset
