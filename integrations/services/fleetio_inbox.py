"""What Fleetio says by itself, kept before it is answered; `fleetio_events` works it off.

https://developer.fleetio.com/docs/guides/webhooks/receiving-a-webhook-event-payload
"""

from collections.abc import Sequence
from datetime import datetime

from integrations.clients import fleetio_webhooks
from integrations.clients.fleetio_webhooks import NotAnEventError
from integrations.models import WebhookProvider
from integrations.services import inbox, webhook_setup

FLEETIO = WebhookProvider.FLEETIO
NO_KEY = "FLEETIO_WEBHOOK_KEY is not set"


def receive(body: bytes, *, signature: str | None, keys: Sequence[str], now: datetime) -> int:
    """Keep one delivery, once however often it comes; returns the status of the answer.

    Raises what the database raises.
    """
    if not fleetio_webhooks.is_genuine(body, signature, keys):
        inbox.refuse(webhook_setup.BAD_SIGNATURE if keys else NO_KEY, now=now, provider=FLEETIO)
        return 401
    try:
        event = fleetio_webhooks.parse(body)
    except NotAnEventError:
        return 400
    inbox.keep(
        inbox.Row(
            event_id=event.event_id,
            kind=event.event,
            body=body.decode(),
            smartcar_id="",
            occurred_at=event.at,
            received_at=now,
            provider=FLEETIO.value,
        )
    )
    return 200
