"""What staff hear about the portal itself: a provider refuses us.

Written in the transaction that found out, once for each time it happens.
"""

from datetime import datetime

from django.urls import reverse

from integrations.models import OutboxEntry, PortalSettings, ProviderGate
from integrations.registry import Sent
from integrations.services import mail, outbox
from maintenance.models import Recipient
from maintenance.services import emails, recipients

PROVIDER_REFUSES = "mail_provider_refuses"


def provider_refuses(name: str, reason: str, *, now: datetime) -> None:
    """Our credentials or our account are refused: nothing goes on until somebody mends it."""
    for recipient in recipients.staff():
        outbox.enqueue(
            PROVIDER_REFUSES,
            dedupe_key=f"{PROVIDER_REFUSES}:{name}:{now.isoformat()}:{recipient.pk}",
            payload={"provider": name, "reason": reason, "recipient": recipient.pk},
            now=now,
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
