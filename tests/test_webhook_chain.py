"""From Smartcar's delivery to the alert, with the rules that a new installation has."""

from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from fleetportal import clock
from integrations.clients.readings import OIL_LIFE
from integrations.models import Reading, Vehicle, WebhookEvent
from integrations.signals import readings_recorded
from maintenance.models import Alert
from tests.factories import make_access
from tests.integrations.deliveries import deliver, error, later, signal, state
from tests.maintenance.cars import alerts_of

pytestmark = pytest.mark.django_db


def report(client: Client, message: dict[str, Any], *, hours: float) -> None:
    """Smartcar delivers it at that hour, and beat comes by."""
    clock.set_source(lambda: later(hours=hours))
    assert deliver(client, message).status_code == 200
    call_command("process_webhooks")


def test_worn_oil_opens_an_alert_by_webhooks_alone(client: Client) -> None:
    access = make_access()
    for hours in (0, 12):
        oil = signal(OIL_LIFE, later(hours=hours), value=14, unit="percent")
        report(client, state(access, oil, sent_at=later(hours=hours)), hours=hours)

    assert alerts_of(access.vehicle) == [("engine-oil", "open", "due")]


def test_a_lost_account_is_told_to_staff_once(client: Client) -> None:
    access = make_access()
    for hours in (0, 1):
        message = error(
            access, "CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED", at=later(hours=hours)
        )
        report(client, message, hours=hours)

    access.connection.refresh_from_db()
    assert access.connection.status == "needs_reconnect"
    assert Alert.objects.filter(kind="connection").count() <= 1


def test_what_a_rule_does_wrong_costs_no_reading(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> None:
        Vehicle.objects.update(name="half done")
        raise ZeroDivisionError("in a rule")

    monkeypatch.setattr(readings_recorded, "receivers", [])
    readings_recorded.connect(broken)
    access = make_access()
    oil = signal(OIL_LIFE, later(), value=14, unit="percent")

    report(client, state(access, oil), hours=0)

    vehicle = Vehicle.objects.get()
    assert WebhookEvent.objects.get().state == "processed"
    assert Reading.objects.get().value == 14
    assert (vehicle.evaluation_error, vehicle.name) == ("ZeroDivisionError: in a rule", "")
    assert vehicle.last_webhook_at == later()
