"""What staff hear when a provider refuses us: once."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.core import mail
from pytest_django import Settings

from integrations.clients.errors import ClientError
from integrations.models import Connection, OutboxEntry, ProviderGate
from integrations.registry import MAIL
from integrations.services import delivery, gates
from tests.factories import NOW
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def deliver(now: datetime = NOW) -> list[str]:
    """Send what is due; who got a mail, by address."""
    before = len(mail.outbox)
    delivery.deliver_due(clock=lambda: now, lanes=[MAIL])
    return sorted(message.to[0] for message in mail.outbox[before:])


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with running(settings, vehicles=2, drivers=2) as running_world:
        yield running_world


def refusals() -> int:
    return OutboxEntry.objects.filter(kind="mail_provider_refuses").count()


def test_refused_credentials_stop_every_exchange_and_alarm_staff_once(
    world: World, settings: Settings
) -> None:
    cars = [world.connect(world.make_link()).vehicles[0]]
    cars += [
        world.connect(world.make_link(), driver=world.sandbox.fleet.drivers[1].email).vehicles[0]
    ]
    secret, settings.SMARTCAR_CLIENT_SECRET = settings.SMARTCAR_CLIENT_SECRET, "wrong"
    world.pass_time(hours=3)
    world.sandbox.smartcar.requests.clear()

    for _ in range(3):
        for car in cars:
            world.poll(car)
        world.pass_time(minutes=1)

    assert world.token_calls() == 1, "the first refusal speaks for all"
    assert refusals() == 1
    world.pass_time(minutes=5)
    world.poll(cars[0])
    assert world.token_calls() == 2, "tried again, in case somebody mended it"
    assert refusals() == 1
    assert {c.status for c in Connection.objects.all()} == {"active"}
    assert deliver(world.now) == ["maintenance@example.com"]
    assert mail.outbox[-1].subject == "Smartcar refuses the portal's credentials"
    assert "doctor" in str(mail.outbox[-1].body)

    settings.SMARTCAR_CLIENT_SECRET = secret
    world.pass_time(minutes=5)
    polled = world.poll(cars[0])
    assert polled
    assert polled.outcome is None
    assert not ProviderGate.objects.filter(refused_at__isnull=False).exists()
    settings.SMARTCAR_CLIENT_SECRET = "wrong again"
    world.pass_time(hours=3)
    world.poll(cars[0])
    assert refusals() == 2, "mended and broken again is news"


def test_a_suspended_account_stops_every_car_and_alarms_staff_once(world: World) -> None:
    first, second = (
        world.connect().vehicles[0],
        world.connect(world.make_link(), driver=world.sandbox.fleet.drivers[1].email).vehicles[0],
    )
    world.smartcar_fault(pattern="/batch$", error=("BILLING", "ACCOUNT_SUSPENDED"), times=None)

    for minutes in (0, 6, 6):
        world.pass_time(minutes=minutes)
        world.poll(first)
        world.poll(second)

    assert world.batches() == 3
    assert refusals() == 1


def test_a_token_that_fleetio_refuses_pauses_the_account_and_alarms_staff_once(
    world: World, settings: Settings
) -> None:
    settings.FLEETIO_API_TOKEN = "wrong"

    for _ in range(4):
        with pytest.raises(ClientError):
            world.fleetio.list_vehicles()
        world.pass_time(minutes=3)

    assert refusals() == 1
    assert world.sandbox.fleetio.requests.count("GET") == 2


def test_a_refusal_that_was_mended_before_the_mail_went_out_is_not_told() -> None:
    gates.refuse("fleetio", reason="HTTP 401", now=NOW)
    gates.resume("fleetio", now=NOW)

    assert deliver() == []
