"""Who hears of an alert: outbox rows for mails and for the Fleetio issue.

Written in the transaction that decided them, each once: the key names the alert, the time it
opened, the stage and the recipient.
"""

from datetime import datetime

from integrations.models import OutboxEntry
from integrations.services import outbox
from maintenance.models import Alert, FromStage
from maintenance.services import issues, recipients
from maintenance.services.issues import IssueEvent

MAIL = "mail_alert"
RESOLVED_MAIL = "mail_alert_resolved"


def announce(alert: Alert, event: IssueEvent, *, now: datetime) -> None:
    """Write what this stage of the alert asks for. A mail never waits for an issue."""
    rule = alert.rule
    if rule is None:
        return
    if FromStage(rule.mail_from_stage).covers(alert.stage):
        _mail(alert, now)
    issues.follow(alert, event=event, now=now)


def _mail(alert: Alert, now: datetime) -> None:
    # A stage that nobody heard of yet need not be announced any more.
    earlier = outbox.entries_about(alert).filter(kind=MAIL)
    outbox.cancel(earlier, reason="a higher stage followed", now=now)
    for recipient in recipients.of(alert):
        outbox.enqueue(
            MAIL,
            dedupe_key=f"mail:{alert.pk}:{alert.times_opened}:{alert.stage}:{recipient.pk}",
            payload={"alert": alert.pk, "recipient": recipient.pk, "stage": alert.stage},
            about=alert,
            vehicle=alert.vehicle,
            now=now,
        )


def withdraw(alert: Alert, *, now: datetime) -> None:
    """The alert is over: cancel what was not sent, and tell those who were told of it."""
    entries = outbox.entries_about(alert)
    outbox.cancel(entries, reason="the alert is over", now=now)
    told = (
        entries.filter(kind=MAIL, dedupe_key__startswith=f"mail:{alert.pk}:{alert.times_opened}:")
        .exclude(state__in=[OutboxEntry.State.CANCELLED, OutboxEntry.State.DEAD])
        .values_list("payload__recipient", flat=True)
    )
    for recipient_id in sorted(set(told)):
        outbox.enqueue(
            RESOLVED_MAIL,
            dedupe_key=f"resolved:{alert.pk}:{alert.times_opened}:{recipient_id}",
            payload={"alert": alert.pk, "recipient": recipient_id},
            about=alert,
            vehicle=alert.vehicle,
            now=now,
        )
    issues.follow(alert, event=IssueEvent.CLEARED, now=now)
