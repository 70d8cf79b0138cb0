import base64
import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
import smartcar.auth_client
import smartcar.config
from responses import matchers

from integrations.clients import readings as r
from integrations.clients.errors import ClientError, Gate, Outcome
from integrations.clients.readings import SignalError, SignalReading
from integrations.clients.smartcar_types import ConnectionInfo, SmartcarConfig, TokenPair
from integrations.clients.smartcar_v2 import SmartcarV2
from tests.integrations.clients.stub_server import StubHandler, serving

API = "https://api.test"
AUTH = "https://auth.test/oauth/token"
CAR = f"{API}/v2.0/vehicles/car-1"
ACCESS = "access-7f3c9"
REFRESH = "refresh-2b8e1"
SECRET = "client-secret-9a"
AMT = "management-5d"
HEADERS = {
    "SC-Data-Age": "2026-03-01T10:00:00.000Z",
    "SC-Fetched-At": "2026-03-01T12:00:00+02:00",
    "SC-Unit-System": "metric",
    "SC-Request-Id": "req-1",
}


def make_config(**overrides: Any) -> SmartcarConfig:
    values: dict[str, Any] = {
        "client_id": "client-1",
        "client_secret": SECRET,
        "redirect_uri": "https://portal.test/connect/callback/",
        "management_token": AMT,
        "api_origin": API,
        "auth_origin": AUTH,
        "connect_origin": "https://connect.test",
        "management_origin": "https://management.test",
        "read_timeout": 5.0,
    }
    return SmartcarConfig(**{**values, **overrides})


def make_client(**overrides: Any) -> SmartcarV2:
    return SmartcarV2(make_config(**overrides))


def cars(ids: list[str]) -> list[ConnectionInfo]:
    return [ConnectionInfo(user_id="", vehicle_id=one) for one in ids]


def read(codes: Any, client: SmartcarV2 | None = None) -> list[SignalReading | SignalError]:
    return (client or make_client()).read(smartcar_id="car-1", access_token=ACCESS, codes=codes)


def single(path: str, body: Any, headers: dict[str, str] | None = None) -> None:
    text = json.dumps(body)  # `json=None` would be an empty answer
    responses.get(f"{CAR}/{path}", body=text, headers=HEADERS if headers is None else headers)


def batch(*items: Any) -> None:
    responses.post(f"{CAR}/batch", json={"responses": items}, headers={"SC-Request-Id": "req-9"})


def error_of(call: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


# --- Consent and tokens -----------------------------------------------------------------------


def test_the_connect_url_says_what_is_asked_and_where_to_return() -> None:
    url = make_client(mode="simulated").connect_url(
        scope=["read_odometer", "read_vin"],
        state="st&te",
        make="FORD",
        country="US",
        single_select_vin="1FTFW1E50NFA00001",
    )
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://connect.test/oauth/authorize"
    assert {key: value for key, (value,) in parse_qs(parts.query).items()} == {
        "response_type": "code",
        "client_id": "client-1",
        "approval_prompt": "auto",
        "mode": "simulated",
        "redirect_uri": "https://portal.test/connect/callback/",
        "scope": "read_odometer read_vin",
        "state": "st&te",
        "make": "FORD",
        "flags": "country:US",
        "single_select": "true",
        "single_select_vin": "1FTFW1E50NFA00001",
    }


def test_missing_credentials_are_not_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SMARTCAR_CLIENT_SECRET", "of-another-application")
    error = error_of(lambda: make_client(client_secret="").refresh(REFRESH))
    assert error.outcome is Outcome.STOP


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="mode"):
        make_config(mode="production")


@responses.activate
def test_a_code_is_traded_for_a_pair() -> None:
    form = {
        "grant_type": "authorization_code",
        "code": "abc",
        "redirect_uri": "https://portal.test/connect/callback/",
    }
    basic = base64.b64encode(f"client-1:{SECRET}".encode()).decode()
    responses.post(
        AUTH,
        json={"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 3600},
        match=[
            matchers.urlencoded_params_matcher(form),
            matchers.header_matcher({"Authorization": f"Basic {basic}"}),
        ],
    )
    assert make_client().exchange_code("abc") == TokenPair(
        access_token=ACCESS,
        refresh_token=REFRESH,
        expires_in=timedelta(hours=1),
        refresh_expires_in=timedelta(days=60),
    )


@pytest.mark.parametrize(
    "extra",
    [{}, {"expires_in": None}, {"expires_in": "x"}, {"expires_in": -1}, {"expires_in": 1e30}],
)
@responses.activate
def test_a_pair_without_a_usable_lifetime_is_not_lost(extra: dict[str, Any]) -> None:
    responses.post(AUTH, json={"access_token": ACCESS, "refresh_token": REFRESH, **extra})
    pair = make_client().refresh("old")
    assert (pair.access_token, pair.refresh_token) == (ACCESS, REFRESH)
    assert pair.expires_in == timedelta(hours=2)


@responses.activate
def test_a_warning_that_is_an_error_does_not_lose_the_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def deprecated(access: Any) -> Any:
        raise DeprecationWarning("datetime.datetime.utcnow() is deprecated")

    monkeypatch.setattr(smartcar.auth_client, "_set_expiration", deprecated)
    responses.post(AUTH, json={"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 60})
    assert make_client().refresh("old").refresh_token == REFRESH


@pytest.mark.parametrize("answer", ["{}", "[]", "null", "<html>", '{"access_token": "a"}', ""])
@responses.activate
def test_an_answer_without_tokens_leaves_the_exchange_open(answer: str) -> None:
    responses.post(AUTH, body=answer, content_type="application/json")
    error = error_of(lambda: make_client().refresh(REFRESH))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)


@pytest.mark.parametrize("description", [{}, {"error_description": f"Invalid: {REFRESH}."}])
@responses.activate
def test_a_refused_refresh_token_needs_the_driver(description: dict[str, str]) -> None:
    responses.post(AUTH, status=400, json={"error": "invalid_grant", **description})
    error = error_of(lambda: make_client().refresh(REFRESH))
    assert (error.outcome, error.type) == (Outcome.RECONNECT, "invalid_grant")
    assert not error.may_have_happened


def noting(calls: list[None]) -> Gate:
    @contextmanager
    def gate() -> Iterator[None]:
        calls.append(None)
        yield

    return gate


def test_tokens_are_traded_in_15_seconds_and_uncounted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    gated: list[None] = []
    passed: list[None] = []

    def script(handler: StubHandler) -> None:
        handler.send(json.dumps({"access_token": "a", "refresh_token": "b"}).encode())

    import requests

    send = requests.Session.request

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["timeout"])
        return send(self, *args, **kwargs)

    monkeypatch.setattr(requests.Session, "request", spy)
    with serving(script) as server:
        config = make_config(auth_origin=server.url)
        client = SmartcarV2(config, gate=noting(gated), token_gate=noting(passed))
        client.refresh(REFRESH)
    (timeout,) = seen
    assert (timeout.total, timeout.connect_timeout) == (15.0, 5.0)
    assert gated == []
    assert passed == [None]


# --- Who and which cars -----------------------------------------------------------------------


@responses.activate
def test_the_user_is_asked_for_with_the_drivers_token() -> None:
    bearer = matchers.header_matcher({"Authorization": f"Bearer {ACCESS}"})
    responses.get(f"{API}/v2.0/user", json={"id": "user-1"}, match=[bearer])
    assert make_client().get_user_id(ACCESS) == "user-1"


@pytest.mark.parametrize("body", ["{}", "[]", "null", '{"id": null}', "<html>"])
@responses.activate
def test_a_user_without_an_id_is_an_error(body: str) -> None:
    responses.get(f"{API}/v2.0/user", body=body)
    assert error_of(lambda: make_client().get_user_id(ACCESS)).outcome is Outcome.RETRY


def serve_vehicles(ids: list[str], *, cap: int = 50, count: Any = None) -> None:
    def page(request: Any) -> tuple[int, dict[str, str], str]:
        query = parse_qs(urlsplit(request.url).query)
        assert query["limit"] == ["50"]
        start = int(query["offset"][0])
        body: dict[str, Any] = {"vehicles": ids[start : start + cap]}
        if count != "absent":
            body["paging"] = {"count": len(ids) if count is None else count, "offset": start}
        return 200, {}, json.dumps(body)

    responses.add_callback("GET", f"{API}/v2.0/vehicles", callback=page)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 49, 50, 51, 130])
@pytest.mark.parametrize("cap", [10, 25, 50])
@pytest.mark.parametrize("count", [None, 0, 10, 1000, "absent"])
@responses.activate
def test_all_pages_of_vehicles_are_read(size: int, cap: int, count: Any) -> None:
    ids = [f"car-{n}" for n in range(size)]
    serve_vehicles(ids, cap=cap, count=count)
    assert make_client().list_vehicles(ACCESS) == cars(ids)


@responses.activate
def test_a_driver_with_few_cars_costs_one_call() -> None:
    serve_vehicles(["a", "b"])
    make_client().list_vehicles(ACCESS)
    assert len(responses.calls) == 1


@responses.activate
def test_a_server_that_repeats_its_page_does_not_hang_the_list() -> None:
    page = {"vehicles": ["a", "b", "a"], "paging": {"count": 9, "offset": 0}}
    responses.get(f"{API}/v2.0/vehicles", json=page)
    assert make_client().list_vehicles(ACCESS) == cars(["a", "b"])


@responses.activate
def test_a_page_that_cannot_be_read_spoils_the_whole_list() -> None:
    responses.get(f"{API}/v2.0/vehicles", json={"vehicles": ["a", None]})
    assert error_of(lambda: make_client().list_vehicles(ACCESS)).type == "MALFORMED"


# --- Single reads -----------------------------------------------------------------------------

BODIES = [
    ("odometer", r.ODOMETER, {"distance": 104.32}, {"value": 104.32, "unit": "km"}),
    ("engine/oil", r.OIL_LIFE, {"lifeRemaining": 0.35}, {"value": 35, "unit": "percent"}),
    ("engine/oil", r.OIL_LIFE, {"lifeRemaining": 0.07}, {"value": 7, "unit": "percent"}),
    ("battery", r.STATE_OF_CHARGE, {"percentRemaining": 0}, {"value": 0, "unit": "percent"}),
    (
        "tires/pressure",
        r.TIRES,
        {"backLeft": 219.3, "backRight": 220, "frontLeft": 221, "frontRight": None},
        {
            "values": [
                {"row": 0, "column": 0, "tirePressure": 221},
                {"row": 1, "column": 0, "tirePressure": 219.3},
                {"row": 1, "column": 1, "tirePressure": 220},
            ],
            "unit": "kPa",
        },
    ),
    (
        "diagnostics/dtcs",
        r.TROUBLE_CODES,
        {"activeCodes": [{"code": "P0300", "timestamp": None}]},
        {"values": [{"code": "P0300", "timestamp": None}]},
    ),
    ("diagnostics/dtcs", r.TROUBLE_CODES, {"activeCodes": []}, {"values": []}),
    (
        "",
        r.ATTRIBUTES,
        {"id": "car-1", "make": "FORD", "model": "F-150", "year": "2022"},
        {"make": "FORD", "model": "F-150", "year": 2022},
    ),
    ("vin", r.VIN, {"vin": "5YJSA1CN5DFP00101"}, {"value": "5YJSA1CN5DFP00101"}),
    ("permissions", r.PERMISSIONS, {"permissions": ["read_vin"]}, {"values": ["read_vin"]}),
    (
        "service/history",
        r.SERVICE_RECORDS,
        [
            {
                "serviceId": None,
                "odometerDistance": 46047.22,
                "serviceDate": "2023-06-28T22:21:41.583Z",
                "serviceTasks": [{"taskId": "3262", "taskDescription": "Oil change"}],
                "serviceDetails": [],
                "serviceCost": {"totalCost": None, "currency": None},
            }
        ],
        {
            "values": [
                {
                    "id": None,
                    "time": "2023-06-28T22:21:41.583Z",
                    "odometer": 46047.22,
                    "tasks": [{"id": "3262", "description": "Oil change"}],
                    "details": [],
                    "cost": {"amount": None, "currency": None},
                }
            ]
        },
    ),
]


@pytest.mark.parametrize(
    ("path", "code", "v2", "v3"), BODIES, ids=[f"{row[1]}-{n}" for n, row in enumerate(BODIES)]
)
@responses.activate
def test_every_body_takes_its_v3_shape(path: str, code: str, v2: Any, v3: Any) -> None:
    single(path, v2)
    assert read([code]) == [
        SignalReading(
            code=code,
            body=v3,
            recorded_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
            fetched_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
            request_id="req-1",
        )
    ]


@pytest.mark.parametrize(
    ("path", "code", "body", "unit"),
    [
        ("odometer", r.ODOMETER, {"distance": 1}, "miles"),
        ("tires/pressure", r.TIRES, {"frontLeft": 35}, "psi"),
        ("fuel", r.FUEL_AMOUNT, {"amountRemaining": 3}, "gallons"),
    ],
)
@responses.activate
def test_imperial_answers_say_so(path: str, code: str, body: Any, unit: str) -> None:
    single(path, body, {"sc-unit-system": "imperial"})
    (reading,) = read([code])
    assert isinstance(reading, SignalReading)
    assert reading.body["unit"] == unit
    assert reading.recorded_at is None


@responses.activate
def test_fuel_gives_what_is_there() -> None:
    single("fuel", {"amountRemaining": None, "percentRemaining": 0.3, "range": 40.5})
    (level,) = read([r.FUEL_LEVEL, r.FUEL_AMOUNT])
    assert isinstance(level, SignalReading)
    assert (level.code, level.body) == (r.FUEL_LEVEL, {"value": 30, "unit": "percent"})


@responses.activate
def test_every_diagnostic_system_is_a_reading_of_its_own() -> None:
    systems = [
        {"systemId": "SYSTEM_TIRE_PRESSURE_MONITORING", "status": "ALERT", "description": "Low"},
        {"systemID": "SYSTEM_MIL", "status": "OK", "description": None},
    ]
    single("diagnostics/system_status", {"systems": systems})
    found = read(["diagnostics-mil", "diagnostics-abs"])
    assert {x.code: x.body for x in found if isinstance(x, SignalReading)} == {
        "diagnostics-tirepressuremonitoring": {"status": "ALERT", "description": "Low"},
        "diagnostics-mil": {"status": "OK", "description": None},
    }
    assert len(found) == 2


@pytest.mark.parametrize(
    ("path", "code", "body", "type_"),
    [
        ("odometer", r.ODOMETER, {"distance": None}, "MISSING"),
        ("odometer", r.ODOMETER, {}, "MISSING"),
        ("odometer", r.ODOMETER, None, "MISSING"),
        ("odometer", r.ODOMETER, {"distance": "12"}, "MALFORMED"),
        ("odometer", r.ODOMETER, {"distance": True}, "MALFORMED"),
        ("odometer", r.ODOMETER, [1], "MALFORMED"),
        ("engine/oil", r.OIL_LIFE, {"lifeRemaining": None}, "MISSING"),
        ("fuel", r.FUEL_LEVEL, {"percentRemaining": None, "amountRemaining": None}, "MISSING"),
        ("tires/pressure", r.TIRES, {"frontLeft": None}, "MISSING"),
        ("diagnostics/dtcs", r.TROUBLE_CODES, {"activeCodes": None}, "MISSING"),
        ("diagnostics/dtcs", r.TROUBLE_CODES, {"activeCodes": [{"code": None}]}, "MALFORMED"),
        ("diagnostics/dtcs", r.TROUBLE_CODES, {"activeCodes": ["P0300"]}, "MALFORMED"),
        ("diagnostics/system_status", "diagnostics-mil", {"systems": []}, "MISSING"),
        ("", r.ATTRIBUTES, {"make": None}, "MISSING"),
        ("vin", r.VIN, {"vin": None}, "MISSING"),
        ("vin", r.VIN, {"vin": 5}, "MALFORMED"),
        ("permissions", r.PERMISSIONS, {"permissions": [1]}, "MALFORMED"),
    ],
)
@responses.activate
def test_what_says_nothing_is_an_error_to_retry(
    path: str, code: str, body: Any, type_: str
) -> None:
    single(path, body)
    (error,) = read([code])
    assert isinstance(error, SignalError)
    assert (error.code, error.type, error.outcome) == (code, type_, Outcome.RETRY)


@pytest.mark.parametrize(
    "body", ['{"distance": NaN}', '{"distance": 1%s}' % ("0" * 400), "<html>", ""]
)
@responses.activate
def test_an_unreadable_single_answer_is_an_error_of_its_signal(body: str) -> None:
    responses.get(f"{CAR}/odometer", body=body)
    (error,) = read([r.ODOMETER])
    assert isinstance(error, SignalError)
    assert error.type == "MALFORMED"


@responses.activate
def test_a_failed_single_read_is_an_error_of_each_asked_signal() -> None:
    body = {"type": "COMPATIBILITY", "code": "VEHICLE_NOT_CAPABLE", "requestId": "req-2"}
    responses.get(f"{CAR}/diagnostics/system_status", status=501, json=body)
    found = read(["diagnostics-mil", "diagnostics-abs", "diagnostics-mil"])
    assert [x.code for x in found] == ["diagnostics-mil", "diagnostics-abs"]
    for error in found:
        assert isinstance(error, SignalError)
        assert error.outcome is Outcome.NOT_CAPABLE
        assert (error.error_code, error.request_id) == ("VEHICLE_NOT_CAPABLE", "req-2")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (401, {"type": "AUTHENTICATION", "code": None}, Outcome.REFRESH),
        (429, {"type": "RATE_LIMIT", "code": "SMARTCAR_API"}, Outcome.WAIT_ALL),
        (430, {"type": "BILLING", "code": "ACCOUNT_SUSPENDED"}, Outcome.STOP),
    ],
)
@responses.activate
def test_a_single_read_that_fails_for_our_sake_is_raised(
    status: int, body: Any, outcome: Outcome
) -> None:
    responses.get(f"{CAR}/odometer", status=status, json=body)
    assert error_of(lambda: read([r.ODOMETER])).outcome is outcome


@responses.activate
def test_a_get_carries_no_body_and_asks_for_metric() -> None:
    single("odometer", {"distance": 1})
    read([r.ODOMETER])
    request = responses.calls[0].request
    assert request.body is None
    assert request.headers["sc-unit-system"] == "metric"


@responses.activate
def test_each_call_carries_the_token_of_its_own_driver() -> None:
    single("odometer", {"distance": 1})
    client = make_client()
    for token in ("token-a", "token-b"):
        client.read(smartcar_id="car-1", access_token=token, codes=[r.ODOMETER])
    sent = [call.request.headers["Authorization"] for call in responses.calls]
    assert sent == ["Bearer token-a", "Bearer token-b"]


# --- Batches ----------------------------------------------------------------------------------


def item(path: str, body: Any, code: int = 200, **more: Any) -> dict[str, Any]:
    return {"path": path, "code": code, "body": body, **more}


@responses.activate
def test_several_paths_are_one_batch_and_each_is_judged_alone() -> None:
    lower = {key.lower(): value for key, value in HEADERS.items() if key != "SC-Request-Id"}
    denied = {"type": "PERMISSION", "code": None, "resolution": {"type": "REAUTHENTICATE"}}
    slow = {"type": "RATE_LIMIT", "code": "VEHICLE"}
    batch(
        item("/odometer", {"distance": 5}, headers=lower),
        item("/engine/oil", denied, 403),
        item("/tires/pressure", slow, 429, headers={"retry-after": "120"}),
        item("/location", {"latitude": 1}),
    )
    odometer, oil, tires = read([r.ODOMETER, r.OIL_LIFE, r.TIRES])
    assert isinstance(odometer, SignalReading)
    assert odometer.recorded_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert odometer.request_id == "req-9"
    assert isinstance(oil, SignalError)
    assert oil.outcome is Outcome.NOT_GRANTED
    assert isinstance(tires, SignalError)
    assert (tires.outcome, tires.retry_after) == (Outcome.WAIT, 120.0)
    assert (
        responses.calls[0].request.body
        == json.dumps(
            {"requests": [{"path": p} for p in ("/odometer", "/engine/oil", "/tires/pressure")]}
        ).encode()
    )


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {"path": None},
        {"path": "/engine/oil"},
        {"path": "/engine/oil", "code": 200},
        {"path": "/engine/oil", "code": 200, "body": None, "headers": None},
        {"path": "/engine/oil", "code": "x", "body": {"lifeRemaining": 0.5}},
        {"path": "/engine/oil", "code": 501},
        {"path": "/engine/oil", "code": 200, "body": "text", "headers": []},
        {
            "path": "/engine/oil",
            "code": 200,
            "body": {"lifeRemaining": 0.5},
            "headers": {"sc-data-age": "yesterday"},
        },
    ],
)
@responses.activate
def test_a_broken_item_spoils_only_itself(broken: Any) -> None:
    batch(broken, item("/odometer", {"distance": 5}, headers=None))
    found = {x.code: x for x in read([r.ODOMETER, r.OIL_LIFE])}
    assert isinstance(found[r.ODOMETER], SignalReading)
    oil = found[r.OIL_LIFE]
    assert isinstance(oil, SignalError)
    assert oil.outcome is Outcome.RETRY


@responses.activate
def test_a_path_without_an_answer_is_an_error_for_each_of_its_codes() -> None:
    batch(item("odometer", {"distance": 5}))
    found = read([r.ODOMETER, r.FUEL_LEVEL, r.FUEL_AMOUNT])
    assert [type(x) for x in found] == [SignalReading, SignalError, SignalError]
    assert {x.type for x in found if isinstance(x, SignalError)} == {"UNANSWERED"}


@pytest.mark.parametrize("body", ["{}", "[]", '{"responses": {}}', "<html>", "null"])
@responses.activate
def test_a_batch_that_cannot_be_read_is_raised(body: str) -> None:
    responses.post(f"{CAR}/batch", body=body)
    error = error_of(lambda: read([r.ODOMETER, r.VIN]))
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, False)


@responses.activate
def test_a_failed_batch_is_raised_with_what_smartcar_said() -> None:
    body = {"type": "CONNECTED_SERVICES_ACCOUNT", "code": "AUTHENTICATION_FAILED"}
    responses.post(f"{CAR}/batch", status=400, json=body)
    error = error_of(lambda: read(r.IDENTITY))
    assert (error.outcome, error.code) == (Outcome.RECONNECT, "AUTHENTICATION_FAILED")


@responses.activate
def test_a_signal_that_v2_lacks_costs_no_call() -> None:
    (error,) = read(["lowvoltagebattery-status"])
    assert isinstance(error, SignalError)
    assert error.outcome is Outcome.NOT_CAPABLE
    assert SmartcarV2.cost(["lowvoltagebattery-status", "diagnostics-dtccount"]) == 0


def test_the_cost_is_paths_and_the_scopes_are_named() -> None:
    codes = [r.ODOMETER, r.FUEL_LEVEL, r.FUEL_AMOUNT, *r.SYSTEM_STATUS, *r.IDENTITY]
    assert SmartcarV2.cost(codes) == 6
    assert SmartcarV2.permissions_for(codes) == [
        "read_diagnostics",
        "read_fuel",
        "read_odometer",
        "read_vehicle_info",
        "read_vin",
    ]
    assert SmartcarV2.permission_of(r.SERVICE_RECORDS) == "read_service_history"
    assert SmartcarV2.permission_of(r.PERMISSIONS) == ""


# --- The gate, leaving, and what is connected -------------------------------------------------


@responses.activate
def test_the_gate_stands_before_every_call_and_may_shut() -> None:
    waiting = ClientError("wait", outcome=Outcome.WAIT)

    @contextmanager
    def shut() -> Iterator[None]:
        raise waiting
        yield

    client = SmartcarV2(make_config(), shut, management_gate=shut)
    for call in (
        lambda: client.get_user_id(ACCESS),
        lambda: client.list_vehicles(ACCESS),
        lambda: read([r.ODOMETER], client),
        lambda: read(r.IDENTITY, client),
        lambda: client.disconnect(smartcar_id="car-1", access_token=ACCESS),
        client.list_connections,
    ):
        assert error_of(call) is waiting
    assert len(responses.calls) == 0


@pytest.mark.parametrize(("status", "body"), [(200, '{"status": "success"}'), (204, "")])
@responses.activate
def test_disconnecting_needs_no_words_of_farewell(status: int, body: str) -> None:
    responses.delete(f"{CAR}/application", status=status, body=body)
    make_client().disconnect(smartcar_id="car-1", access_token=ACCESS)


@responses.activate
def test_all_pages_of_connections_are_read() -> None:
    def page(request: Any) -> tuple[int, dict[str, str], str]:
        second = "cursor" in request.params
        row = {
            "userId": "u",
            "vehicleId": "2" if second else "1",
            "connectedAt": "2026-01-01T00:00Z",
        }
        cursor = None if second else "next"
        return 200, {}, json.dumps({"connections": [row], "paging": {"cursor": cursor}})

    url = "https://management.test/v2.0/management/connections/"
    responses.add_callback("GET", url, callback=page)
    found = make_client().list_connections()
    assert [(x.user_id, x.vehicle_id) for x in found] == [("u", "1"), ("u", "2")]
    assert found[0].connected_at == datetime(2026, 1, 1, tzinfo=UTC)
    basic = base64.b64encode(f"default:{AMT}".encode()).decode()
    assert responses.calls[0].request.headers["Authorization"] == f"Basic {basic}"


@pytest.mark.parametrize(
    "body",
    [
        {"connections": [{"userId": "u"}]},
        {"connections": None},
        {"connections": [], "paging": {"cursor": "same"}},
    ],
)
@responses.activate
def test_connections_are_never_listed_in_part(body: Any) -> None:
    responses.get("https://management.test/v2.0/management/connections/", json=body)
    assert error_of(make_client().list_connections).outcome is Outcome.RETRY


# --- Under the SDK ----------------------------------------------------------------------------


def test_clients_of_different_origins_do_not_mix_under_threads() -> None:
    found: dict[str, set[str]] = {"one": set(), "two": set()}

    def answer(name: str) -> Any:
        return lambda handler: handler.send(json.dumps({"id": name}).encode())

    with serving(answer("one")) as one, serving(answer("two")) as two:
        clients = {name: make_client(api_origin=s.url) for name, s in (("one", one), ("two", two))}

        def work(name: str) -> None:
            for _ in range(25):
                found[name].add(clients[name].get_user_id(ACCESS))

        threads = [threading.Thread(target=work, args=(n,)) for n in ("one", "two") * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {"one": {"one"}, "two": {"two"}}
    assert "127.0.0.1" not in smartcar.config.API_ORIGIN


def test_reads_of_one_client_share_a_connection() -> None:
    with serving(lambda h: h.send(b'{"distance": 1}')) as server:
        client = make_client(api_origin=server.url)
        for _ in range(3):
            read([r.ODOMETER], client)
    assert len(set(server.ports)) == 1


@responses.activate
def test_what_is_not_smartcars_fault_reaches_the_caller_as_it_is() -> None:
    class TimeLimitError(Exception):
        pass

    responses.post(f"{CAR}/batch", body=TimeLimitError())
    with pytest.raises(TimeLimitError):
        read(r.IDENTITY)


@pytest.mark.parametrize("how", ["reset", "timeout", "garbage", "refused", "html"])
def test_no_secret_shows_in_any_error(how: str) -> None:
    done = threading.Event()
    echo = json.dumps({"error": "invalid_grant", "error_description": REFRESH, "type": ACCESS})
    scripts: dict[str, Any] = {
        "reset": StubHandler.reset,
        "timeout": lambda h: done.wait(5),
        "garbage": lambda h: h.send(f"<{REFRESH}{ACCESS}".encode()),
        "refused": lambda h: h.send(echo.encode(), 400, Content_Type="application/json"),
        "html": lambda h: h.send(f"<{REFRESH}{ACCESS}".encode(), 502, Content_Type="text/html"),
    }
    shown = ""
    with serving(scripts[how]) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrations.clients.smartcar_v2.TOKEN_TIMEOUT", 0.3)
        config = make_config(
            api_origin=server.url,
            auth_origin=server.url,
            management_origin=server.url,
            read_timeout=0.3,
        )
        client = SmartcarV2(config)
        for call in (
            lambda: client.refresh(REFRESH),
            lambda: client.exchange_code(REFRESH),
            lambda: client.get_user_id(ACCESS),
            lambda: read(r.IDENTITY, client),
            client.list_connections,
        ):
            error = error_of(call)
            shown += "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        shown += repr(read([r.ODOMETER], client)) + repr(client) + repr(config)
        done.set()
    pair = TokenPair(
        access_token=ACCESS,
        refresh_token=REFRESH,
        expires_in=timedelta(1),
        refresh_expires_in=timedelta(1),
    )
    for secret in (ACCESS, REFRESH, SECRET, AMT):
        assert secret not in shown + repr(pair)
