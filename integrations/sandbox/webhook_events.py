"""What Smartcar sends to a webhook, and how it is signed.

https://smartcar.com/docs/integrations/webhooks, and recorded traffic where the docs disagree.
"""

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from integrations.sandbox.cars import Car
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_signals import StoredSignal, look_up, signals_of
from integrations.sandbox.smartcar_tokens import Connection
from integrations.sandbox.smartcar_v3_connections import vehicle_attributes

FIRST_DELIVERY = "FIRST_DELIVERY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `content` is all but what differs between two deliveries of it."""

    content: dict[str, Any]

    @property
    def id(self) -> str:
        """The same for each delivery."""
        return str(self.content["eventId"])

    @property
    def type(self) -> str:
        """VEHICLE_STATE or VEHICLE_ERROR."""
        return str(self.content["eventType"])


def sign(body: bytes, token: str) -> str:
    """Return what SC-Signature says: .../webhooks/best-practices/security"""
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


def encode(payload: Mapping[str, Any]) -> bytes:
    """Return the body of a request: compact JSON."""
    return json.dumps(payload, separators=(",", ":")).encode()


def payload(event: Event, *, now: datetime) -> dict[str, Any]:
    """Return one delivery of the event, made at `now`."""
    delivery = {"deliveryId": str(uuid.uuid4()), "deliveredAt": milliseconds(now)}
    return {**event.content, "meta": {**event.content["meta"], **delivery}}


def signed(event: Event, *, token: str, now: datetime) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of one delivery."""
    body = encode(payload(event, now=now))
    return body, {**plain_headers(), "SC-Signature": sign(body, token)}


def plain_headers() -> dict[str, str]:
    """Return the headers of every request, signed or not."""
    return {"Content-Type": "application/json", "User-Agent": "Smartcar/1.0"}


def new_event(
    event_type: str,
    data: Mapping[str, Any],
    *,
    now: datetime,
    webhook_id: str,
    webhook_name: str,
    triggers: Iterable[Mapping[str, Any]] | None = None,
    mode: str = "LIVE",
) -> Event:
    """Return an event of `now` with an id of its own."""
    meta: dict[str, Any] = {
        "version": "4.0",
        "webhookId": webhook_id,
        "webhookName": webhook_name,
        "sequence": milliseconds(now),
        "mode": mode,
    }
    if "signals" in data:
        meta["signalCount"] = len(data["signals"])
    content: dict[str, Any] = {
        "eventId": str(uuid.uuid4()),
        "eventType": event_type,
        "data": dict(data),
    }
    if triggers is not None:
        content["triggers"] = [dict(trigger) for trigger in triggers]
    return Event(content={**content, "meta": meta})


def vehicle_data(car: Car, connection: Connection, *, vehicle_id: str) -> dict[str, Any]:
    """Return who and which car an event is about."""
    vehicle = {"id": vehicle_id, **vehicle_attributes(car, connection)}
    return {"user": {"id": connection.user_id}, "vehicle": vehicle}


def signals_data(car: Car, connection: Connection, *, now: datetime) -> list[dict[str, Any]]:
    """Return all signals of the car, changed or not, as every VEHICLE_STATE has them."""
    return [
        _render(look_up(signal, car, connection.permissions, now)) for signal in signals_of(car)
    ]


def triggers_data(car: Car, codes: Iterable[str]) -> list[dict[str, Any]]:
    """Return what made the event: signals by code, or FIRST_DELIVERY."""
    names = named_signals(car)
    return [
        {"type": code}
        if code == FIRST_DELIVERY
        else {"type": "SIGNAL_UPDATED", "signal": names[code]}
        for code in codes
    ]


def error_data(
    car: Car, type_: str, code: str | None, *, state: str, signals: Iterable[str] | None
) -> dict[str, Any]:
    """Return one error; without `signals` it is about the whole account."""
    body = SmartcarError(type=type_, code=code).body(request_id="")
    kept = ("type", "code", "description", "docURL", "suggestedUserMessage")
    error = {"state": state, **{name: body[name] for name in kept}}
    if state == "ERROR":
        error["resolution"] = body["resolution"]
    if signals is not None:
        names = named_signals(car)
        error["signals"] = [names[signal] for signal in signals]
    return error


def named_signals(car: Car) -> dict[str, dict[str, str]]:
    """Return how events name the car's signals, by code."""
    return {
        signal.code: {"code": signal.code, "name": signal.name, "group": signal.group}
        for signal in signals_of(car)
    }


def milliseconds(moment: datetime) -> int:
    """Return the time as webhooks write it."""
    return round(moment.timestamp() * 1000)


def _render(stored: StoredSignal) -> dict[str, Any]:
    signal = stored.signal
    names = {"code": signal.code, "name": signal.name, "group": signal.group}
    if stored.error is not None:
        type_, code = stored.error
        return {**names, "status": {"value": "ERROR", "error": {"type": type_, "code": code}}}
    # Recorded traffic dates what is not measured, the VIN, with zeros.
    times = {"oemUpdatedAt": 0, "retrievedAt": 0}
    if stored.recorded_at is not None:
        times = {
            "oemUpdatedAt": milliseconds(stored.recorded_at),
            "retrievedAt": milliseconds(stored.fetched_at),
        }
    return {**names, "body": stored.body, "meta": times, "status": {"value": "SUCCESS"}}
