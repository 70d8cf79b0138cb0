"""What the tests make beforehand, and how they read the admin's pages of webhooks."""

from datetime import datetime
from html import unescape
from typing import Any

from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from integrations.models import Vehicle, WebhookEndpoint, WebhookEvent
from integrations.services import webhook_setup
from tests import factories as make
from tests.factories import NOW

SETUP = "/admin/integrations/webhookendpoint/"
EVENTS = "/admin/integrations/webhookevent/"
VEHICLES = "/admin/integrations/vehicle/"
SUBSCRIBED: dict[str, Any] = {"subscription": "subscribed", "subscribed_to": "webhook-1"}
REFUSED: dict[str, Any] = {
    "subscription": "refused",
    "subscribed_to": "webhook-1",
    "subscription_error": "Smartcar: POST subscriptions: HTTP 403 BILLING:INVALID_PLAN",
    "subscription_at": NOW,
}
Verify = WebhookEndpoint.Verify


def make_event(**overrides: Any) -> WebhookEvent:
    values = {
        "provider": "smartcar",
        "event_id": f"made-{WebhookEvent.objects.count()}",
        "kind": "VEHICLE_STATE",
        "state": "processed",
        "body": "{}",
        "occurred_at": NOW,
        "received_at": NOW,
    }
    return WebhookEvent.objects.create(**{**values, **overrides})


def make_car(*, webhook_at: datetime | None = None, **access: Any) -> Vehicle:
    """A car that is shared, with this subscription."""
    vehicle = make.make_vehicle(last_webhook_at=webhook_at)
    make.make_access(vehicle=vehicle, **access)
    return vehicle


def page_of(client: Client, row: Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return text_of(client, reverse(name, args=[row.pk]))


def text_of(client: Client, address: str) -> str:
    page = client.get(address)
    assert page.status_code == 200
    return unescape(page.content.decode()).replace("\xa0", " ")


def read(html: str) -> str:
    """What a person reads."""
    return " ".join(strip_tags(html).split())


def staff(client: Client, *permissions: str) -> Client:
    client.force_login(make.make_user(*(f"integrations.{name}" for name in permissions)))
    return client


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def seen(**fields: Any) -> None:
    webhook_setup.endpoint()
    WebhookEndpoint.objects.update(**fields)


def queries_of(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in asked.captured_queries]
