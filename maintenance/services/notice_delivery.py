"""From rows to messages: which rows come as one, how many an hour, and what is left out."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from integrations.models import OutboxEntry
from integrations.registry import Postponed, Sent
from maintenance.models import Alert, Recipient, Severity, Stage
from maintenance.services import notice_relevance
from maintenance.services.notice_content import Item
from maintenance.services.notifying import LEFT_OUT, RESOLVED, Event

MOST_VEHICLES_APART = 5
HOUR = timedelta(hours=1)
State = OutboxEntry.State
# Sends one message; says to whom it went.
Send = Callable[[Recipient, Sequence[Item]], str]


def split(entries: Sequence[OutboxEntry], *, now: datetime) -> list[list[OutboxEntry]]:
    """One message for each vehicle; what waited for its time, and what is too much, in one."""
    waited = [entry for entry in entries if entry.payload.get("together")]
    by_vehicle: dict[int | None, list[OutboxEntry]] = {}
    for entry in entries:
        if not entry.payload.get("together"):
            by_vehicle.setdefault(entry.vehicle_id, []).append(entry)
    apart = list(by_vehicle.values())
    recipient = _recipient(entries)
    too_many = len(apart) > MOST_VEHICLES_APART
    if recipient and (
        too_many or _sent_lately(entries, now) + len(apart) > recipient.most_per_hour
    ):
        apart = [[entry for group in apart for entry in group]]
    return [group for group in (waited, *apart) if group]


def deliver(
    entries: Sequence[OutboxEntry], *, unclear: bool, now: datetime, send: Send
) -> list[Sent | Postponed]:
    """Send the parcel as one message; the same outcome for every row that it tells of.

    Who had their share of messages for this hour gets the rest together, when the hour is over.
    """
    recipient = _recipient(entries)
    if recipient is None:
        return _not_sent(entries, "the recipient was deleted")
    if recipient.unsubscribed_at:
        return _not_sent(entries, "the recipient unsubscribed")
    alerts = Alert.objects.select_related("vehicle__connection", "rule").in_bulk(
        {entry.payload["alert"] for entry in entries}
    )
    results = notice_relevance.left_out(entries, alerts, recipient, unclear=unclear, now=now)
    said = [entry for entry in entries if entry.pk not in results]
    if said:
        result = _say(said, alerts, recipient, unclear=unclear, now=now, send=send)
        results |= dict.fromkeys((entry.pk for entry in said), result)
    return [results[entry.pk] for entry in entries]


def _say(
    entries: Sequence[OutboxEntry],
    alerts: Mapping[int, Alert],
    recipient: Recipient,
    *,
    unclear: bool,
    now: datetime,
    send: Send,
) -> Sent | Postponed:
    there = [alerts[entry.payload["alert"]] for entry in entries]
    if not unclear and (until := _share_is_used_up(entries, there, recipient, now)):
        return Postponed(until, f"more than {recipient.most_per_hour} messages within an hour")
    items: dict[int, Item] = {}
    for entry in sorted(entries, key=lambda entry: (entry.created_at, entry.pk)):
        alert = alerts[entry.payload["alert"]]
        items[alert.pk] = _item(entry, alert)  # the last word about an alert counts
    return Sent(send(recipient, list(items.values())))


def _item(entry: OutboxEntry, alert: Alert) -> Item:
    if entry.kind in RESOLVED:
        return Item(alert=alert, stage=Stage(alert.stage), event=None)
    event = Event(entry.payload.get("event", Event.OPENED))
    return Item(alert=alert, stage=Stage(entry.payload["stage"]), event=event)


def _not_sent(entries: Sequence[OutboxEntry], why: str) -> list[Sent | Postponed]:
    return [Sent(f"{LEFT_OUT}: {why}")] * len(entries)


def _recipient(entries: Sequence[OutboxEntry]) -> Recipient | None:
    return Recipient.objects.filter(pk=entries[0].payload["recipient"]).first()


def _share_is_used_up(
    entries: Sequence[OutboxEntry],
    alerts: Sequence[Alert],
    recipient: Recipient,
    now: datetime,
) -> datetime | None:
    """When the next message may go out, if that is later. What is critical need not wait."""
    is_free = not entries[0].bundle or any(entry.payload.get("together") for entry in entries)
    if is_free or any(alert.severity == Severity.CRITICAL for alert in alerts):
        return None
    sent = _parcels(entries, now)
    if len(sent) < recipient.most_per_hour:
        return None
    return sorted(sent)[-recipient.most_per_hour] + HOUR


def _sent_lately(entries: Sequence[OutboxEntry], now: datetime) -> int:
    return len(_parcels(entries, now))


def _parcels(entries: Sequence[OutboxEntry], now: datetime) -> list[datetime]:
    """When the messages of the last hour went the same way."""
    rows = OutboxEntry.objects.filter(
        bundle=entries[0].bundle, state=State.DONE, finished_at__gt=now - HOUR
    ).exclude(Q(bundle="") | Q(result__startswith=LEFT_OUT))
    times = dict(rows.order_by().values_list("parcel", "finished_at"))
    return [at for at in times.values() if at is not None]
