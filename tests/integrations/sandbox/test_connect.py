from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from integrations.sandbox.smartcar_connect import CONNECT_ERRORS, SIGNED_OUT
from integrations.sandbox.smartcar_connect_request import Refused
from tests.integrations.sandbox.conftest import REDIRECT_URI, Client, Clock


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_page_names_who_asks_what_and_which_account(client: Client) -> None:
    driver = client.sandbox.fleet.drivers[1]
    reply = client.http.get(client.authorize_url(user=driver.email), timeout=5)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f'<option value="{driver.email}" selected>' in reply.text
    for car in client.sandbox.fleet.cars:
        assert (car.vin in reply.text) == (car.driver == driver.email)
    assert "Read engine oil" in reply.text
    assert "src=" not in reply.text
    assert 'href="http' not in reply.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "someone-else"},
        {"response_type": "token"},
        {"redirect_uri": ""},
        {"scope": "read_minds"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_parameter_shows_an_error_page_and_does_not_redirect(
    client: Client, wrong: dict[str, str]
) -> None:
    url = client.authorize_url(**wrong)
    reply = client.http.get(url, timeout=5, allow_redirects=False)
    assert reply.status_code == 400
    assert "Location" not in reply.headers
    with pytest.raises(Refused):
        client.sandbox.smartcar.connect.approve(url)


def test_form_redirects_with_a_code_and_the_state(client: Client) -> None:
    driver = client.sandbox.fleet.drivers[0]
    form = {"decision": "allow", "driver": driver.email}
    reply = client.http.post(client.authorize_url(), data=form, timeout=5, allow_redirects=False)
    assert reply.status_code == 302
    location = reply.headers["Location"]
    assert location.startswith(REDIRECT_URI)
    assert query_of(location)["state"] == "s1"
    token = client.redeem(location).json()["access_token"]
    shared = client.smartcar("/vehicles", token).json()["vehicles"]
    assert shared == [car.smartcar_id for car in client.sandbox.fleet.cars_of(driver)]


def test_unticked_boxes_of_the_form_are_not_granted(client: Client) -> None:
    car = client.sandbox.fleet.cars[0]
    form = {
        "decision": "allow",
        "driver": car.driver,
        "vehicle": ["", car.smartcar_id],
        "permission": ["", "read_vin"],
    }
    url = client.authorize_url(scope="required:read_odometer read_vin read_fuel")
    reply = client.http.post(url, data=form, timeout=5, allow_redirects=False)
    token = client.redeem(reply.headers["Location"]).json()["access_token"]
    assert client.smartcar("/vehicles", token).json()["vehicles"] == [car.smartcar_id]
    granted = client.smartcar(f"/vehicles/{car.smartcar_id}/permissions", token).json()
    assert granted["permissions"] == ["read_odometer", "read_vin"]


def test_deny_redirects_with_access_denied(client: Client) -> None:
    reply = client.http.post(
        client.authorize_url(), data={"decision": "deny"}, timeout=5, allow_redirects=False
    )
    query = query_of(reply.headers["Location"])
    assert (query["error"], query["state"]) == ("access_denied", "s1")
    assert "code" not in query


@pytest.mark.parametrize("error", CONNECT_ERRORS)
def test_every_documented_error_can_be_simulated(client: Client, error: str) -> None:
    url = client.authorize_url(simulate=error)
    query = query_of(client.http.get(url, timeout=5, allow_redirects=False).headers["Location"])
    assert query["error"] == error
    assert query["error_description"]
    extras = {
        "vehicle_incompatible": {"vin", "make", "model", "year"},
        "configuration_error": {"status_code", "error_message"},
    }
    expected = {"error", "error_description", "state"} | extras.get(error, set())
    assert set(query) == expected


def test_single_select_vin_shares_only_that_car(client: Client) -> None:
    car = client.sandbox.fleet.cars[2]
    token = client.connect(car.driver, single_select="true", single_select_vin=car.vin)
    shared = client.smartcar("/vehicles", token["access_token"]).json()["vehicles"]
    assert shared == [car.smartcar_id]


def test_make_offers_only_cars_of_that_make(client: Client) -> None:
    url = client.authorize_url(make="chevrolet")
    driver = client.sandbox.fleet.drivers[0]
    redirect = client.sandbox.smartcar.connect.approve(url, driver=driver.name)
    token = client.redeem(redirect).json()["access_token"]
    shared = client.smartcar("/vehicles", token).json()["vehicles"]
    assert {client.sandbox.fleet.car(one).make for one in shared} == {"CHEVROLET"}


def test_car_that_is_not_in_the_account_ends_with_no_vehicles(client: Client) -> None:
    url = client.authorize_url(single_select="true", single_select_vin="1GCRCREC0NA000000")
    redirect = client.sandbox.smartcar.connect.approve(url)
    assert query_of(redirect)["error"] == "no_vehicles"


def test_ford_cannot_be_connected_from_a_browser(client: Client) -> None:
    car = client.sandbox.fleet.cars[0]
    car.make = "FORD"
    url = client.authorize_url(single_select="true", single_select_vin=car.vin)
    query = query_of(client.sandbox.smartcar.connect.approve(url, driver=car.driver))
    assert (query["error"], query["vin"]) == ("vehicle_incompatible", car.vin)


@pytest.mark.parametrize("name", ["user_id", "userId", ""])
def test_success_says_who_the_user_is(client: Client, name: str) -> None:
    client.sandbox.smartcar.connect.gives_user_id = name
    driver = client.sandbox.fleet.drivers[1]
    redirect = client.sandbox.smartcar.connect.approve(client.authorize_url(), driver=driver.email)
    query = query_of(redirect)
    assert set(query) == {"code", "state"} | ({name} if name else set())
    assert query.get(name) == (driver.user_id if name else None)


def sign_in_url(client: Client, car_id: str, **extra: str) -> str:
    env = client.sandbox.environment()
    query = {
        "response_type": "vehicle_id",
        "client_id": env["SMARTCAR_CLIENT_ID"],
        "vehicle_id": car_id,
        "redirect_uri": REDIRECT_URI,
        "state": "s1",
    }
    return f"{env['SMARTCAR_CONNECT_ORIGIN']}/oauth/reauthenticate?{urlencode(query | extra)}"


def test_signing_in_again_ends_with_the_car_and_no_code(client: Client) -> None:
    car = client.sandbox.fleet.cars[0]
    client.connect(car.driver)
    car.error = SIGNED_OUT
    url = sign_in_url(client, car.smartcar_id)
    page = client.http.get(url, timeout=5)
    assert car.vin in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert car.error is not None
    reply = client.http.post(url, timeout=5, allow_redirects=False)
    assert reply.headers["Location"].startswith(REDIRECT_URI)
    assert query_of(reply.headers["Location"]) == {"vehicle_id": car.smartcar_id, "state": "s1"}
    assert car.error is None


def test_signing_in_again_mends_nothing_else(client: Client) -> None:
    car = client.sandbox.fleet.cars[0]
    client.connect(car.driver)
    car.error = ("CONNECTED_SERVICES_ACCOUNT", "SUBSCRIPTION")
    client.sandbox.smartcar.v3_ids[car.smartcar_id] = "another-id"
    redirect = client.sandbox.smartcar.connect.reauthenticate(sign_in_url(client, "another-id"))
    assert query_of(redirect)["vehicle_id"] == "another-id"
    assert car.error is not None


@pytest.mark.parametrize("name", ["client_id", "response_type", "redirect_uri", "vehicle_id"])
def test_wrong_parameter_of_signing_in_again_shows_an_error_page(client: Client, name: str) -> None:
    car = client.sandbox.fleet.cars[0]
    client.connect(car.driver)
    url = sign_in_url(client, car.smartcar_id, **{name: ""})
    for method in ("GET", "POST"):
        assert client.http.request(method, url, timeout=5).status_code == 400
    with pytest.raises(Refused, match=name):
        client.sandbox.smartcar.connect.reauthenticate(url)


def test_code_works_once(client: Client) -> None:
    redirect = client.sandbox.smartcar.connect.approve(client.authorize_url())
    first = client.redeem(redirect)
    assert first.status_code == 200
    assert first.json()["expires_in"] == 7200
    again = client.redeem(redirect)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_code_dies_after_ten_minutes(client: Client, clock: Clock) -> None:
    redirect = client.sandbox.smartcar.connect.approve(client.authorize_url())
    clock.pass_time(minutes=10)
    assert client.redeem(redirect).json()["error"] == "invalid_grant"


def test_code_is_bound_to_its_redirect_uri(client: Client) -> None:
    redirect = client.sandbox.smartcar.connect.approve(client.authorize_url())
    code = query_of(redirect)["code"]
    other = client.exchange(grant_type="authorization_code", code=code, redirect_uri="https://x")
    assert other.json()["error"] == "invalid_grant"
    assert client.redeem(redirect).status_code == 200


def test_wrong_client_secret_is_invalid_client(client: Client) -> None:
    env = client.sandbox.environment()
    reply = client.http.post(
        env["SMARTCAR_AUTH_ORIGIN"],
        data={"grant_type": "refresh_token", "refresh_token": "x"},
        auth=(env["SMARTCAR_CLIENT_ID"], "wrong"),
        timeout=5,
    )
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


def test_used_refresh_token_lives_only_within_the_grace(client: Client, clock: Clock) -> None:
    old = client.connect()["refresh_token"]
    first = client.refresh(old).json()
    clock.pass_time(seconds=59)
    second = client.refresh(old).json()
    assert len({old, first["refresh_token"], second["refresh_token"]}) == 3
    clock.pass_time(seconds=1)
    assert client.refresh(old).json()["error"] == "invalid_grant"
    assert client.refresh(first["refresh_token"]).status_code == 200


def test_without_grace_a_refresh_token_works_once(client: Client) -> None:
    client.sandbox.smartcar.tokens.grace = 0
    old = client.connect()["refresh_token"]
    assert client.refresh(old).status_code == 200
    assert client.refresh(old).json()["error"] == "invalid_grant"


def test_tokens_die_of_age(client: Client, clock: Clock) -> None:
    pair = client.connect()
    clock.pass_time(hours=2)
    assert client.smartcar("/user", pair["access_token"]).status_code == 401
    fresh = client.refresh(pair["refresh_token"]).json()
    assert client.smartcar("/user", fresh["access_token"]).status_code == 200
    clock.pass_time(days=60)
    assert client.refresh(fresh["refresh_token"]).json()["error"] == "invalid_grant"


def test_withdrawn_consent_kills_both_tokens(client: Client) -> None:
    driver = client.sandbox.fleet.drivers[0]
    pair = client.connect(driver.email)
    client.sandbox.smartcar.connect.revoke(driver.email)
    assert client.smartcar("/vehicles", pair["access_token"]).status_code == 401
    assert client.refresh(pair["refresh_token"]).json()["error"] == "invalid_grant"


def test_log_keeps_no_secret_of_the_token_endpoint(client: Client) -> None:
    pair = client.connect()
    client.refresh(pair["refresh_token"])
    client.smartcar("/user", pair["access_token"])
    kept = repr(list(client.sandbox.smartcar.requests))
    assert pair["refresh_token"] not in kept
    assert pair["access_token"] not in kept
    assert client.sandbox.smartcar.requests.count("POST", "/oauth/token", status=200) == 2
