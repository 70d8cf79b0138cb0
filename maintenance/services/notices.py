"""What staff hear about the portal itself: a connection was lost, a provider refuses us.

Written in the transaction that found out, once for each time it happens.
"""

from datetime import datetime

from django.urls import reverse

from integrations.models import Connection, OutboxEntry, PortalSettings, ProviderGate
from integrations.registry import Sent
from integrations.services import mail, outbox
from maintenance.models import Recipient
from maintenance.services import emails, recipients

CONNECTION_LOST = "mail_connection_lost"
PROVIDER_REFUSES = "mail_provider_refuses"


def connection_lost(connection: Connection, *, now: datetime) -> None:
    """The cars of this connection are not read any more."""
    for recipient in recipients.staff():
        outbox.enqueue(
            CONNECTION_LOST,
            dedupe_key=f"{_loss(connection)}:{recipient.pk}",
            payload={
                "connection": connection.pk,
                "status": connection.status,
                "recipient": recipient.pk,
            },
            about=connection,
            now=now,
        )


def _loss(connection: Connection) -> str:
    return f"{CONNECTION_LOST}:{connection.pk}:{connection.status_changed_at.isoformat()}"


def provider_refuses(name: str, reason: str, *, now: datetime) -> None:
    """Our credentials or our account are refused: nothing goes on until somebody mends it."""
    for recipient in recipients.staff():
        outbox.enqueue(
            PROVIDER_REFUSES,
            dedupe_key=f"{PROVIDER_REFUSES}:{name}:{now.isoformat()}:{recipient.pk}",
            payload={"provider": name, "reason": reason, "recipient": recipient.pk},
            now=now,
        )


def deliver_connection_lost(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent:
    """Handler of the mail about a lost connection."""
    connection = (
        Connection.objects.select_related("driver").filter(pk=entry.payload["connection"]).first()
    )
    # It may have been good again and be lost once more since: that is another mail.
    if (
        connection is None
        or connection.status != entry.payload["status"]
        or not entry.dedupe_key.startswith(f"{_loss(connection)}:")
    ):
        return Sent("not sent: it is not so any more")
    cars = connection.vehicles.order_by("pk")
    path = reverse("admin:integrations_connection_change", args=[connection.pk])
    return _send(
        "maintenance/emails/connection_lost",
        entry,
        {
            "connection": connection,
            "is_revoked": connection.status == Connection.Status.REVOKED,
            "cars": [str(car) for car in cars],
            "driver_was_asked": connection.driver.is_active,
            "url": mail.absolute(path),
        },
    )


def deliver_provider_refuses(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent:
    """Handler of the mail about refused credentials."""
    name = entry.payload["provider"]
    if not ProviderGate.objects.filter(name=name, refused_at__isnull=False).exists():
        return Sent("not sent: it is not so any more")
    return _send(
        "maintenance/emails/provider_refuses",
        entry,
        {
            "provider": name.split()[0].capitalize(),
            "reason": entry.payload["reason"],
            "url": mail.absolute(reverse("admin:integrations_providergate_changelist")),
        },
    )


def _send(template: str, entry: OutboxEntry, context: dict[str, object]) -> Sent:
    recipient = Recipient.objects.filter(pk=entry.payload["recipient"]).first()
    if recipient is None:
        return Sent("not sent: the recipient was deleted")
    return emails.send_to(recipient, template, entry, context | {"portal": PortalSettings.load()})
