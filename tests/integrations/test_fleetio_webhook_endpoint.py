"""Fleetio's deliveries: kept when they are genuine, once each, whatever else is thrown at us."""

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from integrations.clients.fleetio_webhooks import sign
from integrations.models import WebhookEndpoint, WebhookEvent
from integrations.services import fleetio_inbox

pytestmark = pytest.mark.django_db

URL = "/webhooks/fleetio/"
KEY = "the-shared-key"


@pytest.fixture(autouse=True)
def shared_key(settings: Settings) -> None:
    settings.FLEETIO_WEBHOOK_KEYS = [KEY]


def event(number: int = 7, name: str = "issue_updated", **payload: Any) -> bytes:
    message = {
        "id": number,
        "event": name,
        "timestamp": "2026-03-02T06:00:00-06:00",
        "payload": {"id": 12, **payload},
    }
    return json.dumps(message).encode()


def post(client: Client, body: bytes, key: str | None = KEY) -> int:
    headers = {} if key is None else {"X-Fleetio-Webhook-Signature": sign(key, body)}
    answer = client.post(URL, body, content_type="application/json", headers=headers)
    return int(answer.status_code)


def test_a_genuine_event_is_kept_once(client: Client) -> None:
    assert [post(client, event()) for _ in range(3)] == [200, 200, 200]
    row = WebhookEvent.objects.get()
    assert (row.provider, row.event_id, row.kind) == ("fleetio", "7", "issue_updated")
    assert (row.state, row.body) == ("received", event().decode())


@pytest.mark.parametrize("key", [None, "another", ""])
def test_a_forged_event_changes_nothing(client: Client, key: str | None) -> None:
    assert post(client, event(), key) == 401
    assert not WebhookEvent.objects.exists()
    refused = WebhookEndpoint.objects.get(provider="fleetio")
    assert refused.refused_why == "its signature does not match"


def test_without_a_key_nobody_is_believed(client: Client, settings: Settings) -> None:
    settings.FLEETIO_WEBHOOK_KEYS = []
    assert post(client, event(), "") == 401
    assert WebhookEndpoint.objects.get(provider="fleetio").refused_why == fleetio_inbox.NO_KEY


def test_while_the_key_changes_both_are_good(client: Client, settings: Settings) -> None:
    settings.FLEETIO_WEBHOOK_KEYS = ["new", KEY]
    assert post(client, event(1)) == post(client, event(2), "new") == 200
    assert WebhookEvent.objects.count() == 2


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id":1}', b"\xff", b"[" * 200_000])
def test_what_is_signed_but_no_event_is_not_kept(client: Client, body: bytes) -> None:
    assert post(client, body) == 400
    assert not WebhookEvent.objects.exists()


def test_a_delivery_may_not_be_huge(client: Client) -> None:
    assert post(client, event(text="x" * 300_000)) == 413
    assert client.get(URL).status_code == 405


def test_one_number_of_both_providers_is_two_events(client: Client) -> None:
    WebhookEvent.objects.create(
        provider="smartcar", event_id="7", body="{}", received_at="2026-03-02T12:00:00Z"
    )
    assert post(client, event()) == 200
    assert WebhookEvent.objects.count() == 2
