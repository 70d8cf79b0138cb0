"""Fleetio's events: each record is asked for, once, and nothing is lost while it cannot be."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from integrations.models import ProviderGate, WebhookEvent
from integrations.sandbox import FOREVER
from integrations.sandbox.fleetio_webhooks import FleetioEvent
from integrations.services import fleetio_events, fleetio_inbox, webhooks
from maintenance.models import Rule, ServiceRecord
from tests.maintenance.fleetio_world import FleetioWorld, fleetio_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(settings: Settings) -> Iterator[FleetioWorld]:
    with fleetio_world(settings) as running:
        running.sandbox.fleetio.webhooks.gathering = None
        running.open_alert()
        running.deliver_all()
        yield running


def receive(world: FleetioWorld, events: Iterable[FleetioEvent]) -> None:
    sender = world.sandbox.fleetio.webhooks
    for event in events:
        body, headers = sender.package(event)
        signature = headers["X-Fleetio-Webhook-Signature"]
        status = fleetio_inbox.receive(body, signature=signature, keys=[sender.key], now=world.now)
        assert status == 200


def process(world: FleetioWorld) -> fleetio_events.Counts:
    return fleetio_events.process_due(now=world.now)


def asked(world: FleetioWorld) -> int:
    return world.sandbox.fleetio.requests.count("GET", pattern=r"/issues/\d+$")


def states() -> set[str]:
    return set(WebhookEvent.objects.values_list("state", flat=True))


def test_what_ends_there_ends_here_at_once(world: FleetioWorld) -> None:
    sender = world.sandbox.fleetio.webhooks
    with sender.held() as events:
        world.move("resolve", "Changed it")
        sender.flush()
    before = asked(world)
    receive(world, [*events, *events])
    counts = process(world)

    assert (counts.processed, asked(world) - before) == (len(events), 1)
    alert = world.alert()
    assert (alert.status, alert.resolution, alert.note) == ("resolved", "fleetio", "Changed it")
    assert {row.note for row in WebhookEvent.objects.all()} == {
        f"issue {world.issue()}: the alert ended"
    }
    assert {row.vehicle for row in WebhookEvent.objects.all()} == {world.car}


def test_the_order_of_events_does_not_matter(world: FleetioWorld) -> None:
    sender = world.sandbox.fleetio.webhooks
    with sender.held() as events:
        world.move("resolve")
        world.pass_time(minutes=1)
        world.move("reopen")
        sender.flush()
    for event in reversed(events):
        receive(world, [event])
        process(world)

    assert world.alert().status == "open"
    assert states() == {"processed"}


@pytest.mark.parametrize("status", [429, 401, 503])
def test_events_wait_while_fleetio_cannot_be_asked(world: FleetioWorld, status: int) -> None:
    with world.sandbox.fleetio.webhooks.held() as events:
        world.move("close")
    receive(world, events)
    fault = world.fault(method="GET", pattern="issues", status=status, times=FOREVER)
    assert process(world).processed == 0
    assert process(world).processed == 0
    assert states() == {"received"}
    world.sandbox.fleetio.faults.remove(fault)
    ProviderGate.objects.update(paused_until=None, refused_at=None)
    world.pass_time(minutes=2)
    process(world)

    assert states() == {"processed"}
    assert world.alert().status == "resolved"


def test_what_fails_for_a_day_is_given_up_and_may_be_replayed(world: FleetioWorld) -> None:
    with world.sandbox.fleetio.webhooks.held() as events:
        world.move("close")
    receive(world, events)
    fault = world.fault(method="GET", pattern="issues", status=503, times=FOREVER)
    world.pass_time(days=2)
    assert process(world).failed == len(events)
    world.sandbox.fleetio.faults.remove(fault)
    assert webhooks.replay(WebhookEvent.objects.earliest("pk"), now=world.now, user=None)
    process(world)

    assert world.alert().status == "resolved"


def test_events_of_others_cost_no_call(world: FleetioWorld) -> None:
    sender = world.sandbox.fleetio.webhooks
    before = len(world.sandbox.fleetio.requests)
    strangers = [
        sender.event("issue_updated", {"id": 999}),
        sender.event("vehicle_updated", {"id": 1}),
        sender.event("service_entry_created", {"id": 5, "vehicle_id": 99_999}),
    ]
    receive(world, strangers)
    assert process(world).ignored == 3

    assert len(world.sandbox.fleetio.requests) == before
    assert set(WebhookEvent.objects.values_list("note", flat=True)) == {
        "not an issue of ours",
        "vehicle_updated: nothing depends on it",
        "not a vehicle of ours",
    }


def test_what_was_deleted_there_is_said(world: FleetioWorld) -> None:
    number = world.there()["id"]
    del world.sandbox.fleetio.records.tables["issues"][number]
    receive(world, [world.sandbox.fleetio.webhooks.event("issue_deleted", {"id": number})])
    process(world)

    assert world.issue().state == "deleted"
    assert world.alert().status == "open"


def test_a_service_that_is_written_down_there_is_known_here(world: FleetioWorld) -> None:
    Rule.objects.filter(kind="service_interval", topic="tire-rotation").update(
        service_names="Rotate Tires"
    )
    records = world.sandbox.fleetio.records
    records.insert("service_tasks", {"name": "Rotate Tires", "description": None})
    sender = world.sandbox.fleetio.webhooks
    with sender.held() as events:
        entry = world.sandbox.fleetio.add_service_entry(
            world.car.vin or "", tasks=["Rotate Tires"], completed_at=world.now - timedelta(days=1)
        )
    receive(world, events)
    process(world)
    record = ServiceRecord.objects.get()
    assert (record.topic, record.reference) == ("tire-rotation", f"entry:{entry['id']}")

    del records.tables["service_entries"][entry["id"]]
    receive(world, [sender.event("service_entry_deleted", {"id": entry["id"]})])
    process(world)
    assert not ServiceRecord.objects.exists()


def test_an_import_is_followed_by_a_sync(world: FleetioWorld) -> None:
    world.move("close")
    receive(world, [world.sandbox.fleetio.webhooks.event("import_completed", {"id": 1})])
    process(world)

    assert world.alert().status == "resolved"
