"""What staff and driver hear when a connection is lost or a provider refuses us: once."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.core import mail
from pytest_django import Settings

from integrations.clients.errors import ClientError
from integrations.models import Connection, ConnectLink, OutboxEntry, ProviderGate
from integrations.registry import MAIL
from integrations.services import connect_links, connection_status, delivery, gates
from tests.factories import NOW, make_access, make_connection, make_driver, make_user, make_vehicle
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def connection() -> Connection:
    driver = make_driver(name="Maria Lopez", email="maria@example.com")
    connection = make_connection(driver=driver)
    car = make_vehicle(connection=connection, year=2021, make="CHEVROLET", model="Bolt")
    make_access(vehicle=car, connection=connection)
    return connection


def lose(connection: Connection) -> bool:
    return connection_status.needs_reconnect(connection, reason="Token refused", now=NOW)


def deliver(now: datetime = NOW) -> list[str]:
    """Send what is due; who got a mail, by address."""
    before = len(mail.outbox)
    delivery.deliver_due(clock=lambda: now, lanes=[MAIL])
    return sorted(message.to[0] for message in mail.outbox[before:])


def test_driver_and_staff_each_hear_once_of_a_lost_connection(
    connection: Connection, settings: Settings
) -> None:
    settings.MAINTENANCE_EMAILS = ["maintenance@example.com", "Maintenance@example.com"]

    assert lose(connection)
    assert not lose(connection)

    assert deliver() == ["maintenance@example.com", "maria@example.com"]
    assert deliver(NOW + DAY) == []


def test_the_driver_gets_a_fresh_link_that_works(connection: Connection) -> None:
    lose(connection)
    deliver()

    (message,) = (m for m in mail.outbox if m.to == ["maria@example.com"])
    link = ConnectLink.objects.get()
    assert message.subject == "Please connect your car again"
    assert connect_links.path(link) in str(message.body)
    assert "2021 CHEVROLET Bolt" in str(message.body)
    assert connect_links.find(str(message.body).partition("/connect/")[2].partition("/")[0]) == link
    assert link.state(NOW) is ConnectLink.State.VALID
    assert link.sent_at == NOW


def test_staff_read_whose_car_it_is_why_and_where_to_look(connection: Connection) -> None:
    lose(connection)
    deliver()

    (message,) = (m for m in mail.outbox if m.to == ["maintenance@example.com"])
    assert message.subject == "The car of Maria Lopez is not read any more"
    for part in ("2021 CHEVROLET Bolt", "Token refused", "Maria Lopez connects again"):
        assert part in str(message.body)
    path = f"/admin/integrations/connection/{connection.pk}/change/"
    assert f"https://portal.example.com{path}" in str(message.body)
    assert "/connect/" not in str(message.body), "the link is the driver's alone"
    assert "Your fleet" in message.message().as_string(), "who writes"


def test_a_connection_lost_a_second_time_is_told_a_second_time(connection: Connection) -> None:
    lose(connection)
    deliver()
    connection_status.mark_active(connection, now=NOW + MINUTE)

    connection_status.needs_reconnect(connection, reason="again", now=NOW + DAY)

    assert len(deliver(NOW + DAY)) == 2


def test_what_was_mended_before_the_mail_went_out_is_not_told(connection: Connection) -> None:
    lose(connection)
    connection_status.mark_active(connection, now=NOW)

    assert deliver() == []
    results = set(OutboxEntry.objects.values_list("result", flat=True))
    assert results == {"not sent: it is not needed any more", "not sent: it is not so any more"}


def test_a_mail_that_was_late_carries_a_link_that_still_works(connection: Connection) -> None:
    lose(connection)

    deliver(NOW + 30 * DAY)

    assert ConnectLink.objects.get().state(NOW + 36 * DAY) is ConnectLink.State.VALID


def test_an_inactive_driver_is_not_asked_and_staff_read_so(connection: Connection) -> None:
    connection.driver.is_active = False
    connection.driver.save()

    lose(connection)

    assert deliver() == ["maintenance@example.com"]
    assert "was not asked" in str(mail.outbox[-1].body)
    assert not ConnectLink.objects.exists()


def test_staff_hear_that_a_driver_withdrew_and_not_of_what_they_did_themselves(
    connection: Connection,
) -> None:
    connection_status.mark_revoked(connection, reason="Withdrawn by the driver", now=NOW)
    assert deliver() == ["maintenance@example.com"]
    assert mail.outbox[-1].subject == "Maria Lopez no longer shares a car"

    connection_status.mark_active(connection, now=NOW)
    connection_status.mark_revoked(connection, reason="sold", now=NOW + DAY, user=make_user())
    assert deliver(NOW + DAY) == []


# --- Refused credentials ----------------------------------------------------------------------


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
