"""What a poll through v3 means for the car and its consent."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from integrations.clients.errors import Outcome
from integrations.clients.readings import SignalError
from integrations.models import Connection, OutboxEntry, VehicleAccess
from integrations.services import connection_status, delivery, poll_failures
from tests.factories import NOW, make_access, make_vehicle
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, version="v3") as running_world:
        yield running_world


def error(outcome: Outcome, type_: str, code: str = "") -> SignalError:
    return SignalError(
        code="odometer-traveleddistance", outcome=outcome, type=type_, error_code=code
    )


def test_a_car_that_v3_never_listed_stays_as_it_was(world: World) -> None:
    """It was connected under v2: moving back has to find it in place."""
    vehicle = world.connect().vehicles[0]
    Connection.objects.update(listed_through="v2")
    world.sandbox.smartcar.tokens.disconnect(vehicle_id=vehicle.smartcar_id)
    for status in (401, 403):
        body = {
            "errors": [{"status": str(status), "type": "AUTHENTICATION", "code": "UNAUTHORIZED"}]
        }
        world.smartcar_fault(vehicle=vehicle.smartcar_id, status=status, body=body, times=4)

        world.poll(vehicle)

        way = VehicleAccess.objects.get(vehicle=vehicle)
        assert (way.ended_at, vehicle.connection) == (None, way.connection)


def test_what_the_answer_left_out_does_not_speak_for_the_car() -> None:
    lost = error(Outcome.RECONNECT, "CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")
    left_out = error(Outcome.RETRY, "UNANSWERED")

    worst = poll_failures.worst([left_out, lost, left_out])

    assert worst is not None
    assert worst.outcome is Outcome.RECONNECT


def test_a_failing_signal_does_speak_for_the_car() -> None:
    lost = error(Outcome.RECONNECT, "CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")

    worst = poll_failures.worst([error(Outcome.RETRY, "UPSTREAM", "NO_RESPONSE"), lost])

    assert worst is not None
    assert worst.outcome is Outcome.RETRY


def test_a_connection_that_was_lost_again_and_again_asks_its_driver_once() -> None:
    vehicle = make_vehicle()
    make_access(vehicle=vehicle)
    connection = vehicle.connection
    assert connection is not None
    for minutes in (0, 10, 20):
        lost_at = NOW + timedelta(minutes=minutes)
        connection_status.needs_reconnect(connection, reason="lost", now=lost_at)
        if minutes < 20:
            connection_status.mark_active(connection, now=lost_at + timedelta(minutes=5))

    delivery.deliver_due(clock=lambda: NOW + timedelta(minutes=30), lanes=["mail"])

    sent = OutboxEntry.objects.filter(state="done").exclude(result__startswith="not sent")
    kinds = sorted(sent.values_list("kind", flat=True))
    assert kinds == ["mail_alert", "mail_reconnect"]
