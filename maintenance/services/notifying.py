"""Who is told of an alert, by mail and by every channel they have, and when.

Everything is written as rows, in the transaction that decided it, each once: the key names the
alert, the time it opened, the stage, the event and who is told. `notice_delivery` sends them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q, QuerySet

from integrations.models import OutboxEntry
from integrations.services import outbox
from maintenance.engine import delivery_times
from maintenance.models import Alert, Channel, MaintenanceMode, Recipient, Severity
from maintenance.services import recipients as people

MAIL = "mail_alert"
RESOLVED_MAIL = "mail_alert_resolved"
PUSH = "push_alert"
RESOLVED_PUSH = "push_alert_resolved"
TELLING = (MAIL, PUSH)
RESOLVED = (RESOLVED_MAIL, RESOLVED_PUSH)
# Only listed: what a maintenance mode held and is over by now. It is not ended once more.
HELD_MAIL = "mail_alert_held"
HELD_PUSH = "push_alert_held"

State = OutboxEntry.State
LEFT_OUT = "not sent"  # how the results of rows begin that nobody was sent
TOLD_NOBODY = Q(state__in=[State.CANCELLED, State.DEAD]) | Q(result__startswith=LEFT_OUT)


class Event(StrEnum):
    """Why somebody is told."""

    OPENED = "opened"
    WORSE = "worse"
    REMINDER = "reminder"
    RETURNED = "returned"
    FLAPPING = "flapping"
    ESCALATED = "escalated"
    SNOOZE_OVER = "snooze_over"
    RELEASED = "released"  # it was held until now


# The stage says it all; the keys of these are older than the others.
BY_STAGE = {Event.OPENED, Event.WORSE}


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to one recipient: the mail, or a channel."""

    recipient: Recipient
    channel_id: int | None = None

    @property
    def lane(self) -> str:
        return "push" if self.channel_id else "mail"

    @property
    def number(self) -> int:
        return self.channel_id or self.recipient.pk

    @property
    def bundle(self) -> str:
        return f"{self.lane}:{self.number}"

    @property
    def payload(self) -> dict[str, Any]:
        channel = {"channel": self.channel_id} if self.channel_id else {}
        return {"recipient": self.recipient.pk, **channel}


def tell(
    alert: Alert, *, event: Event, now: datetime, recipients: Iterable[Recipient] | None = None
) -> int:
    """Write one row for each recipient and channel; how many there are.

    Without `recipients` they are those of the alert's rule, or whom it escalates to. Who
    unsubscribed is not told, nor, unless it escalates, who does not want this kind or severity.
    """
    escalates = event is Event.ESCALATED
    if recipients is None and not escalates:
        # What they have not heard of yet need not be said any more. Who was called because
        # nobody took it hears of it all the same: the newer word is not for them.
        waiting = outbox.entries_about(alert).filter(kind__in=TELLING)
        others = waiting.exclude(dedupe_key__contains=f":{Event.ESCALATED}:")
        outbox.cancel(others, reason="something newer followed", now=now)
    if recipients is None:
        recipients = people.of_escalation(alert) if escalates else people.of(alert)
    ways = _ways(one for one in recipients if _wants(one, alert, event))
    for way in ways:
        _write(alert, way, event, now)
    return len(ways)


def told(alert: Alert) -> list[Recipient]:
    """Who was told in this life of the alert. What was cancelled, given up or left out told
    nobody.
    """
    return list(Recipient.objects.filter(pk__in={recipient for recipient, _ in _told(alert)}))


def cancel(alert: Alert, *, reason: str, now: datetime) -> int:
    """Cancel what surely reached nobody, also where sending it failed. How many rows.

    What is on its way, or may have arrived, goes on to its end; so does the word that an earlier
    life is over, and what a maintenance mode held.
    """
    rows = outbox.entries_about(alert).filter(kind__in=TELLING)
    return outbox.cancel(rows, reason=reason, now=now, failed_too=True)


def tell_resolved(alert: Alert, *, now: datetime) -> int:
    """Tell each who was told of this life of the alert, by the same ways, that it is over.

    What still waited has to be cancelled before: of that nothing is said.
    """
    was_told = sorted(_told(alert), key=str)
    known = Recipient.objects.filter(unsubscribed_at__isnull=True).in_bulk(
        {recipient for recipient, _channel in was_told}
    )
    ways = [
        _Way(known[recipient], channel) for recipient, channel in was_told if recipient in known
    ]
    for way in ways:
        at = delivery_times.when(people.preferences(way.recipient), now)
        outbox.enqueue(
            RESOLVED_PUSH if way.channel_id else RESOLVED_MAIL,
            dedupe_key=_resolved_key(alert, way),
            payload={"alert": alert.pk, **way.payload, **_together(at > now)},
            about=alert,
            vehicle=alert.vehicle,
            now=now,
            due_at=at,
            bundle=way.bundle,
        )
    return len(ways)


def tell_held(mode: MaintenanceMode | None, alerts: Iterable[Alert], *, now: datetime) -> int:
    """List what a maintenance mode held and is over by now, each recipient in one summary; without
    `mode` it is not in force for the vehicle any more.

    That tells nobody in the sense of `told`, and nobody who was told of it. How many rows.
    """
    count, occasion = 0, f"{mode.pk}" if mode else now.isoformat()
    for alert in alerts:
        known = told(alert)
        wanting = [
            one
            for one in people.of(alert)
            if one not in known and _wants(one, alert, Event.RELEASED)
        ]
        ways = _ways(wanting)
        for way in ways:
            _write(alert, way, Event.RELEASED, now, listed_for=occasion)
        count += len(ways)
    return count


def _wants(recipient: Recipient, alert: Alert, event: Event) -> bool:
    if recipient.unsubscribed_at:
        return False
    if event is Event.ESCALATED:  # the rule names them for just this
        return True
    matters = Severity(alert.severity).rank >= Severity(recipient.min_severity).rank
    return matters and (not recipient.kinds or alert.kind in recipient.kinds)


def _ways(recipients: Iterable[Recipient]) -> list[_Way]:
    """The mail to each of them, and every channel that is enabled; addresses stay closed."""
    wanted = {one.pk: one for one in recipients}
    channels = Channel.objects.filter(recipient__in=wanted, is_enabled=True).order_by("pk")
    pairs = channels.values_list("recipient_id", "pk")
    return [
        *(_Way(one) for one in wanted.values()),
        *(_Way(wanted[recipient], channel) for recipient, channel in pairs),
    ]


def _write(alert: Alert, way: _Way, event: Event, now: datetime, *, listed_for: str = "") -> None:
    prefs = people.preferences(way.recipient)
    at = delivery_times.when(prefs, now, is_critical=alert.severity == Severity.CRITICAL)
    waits = at > now
    listed = bool(listed_for) and not waits
    outbox.enqueue(
        _kind(way, is_listed=bool(listed_for)),
        dedupe_key=_key(alert, way, event, now, listed_for),
        payload={
            "alert": alert.pk,
            **way.payload,
            "stage": alert.stage,
            **({} if event in BY_STAGE else {"event": event.value}),
            **_together(waits or listed),
        },
        about=alert,
        vehicle=alert.vehicle,
        now=now,
        due_at=at,
        bundle=f"{way.bundle}:mode:{listed_for}" if listed else way.bundle,
    )


def _kind(way: _Way, *, is_listed: bool) -> str:
    if is_listed:
        return HELD_PUSH if way.channel_id else HELD_MAIL
    return PUSH if way.channel_id else MAIL


def _together(is_summary: bool) -> dict[str, bool]:
    """What waited for a summary, for the morning, or for the shop comes as one message."""
    return {"together": True} if is_summary else {}


def _life(alert: Alert, way: str) -> str:
    return f"{way}:{alert.pk}:{alert.times_opened}:"


def _key(alert: Alert, way: _Way, event: Event, now: datetime, listed_for: str) -> str:
    start = f"{way.lane}_held" if listed_for else way.lane
    key = f"{_life(alert, start)}{alert.stage}:{way.number}"
    if event in BY_STAGE:
        return key
    once: dict[Event, object] = {
        Event.REMINDER: now.date(),
        Event.RETURNED: "",
        Event.FLAPPING: alert.flapping_since,
        Event.ESCALATED: "",
        Event.SNOOZE_OVER: now.isoformat(),
        Event.RELEASED: listed_for or now.isoformat(),
    }
    return f"{key}:{event}:{once[event]}"


def life_of(entry: OutboxEntry) -> int:
    """Which life of its alert a row is about."""
    return int(entry.dedupe_key.split(":")[2])


def _resolved_key(alert: Alert, way: _Way) -> str:
    start = "resolved" if way.channel_id is None else "push_resolved"
    return f"{_life(alert, start)}{way.number}"


def _told(alert: Alert) -> set[tuple[int, int | None]]:
    """Recipient and channel of each way by which this life of the alert was told."""
    rows: QuerySet[OutboxEntry] = outbox.entries_about(alert).filter(kind__in=TELLING)
    life = Q(dedupe_key__startswith=_life(alert, "mail")) | Q(
        dedupe_key__startswith=_life(alert, "push")
    )
    known = rows.filter(life).exclude(TOLD_NOBODY)
    return {
        (payload["recipient"], payload.get("channel"))
        for payload in known.values_list("payload", flat=True)
    }
