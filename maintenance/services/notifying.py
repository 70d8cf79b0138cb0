"""To whom an alert is told: outbox rows, each once.

The key names the alert, the life it is in, what is said and the recipient.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from integrations.models import OutboxEntry
from integrations.services import outbox
from maintenance.models import Alert, MaintenanceMode, Recipient
from maintenance.services import recipients as who

MAIL = "mail_alert"
RESOLVED_MAIL = "mail_alert_resolved"


class Event(StrEnum):
    """What is said of an alert."""

    OPENED = "opened"
    WORSE = "worse"
    REMINDER = "reminder"
    RETURNED = "returned"
    FLAPPING = "flapping"
    ESCALATED = "escalated"
    SNOOZE_OVER = "snooze_over"
    RELEASED = "released"  # was held until now


_OF_A_STAGE = {Event.OPENED, Event.WORSE, Event.RETURNED, Event.FLAPPING, Event.RELEASED}


def tell(
    alert: Alert, *, event: Event, now: datetime, recipients: Sequence[Recipient] | None = None
) -> int:
    cancel(alert, reason="something newer followed", now=now)
    found = who.of(alert) if recipients is None else recipients
    for recipient in found:
        said = "" if event in _OF_A_STAGE else f":{event}:{now:%Y-%m-%d %H:%M}"
        life = f"{alert.pk}:{alert.times_opened}"
        outbox.enqueue(
            MAIL,
            dedupe_key=f"mail:{life}:{alert.stage}:{recipient.pk}{said}",
            payload={"alert": alert.pk, "recipient": recipient.pk, "stage": alert.stage},
            about=alert,
            vehicle=alert.vehicle,
            now=now,
        )
    return len(found)


def cancel(alert: Alert, *, reason: str, now: datetime) -> None:
    outbox.cancel(outbox.entries_about(alert).filter(kind=MAIL), reason=reason, now=now)


def tell_resolved(alert: Alert, *, now: datetime, due_at: datetime | None = None) -> None:
    entries = outbox.entries_about(alert)
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
            due_at=due_at,
            now=now,
        )


def told(alert: Alert) -> list[Recipient]:
    """Who was told of it in this life of the alert."""
    life = f"mail:{alert.pk}:{alert.times_opened}:"
    rows = outbox.entries_about(alert).filter(kind=MAIL, dedupe_key__startswith=life)
    dropped = [OutboxEntry.State.CANCELLED, OutboxEntry.State.DEAD]
    ids = rows.exclude(state__in=dropped).values_list("payload__recipient", flat=True)
    return list(Recipient.objects.filter(pk__in=set(ids)))


def tell_held(mode: MaintenanceMode, alerts: Sequence[Alert], *, now: datetime) -> None:
    """What a maintenance mode held and is over by now."""
