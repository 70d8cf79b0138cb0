"""Who hears of an alert: outbox rows for mails and for the Fleetio issue.

Written in the transaction that decided them, each once: the key names the alert, the time it
opened, the stage and the recipient.
"""

from datetime import datetime

from integrations.models import OutboxEntry
from integrations.services import outbox
from maintenance.models import Alert, FleetioIssue, FromStage
from maintenance.services import notifying
from maintenance.services.notifying import Event

MAIL = notifying.MAIL
RESOLVED_MAIL = notifying.RESOLVED_MAIL
ISSUE = "fleetio_issue"


def announce(alert: Alert, *, now: datetime) -> None:
    """Write what this stage of the alert asks for. A mail never waits for an issue."""
    rule = alert.rule
    if rule is None:
        return
    if FromStage(rule.mail_from_stage).covers(alert.stage):
        _mail(alert, now)
    if FromStage(rule.issue_from_stage).covers(alert.stage):
        _issue(alert, now)


def _issue(alert: Alert, now: datetime) -> None:
    entry = outbox.enqueue(
        ISSUE,
        dedupe_key=f"issue:{alert.pk}",
        payload={"alert": alert.pk},
        about=alert,
        vehicle=alert.vehicle,
        now=now,
    )
    dropped = entry.state in {OutboxEntry.State.CANCELLED, OutboxEntry.State.DONE}
    if dropped and not FleetioIssue.objects.filter(alert=alert).exists():
        # The alert was over before its issue was made; now it is back and needs one.
        tried = entry.started_at is not None
        OutboxEntry.objects.filter(pk=entry.pk).update(
            state=OutboxEntry.State.UNKNOWN if tried else OutboxEntry.State.PENDING,
            next_attempt_at=now,
            finished_at=None,
            last_error="",
            result="",
        )


def _mail(alert: Alert, now: datetime) -> None:
    notifying.tell(alert, event=Event.OPENED, now=now)


def withdraw(alert: Alert, *, now: datetime) -> None:
    """The alert is over: cancel what was not sent, and tell those who were told of it."""
    outbox.cancel(outbox.entries_about(alert), reason="the alert is over", now=now)
    notifying.tell_resolved(alert, now=now)
