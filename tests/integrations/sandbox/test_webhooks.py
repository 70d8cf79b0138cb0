import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from integrations.sandbox import FOREVER, Fault, faults
from integrations.sandbox.cars import Car
from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.server import StubServer
from integrations.sandbox.webhook_events import encode, sign, signed
from integrations.sandbox.webhooks import Webhooks
from tests.integrations.sandbox.conftest import START, Client, Clock

ODOMETER = "odometer-traveleddistance"
OIL_LIFE = "internalcombustionengine-oillife"


class Callback(StubServer):
    """A portal that keeps what it is sent; `faults` make it fail."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self.received: list[Request] = []
        self.route("POST", "/webhooks/smartcar/", self._take)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [request.json() for request in self.received]

    def answer(self, request: Request) -> Reply | None:
        self.received.append(request)
        return super().answer(request)

    def _take(self, request: Request) -> Reply:
        event = request.json()
        if event["eventType"] != "VERIFY":
            return json_reply({})
        challenge = event["data"]["challenge"].encode()
        proof = hmac.new(self.token.encode(), challenge, hashlib.sha256).hexdigest()
        return json_reply({"challenge": proof})


@pytest.fixture
def callback(client: Client) -> Iterator[Callback]:
    server = Callback(client.sandbox.smartcar.management.token)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def webhooks(client: Client, callback: Callback) -> Webhooks:
    """Switched on, and without waits between attempts."""
    webhooks = client.sandbox.smartcar.webhooks
    webhooks.url = f"{callback.origin}/webhooks/smartcar/"
    webhooks.compress = 0.0
    return webhooks


@pytest.fixture
def car(client: Client, webhooks: Webhooks, callback: Callback) -> Car:
    """Connected and subscribed; its first event has come and is forgotten."""
    car = client.sandbox.fleet.cars[0]
    subscribe(client, car)
    assert webhooks.settle()
    callback.received.clear()
    webhooks.deliveries.clear()
    return car


def subscribe(client: Client, car: Car) -> None:
    access = client.connect(car.driver, scope="read_vin read_odometer read_engine_oil")
    path = f"/vehicles/{car.smartcar_id}/webhooks/{client.sandbox.smartcar.webhooks.webhook_id}"
    assert client.smartcar(path, access["access_token"], "POST").status_code == 200


def statuses(webhooks: Webhooks) -> list[int | None]:
    return [delivery.status for delivery in webhooks.deliveries]


def test_state_of_a_car_has_the_recorded_shape(
    client: Client, webhooks: Webhooks, callback: Callback, car: Car, clock: Clock
) -> None:
    car.report(START - timedelta(hours=1), odometer_km=104.32, oil_life=0.35)
    clock.pass_time(minutes=5)
    webhooks.report(car, [OIL_LIFE], wait=True)
    (event,) = callback.events
    assert list(event) == ["eventId", "eventType", "data", "triggers", "meta"]
    assert event["eventType"] == "VEHICLE_STATE"
    assert event["data"]["user"] == {"id": client.sandbox.fleet.driver(car.driver).user_id}
    assert event["data"]["vehicle"] == {
        "id": car.smartcar_id,
        "make": "CHEVROLET",
        "model": car.model,
        "year": car.year,
        "mode": "live",
        "powertrainType": "ICE",
    }
    signal = {"code": OIL_LIFE, "name": "OilLife", "group": "InternalCombustionEngine"}
    assert event["triggers"] == [{"type": "SIGNAL_UPDATED", "signal": signal}]
    found = {signal["code"]: signal for signal in event["data"]["signals"]}
    assert found[ODOMETER] == {
        "code": ODOMETER,
        "name": "TraveledDistance",
        "group": "Odometer",
        "body": {"value": 104.32, "unit": "km"},
        "meta": {"oemUpdatedAt": 1772438400000, "retrievedAt": 1772442300000},
        "status": {"value": "SUCCESS"},
    }
    assert found[OIL_LIFE]["body"] == {"value": 35, "unit": "percent"}
    vin = found["vehicleidentification-vin"]
    assert vin["meta"] == {"oemUpdatedAt": 0, "retrievedAt": 0}
    withheld = found["wheel-tires"]
    assert "body" not in withheld
    assert withheld["status"]["error"] == {"type": "PERMISSION", "code": "UNKNOWN"}
    meta = event["meta"]
    assert meta.pop("deliveryId")
    assert meta == {
        "version": "4.0",
        "deliveredAt": 1772442300000,
        "webhookId": webhooks.webhook_id,
        "webhookName": webhooks.name,
        "sequence": 1772442300000,
        "signalCount": len(found),
        "mode": "LIVE",
    }


def test_event_is_signed_with_the_management_token_of_the_moment(
    client: Client, webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    webhooks.report(car, wait=True)
    client.sandbox.smartcar.management.token = "rotated"
    webhooks.report(car, wait=True)
    for request, token in zip(callback.received, (callback.token, "rotated"), strict=True):
        proof = hmac.new(token.encode(), request.body, hashlib.sha256).hexdigest()
        assert request.headers["sc-signature"] == proof
        assert request.headers["user-agent"] == "Smartcar/1.0"
        assert request.headers["content-type"] == "application/json"
        assert b'": ' not in request.body, "compact JSON"


def test_subscribing_is_followed_by_a_first_delivery(
    client: Client, webhooks: Webhooks, callback: Callback
) -> None:
    subscribe(client, client.sandbox.fleet.cars[0])
    assert webhooks.settle()
    (event,) = callback.events
    assert event["triggers"] == [{"type": "FIRST_DELIVERY"}]
    assert event["data"]["signals"]


def test_nothing_is_sent_without_a_url_or_a_subscription(
    client: Client, webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    assert webhooks.report(client.sandbox.fleet.cars[1], wait=True) == []
    webhooks.url = None
    webhooks.report(car, wait=True)
    client.connect(client.sandbox.fleet.cars[1].driver)
    assert callback.received == []
    assert not webhooks.deliveries


def test_only_this_machine_is_called(webhooks: Webhooks) -> None:
    for url in ("http://portal.example.com/", "https://127.0.0.1/", "nonsense"):
        with pytest.raises(ValueError, match="this machine"):
            webhooks.url = url


def test_error_and_its_end(webhooks: Webhooks, callback: Callback, car: Car) -> None:
    account = ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")
    webhooks.report_error(car, *account, wait=True)
    webhooks.report_error(car, *account, state="RESOLVED", wait=True)
    webhooks.report_error(car, "PERMISSION", None, signals=["wheel-tires"], wait=True)
    failed, mended, withheld = (event["data"]["errors"][0] for event in callback.events)
    assert {event["eventType"] for event in callback.events} == {"VEHICLE_ERROR"}
    assert (failed["type"], failed["code"], failed["state"]) == (*account, "ERROR")
    assert failed["resolution"]["type"] == "REAUTHENTICATE"
    assert failed["docURL"]
    assert "signals" not in failed
    assert (mended["type"], mended["code"], mended["state"]) == (*account, "RESOLVED")
    assert "resolution" not in mended
    assert withheld["code"] is None
    assert withheld["signals"] == [{"code": "wheel-tires", "name": "Tires", "group": "Wheel"}]
    assert "signalCount" not in callback.events[0]["meta"]
    assert callback.events[0]["data"]["vehicle"]["id"] == car.smartcar_id


def test_verification_needs_the_right_answer(webhooks: Webhooks, callback: Callback) -> None:
    assert webhooks.verify()
    asked = callback.received[0]
    assert "sc-signature" not in asked.headers
    assert set(asked.json()["data"]) == {"challenge"}
    callback.token = "wrong"
    assert not webhooks.verify()
    callback.faults.add(Fault(status=200, body="no JSON", content_type="text/plain"))
    assert not webhooks.verify()
    webhooks.url = None
    with pytest.raises(RuntimeError, match="no url"):
        webhooks.verify()


def test_test_payload_says_so(webhooks: Webhooks, callback: Callback) -> None:
    webhooks.send_test(wait=True)
    (event,) = callback.events
    assert (event["eventType"], event["meta"]["mode"]) == ("VEHICLE_STATE", "TEST")
    assert callback.received[0].headers["sc-signature"]


def test_failed_delivery_is_tried_four_times_and_dropped(
    webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    callback.faults.add(Fault(status=503, times=FOREVER))
    webhooks.report(car, wait=True)
    assert [(one.attempt, one.status) for one in webhooks.deliveries] == [
        (1, 503),
        (2, 503),
        (3, 503),
        (4, 503),
    ]
    assert len({event["eventId"] for event in callback.events}) == 1
    assert len({event["meta"]["deliveryId"] for event in callback.events}) == 4
    assert len({request.headers["sc-signature"] for request in callback.received}) == 4


def test_delivery_ends_with_the_first_success(
    webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    callback.faults.add(faults.dropped_after())
    callback.faults.add(Fault(status=400))
    callback.faults.add(Fault(status=204, body=b""))
    webhooks.report(car, wait=True)
    assert statuses(webhooks) == [None, 400, 204]


def test_redirect_is_a_failure_and_not_followed(
    webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    there = f"{callback.origin}/elsewhere/"
    callback.faults.add(Fault(status=302, body=b"", headers={"Location": there}))
    webhooks.report(car, wait=True)
    assert statuses(webhooks) == [302, 200]
    assert {request.path for request in callback.received} == {"/webhooks/smartcar/"}


def test_slow_answer_counts_as_none(webhooks: Webhooks, callback: Callback, car: Car) -> None:
    webhooks.timeout = 0.1
    callback.faults.add(faults.slow(5))
    webhooks.report(car, wait=True)
    assert statuses(webhooks) == [None, 200]


def test_attempts_are_further_and_further_apart(
    webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    webhooks.compress = 0.002
    callback.faults.add(Fault(status=500, times=FOREVER))
    began = time.monotonic()
    webhooks.report(car, wait=True)
    assert time.monotonic() - began >= 175 * 0.002


def test_events_can_be_sent_several_times(webhooks: Webhooks, callback: Callback, car: Car) -> None:
    webhooks.doubled = 3
    webhooks.report(car)
    assert webhooks.settle()
    assert len(callback.events) == 3
    assert len({event["eventId"] for event in callback.events}) == 1
    assert len({event["meta"]["deliveryId"] for event in callback.events}) == 3


def test_held_events_are_sent_in_the_order_wanted(
    webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    with webhooks.held() as events:
        for km in range(10):
            car.odometer_km = float(km)
            webhooks.report(car)
    assert callback.received == []
    events.sort(key=lambda event: event.id)
    webhooks.deliver(events)
    assert [event["eventId"] for event in callback.events] == [event.id for event in events]
    callback.received.clear()
    webhooks.deliver(events, threads=4)
    sent = Counter(event["eventId"] for event in callback.events)
    assert sent == Counter(event.id for event in events)


def test_events_go_out_side_by_side(webhooks: Webhooks, callback: Callback, car: Car) -> None:
    """As many at once as there are events: none waits for another's answer."""
    together = threading.Barrier(5, timeout=10)

    def take(_: Request) -> Reply:
        together.wait()
        return json_reply({})

    callback.routes.clear()
    callback.route("POST", "/webhooks/smartcar/", take)
    for _ in range(5):
        webhooks.report(car)
    assert webhooks.settle()
    assert statuses(webhooks) == [200] * 5


def test_stopped_server_sends_no_more(
    client: Client, webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    webhooks.compress = 1.0
    callback.faults.add(Fault(status=500))
    callback.faults.add(faults.slow(60))
    webhooks.report(car)
    webhooks.report(car)
    deadline = time.monotonic() + 5
    while len(callback.received) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    client.sandbox.stop()
    assert time.monotonic() - began < 5
    assert webhooks.settle(0)
    webhooks.deliver(webhooks.report(car, wait=True))
    assert len(callback.received) == 2
    client.sandbox.start()
    webhooks.report(car, wait=True)
    assert len(callback.received) == 3


def test_signed_body_can_be_built_without_sending(
    client: Client, webhooks: Webhooks, callback: Callback, car: Car, clock: Clock
) -> None:
    (connection,) = (
        one
        for one in client.sandbox.smartcar.tokens.all_connections()
        if one.vehicle_id == car.smartcar_id
    )
    event = webhooks.state(car, connection)
    body, headers = signed(event, token="secret", now=clock())
    assert headers["SC-Signature"] == sign(body, "secret")
    assert body == encode(json.loads(body))
    assert json.loads(body)["eventId"] == event.id
    reply = requests.post(str(webhooks.url), data=body, headers=headers, timeout=5)
    assert reply.status_code == 200
    assert callback.received[0].headers["sc-signature"] == headers["SC-Signature"]


def test_log_of_deliveries_keeps_no_secret(
    webhooks: Webhooks, callback: Callback, car: Car
) -> None:
    webhooks.report(car, wait=True)
    webhooks.verify()
    kept = repr(webhooks.deliveries)
    assert callback.token not in kept
    for request in callback.received:
        assert request.headers.get("sc-signature", callback.token) not in kept
