"""Celery's way in: the same services, no harm in twice, never or too late."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from pytest_django import Settings

from fleetportal.celery import app
from integrations import tasks
from integrations.clients.readings import ODOMETER
from integrations.models import Connection, Heartbeat, OAuthToken, OutboxEntry, Signal, Vehicle
from integrations.sandbox.faults import bad_gateway
from integrations.services import connection_status, fleetio_odometers, link_mails
from tests.factories import make_signal, make_vehicle
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=4) as running_world:
        yield running_world


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would go to the broker."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks.poll_vehicle, "apply_async", lambda **given: sent.append(given))
    return sent


def test_every_entry_of_the_schedule_is_a_task_that_exists() -> None:
    app.loader.import_default_modules()

    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] >= 10


def test_the_heartbeat_is_one_row_that_moves(world: World) -> None:
    tasks.heartbeat()
    at = world.pass_time(seconds=15)
    tasks.heartbeat()

    assert Heartbeat.objects.get().at == at


def test_each_due_car_wakes_one_task_that_expires(
    world: World, woken: list[dict[str, Any]]
) -> None:
    world.connect()
    late = Vehicle.objects.order_by("pk").last()
    assert late
    Vehicle.objects.filter(pk=late.pk).update(next_poll_at=world.now.replace(year=2027))

    assert tasks.poll_due_vehicles() == 3

    assert [given["expires"] for given in woken] == [300] * 3
    assert late.pk not in [given["args"][0] for given in woken]


def test_a_flood_of_due_cars_is_woken_in_portions(
    world: World, woken: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect()
    monkeypatch.setattr(tasks, "POLLS_AT_ONCE", 2)

    assert tasks.poll_due_vehicles() == len(woken) == 2


def test_the_same_task_twice_reads_a_car_once(world: World) -> None:
    car = world.connect().vehicles[0]

    tasks.poll_vehicle(car.pk)
    tasks.poll_vehicle(car.pk)

    assert world.batches() == 1
    assert Signal.objects.filter(vehicle=car, code=ODOMETER).exists()


def test_a_task_for_a_car_that_is_gone_does_nothing(world: World) -> None:
    tasks.poll_vehicle(4711)

    assert len(world.sandbox.smartcar.requests) == 0


def test_a_person_may_have_a_car_read_before_its_time(world: World) -> None:
    car = world.connect().vehicles[0]
    tasks.poll_vehicle(car.pk)
    world.pass_time(minutes=10)

    tasks.poll_vehicle(car.pk)
    assert world.batches() == 1
    tasks.poll_vehicle(car.pk, asked_at=world.now.isoformat())
    assert world.batches() == 2


def test_interrupted_and_old_tokens_are_refreshed(world: World) -> None:
    world.connect()
    assert (tasks.finish_interrupted_refreshes(), tasks.refresh_due_tokens()) == (0, 0)

    OAuthToken.objects.update(lease_until=world.now)
    assert tasks.finish_interrupted_refreshes() == 1
    world.pass_time(days=30)
    assert tasks.refresh_due_tokens() == 1
    assert tasks.refresh_due_tokens() == 0


def test_cars_that_were_not_listed_at_the_callback_are_listed(world: World) -> None:
    world.sandbox.smartcar.faults.add(bad_gateway(path="/v2.0/vehicles"))
    world.connect()

    assert tasks.list_missing_vehicles() == 1
    assert Connection.objects.get().vehicles_listed_at == world.now


def test_a_consent_that_was_left_half_ended_is_ended(world: World) -> None:
    connection_status.mark_revoked(world.connect().connection, reason="over", now=world.now)
    world.pass_time(minutes=6)

    assert tasks.finish_revoking() == 1
    assert OAuthToken.objects.get().refresh_token == ""


def test_each_lane_delivers_its_own(world: World) -> None:
    link_mails.send(world.make_link(), now=world.now)
    known = world.sandbox.fleetio.records.rows("vehicles")[0]
    car = make_vehicle(fleetio_id=known["id"], fleetio_meter_unit="mi")
    make_signal(vehicle=car, value=400_000.0)
    fleetio_odometers.queue_odometers(now=world.now)

    assert tasks.deliver_mail() == 1
    assert len(mail.outbox) == 1
    assert OutboxEntry.objects.get(lane="fleetio").state == "pending"
    tasks.deliver_fleetio()
    assert OutboxEntry.objects.get(lane="fleetio").state == "pending", "others may still join it"
    world.pass_time(seconds=30)
    tasks.deliver_fleetio()
    assert OutboxEntry.objects.get(lane="fleetio").state != "pending"


def test_without_credentials_nothing_is_asked(
    world: World, settings: Settings, woken: list[dict[str, Any]]
) -> None:
    world.connect()
    world.sandbox.smartcar.requests.clear()
    OAuthToken.objects.update(lease_until=world.now)
    settings.SMARTCAR_CLIENT_SECRET = ""
    settings.FLEETIO_API_TOKEN = ""

    assert tasks.poll_due_vehicles() == 0
    assert tasks.finish_interrupted_refreshes() == 0
    assert tasks.refresh_due_tokens() == 0
    assert tasks.list_missing_vehicles() == 0
    assert tasks.finish_revoking() == 0
    assert tasks.deliver_fleetio() == 0
    assert woken == []
    assert len(world.sandbox.smartcar.requests) == len(world.sandbox.fleetio.requests) == 0


def test_slow_polls_stand_in_a_line_of_their_own_that_every_worker_serves() -> None:
    def line_of(task: Any) -> str:
        return str(app.amqp.router.route({}, task.name)["queue"].name)

    assert line_of(tasks.poll_vehicle) == "polls"
    assert line_of(tasks.finish_interrupted_refreshes) == "celery"
    assert set(app.amqp.queues.consume_from) == {"polls", "celery"}
