import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from integrations.clients import fleetio_webhooks
from integrations.sandbox import FOREVER, Fault, Sandbox, faults
from integrations.sandbox.fleetio_webhooks import WAITS, FleetioWebhooks
from tests.integrations.sandbox.callback import FleetioCallback
from tests.integrations.sandbox.conftest import START, Client

SIGNATURE = "x-fleetio-webhook-signature"


@pytest.fixture
def callback(sandbox: Sandbox) -> Iterator[FleetioCallback]:
    server = FleetioCallback()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def webhooks(sandbox: Sandbox, callback: FleetioCallback) -> FleetioWebhooks:
    """Switched on; updates are gathered until a test flushes them."""
    webhooks = sandbox.fleetio.webhooks
    webhooks.url = f"{callback.origin}/webhooks/fleetio/"
    webhooks.compress = 0.0
    webhooks.gathering = None
    return webhooks


def post_issue(client: Client, **more: Any) -> dict[str, Any]:
    vehicle = client.sandbox.fleetio.records.vehicle(client.sandbox.fleet.cars[0].vin)
    body = {
        "asset_id": vehicle["id"],
        "asset_type": "Vehicle",
        "summary": "Oil low",
        "reported_at": START.isoformat(),
    }
    reply: dict[str, Any] = client.fleetio("/issues", "POST", json=body | more).json()
    return reply


def test_a_delivery_is_signed_so_that_the_portal_reads_it(
    client: Client, webhooks: FleetioWebhooks, callback: FleetioCallback
) -> None:
    issue = post_issue(client)
    assert webhooks.settle()
    (request,) = callback.received
    key = client.sandbox.environment()["FLEETIO_WEBHOOK_KEY"]
    assert fleetio_webhooks.is_genuine(request.body, request.headers[SIGNATURE], ["old", key])
    assert not fleetio_webhooks.is_genuine(request.body, request.headers[SIGNATURE], ["old"])
    event = fleetio_webhooks.parse(request.body)
    assert (event.event, event.at, event.record_id) == ("issue_created", START, issue["id"])
    assert event.vehicle_id == issue["asset"]["id"]
    assert request.json()["timestamp"] == "2026-03-02T03:00:00.000-06:00"


def test_an_issue_is_told_of_in_the_shape_of_older_versions(
    client: Client, webhooks: FleetioWebhooks, callback: FleetioCallback
) -> None:
    post_issue(client)
    assert webhooks.settle()
    (event,) = callback.events
    assert set(event) == {"id", "event", "timestamp", "triggered_by", "payload"}
    payload = event["payload"]
    assert (payload["name"], payload["vehicle_name"]) == ("Oil low", "Van 1")
    assert "vehicle_id" in payload
    assert not {"asset", "asset_id", "asset_type"} & set(payload)


def test_each_thing_that_happens_has_its_event(client: Client, webhooks: FleetioWebhooks) -> None:
    fleetio, vin = client.sandbox.fleetio, client.sandbox.fleet.cars[0].vin
    with webhooks.held() as events:
        first, second = (post_issue(client) for _ in range(2))
        fleetio.comment(first["id"], "Look at this")
        fleetio.move_issue(second["id"], "close", "no fault")
        fleetio.add_service_entry(vin, issue_ids=[first["id"]])
        client.fleetio("/fault_rules", "POST", json={"code": "P0420"})
        fault = {"vehicle_id": first["asset"]["id"], "code": "P0420"}
        made = client.fleetio("/faults", "POST", json=fault).json()
        client.fleetio(f"/faults/{made['id']}", "PATCH", json={"status": "resolved"})
    parsed = [fleetio_webhooks.parse(webhooks.package(event)[0]) for event in events]
    assert [(event.event, event.record_id) for event in parsed if "issue" in event.event] == [
        ("issue_created", first["id"]),
        ("issue_created", second["id"]),
        ("issue_comment_added", first["id"]),
        ("issue_closed", second["id"]),
        ("issue_resolved", first["id"]),
    ]
    assert [event.event for event in parsed if "issue" not in event.event] == [
        "meter_entry_created",
        "service_entry_created",
        "fault_created",
        "fault_resolved",
    ]
    assert {event.vehicle_id for event in parsed} == {first["asset"]["id"], None}


def test_reopening_is_told_of_as_an_update_only(client: Client, webhooks: FleetioWebhooks) -> None:
    issue = post_issue(client)
    client.sandbox.fleetio.move_issue(issue["id"], "close")
    webhooks.flush()
    with webhooks.held() as events:
        client.sandbox.fleetio.move_issue(issue["id"], "reopen")
        webhooks.flush()
    assert [event.type for event in events] == ["issue_updated"]


def test_updates_are_gathered_and_told_of_once(
    client: Client, webhooks: FleetioWebhooks, callback: FleetioCallback
) -> None:
    issue = post_issue(client)
    assert webhooks.settle()
    callback.received.clear()
    for summary in ("a", "b", "c"):
        client.fleetio(f"/issues/{issue['id']}", "PATCH", json={"summary": summary})
    assert callback.received == []
    webhooks.flush()
    assert webhooks.flush() == []
    assert webhooks.settle()
    assert [event["payload"]["summary"] for event in callback.events] == ["c"]


def test_updates_are_told_of_by_themselves_after_a_while(
    client: Client, webhooks: FleetioWebhooks, callback: FleetioCallback
) -> None:
    issue = post_issue(client)
    webhooks.compress, webhooks.gathering = 1.0, 0.05
    client.fleetio(f"/issues/{issue['id']}", "PATCH", json={"summary": "a"})
    until = time.monotonic() + 5
    while "issue_updated" not in callback.names and time.monotonic() < until:
        time.sleep(0.01)
    assert Counter(callback.names) == {"issue_created": 1, "issue_updated": 1}


def test_a_bulk_job_is_told_of_in_one_event(client: Client, webhooks: FleetioWebhooks) -> None:
    vehicle = client.sandbox.fleetio.records.vehicle(client.sandbox.fleet.cars[0].vin)
    record = {
        "vehicle_id": vehicle["id"],
        "value": float(vehicle["primary_meter_value"]),
        "date": START.isoformat(),
    }
    body = {"resource": "meter_entry", "operation": "create", "records": [record] * 3}
    with webhooks.held() as events:
        client.fleetio("/bulk_api_jobs", "POST", json=body)
        client.fleetio("/accounts")
    (event,) = (fleetio_webhooks.parse(webhooks.package(event)[0]) for event in events)
    assert event.event == "import_completed"
    rows = client.sandbox.fleetio.meter_entries(vehicle["vin"])
    assert event.affected_record_ids == tuple(row["id"] for row in rows[1:])


def test_an_event_may_come_twice_late_and_in_any_order(
    client: Client, webhooks: FleetioWebhooks, callback: FleetioCallback
) -> None:
    with webhooks.held() as events:
        issue = post_issue(client)
        client.sandbox.fleetio.move_issue(issue["id"], "resolve")
        webhooks.flush()
    webhooks.doubled = 2
    webhooks.waits = (0.01,)
    webhooks.compress = 1.0
    webhooks.deliver(reversed(events))
    assert callback.names == [
        *["issue_updated"] * 2,
        *["issue_resolved"] * 2,
        *["issue_created"] * 2,
    ]
    assert len({event["id"] for event in callback.events}) == 3


def test_what_is_not_answered_with_200_is_sent_again_and_stays_the_same(
    client: Client, webhooks: FleetioWebhooks, callback: FleetioCallback
) -> None:
    callback.faults.add(Fault(status=503))
    callback.faults.add(Fault(status=202))
    callback.faults.add(faults.dropped_after())
    webhooks.lost_replies = 1
    post_issue(client)
    assert webhooks.settle()
    assert [delivery.status for delivery in webhooks.deliveries] == [None, 202, None, 200]
    assert len({request.body for request in callback.received}) == 1


def test_it_gives_up_after_a_day(
    client: Client, webhooks: FleetioWebhooks, callback: FleetioCallback
) -> None:
    callback.faults.add(Fault(status=401, times=FOREVER))
    post_issue(client)
    assert webhooks.settle()
    assert len(callback.received) == len(WAITS) == 29
    assert 22 * 3600 < sum(WAITS) < 26 * 3600


def test_it_calls_this_machine_only(webhooks: FleetioWebhooks) -> None:
    for url in ("http://example.com/", "https://127.0.0.1/", "ftp://localhost/"):
        with pytest.raises(ValueError, match="this machine"):
            webhooks.url = url


def test_without_an_address_nothing_is_told(client: Client, callback: FleetioCallback) -> None:
    post_issue(client)
    assert client.sandbox.fleetio.webhooks.flush() == []
    assert callback.received == []
