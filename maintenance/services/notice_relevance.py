"""What need not be said any more when its time has come, or not yet: much may have happened since
it was decided, and a person may have asked for quiet.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from integrations.services import outbox
from maintenance.engine import delivery_times
from maintenance.models import Alert, Recipient, Severity
from maintenance.services import inhibition, issues, notifying
from maintenance.services import recipients as people
from maintenance.services.notifying import LEFT_OUT, RESOLVED, TELLING, Event

LOOK_AGAIN = timedelta(minutes=15)


def left_out(
    entries: Sequence[OutboxEntry],
    alerts: Mapping[int, Alert],
    recipient: Recipient,
    *,
    unclear: bool,
    now: datetime,
) -> dict[int, Sent | Postponed]:
    """By row of the parcel what becomes of those that are not sent now.

    What is held goes on waiting: nothing else would say it when the vehicle leaves the shop. Of
    an `unclear` parcel nothing waits, or it would not be the same any more.
    """
    found: dict[int, Sent | Postponed] = {}
    start = "unclear whether it arrived, not sent again" if unclear else LEFT_OUT
    for entry in entries:
        alert = alerts.get(entry.payload["alert"])
        if alert is None:
            found[entry.pk] = Sent(f"{start}: the alert was deleted")
        elif entry.kind in RESOLVED and _is_back(entry, alert, entries):
            found[entry.pk] = Sent(f"{start}: it is back")
        elif entry.kind in TELLING and (why := _why_quiet(entry, alert, now)):
            found[entry.pk] = Sent(f"{start}: {why}")
        elif entry.kind in TELLING and inhibition.why_held(alert, now=now):
            held = Sent(f"{start}: it is held")
            found[entry.pk] = held if unclear else _later(alert, recipient, now)
    return found


def _why_quiet(entry: OutboxEntry, alert: Alert, now: datetime) -> str:
    if issues.is_over(alert):
        return "it is over"
    if alert.acknowledged_at and entry.payload.get("event") == Event.ESCALATED:
        return "somebody takes care of it"
    if alert.waived_at:
        return "it will not be fixed"
    if alert.snoozed_until and alert.snoozed_until > now:
        return "it is snoozed"
    return ""


def _later(alert: Alert, recipient: Recipient, now: datetime) -> Postponed:
    is_critical = alert.severity == Severity.CRITICAL
    prefs = people.preferences(recipient)
    until = delivery_times.when(prefs, now + LOOK_AGAIN, is_critical=is_critical)
    return Postponed(until, "nobody is told for now")


def _is_back(entry: OutboxEntry, alert: Alert, parcel: Sequence[OutboxEntry]) -> bool:
    """Whether that it is over comes too late: by the same way went out that it is there again.

    That life gets an end of its own. What goes out in the same parcel replaces it anyway.
    """
    if issues.is_over(alert):
        return False
    told = outbox.entries_about(alert).filter(kind__in=TELLING, started_at__isnull=False)
    told = told.exclude(state=OutboxEntry.State.PENDING).exclude(notifying.TOLD_NOBODY)
    life = notifying.life_of(entry)
    return any(
        notifying.life_of(row) > life and _way(row) == _way(entry)
        for row in told.exclude(pk__in=[row.pk for row in parcel])
    )


def _way(entry: OutboxEntry) -> tuple[int, int | None]:
    return entry.payload["recipient"], entry.payload.get("channel")
