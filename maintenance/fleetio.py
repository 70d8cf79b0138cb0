"""How this app's messages to Fleetio are sent, and what is done about what Fleetio says."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from integrations import conf, registry
from integrations.clients.fleetio import FleetioClient
from integrations.clients.fleetio_webhooks import FleetioEvent
from integrations.models import OutboxEntry
from integrations.registry import Heard, Postponed, Sent
from maintenance.services import (
    fleetio_entries,
    fleetio_hearing,
    issue_comments,
    issue_creation,
    issue_moves,
    issues,
)


def register() -> None:
    for kind, deliver, label in (
        (issues.KIND, issue_creation.deliver, _("Issue in Fleetio")),
        (issues.COMMENT, issue_comments.deliver, _("Comment in Fleetio")),
        (issues.MOVE, _move, _("State of an issue in Fleetio")),
        (fleetio_entries.HISTORY, fleetio_entries.deliver_history, _("Services known to Fleetio")),
    ):
        handler = conf.with_fleetio(deliver)
        registry.register_kind(kind, lane=registry.FLEETIO, handler=handler, label=label)
    for names, hear in (
        (fleetio_hearing.ISSUES, _issue_changed),
        (fleetio_hearing.ENTRIES, _service_entry_changed),
        (fleetio_hearing.IMPORTS, _imported),
    ):
        for name in names:
            registry.register_event(name, hear)


def _move(
    entry: OutboxEntry, *, client: FleetioClient, unclear: bool, now: datetime
) -> Sent | Postponed:
    return issue_moves.deliver(
        entry, client=client, call_for=conf.issue_call, unclear=unclear, now=now
    )


def _issue_changed(event: FleetioEvent, *, now: datetime) -> Heard:
    return fleetio_hearing.issue(event, client=conf.get_fleetio_client(), now=now)


def _service_entry_changed(event: FleetioEvent, *, now: datetime) -> Heard:
    return fleetio_hearing.service_entry(event, client=conf.get_fleetio_client(), now=now)


def _imported(event: FleetioEvent, *, now: datetime) -> Heard:
    return fleetio_hearing.imported(event, client=conf.get_fleetio_client(), now=now)
