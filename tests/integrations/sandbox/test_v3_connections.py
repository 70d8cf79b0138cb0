from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from integrations.sandbox import Fault, Sandbox
from integrations.sandbox.cars import Car
from tests.integrations.sandbox.conftest import Client, Clock


@pytest.fixture
def car(client: Client) -> Car:
    """Connected, as all cars of its driver."""
    car = client.sandbox.fleet.cars[0]
    client.connect(car.driver, scope="read_vin read_odometer")
    return car


@pytest.fixture
def token(client: Client) -> str:
    return client.application_token()


@pytest.fixture
def webhook_id(client: Client) -> str:
    return client.sandbox.smartcar.webhooks.webhook_id


def find(client: Client, token: str, path: str = "/connections", **query: str) -> Any:
    names = {name: f"filter[{name.replace('_', '.')}]" for name in query}
    params = {names[name]: value for name, value in query.items()}
    return client.v3(path, token, params=params).json()["data"]


def subscribe(client: Client, token: str, car: Car, webhook_id: str) -> requests.Response:
    attributes = {
        "webhookId": webhook_id,
        "userId": client.sandbox.fleet.driver(car.driver).user_id,
        "vehicleId": car.smartcar_id,
    }
    body = {"data": {"attributes": attributes}}
    return client.v3("/subscriptions", token, "POST", json=body)


def test_connection_has_the_recorded_shape(client: Client, car: Car, clock: Clock) -> None:
    clock.pass_time(days=1)
    client.connect(car.driver, scope="read_vin read_odometer read_fuel")
    token = client.application_token()
    (found,) = find(client, token, vehicleId=car.smartcar_id)
    origin, user = client.sandbox.smartcar.origin, client.sandbox.fleet.driver(car.driver).user_id
    assert found == {
        "id": found["id"],
        "type": "connection",
        "attributes": {
            "permissions": ["read_fuel", "read_odometer", "read_vin"],
            "vehicle": {
                "make": "CHEVROLET",
                "model": car.model,
                "year": car.year,
                "mode": "live",
                "powertrainType": "ICE",
            },
            "user": {"id": user},
        },
        "relationships": {
            "vehicle": {
                "data": {"id": car.smartcar_id, "type": "vehicle"},
                "links": {"related": f"{origin}/v3/vehicles/{car.smartcar_id}"},
            },
            "user": {"data": {"id": user, "type": "user"}},
        },
        "meta": {
            "createdAt": "2026-03-02T09:00:00.000Z",
            "updatedAt": "2026-03-03T09:00:00.000Z",
        },
        "links": {"self": f"{origin}/v3/connections/{found['id']}"},
    }
    assert client.v3(f"/connections/{found['id']}", token).json() == {"data": found}


def test_connections_are_filtered_by_user_car_and_mode(
    client: Client, car: Car, token: str
) -> None:
    one, two = client.sandbox.fleet.drivers
    client.connect(two.email, mode="simulated")
    assert len(find(client, token)) == 8
    assert len(find(client, token, userId=one.user_id)) == 4
    assert len(find(client, token, vehicle_mode="simulated")) == 4
    assert find(client, token, userId=two.user_id, vehicleId=car.smartcar_id) == []
    assert len(client.v3("/connections", token, user=two.user_id).json()["data"]) == 4


def test_connections_come_in_pages_that_link_to_each_other(clock: Clock) -> None:
    with Sandbox(vehicles=23, drivers=1, clock=clock) as sandbox, requests.Session() as http:
        client = Client(sandbox, http)
        client.connect()
        token = client.application_token()
        first = client.v3("/connections", token, params={"filter[vehicle.mode]": "live"}).json()
        assert first["meta"] == {
            "pageNumber": 1,
            "pageSize": 10,
            "totalCount": 23,
            "orderBy": "createdAt",
            "orderDirection": "DESC",
        }
        assert first["links"]["prev"] is None
        assert first["links"]["self"] == first["links"]["first"]
        seen, page = list(first["data"]), first
        while url := page["links"]["next"]:
            assert parse_qs(urlsplit(url).query)["filter[vehicle.mode]"] == ["live"]
            headers = {"Authorization": f"Bearer {token}"}
            page = http.get(url, headers=headers, timeout=5).json()
            seen += page["data"]
        assert page["links"]["self"] == first["links"]["last"]
        assert len({one["id"] for one in seen}) == 23
        for wrong in ({"page[size]": "101"}, {"page[size]": "0"}, {"page[number]": "x"}):
            refused = client.v3("/connections", token, params=wrong)
            assert (refused.status_code, refused.json()["errors"][0]["type"]) == (400, "VALIDATION")
        most = client.v3("/connections", token, params={"page[size]": "100"}).json()
        assert len(most["data"]) == 23


def test_deleted_connection_is_gone_in_both_generations(
    client: Client, car: Car, token: str
) -> None:
    access = client.connect(car.driver)["access_token"]
    (found,) = find(client, token, vehicleId=car.smartcar_id)
    reply = client.v3(f"/connections/{found['id']}", token, "DELETE")
    assert (reply.status_code, reply.content) == (204, b"")
    assert client.v3(f"/connections/{found['id']}", token).status_code == 404
    assert car.smartcar_id not in client.smartcar("/vehicles", access).json()["vehicles"]
    client.connect(car.driver)
    (again,) = find(client, token, vehicleId=car.smartcar_id)
    assert again["id"] != found["id"]


def test_deleted_user_has_no_connections(client: Client, car: Car, token: str) -> None:
    user = client.sandbox.fleet.driver(car.driver).user_id
    assert client.v3(f"/users/{user}", token, "DELETE").status_code == 204
    assert find(client, token) == []
    assert client.v3(f"/users/{user}", token, "DELETE").status_code == 404


def test_fault_can_strike_the_connection_of_one_car(client: Client, car: Car, token: str) -> None:
    struck, spared = find(client, token)[:2]
    vehicle_id = struck["relationships"]["vehicle"]["data"]["id"]
    vin = client.sandbox.fleet.car(vehicle_id).vin
    client.sandbox.smartcar.faults.add(Fault(vehicle=vin, error=("SERVER", "INTERNAL")))
    assert client.v3(f"/connections/{spared['id']}", token, "DELETE").status_code == 204
    assert client.v3(f"/connections/{struck['id']}", token, "DELETE").status_code == 500
    assert client.v3(f"/connections/{struck['id']}", token, "DELETE").status_code == 204


def test_subscription_is_made_listed_and_ended(
    client: Client, car: Car, token: str, webhook_id: str
) -> None:
    accepted = subscribe(client, token, car, webhook_id)
    assert accepted.status_code == 202
    assert accepted.json()["meta"]["message"]
    assert subscribe(client, token, car, webhook_id).status_code == 409
    (found,) = find(client, token, "/subscriptions", webhookId=webhook_id)
    assert found["type"] == "subscription"
    assert found["attributes"] == {
        "webhookId": webhook_id,
        "userId": client.sandbox.fleet.driver(car.driver).user_id,
        "vehicleId": car.smartcar_id,
        "createdAt": "2026-03-02T09:00:00.000Z",
    }
    assert find(client, token, "/subscriptions", vehicleId="another") == []
    path = f"/subscriptions/{found['id']}"
    assert client.v3(path, token).json() == {"data": found}
    client.sandbox.smartcar.faults.add(Fault(vehicle=car.vin, status=503))
    assert client.v3(path, token, "DELETE").status_code == 503
    assert client.v3(path, token, "DELETE").status_code == 204
    assert client.v3(path, token, "DELETE").status_code == 404
    assert find(client, token, "/subscriptions") == []


def test_subscription_can_be_listed_late(
    client: Client, car: Car, token: str, webhook_id: str, clock: Clock
) -> None:
    client.sandbox.smartcar.subscription_delay = timedelta(minutes=1)
    assert subscribe(client, token, car, webhook_id).status_code == 202
    assert find(client, token, "/subscriptions") == []
    assert subscribe(client, token, car, webhook_id).status_code == 409
    clock.pass_time(minutes=1)
    assert len(find(client, token, "/subscriptions")) == 1


def test_what_cannot_be_subscribed_is_refused(
    client: Client, car: Car, token: str, webhook_id: str
) -> None:
    foreign = next(one for one in client.sandbox.fleet.cars if one.driver != car.driver)
    assert subscribe(client, token, car, "another").status_code == 404
    assert subscribe(client, token, foreign, webhook_id).status_code == 403
    empty = client.v3("/subscriptions", token, "POST", json={"data": None})
    assert (empty.status_code, empty.json()["errors"][0]["type"]) == (400, "VALIDATION")


def test_ended_connection_ends_its_subscription(
    client: Client, car: Car, token: str, webhook_id: str
) -> None:
    subscribe(client, token, car, webhook_id)
    client.connect(car.driver)
    assert len(find(client, token, "/subscriptions")) == 1, "a repeated consent keeps it"
    client.sandbox.smartcar.connect.revoke(car.driver)
    client.connect(car.driver)
    assert find(client, token, "/subscriptions") == []
    assert subscribe(client, token, car, webhook_id).status_code == 202


def test_both_generations_share_the_subscriptions(
    client: Client, car: Car, token: str, webhook_id: str
) -> None:
    access = client.connect(car.driver)["access_token"]
    path = f"/vehicles/{car.smartcar_id}/webhooks/{webhook_id}"
    made = client.smartcar(path, access, "POST")
    assert made.json() == {"webhookId": webhook_id, "vehicleId": car.smartcar_id}
    assert client.smartcar(path, access, "POST").status_code == 200
    assert len(find(client, token, "/subscriptions")) == 1
    management_token = client.sandbox.smartcar.management.token
    assert client.smartcar(path, access, "DELETE").status_code == 401
    assert client.smartcar(path, management_token, "DELETE").json() == {"status": "success"}
    assert client.smartcar(path, management_token, "DELETE").status_code == 404
    assert find(client, token, "/subscriptions") == []
    unknown = f"/vehicles/{car.smartcar_id}/webhooks/another"
    assert client.smartcar(unknown, access, "POST").json()["type"] == "RESOURCE_NOT_FOUND"


def test_signals_can_need_a_subscription(
    client: Client, car: Car, token: str, webhook_id: str
) -> None:
    client.sandbox.smartcar.needs_subscription = True
    user = client.sandbox.fleet.driver(car.driver).user_id
    path = f"/vehicles/{car.smartcar_id}/signals"
    assert client.v3(path, token, user=user).status_code == 404
    subscribe(client, token, car, webhook_id)
    assert client.v3(path, token, user=user).status_code == 200
