"""Before a consent ends: staff hear of it and the driver gets a link, 14, 7 and 1 days before."""

from datetime import date, datetime, timedelta

import pytest
from django.core import mail

from integrations.models import Connection, OutboxEntry, Vehicle
from integrations.services import delivery, link_mails
from maintenance.models import Alert
from maintenance.services import evaluation
from tests.factories import NOW, make_vehicle
from tests.maintenance.cars import DAY, add_default_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(settings: object) -> Connection:
    settings.MAINTENANCE_EMAILS = ["shop@example.com"]  # type: ignore[attr-defined]
    add_default_rules()
    connection = make_vehicle().connection
    assert connection is not None
    make_vehicle(connection=connection)
    connection.consent_ends_on = NOW.date() + timedelta(days=14)
    connection.save()
    return connection


def sent_on(now: datetime) -> dict[str, int]:
    """How many mails each address gets."""
    evaluation.evaluate_all(now=now)
    before = len(mail.outbox)
    delivery.deliver_due(clock=lambda: now, lanes=["mail"])
    counts: dict[str, int] = {}
    for message in mail.outbox[before:]:
        (address,) = message.to
        counts[address] = counts.get(address, 0) + 1
    return counts


def test_driver_and_staff_are_reminded_three_times(connection: Connection) -> None:
    driver = connection.driver.email
    for vehicle in Vehicle.objects.all():
        vehicle.signals.create(
            code="odometer-traveleddistance", value=1, recorded_at=NOW + 14 * DAY, source="poll"
        )
    days = {day: sent_on(NOW + day * DAY) for day in range(15)}

    assert [day for day, counts in days.items() if counts.get(driver)] == [0, 7, 13]
    assert all(counts.get(driver, 1) == 1 for counts in days.values())  # one for both cars
    assert [day for day, counts in days.items() if counts.get("shop@example.com")] == [0, 7, 13]
    assert set(Alert.objects.values_list("stage", flat=True)) == {"overdue"}


def test_the_mail_has_a_link_and_the_day(connection: Connection) -> None:
    sent_on(NOW)

    (message,) = [each for each in mail.outbox if each.to == [connection.driver.email]]
    assert "March 16, 2026" in message.subject
    assert "/connect/" in message.body
    assert "March 16, 2026" in message.body


def test_a_consent_that_was_renewed_meanwhile_asks_nobody(connection: Connection) -> None:
    evaluation.evaluate_all(now=NOW)
    Connection.objects.update(connected_at=NOW + timedelta(hours=1), consent_ends_on=None)

    delivery.deliver_due(clock=lambda: NOW + timedelta(hours=2), lanes=["mail"])

    entry = OutboxEntry.objects.get(kind=link_mails.RENEW)
    assert entry.result.startswith("not sent")


def test_another_day_is_said_anew(connection: Connection) -> None:
    sent_on(NOW)
    Connection.objects.update(consent_ends_on=date(2026, 9, 1))
    evaluation.evaluate_all(now=NOW + DAY)
    assert not Alert.objects.unresolved().filter(kind="connection").exists()
    Connection.objects.update(consent_ends_on=date(2026, 3, 20))

    assert sent_on(NOW + 6 * DAY)[connection.driver.email] == 1
