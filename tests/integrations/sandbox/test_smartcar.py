import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import requests
import smartcar
from smartcar import config

from integrations.sandbox import FOREVER, Fault, Sandbox, faults
from integrations.sandbox.cars import Car
from integrations.sandbox.smartcar_errors import ERRORS
from tests.integrations.sandbox.conftest import REDIRECT_URI, START, Client, Clock

SCOPE = (
    "read_vehicle_info read_vin read_odometer read_engine_oil read_tires read_fuel read_battery "
    "read_charge read_location read_security read_diagnostics read_service_history"
)
DATA_HEADERS = {"sc-data-age", "sc-fetched-at", "sc-unit-system"}


@pytest.fixture
def car(client: Client) -> Car:
    return client.sandbox.fleet.cars[0]


@pytest.fixture
def token(client: Client, car: Car) -> str:
    return str(client.connect(car.driver, scope=SCOPE)["access_token"])


def read(client: Client, token: str, car: Car, path: str, **options: Any) -> requests.Response:
    return client.smartcar(f"/vehicles/{car.smartcar_id}{path}", token, **options)


def batch(client: Client, token: str, car: Car, *paths: str) -> requests.Response:
    body = {"requests": [{"path": path} for path in paths]}
    return read(client, token, car, "/batch", method="POST", json=body)


def test_each_endpoint_answers_as_documented(client: Client, car: Car, token: str) -> None:
    car.report(START, odometer_km=104.32, oil_life=0.35, trouble_codes=["P0420"])
    car.systems = {"SYSTEM_MIL": "ALERT"}
    car.fuel, car.size = 0.3, 50
    expected: dict[str, Any] = {
        "": {"id": car.smartcar_id, "make": "CHEVROLET", "model": car.model, "year": car.year},
        "/": {"id": car.smartcar_id, "make": "CHEVROLET", "model": car.model, "year": car.year},
        "/vin": {"vin": car.vin},
        "/odometer": {"distance": 104.32},
        "/engine/oil": {"lifeRemaining": 0.35},
        "/diagnostics/dtcs": {"activeCodes": [{"code": "P0420", "timestamp": None}]},
        "/location": {"latitude": car.location[0], "longitude": car.location[1]},
    }
    for path, body in expected.items():
        reply = read(client, token, car, path)
        assert (reply.status_code, reply.json()) == (200, body), path
    assert read(client, token, car, "/fuel").json()["amountRemaining"] == 15.0
    assert read(client, token, car, "/tires/pressure").json()["frontLeft"] == 240.0
    systems = read(client, token, car, "/diagnostics/system_status").json()["systems"]
    assert [(one["systemId"], one["status"]) for one in systems] == [("SYSTEM_MIL", "ALERT")]


def test_electric_car_has_a_battery_and_no_oil(client: Client) -> None:
    tesla = next(car for car in client.sandbox.fleet.cars if car.make == "TESLA")
    token = client.connect(tesla.driver, scope=SCOPE)["access_token"]
    for path in ("/battery", "/battery/nominal_capacity", "/charge", "/charge/limit"):
        assert read(client, token, tesla, path).status_code == 200
    oil = read(client, token, tesla, "/engine/oil")
    assert (oil.status_code, oil.json()["code"]) == (501, "VEHICLE_NOT_CAPABLE")


def test_headers_say_how_old_the_data_is(client: Client, car: Car, token: str) -> None:
    car.recorded_at = START - timedelta(hours=3)
    headers = read(client, token, car, "/odometer").headers
    assert headers["SC-Data-Age"] == "2026-03-02T06:00:00.000Z"
    assert headers["SC-Fetched-At"] == "2026-03-02T09:00:00.000Z"
    assert headers["SC-Unit-System"] == "metric"
    assert headers["SC-Request-Id"]


def test_imperial_units_on_request(client: Client, car: Car, token: str) -> None:
    car.odometer_km = 160.9344
    reply = read(client, token, car, "/odometer", headers={"sc-unit-system": "imperial"})
    assert reply.json() == {"distance": 100.0}
    assert reply.headers["SC-Unit-System"] == "imperial"


def test_missing_token_permission_and_capability_have_their_own_errors(
    client: Client, car: Car
) -> None:
    assert read(client, "no-such-token", car, "/vin").json()["type"] == "AUTHENTICATION"
    token = client.connect(car.driver, scope="read_vin read_service_history")["access_token"]
    refused = read(client, token, car, "/odometer")
    assert (refused.status_code, refused.json()["type"]) == (403, "PERMISSION")
    assert refused.json()["resolution"] == {"type": "REAUTHENTICATE"}
    assert refused.json()["requestId"] == refused.headers["SC-Request-Id"]
    assert read(client, token, car, "/service/history").status_code == 501
    assert read(client, token, car, "/horoscope").json()["code"] == "PATH"


def test_foreign_car_is_not_readable(client: Client, car: Car, token: str) -> None:
    foreign = next(one for one in client.sandbox.fleet.cars if one.driver != car.driver)
    assert read(client, token, foreign, "/vin").status_code == 401
    assert client.smartcar("/vehicles/nonsense/vin", token).status_code == 400


def test_vehicles_come_in_pages(clock: Clock) -> None:
    with Sandbox(vehicles=23, drivers=1, clock=clock) as sandbox, requests.Session() as http:
        client = Client(sandbox, http)
        token = client.connect()["access_token"]
        seen: list[str] = []
        for offset in (0, 10, 20):
            page = client.smartcar(f"/vehicles?offset={offset}", token).json()
            assert page["paging"] == {"count": 23, "offset": offset}
            seen += page["vehicles"]
        assert seen == [car.smartcar_id for car in sandbox.fleet.cars]
        assert client.smartcar("/vehicles?limit=51", token).status_code == 400
        assert len(client.smartcar("/vehicles?limit=50", token).json()["vehicles"]) == 23


def test_batch_answers_each_path_alone(client: Client, car: Car, token: str) -> None:
    reply = batch(client, token, car, "/odometer", "/battery", "/service/history", "/permissions")
    assert reply.status_code == 200
    odometer, battery, history, permissions = reply.json()["responses"]
    assert odometer["path"] == "/odometer"
    assert set(odometer["headers"]) == DATA_HEADERS
    assert permissions["body"]["permissions"] == SCOPE.split()
    for failed in (battery, history):
        assert failed["code"] == failed["body"]["statusCode"] == 501
        assert "headers" not in failed
    assert battery["body"]["requestId"] == history["body"]["requestId"]


def test_each_path_of_a_batch_is_counted(client: Client, car: Car, token: str) -> None:
    server = client.sandbox.smartcar
    batch(client, token, car, "/odometer", "/engine/oil", "/battery")
    read(client, token, car, "/odometer")
    assert server.calls(car.vin) == 4
    server.monthly_limit = 4
    refused = read(client, token, car, "/odometer")
    assert (refused.status_code, refused.json()["code"]) == (430, "VEHICLE_REQUEST_LIMIT")


def test_counting_starts_anew_each_month(client: Client, car: Car, clock: Clock) -> None:
    client.sandbox.smartcar.monthly_limit = 1
    pair = client.connect(car.driver)
    assert read(client, pair["access_token"], car, "/vin").status_code == 200
    assert read(client, pair["access_token"], car, "/vin").status_code == 430
    clock.pass_time(days=31)
    token = client.refresh(pair["refresh_token"]).json()["access_token"]
    assert read(client, token, car, "/vin").status_code == 200


def test_application_bucket_refills_with_two_a_minute(
    client: Client, car: Car, token: str, clock: Clock
) -> None:
    client.sandbox.smartcar.bucket = 2
    codes = [read(client, token, car, "/vin").status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    clock.pass_time(seconds=30)
    codes = [read(client, token, car, "/vin").status_code for _ in range(2)]
    assert codes == [200, 429]


def test_sleeping_car_answers_409_but_still_says_what_it_is(
    client: Client, car: Car, token: str
) -> None:
    car.is_asleep = True
    asleep = read(client, token, car, "/odometer")
    assert (asleep.status_code, asleep.json()["code"]) == (409, "ASLEEP")
    assert read(client, token, car, "/").status_code == 200


def test_disconnected_car_is_gone(client: Client, car: Car, token: str) -> None:
    reply = read(client, token, car, "/application", method="DELETE")
    assert reply.json() == {"status": "success"}
    assert read(client, token, car, "/vin").status_code == 401
    assert car.smartcar_id not in client.smartcar("/vehicles", token).json()["vehicles"]


def test_management_lists_newest_first_by_cursor_and_deletes(client: Client, clock: Clock) -> None:
    first, second = client.sandbox.fleet.drivers
    client.connect(first.email)
    clock.pass_time(minutes=1)
    client.connect(second.email)
    url = f"{client.sandbox.smartcar.origin}/v2.0/management/connections"
    auth = ("default", client.sandbox.environment()["SMARTCAR_MANAGEMENT_TOKEN"])
    rows, cursor = [], "0"
    while cursor is not None:
        query = {"limit": "3", "cursor": cursor}
        page = client.http.get(url, params=query, auth=auth, timeout=5).json()
        rows += page["connections"]
        cursor = page["paging"]["cursor"]
    assert [row["userId"] for row in rows] == [second.user_id] * 4 + [first.user_id] * 4
    assert client.http.delete(url, auth=auth, timeout=5).status_code == 400
    deleted = client.http.delete(url, params={"user_id": first.user_id}, auth=auth, timeout=5)
    assert len(deleted.json()["connections"]) == 4
    assert client.http.get(url, auth=("default", "wrong"), timeout=5).status_code == 401


@pytest.mark.parametrize(("type_", "code"), ERRORS)
def test_every_error_of_the_tables_can_be_had(
    client: Client, car: Car, token: str, type_: str, code: str | None
) -> None:
    client.sandbox.smartcar.faults.add(Fault(error=(type_, code), retry_after=120))
    reply = read(client, token, car, "/odometer")
    body = reply.json()
    assert reply.status_code == body["statusCode"] == ERRORS[type_, code][0]
    assert (body["type"], body["code"]) == (type_, code)
    assert reply.headers["Retry-After"] == "120"
    assert read(client, token, car, "/odometer").status_code == 200


def test_fault_can_strike_one_batch_path_of_one_car(client: Client) -> None:
    fleet, server = client.sandbox.fleet, client.sandbox.smartcar
    driver = fleet.drivers[0]
    token = client.connect(driver.email, scope=SCOPE)["access_token"]
    struck, spared = fleet.cars_of(driver)[:2]
    fault = server.faults.add(
        Fault(
            item="/odometer", vehicle=struck.vin, error=("UPSTREAM", "NO_RESPONSE"), times=FOREVER
        )
    )
    codes = {
        car.vin: [
            one["code"]
            for one in batch(client, token, car, "/odometer", "/vin").json()["responses"]
        ]
        for car in (struck, spared)
    }
    assert codes == {struck.vin: [502, 200], spared.vin: [200, 200]}
    assert read(client, token, struck, "/odometer").status_code == 200
    assert server.faults.committed(fault) == 1


def test_code_outside_the_tables_and_a_wait_can_be_had_in_a_batch(
    client: Client, car: Car, token: str
) -> None:
    fault = Fault(item="/vin", error=("RATE_LIMIT", "NEW"), retry_after=9)
    client.sandbox.smartcar.faults.add(fault)
    (item,) = batch(client, token, car, "/vin").json()["responses"]
    assert (item["code"], item["body"]["code"]) == (429, "NEW")
    assert item["headers"] == {"retry-after": "9"}


def test_faults_are_counted_and_skipped(client: Client, car: Car, token: str) -> None:
    fault = Fault(path="/v2.0/vehicles", pattern="odometer$", status=503, skip=1, times=2)
    client.sandbox.smartcar.faults.add(fault)
    codes = [read(client, token, car, "/odometer").status_code for _ in range(4)]
    assert codes == [200, 503, 503, 200]
    assert read(client, token, car, "/vin").status_code == 200
    assert client.sandbox.smartcar.faults.committed(fault) == 2


def test_broken_replies(client: Client, car: Car, token: str) -> None:
    add = client.sandbox.smartcar.faults.add
    add(faults.bad_gateway())
    page = read(client, token, car, "/vin")
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html")
    add(faults.empty_body())
    assert read(client, token, car, "/vin").content == b""
    add(faults.garbage())
    with pytest.raises(json.JSONDecodeError):
        read(client, token, car, "/vin").json()
    add(faults.no_content_type())
    assert "Content-Type" not in read(client, token, car, "/vin").headers
    add(faults.wrong_types())
    assert read(client, token, car, "/odometer").json() == {"distance": "n/a"}


def test_slow_reply_outlasts_the_client(client: Client, car: Car, token: str) -> None:
    client.sandbox.smartcar.faults.add(faults.slow(30))
    url = f"{client.sandbox.smartcar.origin}/v2.0/user"
    with pytest.raises(requests.ReadTimeout):
        client.http.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=0.1)


def test_lost_reply_of_a_refresh_leaves_the_old_token_usable_within_the_grace(
    client: Client, car: Car
) -> None:
    pair = client.connect(car.driver)
    before = client.sandbox.smartcar.tokens.exchanges
    client.sandbox.smartcar.faults.add(faults.dropped_after(path="/oauth/token"))
    with pytest.raises(requests.ConnectionError):
        client.refresh(pair["refresh_token"])
    assert client.sandbox.smartcar.tokens.exchanges == before + 1
    assert client.refresh(pair["refresh_token"]).status_code == 200


def test_request_dropped_before_it_was_carried_out_changes_nothing(
    client: Client, car: Car
) -> None:
    pair = client.connect(car.driver)
    before = client.sandbox.smartcar.tokens.exchanges
    client.sandbox.smartcar.faults.add(faults.dropped_before(path="/oauth/token"))
    with pytest.raises(requests.ConnectionError):
        client.refresh(pair["refresh_token"])
    assert client.sandbox.smartcar.tokens.exchanges == before
    assert client.sandbox.smartcar.requests.matching("POST", "/oauth/token")[-1].status is None


def test_many_clients_at_once_are_all_counted(client: Client, car: Car, token: str) -> None:
    def work() -> None:
        with requests.Session() as http:
            for _ in range(10):
                read(Client(client.sandbox, http), token, car, "/odometer")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.sandbox.smartcar.calls(car.vin) == 80
    assert client.sandbox.smartcar.requests.count(pattern="/odometer$", status=200) == 80


def test_kept_alive_connection_answers_without_delay(client: Client, car: Car, token: str) -> None:
    read(client, token, car, "/vin")
    took = []
    for _ in range(21):
        started = time.monotonic()
        read(client, token, car, "/vin")
        took.append(time.monotonic() - started)
    # Nagle's algorithm would cost each 40 ms; a busy machine delays some.
    assert sorted(took)[10] < 0.035


def test_stopped_sandbox_refuses_and_starts_again(clock: Clock) -> None:
    sandbox = Sandbox(vehicles=1, drivers=1, clock=clock)
    with sandbox, requests.Session() as http:
        url = f"{sandbox.smartcar.origin}/v2.0/user"
        assert http.get(url, timeout=5).status_code == 401
        sandbox.stop()
        with pytest.raises(requests.ConnectionError):
            http.get(url, timeout=5)
        sandbox.start()
        assert Client(sandbox, http).connect()["token_type"] == "Bearer"


@pytest.fixture
def sdk(client: Client, monkeypatch: pytest.MonkeyPatch) -> smartcar.AuthClient:
    env = client.sandbox.environment()
    for name in ("API", "AUTH", "CONNECT", "MANAGEMENT_API"):
        monkeypatch.setattr(config, f"{name}_ORIGIN", env[f"SMARTCAR_{name}_ORIGIN"])
    return smartcar.AuthClient(
        env["SMARTCAR_CLIENT_ID"], env["SMARTCAR_CLIENT_SECRET"], REDIRECT_URI
    )


@pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")
def test_official_sdk_connects_reads_and_disconnects(
    client: Client, car: Car, sdk: smartcar.AuthClient
) -> None:
    url = sdk.get_auth_url(SCOPE.split(), {"state": "s2"})
    redirect = client.sandbox.smartcar.connect.approve(url, driver=car.driver)
    access = sdk.exchange_code(redirect.partition("code=")[2].partition("&")[0])
    access = sdk.exchange_refresh_token(access.refresh_token)
    token = access.access_token
    assert smartcar.get_user(token).id == client.sandbox.fleet.driver(car.driver).user_id
    assert car.smartcar_id in smartcar.get_vehicles(token).vehicles
    vehicle = smartcar.Vehicle(car.smartcar_id, token)
    assert vehicle.attributes().make == "CHEVROLET"
    assert vehicle.odometer().distance == car.odometer_km
    answers = vehicle.batch(["/", "/odometer", "/battery", "/diagnostics/dtcs"])
    assert answers.odometer().meta.data_age == "2026-03-02T09:00:00.000Z"
    assert answers.diagnostic_trouble_codes().active_codes == []
    with pytest.raises(smartcar.SmartcarException, match="COMPATIBILITY:VEHICLE_NOT_CAPABLE"):
        answers.battery()
    amt = client.sandbox.environment()["SMARTCAR_MANAGEMENT_TOKEN"]
    assert len(smartcar.get_connections(amt).connections) == 4
    assert vehicle.disconnect().status == "success"
    assert len(smartcar.get_connections(amt).connections) == 3


def test_official_sdk_sees_retry_after(
    client: Client, car: Car, token: str, sdk: smartcar.AuthClient
) -> None:
    assert sdk is not None
    fault = Fault(vehicle=car.vin, error=("RATE_LIMIT", "VEHICLE"), retry_after=120)
    client.sandbox.smartcar.faults.add(fault)
    with pytest.raises(smartcar.SmartcarException) as caught:
        smartcar.Vehicle(car.smartcar_id, token).odometer()
    assert (caught.value.status_code, caught.value.retry_after) == (429, "120")
