"""The last steps of setting up the webhook: the cars are subscribed, and report."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext as _

from integrations.admin import reporting, webhook_events, words
from integrations.admin.webhook_steps import DONE, LATELY, TODO, WRONG, Step
from integrations.models import VehicleAccess, WebhookEvent
from integrations.services import subscriptions, webhook_setup

NAMED = 20  # so many cars are named, the rest is counted


def of(last_good: datetime | None, now: datetime) -> list[Step]:
    return [cars(), events(last_good, now)]


def last_good_event() -> datetime | None:
    """When Smartcar last said something that was of use."""
    good = WebhookEvent.objects.filter(
        provider=webhook_setup.SMARTCAR, state=WebhookEvent.State.PROCESSED
    )
    return good.values_list("received_at", flat=True).first()


def cars() -> Step:
    """Whether all cars that drivers share are subscribed."""
    title = _("Have the cars subscribed")
    links = [(_("All ways to cars"), words.list_url(VehicleAccess, "ended_at__isempty=1"))]
    shared = subscriptions.shared_ways().order_by().values("vehicle").distinct().count()
    if not reporting.webhook_id():
        return Step(title=title, state=TODO, todo=_("It is done by itself once the id is known."))
    if not shared:
        return Step(title=title, state=TODO, todo=_("No driver shares a car yet."))
    silent = {way.vehicle_id: way for way in reporting.silent_ways()}
    count = _("%(done)d of %(all)d shared cars are subscribed.")
    facts: list[Any] = [count % {"done": shared - len(silent), "all": shared}]
    facts += [_why(way) for way in list(silent.values())[:NAMED]]
    if len(silent) > NAMED:
        facts.append(_("And %(count)d more.") % {"count": len(silent) - NAMED})
    if not silent:
        return Step(title=title, state=DONE, facts=facts, links=links)
    refused = any(way.subscription == reporting.State.REFUSED for way in silent.values())
    return Step(
        title=title,
        state=WRONG if refused else TODO,
        facts=facts,
        todo=_("The portal asks Smartcar again by itself; what was refused, once a day."),
        links=links,
    )


def _why(way: VehicleAccess) -> str:
    found = reporting.of_way(way)
    said = [text for text in (found.matter, found.todo, found.until) if text] if found else []
    pieces = [words.link(way.vehicle), ": ", ". ".join(text.rstrip(".") for text in said), "."]
    raw = words.small(found.raw) if found and found.raw else ""
    return words.joined([*pieces, " ", raw])


def events(last_good: datetime | None, now: datetime) -> Step:
    """Whether what arrives is worked off, and anything arrives at all."""
    waiting = WebhookEvent.objects.filter(state=WebhookEvent.State.RECEIVED).count()
    late = WebhookEvent.objects.filter(webhook_events.late()).count()
    failed = WebhookEvent.objects.filter(webhook_events.failed()).count()
    facts: list[Any] = []
    if last_good:
        facts.append(format_html(_("The last good event came {}."), words.ago(last_good)))
    return Step(
        title=_("See the cars report"),
        state=_state_of_events(last_good, now, is_stuck=bool(late or failed)),
        facts=facts,
        todo=" ".join(_what_to_do(last_good, now, late=late, failed=failed)),
        links=[
            (_("Waiting: %(count)d") % {"count": waiting}, _events("received")),
            (_("Failed: %(count)d") % {"count": failed}, _events("failed")),
            (_("All events"), words.list_url(WebhookEvent)),
        ],
    )


def _events(state: str) -> str:
    return words.list_url(WebhookEvent, f"state__exact={state}")


def _state_of_events(last_good: datetime | None, now: datetime, *, is_stuck: bool) -> str:
    if is_stuck or (last_good and last_good < now - LATELY):
        return WRONG
    return DONE if last_good else TODO


def _what_to_do(
    last_good: datetime | None, now: datetime, *, late: int, failed: int
) -> Iterator[str]:
    if late:
        yield _("Events wait for more than 5 minutes: see whether a worker and beat run.")
    if failed:
        yield _("Some events failed: their pages say why, and they can be replayed.")
    if last_good is None:
        yield _("A car reports by itself when something changes in it.")
    elif last_good < now - LATELY:
        yield _(
            "No car has reported for a day: see whether the webhook is enabled in Smartcar's"
            " dashboard. Meanwhile the cars are polled."
        )
