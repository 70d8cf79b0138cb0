"""What is known of one vehicle, as panels below its form."""

from collections.abc import Callable
from typing import Any

from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.admin import sparkline, troubles, webhook_words, words
from integrations.admin.base import Panel
from integrations.admin.connections import granted, status_badge
from integrations.admin.panels import outgoing, timeline
from integrations.admin.reporting import subscription_badge
from integrations.clients.readings import ODOMETER, OIL_LIFE
from integrations.models import (
    OutboxEntry,
    Reading,
    Signal,
    TroubleCode,
    Vehicle,
    WebhookEvent,
)

POINTS = 200
EVENTS = 10
SHOWN = 20  # trouble codes, the active ones first
NAMED = 3  # so many signals of one kind get a row of their own
_LEVELS = {
    Signal.Support.OK: "good",
    Signal.Support.NOT_CAPABLE: "quiet",
    Signal.Support.NOT_GRANTED: "soon",
    Signal.Support.UNKNOWN: "quiet",
}


def of(vehicle: Vehicle, *, meaning_of: Callable[[str], str] | None = None) -> list[Panel]:
    """All of them. `meaning_of` says what a trouble code means, where somebody knows it."""
    unit = words.unit_of(vehicle)
    return [
        signals(vehicle, unit),
        trouble_codes(vehicle, meaning_of),
        ways(vehicle),
        webhook_events(vehicle),
        outgoing(
            OutboxEntry.objects.filter(vehicle=vehicle),
            more=words.list_url(OutboxEntry, f"vehicle__id__exact={vehicle.pk}"),
        ),
        timeline(vehicle),
    ]


def signals(vehicle: Vehicle, unit: str) -> Panel:
    """The latest state of everything the car was asked for, and why something is missing."""
    known = sorted(vehicle.signals.all(), key=lambda row: row.code)
    unread: dict[str, list[Signal]] = {}
    for row in known:
        if row.recorded_at is None:
            unread.setdefault(support(row), []).append(row)
    rows: list[tuple[Any, ...]] = [
        (
            words.signal_name(row.code),
            words.signal_value(row.code, row.value, row.data, unit),
            words.ago(row.recorded_at),
            _("yes") if row.is_wanted else _("no"),
            support(row),
        )
        for row in known
        if row.recorded_at
    ]
    for why, alike in unread.items():
        rows += _unread(alike, why)
    return Panel(
        title=_("What is known"),
        headers=(_("Signal"), _("Value"), _("Recorded by the car"), _("Wanted"), _("Readable")),
        rows=rows,
        empty=_("The car has not been read yet."),
        lead=history(vehicle, unit),
        more=words.list_url(Reading, f"vehicle__id__exact={vehicle.pk}"),
    )


def _unread(alike: list[Signal], why: str) -> list[tuple[Any, ...]]:
    """Signals without a value for the same reason: a row for each, or one for many."""
    names = [words.signal_name(row.code) for row in alike]
    if len(names) <= NAMED:
        return [
            (name, words.NOTHING, words.NOTHING, _("yes") if row.is_wanted else _("no"), why)
            for name, row in zip(names, alike, strict=True)
        ]
    text = ngettext("%(count)d more signal", "%(count)d more signals", len(names))
    count = text % {"count": len(names)}
    return [(count, ", ".join(names), words.NOTHING, words.NOTHING, why)]


def support(signal: Signal) -> str:
    badge = words.badge(_LEVELS[Signal.Support(signal.support)], troubles.of_signal(signal))
    return words.lines([badge, words.small(signal.last_error)]) if signal.last_error else badge


def history(vehicle: Vehicle, unit: str) -> str:
    """Odometer and oil life as small lines, where there is a history."""
    clean = Reading.objects.filter(
        vehicle=vehicle, quality=Reading.Quality.CLEAN, value__isnull=False
    )
    drawn = []
    for code in (ODOMETER, OIL_LIFE):
        rows = list(
            clean.filter(code=code)
            .order_by("-recorded_at")
            .values_list("recorded_at", "value")[:POINTS]
        )
        points = [(at, value) for at, value in rows if value is not None]
        if points:
            shown = (
                words.signal_value(code, value, None, unit)
                for value in (points[-1][1], points[0][1])
            )
            drawn.append(
                sparkline.draw(points, title=words.signal_name(code), caption=" → ".join(shown))
            )
    return words.joined(drawn)


def trouble_codes(vehicle: Vehicle, meaning_of: Callable[[str], str] | None = None) -> Panel:
    rows = vehicle.trouble_codes.order_by(F("cleared_at").desc(nulls_first=True), "-last_seen_at")
    return Panel(
        title=_("Trouble codes"),
        headers=(
            _("Code"),
            _("State"),
            _("First seen"),
            _("Last seen"),
            _("Cleared"),
            _("Times seen"),
        ),
        rows=[
            (
                words.lines([row.code, words.small(meaning_of(row.code))])
                if meaning_of
                else row.code,
                words.badge("good", _("cleared"))
                if row.cleared_at
                else words.badge("due", _("active")),
                words.ago(row.first_seen_at),
                words.ago(row.last_seen_at),
                words.ago(row.cleared_at),
                row.count,
            )
            for row in rows[:SHOWN]
        ],
        empty=_("The car has not reported any."),
        more=words.list_url(TroubleCode, f"vehicle__id__exact={vehicle.pk}"),
    )


def ways(vehicle: Vehicle) -> Panel:
    """Every consent through which the car can be reached; one of them is in use."""
    rows = vehicle.accesses.select_related("connection__driver")
    return Panel(
        title=_("Ways to reach it"),
        headers=(
            _("Driver"),
            _("Connection"),
            _("In use"),
            _("Webhook"),
            _("Granted"),
            _("Connected"),
        ),
        rows=[
            (
                words.link(row.connection.driver),
                words.link(row.connection, status_badge(row.connection)),
                _("yes") if row.smartcar_id == vehicle.smartcar_id else _("no"),
                subscription_badge(row),
                _("ended") if row.ended_at else granted(row),
                words.ago(row.connected_at),
            )
            for row in rows
        ],
        empty=_("Nobody shares this car."),
    )


def webhook_events(vehicle: Vehicle) -> Panel:
    """What the car said by itself lately, and what it came to."""
    rows = vehicle.webhook_events.defer("body")[:EVENTS]
    return Panel(
        title=_("Webhook events"),
        headers=(_("Event"), _("State"), _("Happened"), _("What it came to")),
        rows=[
            (
                words.link(row, webhook_words.kind(row)),
                webhook_words.state_badge(row),
                words.ago(row.occurred_at or row.received_at),
                webhook_words.outcome(row),
            )
            for row in rows
        ],
        empty=_("The car has not reported by itself."),
        more=words.list_url(WebhookEvent, f"vehicle__id__exact={vehicle.pk}"),
    )
