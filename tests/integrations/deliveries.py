"""Deliveries as Smartcar sends them: bodies like its recorded traffic, signed with the token."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.test import Client

from integrations.clients.readings import ODOMETER
from integrations.clients.smartcar_webhooks import sign
from integrations.models import VehicleAccess, WebhookEvent, WebhookProvider
from integrations.services import webhooks
from tests.factories import NOW

URL = "/webhooks/smartcar/"
TOKEN = "test-management-token"
_numbers = count(1)


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def signal(code: str, at: datetime, **body: Any) -> dict[str, Any]:
    """One good signal, recorded and fetched at that moment."""
    return {
        "code": code,
        "body": body,
        "meta": {"oemUpdatedAt": millis(at), "retrievedAt": millis(at)},
        "status": {"value": "SUCCESS"},
    }


def odometer(km: float, at: datetime = NOW) -> dict[str, Any]:
    return signal(ODOMETER, at, value=km, unit="km")


def refused(code: str, type_: str, error_code: str | None = None) -> dict[str, Any]:
    error = {"type": type_, "code": error_code}
    return {"code": code, "status": {"value": "ERROR", "error": error}}


def state(
    access: VehicleAccess | str,
    *signals: dict[str, Any],
    sent_at: datetime = NOW,
    vehicle: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A VEHICLE_STATE."""
    id_ = access if isinstance(access, str) else access.smartcar_id
    user = "user" if isinstance(access, str) else access.connection.smartcar_user_id
    data = {
        "user": {"id": user},
        "vehicle": {"id": id_, **(vehicle or {})},
        "signals": list(signals),
    }
    return _event("VEHICLE_STATE", data, sent_at) | fields


def error(
    access: VehicleAccess,
    type_: str,
    code: str | None = None,
    *,
    at: datetime = NOW,
    is_over: bool = False,
    signals: Iterable[str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A VEHICLE_ERROR with one error."""
    item: dict[str, Any] = {"type": type_, "code": code}
    item["state"] = "RESOLVED" if is_over else "ERROR"
    if signals is not None:
        item["signals"] = [{"code": name} for name in signals]
    return errors(access, item, at=at) | fields


def errors(access: VehicleAccess, *items: dict[str, Any], at: datetime = NOW) -> dict[str, Any]:
    data = {
        "user": {"id": access.connection.smartcar_user_id},
        "vehicle": {"id": access.smartcar_id},
        "errors": list(items),
    }
    return _event("VEHICLE_ERROR", data, at)


def verify(challenge: Any = "3a5c8f72-e6d9-4b1a-9f2e-8c7d6a5b4e3f") -> dict[str, Any]:
    return _event("VERIFY", {"challenge": challenge}, NOW)


def _event(kind: str, data: dict[str, Any], at: datetime) -> dict[str, Any]:
    number = next(_numbers)
    meta = {"version": "4.0", "deliveryId": f"delivery-{number}", "deliveredAt": millis(at)}
    return {"eventId": f"event-{number}", "eventType": kind, "data": data, "meta": meta}


def v2(kind: str, *, mode: str = "live", **payload: Any) -> dict[str, Any]:
    """A legacy webhook."""
    return {
        "version": "2.0",
        "webhookId": "webhook-1",
        "eventName": kind,
        "mode": mode,
        "payload": payload,
    }


def encode(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def deliver(client: Client, message: Any, *, token: str | None = TOKEN, **extra: Any) -> Any:
    """POST it, signed with the token, or not at all."""
    body = message if isinstance(message, bytes) else encode(message)
    headers = {} if token is None else {"SC-Signature": sign(token, body)}
    return client.post(
        URL, body, content_type="application/json", headers=headers | extra.pop("headers", {})
    )


def store(message: dict[str, Any], *, received_at: datetime = NOW) -> WebhookEvent:
    """An event as the inbox keeps it."""
    from integrations.services import inbox

    body = encode(message)
    inbox.receive(body, signature=sign(TOKEN, body), tokens=[TOKEN], now=received_at)
    return WebhookEvent.objects.filter(provider=WebhookProvider.SMARTCAR).latest("pk")


def process(message: dict[str, Any], *, now: datetime = NOW) -> WebhookEvent:
    """Receive an event and work it off, both at that moment."""
    event = store(message, received_at=now)
    webhooks.process(event.pk, now=now)
    event.refresh_from_db()
    return event


def later(**length: float) -> datetime:
    return NOW + timedelta(**length)
