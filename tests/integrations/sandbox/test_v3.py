from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from integrations.sandbox import FOREVER, Fault, Sandbox, faults
from integrations.sandbox.cars import Car
from integrations.sandbox.smartcar_errors import ERRORS, V3_ERRORS
from tests.integrations.sandbox.conftest import START, Client, Clock

SCOPE = (
    "read_vin read_odometer read_engine_oil read_tires read_fuel read_battery read_location "
    "read_diagnostics read_service_history"
)
ODOMETER = "odometer-traveleddistance"


@pytest.fixture
def car(client: Client) -> Car:
    """Connected, with all that can be read."""
    car = client.sandbox.fleet.cars[0]
    client.connect(car.driver, scope=SCOPE)
    return car


@pytest.fixture
def token(client: Client) -> str:
    return client.application_token()


def user_of(client: Client, car: Car) -> str:
    return client.sandbox.fleet.driver(car.driver).user_id


def read(client: Client, token: str, car: Car, code: str = "", **options: Any) -> requests.Response:
    path = f"/vehicles/{car.smartcar_id}/signals" + (f"/{code}" if code else "")
    return client.v3(path, token, user=user_of(client, car), **options)


def signals(client: Client, token: str, car: Car) -> dict[str, Any]:
    return {item["id"]: item for item in read(client, token, car).json()["data"]}


def bodies(client: Client, token: str, car: Car) -> dict[str, Any]:
    found = signals(client, token, car)
    return {code: item["attributes"].get("body") for code, item in found.items()}


def error_of(reply: requests.Response) -> tuple[int, str, str | None]:
    (error,) = reply.json()["errors"]
    assert error["status"] == str(reply.status_code)
    assert reply.headers["SC-Request-Id"]
    return reply.status_code, error["type"], error["code"]


def test_readings_are_given_in_the_units_of_v3(client: Client, car: Car, token: str) -> None:
    car.report(START, odometer_km=104.32, oil_life=0.35, fuel=0.3, size=50)
    car.trouble_codes = [("P0420", START - timedelta(days=1)), "P0301"]
    car.systems = {"SYSTEM_MIL": "ALERT", "SYSTEM_BRAKE_FLUID": "OK"}
    car.tires["backRight"] = 172.0
    found = bodies(client, token, car)
    assert found[ODOMETER] == {"value": 104.32, "unit": "km"}
    assert found["internalcombustionengine-oillife"] == {"value": 35, "unit": "percent"}
    assert found["internalcombustionengine-fuellevel"] == {"value": 30, "unit": "percent"}
    assert found["internalcombustionengine-amountremaining"] == {"value": 15.0, "unit": "liters"}
    assert found["diagnostics-dtclist"] == {
        "values": [
            {"code": "P0420", "timestamp": "2026-03-01T09:00:00.000Z"},
            {"code": "P0301", "timestamp": None},
        ]
    }
    assert found["diagnostics-mil"]["status"] == "ALERT"
    assert found["diagnostics-brakefluid"] == {"status": "OK", "description": None}
    assert found["wheel-tires"]["values"][-1] == {"row": 1, "column": 1, "tirePressure": 172.0}
    assert (found["wheel-tires"]["rowCount"], found["wheel-tires"]["columnCount"]) == (2, 2)
    assert found["vehicleidentification-vin"] == {"value": car.vin}
    assert found["location-preciselocation"]["latitude"] == car.location[0]


def test_service_records_are_given_with_the_names_of_v3(
    client: Client, car: Car, token: str
) -> None:
    car.paths.add("/service/history")
    car.services = [
        {
            "serviceId": 1,
            "serviceDate": "2026-01-05T10:00:00.000Z",
            "odometerDistance": 46047.0,
            "serviceTasks": [{"taskId": "7", "taskDescription": "Oil change"}],
            "serviceDetails": [],
            "serviceCost": {"totalCost": None, "currency": None},
        }
    ]
    (record,) = bodies(client, token, car)["service-records"]["values"]
    assert record == {
        "id": 1,
        "time": "2026-01-05T10:00:00.000Z",
        "odometer": 46047.0,
        "tasks": [{"id": "7", "description": "Oil change"}],
        "details": [],
        "cost": {"amount": None, "currency": None},
    }


def test_signals_come_in_the_recorded_envelope(client: Client, car: Car, token: str) -> None:
    car.recorded_at = START - timedelta(hours=3)
    url = f"{client.sandbox.smartcar.origin}/v3/vehicles/{car.smartcar_id}"
    answer = read(client, token, car).json()
    assert answer["data"] == sorted(answer["data"], key=lambda item: str(item["id"]))
    count = len(answer["data"])
    assert answer["meta"] == {"totalCount": count, "pageSize": count, "pageNumber": 1}
    assert answer["links"] == {"self": f"{url}/signals"}
    assert answer["included"]["vehicle"]["attributes"] == {
        "make": "CHEVROLET",
        "model": car.model,
        "year": car.year,
        "mode": "live",
        "powertrainType": "ICE",
    }
    found = {item["id"]: item for item in answer["data"]}
    assert found[ODOMETER] == {
        "id": ODOMETER,
        "type": "signal",
        "attributes": {
            "code": ODOMETER,
            "name": "TraveledDistance",
            "group": "Odometer",
            "status": {"value": "SUCCESS"},
            "body": {"value": round(car.odometer_km, 2), "unit": "km"},
        },
        "meta": {
            "ingestedAt": "2026-03-02T09:00:00.000Z",
            "retrievedAt": "2026-03-02T09:00:00.000Z",
            "oemUpdatedAt": "2026-03-02T06:00:00.000Z",
        },
        "links": {"self": f"{url}/signals/{ODOMETER}"},
    }
    assert set(found["vehicleidentification-vin"]["meta"]) == {"ingestedAt"}
    assert found["diagnostics-dtclist"]["attributes"]["name"] == "DTCList"


@pytest.mark.parametrize(
    ("time_format", "recorded"),
    [("iso", "2026-03-02T06:00:00.250Z"), ("ms", 1772431200250), ("s", 1772431200)],
)
def test_times_are_written_as_the_server_is_told(
    client: Client, car: Car, token: str, time_format: str, recorded: object
) -> None:
    client.sandbox.smartcar.time_format = time_format
    car.recorded_at = datetime.fromisoformat("2026-03-02T06:00:00.250+00:00")
    assert signals(client, token, car)[ODOMETER]["meta"]["oemUpdatedAt"] == recorded


def test_what_the_car_cannot_give_or_the_driver_withheld_fails_alone(
    client: Client, token: str
) -> None:
    fleet = client.sandbox.fleet
    car = next(one for one in fleet.cars if one.make == "TESLA")
    client.connect(car.driver, scope="read_battery read_engine_oil read_diagnostics")
    found = signals(client, token, car)
    withheld, impossible = found[ODOMETER], found["internalcombustionengine-oillife"]
    assert withheld["attributes"]["status"]["error"] == {
        "type": "PERMISSION",
        "code": "UNKNOWN",
        "title": "Unknown",
        "detail": "The request failed: permission unknown.",
        "description": "Deprecated. Use detail",
        "resolution": {"type": "REAUTHENTICATE"},
    }
    error = impossible["attributes"]["status"]["error"]
    assert (error["type"], error["code"]) == ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")
    for failed in (withheld, impossible, found["diagnostics-mil"]):
        assert "body" not in failed["attributes"]
        assert set(failed["meta"]) == {"ingestedAt"}
    assert found["tractionbattery-stateofcharge"]["attributes"]["status"] == {"value": "SUCCESS"}


def test_sleeping_car_is_read_from_the_store(
    client: Client, car: Car, token: str, clock: Clock
) -> None:
    car.is_asleep = True
    clock.pass_time(minutes=50)
    item = signals(client, token, car)[ODOMETER]
    assert item["attributes"]["status"] == {"value": "SUCCESS"}
    assert set(item["meta"].values()) == {"2026-03-02T09:00:00.000Z"}


def test_one_signal_can_be_read_alone(client: Client, car: Car, token: str) -> None:
    answer = read(client, token, car, ODOMETER).json()
    assert answer["data"] == signals(client, token, car)[ODOMETER]
    assert answer["included"]["vehicle"]["id"] == car.smartcar_id
    for code in ("horoscope", "tractionbattery-stateofcharge"):
        assert error_of(read(client, token, car, code))[:2] == (404, "RESOURCE_NOT_FOUND")


def test_signals_can_come_in_pages(client: Client, car: Car, token: str) -> None:
    whole = read(client, token, car).json()
    client.sandbox.smartcar.signals_page_size = 5
    seen: list[Any] = []
    url: str | None = f"{client.sandbox.smartcar.origin}/v3/vehicles/{car.smartcar_id}/signals"
    headers = {"Authorization": f"Bearer {token}", "sc-user-id": user_of(client, car)}
    while url:
        page = client.http.get(url, headers=headers, timeout=5).json()
        assert page["meta"]["totalCount"] == len(whole["data"])
        assert page["meta"]["pageSize"] == 5
        seen += page["data"]
        url = page["links"].get("next")
    assert seen == whole["data"]
    smaller = read(client, token, car, params={"page[size]": "2", "page[number]": "3"}).json()
    assert smaller["data"] == whole["data"][4:6]


def test_signals_need_a_user_who_shares_the_car(client: Client, car: Car, token: str) -> None:
    path = f"/vehicles/{car.smartcar_id}/signals"
    assert error_of(client.v3(path, token)) == (400, "VALIDATION", "MISSING_PARAMETER")
    stranger = next(one for one in client.sandbox.fleet.cars if one.driver != car.driver)
    other = user_of(client, stranger)
    assert error_of(client.v3(path, token, user=other))[:2] == (403, "PERMISSION")
    missing = client.v3("/vehicles/nonsense/signals", token, user=other)
    assert error_of(missing)[:2] == (404, "RESOURCE_NOT_FOUND")


def test_only_a_living_application_token_opens_v3(client: Client, car: Car, clock: Clock) -> None:
    pair = client.connect(car.driver)
    refused = (401, "AUTHENTICATION", "UNAUTHORIZED")
    assert error_of(read(client, pair["access_token"], car)) == refused
    token = client.application_token()
    assert read(client, token, car).status_code == 200
    clock.pass_time(seconds=3600)
    assert error_of(read(client, token, car)) == refused
    token = client.application_token()
    client.sandbox.smartcar.iam.expire()
    assert error_of(read(client, token, car)) == refused
    assert error_of(client.http.get(client.sandbox.smartcar.origin + "/v3/x", timeout=5)) == refused


def test_token_endpoint_takes_form_and_json_and_refuses_the_rest(client: Client) -> None:
    env = client.sandbox.environment("v3")
    fields = {
        "grant_type": "client_credentials",
        "client_id": env["SMARTCAR_V3_CLIENT_ID"],
        "client_secret": env["SMARTCAR_V3_CLIENT_SECRET"],
    }

    def ask(**sent: Any) -> requests.Response:
        return client.http.post(env["SMARTCAR_IAM_ORIGIN"], timeout=5, **sent)

    first, second = ask(data=fields).json(), ask(json=fields).json()
    assert (first["token_type"], first["expires_in"]) == ("Bearer", 3600)
    assert first["access_token"] != second["access_token"]
    assert first["access_token"].count(".") == 2
    wrong: dict[str, tuple[dict[str, str], int]] = {
        "invalid_client": ({"client_secret": "wrong"}, 401),
        "invalid_request": ({"grant_type": ""}, 400),
        "unsupported_grant_type": ({"grant_type": "password"}, 400),
    }
    for error, (change, status) in wrong.items():
        reply = ask(data=fields | change)
        assert (reply.status_code, reply.json()["error"]) == (status, error)
    connect_id = ask(data=fields | {"client_id": env["SMARTCAR_APPLICATION_ID"]})
    assert connect_id.json()["error"] == "invalid_client"
    assert client.sandbox.smartcar.iam.exchanges == 2
    kept = repr(list(client.sandbox.smartcar.requests))
    assert fields["client_secret"] not in kept
    assert first["access_token"] not in kept


def test_a_read_of_signals_is_one_call(client: Client, car: Car, token: str) -> None:
    server = client.sandbox.smartcar
    read(client, token, car)
    read(client, token, car, ODOMETER)
    client.v3(f"/vehicles/{car.smartcar_id}", token)
    client.v3("/connections", token)
    assert server.calls(car.vin) == 2
    server.monthly_limit = 2
    assert error_of(read(client, token, car)) == (430, "BILLING", "VEHICLE_REQUEST_LIMIT")


def test_bucket_holds_both_generations(client: Client, car: Car, token: str) -> None:
    access = client.connect(car.driver)["access_token"]
    client.sandbox.smartcar.bucket = 2
    assert client.smartcar("/user", access).status_code == 200
    assert client.v3("/connections", token).status_code == 200
    assert error_of(client.v3("/connections", token)) == (429, "RATE_LIMIT", "SMARTCAR_API")


def test_car_that_cannot_be_reached_fails_as_a_whole(client: Client, car: Car, token: str) -> None:
    car.error = ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")
    reply = read(client, token, car)
    assert error_of(reply) == (400, *car.error)
    assert reply.json()["errors"][0]["resolution"] == {"type": "REAUTHENTICATE"}


@pytest.mark.parametrize(("type_", "code"), ERRORS | V3_ERRORS)
def test_every_error_of_the_tables_can_be_had(
    client: Client, car: Car, token: str, type_: str, code: str | None
) -> None:
    fault = Fault(path="/v3/", vehicle=car.vin, error=(type_, code), retry_after=120)
    client.sandbox.smartcar.faults.add(fault)
    reply = read(client, token, car)
    assert error_of(reply) == ((ERRORS | V3_ERRORS)[type_, code][0], type_, code)
    assert reply.headers["Retry-After"] == "120"
    assert read(client, token, car).status_code == 200


def test_fault_can_strike_one_signal_of_one_car(client: Client, car: Car, token: str) -> None:
    spared = client.sandbox.fleet.cars_of(client.sandbox.fleet.driver(car.driver))[1]
    add = client.sandbox.smartcar.faults.add
    add(Fault(item=ODOMETER, vehicle=car.vin, error=("UPSTREAM", "NO_RESPONSE"), times=FOREVER))
    add(Fault(item="wheel-tires", alter=lambda body: {**body, "values": "n/a"}))
    add(Fault(item="diagnostics-dtclist", body={"values": None}))
    found = signals(client, token, car)
    struck = found[ODOMETER]
    assert struck["attributes"]["status"]["error"]["code"] == "NO_RESPONSE"
    assert struck["attributes"]["body"] == {"value": round(car.odometer_km, 2), "unit": "km"}
    assert set(struck["meta"]) == {"ingestedAt", "retrievedAt", "oemUpdatedAt"}
    assert found["wheel-tires"]["attributes"]["body"]["values"] == "n/a"
    assert found["diagnostics-dtclist"]["attributes"]["body"] == {"values": None}
    whole = signals(client, token, spared)[ODOMETER]
    assert whole["attributes"]["status"] == {"value": "SUCCESS"}


def test_broken_replies(client: Client, car: Car, token: str) -> None:
    add = client.sandbox.smartcar.faults.add
    add(faults.bad_gateway(path="/v3/"))
    page = read(client, token, car)
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html")
    add(Fault(pattern="/signals$", alter=lambda answer: {**answer, "data": []}))
    assert read(client, token, car).json()["data"] == []
    add(faults.dropped_before(path="/oauth2/token"))
    with pytest.raises(requests.ConnectionError):
        client.application_token()


def test_vehicle_says_what_it_is_without_a_user(client: Client, car: Car, token: str) -> None:
    data = client.v3(f"/vehicles/{car.smartcar_id}", token).json()["data"]
    assert (data["id"], data["attributes"]["make"]) == (car.smartcar_id, "CHEVROLET")
    stranger = next(one for one in client.sandbox.fleet.cars if one.driver != car.driver)
    assert client.v3(f"/vehicles/{stranger.smartcar_id}", token).status_code == 404


def test_cars_can_have_another_id_in_v3(client: Client, car: Car, token: str) -> None:
    client.sandbox.smartcar.v3_ids[car.smartcar_id] = other = "11111111-2222-4333-8444-555555555555"
    user = user_of(client, car)
    assert client.v3(f"/vehicles/{car.smartcar_id}/signals", token, user=user).status_code == 404
    answer = client.v3(f"/vehicles/{other}/signals", token, user=user).json()
    assert answer["included"]["vehicle"]["id"] == other
    assert other in answer["links"]["self"]
    found = client.v3("/connections", token, params={"filter[vehicleId]": other}).json()["data"]
    assert [one["relationships"]["vehicle"]["data"]["id"] for one in found] == [other]
    access = client.connect(car.driver)["access_token"]
    assert car.smartcar_id in client.smartcar("/vehicles", access).json()["vehicles"]
    client.sandbox.smartcar.faults.add(Fault(vehicle=other, status=503))
    assert client.v3(f"/vehicles/{other}/signals", token, user=user).status_code == 503


def test_unknown_path_of_v3_is_refused_in_its_own_words(client: Client, token: str) -> None:
    wrong = client.v3("/vehicles/x/odometer", token)
    assert error_of(wrong) == (404, "RESOURCE_NOT_FOUND", "INVALID_PATH")


def test_settings_of_both_generations_are_given(sandbox: Sandbox) -> None:
    v2, v3 = sandbox.environment(), sandbox.environment("v3", webhooks=True)
    assert (v2.pop("SMARTCAR_API_VERSION"), v3.pop("SMARTCAR_API_VERSION")) == ("v2", "v3")
    assert v2.pop("SMARTCAR_WEBHOOK_ID") == ""
    assert v3.pop("SMARTCAR_WEBHOOK_ID") == sandbox.smartcar.webhooks.webhook_id
    assert v2 == v3
    assert v3["SMARTCAR_APPLICATION_ID"] == v3["SMARTCAR_CLIENT_ID"]
