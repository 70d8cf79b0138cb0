"""How this app's kinds of outgoing messages are sent, with real clients."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from integrations import conf, registry
from integrations.clients.fleetio import FleetioClient
from integrations.clients.fleetio_webhooks import FleetioEvent
from integrations.models import OutboxEntry
from integrations.registry import Heard, Postponed, Sent
from maintenance.services import (
    emails,
    fleetio_entries,
    fleetio_hearing,
    issue_comments,
    issue_creation,
    issue_moves,
    issues,
    notices,
    notifying,
    wanted,
)


def _move(
    entry: OutboxEntry, *, client: FleetioClient, unclear: bool, now: datetime
) -> Sent | Postponed:
    calls = conf.issue_calls()
    return issue_moves.deliver(entry, client=client, calls=calls, unclear=unclear, now=now)


def register() -> None:
    registry.register_kind(
        issues.KIND,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(issue_creation.deliver),
        label=_("Issue in Fleetio"),
    )
    registry.register_kind(
        issues.COMMENT,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(issue_comments.deliver),
        label=_("Comment in Fleetio"),
    )
    registry.register_kind(
        issues.MOVE,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(_move),
        label=_("State of an issue in Fleetio"),
    )
    registry.register_kind(
        fleetio_entries.HISTORY,
        lane=registry.FLEETIO,
        handler=conf.with_fleetio(fleetio_entries.deliver_history),
        label=_("Services known to Fleetio"),
    )
    registry.register_kind(
        notifying.MAIL, lane=registry.MAIL, handler=emails.deliver_alert, label=_("Alert mail")
    )
    registry.register_kind(
        notifying.RESOLVED_MAIL,
        lane=registry.MAIL,
        handler=emails.deliver_resolved,
        label=_("Resolved mail"),
    )
    registry.register_kind(
        notices.PROVIDER_REFUSES,
        lane=registry.MAIL,
        handler=notices.deliver_provider_refuses,
        label=_("Refused credentials, to staff"),
    )
    registry.register_wanted_signals(wanted.for_any_car)
    _register_events()


def _register_events() -> None:
    for names, hear in (
        (fleetio_hearing.ISSUES, _issue_changed),
        (fleetio_hearing.ENTRIES, _service_entry_changed),
        (fleetio_hearing.IMPORTS, _imported),
    ):
        for name in names:
            registry.register_event(name, hear)


def _issue_changed(event: FleetioEvent, *, now: datetime) -> Heard:
    return fleetio_hearing.issue(event, client=conf.get_fleetio_client(), now=now)


def _service_entry_changed(event: FleetioEvent, *, now: datetime) -> Heard:
    return fleetio_hearing.service_entry(event, client=conf.get_fleetio_client(), now=now)


def _imported(event: FleetioEvent, *, now: datetime) -> Heard:
    return fleetio_hearing.imported(event, client=conf.get_fleetio_client(), now=now)
