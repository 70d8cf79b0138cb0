"""v3 over HTTP: what is sent, how answers are read, and what every refusal means."""

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from responses import matchers

from integrations.clients import readings as r
from integrations.clients.errors import ClientError, Gate, Outcome
from integrations.clients.readings import SignalError, SignalReading
from integrations.clients.smartcar_types import (
    ConnectionInfo,
    SmartcarConfig,
    Subscription,
    TokenPair,
)
from integrations.clients.smartcar_v3 import NO_SIGNALS, SmartcarV3
from tests.integrations.clients.stub_server import StubHandler, closed_port, serving

API = "https://vehicle.test"
IAM = "https://iam.test/oauth2/token"
MANAGEMENT = "https://management.test"
CAR = f"{API}/v3/vehicles/car-1"
SIGNALS = f"{CAR}/signals"
CONNECTIONS = f"{API}/v3/connections"
SUBSCRIPTIONS = f"{MANAGEMENT}/v3/subscriptions"
ACCESS = "access-7f3c9"
SECRET = "client-secret-9a"
CLIENT_ID = "client_01J9Z7"
USER = "user-1"
HOOK = "hook-1"
RECORDED = datetime(2026, 3, 1, 10, tzinfo=UTC)
FETCHED = datetime(2026, 3, 1, 10, 5, tzinfo=UTC)
TIMES = {"oemUpdatedAt": "2026-03-01T10:00:00.000Z", "retrievedAt": "2026-03-01T11:05:00+01:00"}
KM = {"value": 50_000, "unit": "kilometers"}


def make_config(**overrides: Any) -> SmartcarConfig:
    values: dict[str, Any] = {
        "client_id": "client-of-v2",
        "client_secret": "secret-of-v2",
        "v3_client_id": CLIENT_ID,
        "v3_client_secret": SECRET,
        "application_id": "application-1",
        "redirect_uri": "https://portal.test/connect/callback/",
        "connect_origin": "https://connect.test",
        "vehicle_v3_origin": API,
        "management_v3_origin": MANAGEMENT,
        "iam_origin": IAM,
        "read_timeout": 5.0,
    }
    return SmartcarConfig(**{**values, **overrides})


def make_client(**overrides: Any) -> SmartcarV3:
    return SmartcarV3(make_config(**overrides))


def read(*codes: str) -> list[SignalReading | SignalError]:
    return make_client().read(smartcar_id="car-1", access_token=ACCESS, codes=codes, user_id=USER)


def read_all(*codes: str) -> dict[str, SignalReading | SignalError]:
    """With one code more than asked for, so that all signals come in one answer."""
    return {result.code: result for result in read(*codes, r.SERVICE_RECORDS)}


def item(code: str, body: Any = None, *, status: Any = "SUCCESS", meta: Any = None) -> Any:
    attributes = {"code": code, "status": status if isinstance(status, dict) else {"value": status}}
    if body is not None:
        attributes["body"] = body
    return {
        "id": code,
        "type": "signal",
        "attributes": attributes,
        "meta": TIMES if meta is None else meta,
    }


def refused(type_: str, code: str | None, body: Any = None) -> Any:
    error = {"type": type_, "code": code, "detail": "No.", "resolution": {"type": None}}
    return {"body": body, "status": {"value": "ERROR", "error": error}}


def answer(*items: Any, **more: Any) -> dict[str, Any]:
    return {"data": list(items), **more}


def serve(url: str, *pages: Any, method: str = "GET", **options: Any) -> None:
    for page in pages:
        options.setdefault("headers", {"SC-Request-Id": "req-1"})
        responses.add(method, url, json=page, **options)


def queries() -> list[dict[str, str]]:
    """What each call so far was asked with."""
    urls = [str(call.request.url) for call in responses.calls]
    return [{k: v for k, (v,) in parse_qs(urlsplit(url).query).items()} for url in urls]


def error_of(call: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value


def connection(number: int, user: str = USER, **attributes: Any) -> dict[str, Any]:
    return {
        "id": f"connection-{number}",
        "type": "connection",
        "attributes": attributes,
        "relationships": {
            "user": {"data": {"id": user, "type": "user"}},
            "vehicle": {"data": {"id": f"car-{number}", "type": "vehicle"}},
        },
        "meta": {"createdAt": "2026-02-01T00:00:00Z", "updatedAt": "2026-03-01T10:00:00Z"},
    }


def ids(found: list[ConnectionInfo]) -> list[str]:
    return [one.vehicle_id for one in found]


# --- The application's token ------------------------------------------------------------------


@responses.activate
def test_a_token_is_asked_for_with_the_credentials_of_v3() -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
    }
    responses.post(
        IAM,
        json={"access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600},
        match=[matchers.urlencoded_params_matcher(form)],
    )
    pair = make_client().request_token()
    assert pair == TokenPair(access_token=ACCESS, expires_in=timedelta(hours=1))
    assert (pair.refresh_token, pair.refresh_expires_in) == ("", None)


def test_neither_the_token_nor_the_secrets_show_in_a_repr() -> None:
    pair = TokenPair(access_token=ACCESS, expires_in=timedelta(hours=1))
    shown = repr((pair, make_config(), make_client()))
    assert ACCESS not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("missing", ["v3_client_id", "v3_client_secret"])
@responses.activate
def test_without_credentials_nothing_is_asked_and_all_stops(missing: str) -> None:
    error = error_of(lambda: make_client(**{missing: ""}).request_token())
    assert (error.outcome, error.type) == (Outcome.STOP, "NOT_CONFIGURED")
    assert len(responses.calls) == 0


@pytest.mark.parametrize("body", [{"error": "invalid_client"}, {}, {"message": "Unauthorized"}])
@responses.activate
def test_refused_credentials_stop_everything(body: dict[str, str]) -> None:
    responses.post(IAM, status=401, json=body)
    error = error_of(lambda: make_client().request_token())
    assert (error.outcome, error.status_code) == (Outcome.STOP, 401)
    assert not error.may_have_happened


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, '{"error": "invalid_request"}', Outcome.REJECTED),
        (429, "{}", Outcome.WAIT_ALL),
        (500, '{"error": "server_error"}', Outcome.RETRY),
        (502, "<html>Bad Gateway</html>", Outcome.RETRY),
    ],
)
@responses.activate
def test_other_refusals_of_the_token_say_what_to_do(
    status: int, body: str, outcome: Outcome
) -> None:
    responses.post(IAM, status=status, body=body, headers={"Retry-After": "7"})
    error = error_of(lambda: make_client().request_token())
    assert (error.outcome, error.retry_after) == (outcome, 7)


@pytest.mark.parametrize(
    "body", ["{}", "[]", "null", "<html>", "", '{"access_token": ""}', '{"access_token": 7}']
)
@responses.activate
def test_an_answer_without_a_token_is_tried_again(body: str) -> None:
    responses.post(IAM, body=body, content_type="application/json")
    error = error_of(lambda: make_client().request_token())
    assert (error.outcome, error.type) == (Outcome.RETRY, "MALFORMED")
    assert not error.may_have_happened, "asking once more spends nothing"


@pytest.mark.parametrize(
    "extra",
    [{}, {"expires_in": None}, {"expires_in": "x"}, {"expires_in": -1}, {"expires_in": 1e30}],
)
@responses.activate
def test_a_token_without_a_usable_lifetime_lives_an_hour(extra: dict[str, Any]) -> None:
    responses.post(IAM, json={"access_token": ACCESS, **extra})
    assert make_client().request_token().expires_in == timedelta(hours=1)


def noting(calls: list[str], name: str) -> Gate:
    @contextmanager
    def gate() -> Iterator[None]:
        calls.append(name)
        yield

    return gate


@responses.activate
def test_each_kind_of_call_passes_its_own_gate() -> None:
    serve(SIGNALS, answer(item(r.ODOMETER, KM), links={"next": "?page[number]=2"}), answer())
    serve(CONNECTIONS, answer())
    serve(SUBSCRIPTIONS, answer())
    serve(SUBSCRIPTIONS, {}, method="POST", status=202)
    serve(IAM, {"access_token": ACCESS}, method="POST")
    passed: list[str] = []
    client = SmartcarV3(
        make_config(),
        gate=noting(passed, "car"),
        token_gate=noting(passed, "token"),
        management_gate=noting(passed, "management"),
    )

    client.request_token()
    client.read(smartcar_id="car-1", access_token=ACCESS, codes=[r.ODOMETER, r.VIN], user_id=USER)
    client.list_vehicles(ACCESS, USER)
    client.list_subscriptions(ACCESS, webhook_id=HOOK)
    client.subscribe(smartcar_id="car-1", access_token=ACCESS, webhook_id=HOOK, user_id=USER)

    assert passed == ["token", "car", "car", "management", "management", "management"]


def test_tokens_are_asked_for_in_15_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    send = requests.Session.request

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["timeout"])
        return send(self, *args, **kwargs)

    def script(handler: StubHandler) -> None:
        handler.send(json.dumps({"access_token": "a"}).encode())

    monkeypatch.setattr(requests.Session, "request", spy)
    with serving(script) as server:
        make_client(iam_origin=server.url, read_timeout=65.0).request_token()
    (timeout,) = seen
    assert (timeout.total, timeout.connect_timeout) == (15.0, 5.0)


# --- Connect ----------------------------------------------------------------------------------


def test_the_connect_url_names_the_application_and_all_that_is_asked() -> None:
    url = make_client(mode="simulated").connect_url(
        scope=["read_odometer", "read_vin"],
        state="st&te",
        make="FORD",
        country="US",
        single_select_vin="1FTFW1E50NFA00001",
    )
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://connect.test/oauth/authorize"
    query = {key: value for key, (value,) in parse_qs(parts.query).items()}
    assert query.pop("application_id") == "application-1"
    assert query == {
        "response_type": "code",
        "client_id": "application-1",
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


def test_a_plain_connect_url_restricts_nothing() -> None:
    query = parse_qs(urlsplit(make_client().connect_url(scope=["read_vin"], state="s")).query)
    assert not {"make", "flags", "single_select", "single_select_vin"} & set(query)


def test_the_reauthenticate_url_names_the_car_and_asks_for_no_code() -> None:
    url = make_client().reauthenticate_url(smartcar_id="car&1", state="st&te")
    parts = urlsplit(url)
    assert parts.path == "/oauth/reauthenticate"
    assert {key: value for key, (value,) in parse_qs(parts.query).items()} == {
        "response_type": "vehicle_id",
        "client_id": "application-1",
        "vehicle_id": "car&1",
        "redirect_uri": "https://portal.test/connect/callback/",
        "state": "st&te",
    }


# --- Connections, page after page -------------------------------------------------------------


@responses.activate
def test_a_connection_says_who_shares_which_car_and_what_of_it() -> None:
    serve(CONNECTIONS, answer(connection(1, permissions=["read_vin", "read_odometer"])))
    assert make_client().list_vehicles(ACCESS, USER) == [
        ConnectionInfo(
            id="connection-1",
            user_id=USER,
            vehicle_id="car-1",
            connected_at=RECORDED,
            permissions=("read_vin", "read_odometer"),
        )
    ]
    (query,) = queries()
    assert query["filter[userId]"] == USER
    (call,) = responses.calls
    assert call.request.headers["Authorization"] == f"Bearer {ACCESS}"


@responses.activate
def test_a_connection_may_name_user_and_car_among_its_attributes() -> None:
    row = connection(1)
    row["attributes"] = {"user": {"id": "user-9"}, "vehicle": {"id": "car-9"}}
    del row["relationships"], row["meta"]
    serve(CONNECTIONS, answer(row))
    (one,) = make_client().list_connections(ACCESS)
    assert (one.user_id, one.vehicle_id) == ("user-9", "car-9")
    assert (one.connected_at, one.permissions) == (None, None)


@pytest.mark.parametrize(
    ("mode", "filters"), [("live", {}), ("simulated", {"filter[vehicle.mode]": "simulated"})]
)
@responses.activate
def test_only_cars_of_our_mode_are_asked_for(mode: str, filters: dict[str, str]) -> None:
    serve(CONNECTIONS, answer())
    assert make_client(mode=mode).list_connections(ACCESS, vehicle_id="car-1") == []
    (query,) = queries()
    assert {k: v for k, v in query.items() if k.startswith("filter")} == {
        "filter[vehicleId]": "car-1",
        **filters,
    }


def serve_pages(count: int, *, cap: int, how: str) -> None:
    """A list of `count` connections in pages of at most `cap`, linked in one of many ways."""

    def page(request: Any) -> tuple[int, dict[str, str], str]:
        query = {k: v[0] for k, v in parse_qs(urlsplit(request.url).query).items()}
        assert query["filter[userId]"] == USER, "each page is asked for with the filter"
        at = int(query.get("from", (int(query.get("page[number]", 1)) - 1) * cap))
        if how == "cursor" and at:
            assert "page[number]" not in query, "the link alone says which page"
        rows = [connection(n) for n in range(at, min(at + cap, count))]
        body: dict[str, Any] = {"data": rows}
        following = f"page%5Bnumber%5D={at // cap + 2}&filter%5BuserId%5D={USER}"
        links = {
            "absolute": f"{CONNECTIONS}?{following}",
            "relative": f"/v3/connections?{following}",
            "cursor": f"{CONNECTIONS}?from={at + cap}",
        }
        if how in links:
            body["links"] = {"next": links[how] if at + cap < count else None}
        elif how == "count":
            body["meta"] = {"totalCount": count}
        elif how == "count and size":
            body["meta"] = {"totalCount": count, "pageSize": cap}
        return 200, {}, json.dumps(body)

    responses.add_callback("GET", CONNECTIONS, callback=page)


@pytest.mark.parametrize("count", [0, 1, 10, 11, 130])
@pytest.mark.parametrize("how", ["absolute", "relative", "cursor", "count", "count and size"])
@responses.activate
def test_all_pages_of_connections_are_read(count: int, how: str) -> None:
    serve_pages(count, cap=10, how=how)
    found = make_client().list_vehicles(ACCESS, USER)
    assert ids(found) == [f"car-{n}" for n in range(count)]
    assert len(responses.calls) == max(1, -(-count // 10))


@responses.activate
def test_a_list_that_says_nothing_of_pages_has_one() -> None:
    serve(CONNECTIONS, answer(connection(1), connection(2)))
    assert ids(make_client().list_connections(ACCESS)) == ["car-1", "car-2"]
    assert len(responses.calls) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"links": {"next": f"{CONNECTIONS}?page[number]=2"}},
        {"links": {"next": CONNECTIONS}},
        {"meta": {"totalCount": 10**9}},
    ],
    ids=["always the same link", "a link to itself", "a count without end"],
)
@responses.activate
def test_a_list_without_end_is_an_error(more: dict[str, Any]) -> None:
    serve(CONNECTIONS, answer(connection(1), **more))
    error = error_of(lambda: make_client().list_connections(ACCESS))
    assert (error.outcome, error.type) == (Outcome.RETRY, "MALFORMED")
    assert len(responses.calls) <= 200


@responses.activate
def test_a_connection_listed_twice_is_one() -> None:
    serve(CONNECTIONS, answer(connection(1), connection(2), connection(1)))
    assert ids(make_client().list_connections(ACCESS)) == ["car-1", "car-2"]


@pytest.mark.parametrize("links", [{}, {"links": {"next": None}}])
@responses.activate
def test_less_than_the_list_says_it_holds_is_an_error(links: dict[str, Any]) -> None:
    meta = {"totalCount": 3, "pageSize": 50}
    serve(CONNECTIONS, answer(connection(1), meta=meta, **links), answer(meta=meta))
    assert error_of(lambda: make_client().list_connections(ACCESS)).type == "MALFORMED"


@responses.activate
def test_rows_that_a_deaf_server_adds_are_left_out() -> None:
    serve(CONNECTIONS, answer(connection(1), connection(2, user="user-2"), connection(3)))
    client = make_client()
    assert ids(client.list_vehicles(ACCESS, USER)) == ["car-1", "car-3"]
    assert ids(client.list_connections(ACCESS, vehicle_id="car-2")) == ["car-2"]
    assert ids(client.list_connections(ACCESS)) == ["car-1", "car-2", "car-3"]


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "",
        "null",
        "[]",
        "{}",
        '{"data": {}}',
        '{"data": [null]}',
        '{"data": [{"id": "connection-1"}]}',
        '{"data": [{"relationships": {"user": {"data": {"id": "u"}},'
        ' "vehicle": {"data": {"id": "c"}}}}]}',
    ],
)
@responses.activate
def test_connections_are_never_listed_in_part(body: str) -> None:
    responses.get(CONNECTIONS, body=body)
    error = error_of(lambda: make_client().list_connections(ACCESS))
    assert (error.outcome, error.type) == (Outcome.RETRY, "MALFORMED")


@responses.activate
def test_a_page_that_fails_spoils_the_list() -> None:
    serve(CONNECTIONS, answer(connection(1), links={"next": "?page[number]=2"}))
    responses.get(CONNECTIONS, status=503)
    assert error_of(lambda: make_client().list_connections(ACCESS)).status_code == 503


# --- Reading ----------------------------------------------------------------------------------


@responses.activate
def test_the_one_signal_that_is_wanted_is_read_alone() -> None:
    serve(f"{SIGNALS}/{r.ODOMETER}", {"data": item(r.ODOMETER, KM)})
    assert read(r.ODOMETER) == [
        SignalReading(
            code=r.ODOMETER,
            body=KM,
            recorded_at=RECORDED,
            fetched_at=FETCHED,
            request_id="req-1",
        )
    ]


@responses.activate
def test_several_signals_take_one_call_and_each_is_judged_alone() -> None:
    dtc = {"values": [{"code": "P0300", "timestamp": None}]}
    serve(
        SIGNALS,
        answer(
            item(r.ODOMETER, KM),
            item(r.OIL_LIFE, **refused("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")),
            item(r.TROUBLE_CODES, dtc),
            item(r.VIN, **refused("PERMISSION", "UNKNOWN")),
        ),
    )
    odometer, oil, codes, vin = read(r.ODOMETER, r.OIL_LIFE, r.TROUBLE_CODES, r.VIN)
    assert len(responses.calls) == 1
    assert (odometer.code, codes.code) == (r.ODOMETER, r.TROUBLE_CODES)
    assert isinstance(odometer, SignalReading)
    assert isinstance(codes, SignalReading)
    assert codes.body == dtc
    assert isinstance(oil, SignalError)
    assert (oil.outcome, oil.type, oil.error_code, oil.request_id) == (
        Outcome.NOT_CAPABLE,
        "COMPATIBILITY",
        "VEHICLE_NOT_CAPABLE",
        "req-1",
    )
    assert isinstance(vin, SignalError)
    assert (vin.outcome, vin.type) == (Outcome.NOT_GRANTED, "PERMISSION")


@responses.activate
def test_a_read_carries_the_token_and_the_drivers_id() -> None:
    needed = {"Authorization": f"Bearer {ACCESS}", "sc-user-id": USER}
    serve(SIGNALS, answer(item(r.ODOMETER, KM)), match=[matchers.header_matcher(needed)])
    serve(
        f"{SIGNALS}/{r.ODOMETER}",
        {"data": item(r.ODOMETER, KM)},
        match=[matchers.header_matcher(needed)],
    )
    assert read(r.ODOMETER, r.VIN)
    assert read(r.ODOMETER)


@responses.activate
def test_no_size_is_asked_for_and_yet_every_page_is_read() -> None:
    serve(
        SIGNALS,
        answer(item(r.ODOMETER, KM), links={"next": f"{SIGNALS}?page[number]=2"}),
        answer(item(r.OIL_LIFE, {"value": 40, "unit": "percent"}), links={"next": None}),
    )
    found = read_all(r.ODOMETER, r.OIL_LIFE)
    assert isinstance(found[r.ODOMETER], SignalReading)
    assert isinstance(found[r.OIL_LIFE], SignalReading)
    assert queries() == [{}, {"page[number]": "2"}]


@pytest.mark.parametrize(
    "moment",
    [
        "2026-03-01T10:00:00.000Z",
        "2026-03-01T12:00:00+02:00",
        1_772_359_200,
        1_772_359_200_000,
        "1772359200",
    ],
)
@responses.activate
def test_a_time_is_the_same_however_it_is_written(moment: Any) -> None:
    serve(SIGNALS, answer(item(r.ODOMETER, KM, meta={"oemUpdatedAt": moment})))
    found = read_all(r.ODOMETER)[r.ODOMETER]
    assert isinstance(found, SignalReading)
    assert found.recorded_at == RECORDED


@responses.activate
def test_an_old_body_beside_an_error_is_no_reading() -> None:
    serve(
        SIGNALS,
        answer(
            item(r.ODOMETER, **refused("VEHICLE_STATE", "ASLEEP", KM)),
            item(r.TIRES, {"values": [{"row": 0, "column": 0, "tirePressure": 220}]}),
        ),
    )
    found = read_all(r.ODOMETER)[r.ODOMETER]
    assert isinstance(found, SignalError)
    assert (found.outcome, found.error_code) == (Outcome.ASLEEP, "ASLEEP")


@responses.activate
def test_a_single_signal_in_error_is_no_reading_either() -> None:
    failed = item(r.ODOMETER, **refused("UPSTREAM", "INVALID_DATA", KM))
    serve(f"{SIGNALS}/{r.ODOMETER}", {"data": failed})
    (found,) = read(r.ODOMETER)
    assert isinstance(found, SignalError)
    assert (found.outcome, found.type) == (Outcome.RETRY, "UPSTREAM")


@pytest.mark.parametrize("data", [None, [], {}, {"attributes": {"code": r.OIL_LIFE}}])
@responses.activate
def test_a_signal_that_is_not_among_the_answers_is_said_to_be_unanswered(data: Any) -> None:
    serve(SIGNALS, answer(item(r.TIRES, {"values": []})))
    serve(f"{SIGNALS}/{r.ODOMETER}", {"data": data})
    for found in (read_all(r.ODOMETER)[r.ODOMETER], *read(r.ODOMETER)):
        assert isinstance(found, SignalError)
        assert (found.outcome, found.type) == (Outcome.RETRY, "UNANSWERED")


@pytest.mark.parametrize("status", [200, 404])
@responses.activate
def test_a_car_of_which_nothing_is_known_is_an_error_of_its_own(status: int) -> None:
    serve(SIGNALS, answer(), status=status)
    error = error_of(lambda: read(r.ODOMETER, r.VIN))
    assert (error.outcome, error.type) == (Outcome.RETRY, NO_SIGNALS)


@pytest.mark.parametrize(
    ("status", "type_"), [(404, ""), (403, "PERMISSION"), (501, "COMPATIBILITY")]
)
@responses.activate
def test_why_a_single_signal_is_refused_is_looked_up_among_all(status: int, type_: str) -> None:
    serve(f"{SIGNALS}/{r.OIL_LIFE}", {"errors": [{"type": type_}]}, status=status)
    serve(
        SIGNALS,
        answer(
            item(r.OIL_LIFE, **refused("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")),
            item(r.ODOMETER, KM),
        ),
    )
    (found,) = read(r.OIL_LIFE)
    assert isinstance(found, SignalError)
    assert found.outcome is Outcome.NOT_CAPABLE


@responses.activate
def test_a_gateways_page_says_nothing_of_the_signal_that_was_asked_for() -> None:
    responses.get(f"{SIGNALS}/{r.OIL_LIFE}", status=403, body="<html>")
    assert error_of(lambda: read(r.OIL_LIFE)).outcome is Outcome.RETRY
    assert len(responses.calls) == 1


@responses.activate
def test_a_single_signal_of_a_car_that_is_not_known_has_no_better_answer() -> None:
    serve(f"{SIGNALS}/{r.ODOMETER}", {}, status=404)
    serve(SIGNALS, {}, status=404)
    assert error_of(lambda: read(r.ODOMETER)).type == NO_SIGNALS


@responses.activate
def test_systems_that_come_along_are_returned_and_nothing_else_is() -> None:
    serve(
        SIGNALS,
        answer(
            item(r.ODOMETER, KM),
            item("diagnostics-mil", {"status": "ALERT", "description": "x"}),
            item("diagnostics-abs", **refused("COMPATIBILITY", "VEHICLE_NOT_CAPABLE")),
            item("diagnostics-dtccount", {"value": 2, "unit": "count"}),
            item("location-preciselocation", {"latitude": 42.3, "longitude": -83.0}),
            item(r.TIRES, {"values": []}),
        ),
    )
    assert set(read_all(r.ODOMETER)) == {r.ODOMETER, r.SERVICE_RECORDS, "diagnostics-mil"}


@responses.activate
def test_of_a_code_said_twice_the_first_counts_and_case_does_not() -> None:
    serve(
        SIGNALS, answer(item(r.ODOMETER.upper(), KM), item(r.ODOMETER, {"value": 1, "unit": "km"}))
    )
    found = read_all(r.ODOMETER)[r.ODOMETER]
    assert isinstance(found, SignalReading)
    assert found.body == KM


def vehicle(**attributes: Any) -> dict[str, Any]:
    return {"vehicle": {"id": "car-1", "type": "vehicle", "attributes": attributes}}


@responses.activate
def test_what_the_car_is_stands_beside_its_signals() -> None:
    included = vehicle(make="FORD", model="F-150", year=2022, mode="live")
    serve(SIGNALS, answer(item(r.VIN, {"value": "1FTFW1E50NFA00001"}), included=included))
    vin, described = read(*r.IDENTITY)
    assert vin.code == r.VIN
    assert isinstance(described, SignalReading)
    assert described.code == r.ATTRIBUTES
    assert described.body == {"make": "FORD", "model": "F-150", "year": 2022}
    assert [found.code for found in read(r.VIN, r.ODOMETER)] == [r.VIN, r.ODOMETER], "if asked for"


@pytest.mark.parametrize(
    "included",
    [None, [], {"vehicle": None}, vehicle(), vehicle(make=7, model=None, year="2022")],
)
@responses.activate
def test_a_car_that_is_not_described_has_no_description(included: Any) -> None:
    serve(SIGNALS, answer(item(r.VIN, {"value": "1FTFW1E50NFA00001"}), included=included))
    assert [found.code for found in read(*r.IDENTITY)] == [r.VIN]


@responses.activate
def test_permissions_are_no_signal_and_cost_no_call() -> None:
    assert read(r.PERMISSIONS) == []
    assert read() == []
    assert len(responses.calls) == 0


@pytest.mark.parametrize("body", ["<html>", "", "null", "[]", "{}", '{"data": {}}'])
@responses.activate
def test_signals_that_cannot_be_read_are_raised(body: str) -> None:
    responses.get(SIGNALS, body=body)
    error = error_of(lambda: read(r.ODOMETER, r.VIN))
    assert (error.outcome, error.type) == (Outcome.RETRY, "MALFORMED")


@responses.activate
def test_a_car_is_named_in_the_address_as_it_is() -> None:
    serve(f"{API}/v3/vehicles/a%2Fb/signals", answer(item(r.ODOMETER, KM)))
    assert make_client().read(smartcar_id="a/b", access_token=ACCESS, codes=[r.ODOMETER, r.VIN])
    assert "sc-user-id" not in responses.calls[0].request.headers


def test_whatever_is_read_costs_one_call_and_permissions_none() -> None:
    assert SmartcarV3.cost([]) == 0
    assert SmartcarV3.cost([r.PERMISSIONS]) == 0
    assert SmartcarV3.cost([r.ODOMETER]) == 1
    assert SmartcarV3.cost([*r.IDENTITY, r.ODOMETER, r.OIL_LIFE]) == 1


# --- Refusals ---------------------------------------------------------------------------------

REFUSALS = [
    (401, "AUTHENTICATION", "UNAUTHORIZED", Outcome.REFRESH),
    (401, "AUTHENTICATION", None, Outcome.REFRESH),
    (403, "PERMISSION", "UNKNOWN", Outcome.NOT_GRANTED),
    (400, "VALIDATION", "INVALID_INPUT_FORMAT", Outcome.REJECTED),
    (400, "CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED", Outcome.RECONNECT),
    (429, "RATE_LIMIT", "SMARTCAR_API", Outcome.WAIT_ALL),
    (429, "RATE_LIMIT", "VEHICLE", Outcome.WAIT),
    (430, "BILLING", "VEHICLE_REQUEST_LIMIT", Outcome.QUOTA),
    (430, "BILLING", "ACCOUNT_SUSPENDED", Outcome.STOP),
    (409, "VEHICLE_STATE", "ASLEEP", Outcome.ASLEEP),
    (501, "COMPATIBILITY", "VEHICLE_NOT_CAPABLE", Outcome.NOT_CAPABLE),
    (502, "UPSTREAM", "NO_RESPONSE", Outcome.RETRY),
    (502, "UPSTREAM", "RATE_LIMIT", Outcome.WAIT),
    (500, "SERVER", "INTERNAL", Outcome.RETRY),
]


@pytest.mark.parametrize(("status", "type_", "code", "outcome"), REFUSALS)
@responses.activate
def test_a_refused_call_is_raised_with_what_smartcar_said(
    status: int, type_: str, code: str | None, outcome: Outcome
) -> None:
    error = {"status": str(status), "type": type_, "code": code, "detail": "Not now."}
    serve(
        SIGNALS,
        {"errors": [error]},
        status=status,
        headers={"SC-Request-Id": "req-7", "Retry-After": "120"},
    )
    raised = error_of(lambda: read(r.ODOMETER, r.VIN))
    assert (raised.outcome, raised.type, raised.code) == (outcome, type_, code or "")
    assert (raised.status_code, raised.retry_after, raised.request_id) == (status, 120, "req-7")
    assert not raised.may_have_happened


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, Outcome.REFRESH),
        (403, Outcome.RETRY),
        (429, Outcome.WAIT),
        (430, Outcome.QUOTA),
        (500, Outcome.RETRY),
        (502, Outcome.RETRY),
        (504, Outcome.RETRY),
    ],
)
@pytest.mark.parametrize("body", ["<html>nginx</html>", "", "[]", '{"errors": []}', "{}"])
@responses.activate
def test_a_refusal_without_words_is_judged_by_its_status(
    status: int, body: str, outcome: Outcome
) -> None:
    responses.get(SIGNALS, status=status, body=body)
    error = error_of(lambda: read(r.ODOMETER, r.VIN))
    assert (error.outcome, error.type) == (outcome, "")


@responses.activate
def test_a_redirect_is_not_followed_with_the_token() -> None:
    responses.get(SIGNALS, status=302, headers={"Location": "https://elsewhere.test/"})
    assert error_of(lambda: read(r.ODOMETER, r.VIN)).status_code == 302
    assert len(responses.calls) == 1


@pytest.mark.parametrize("how", ["reset", "timeout", "garbage", "refused", "html", "quoted"])
def test_no_secret_shows_in_any_error(how: str) -> None:
    def script(handler: StubHandler) -> None:
        match how:
            case "reset":
                handler.reset()
            case "timeout":
                import time

                time.sleep(0.6)
                handler.reset()
            case "garbage":
                handler.send(b'{"access')
            case "html":
                handler.send(f"<html>{ACCESS} {SECRET}</html>".encode(), 502)
            case _:
                quoted = {"type": "VALIDATION", "code": ACCESS, "detail": f"{ACCESS} {SECRET}"}
                body = {"errors": [quoted], "error": SECRET, "error_description": SECRET}
                handler.send(json.dumps(body).encode(), 400)

    with serving(script) as server:
        url = f"http://127.0.0.1:{closed_port()}" if how == "refused" else server.url
        client = make_client(
            vehicle_v3_origin=url,
            management_v3_origin=url,
            iam_origin=f"{url}/oauth2/token",
            read_timeout=0.3,
        )
        car = {"smartcar_id": "car-1", "access_token": ACCESS, "user_id": USER}
        calls = [
            lambda: client.read(**car, codes=[r.ODOMETER, r.VIN]),
            lambda: client.read(**car, codes=[r.ODOMETER]),
            lambda: client.list_connections(ACCESS),
        ]
        if how != "garbage":  # nothing is read of a subscription that was accepted
            calls.append(lambda: client.subscribe(**car, webhook_id=HOOK))
        if how != "timeout":  # a token is waited for 15 seconds
            calls.append(client.request_token)
        for call in calls:
            error = error_of(call)
            shown = "".join(traceback.format_exception(error)) + repr(vars(error))
            assert ACCESS not in shown
            assert SECRET not in shown


# --- Subscribing ------------------------------------------------------------------------------


def subscribe() -> bool:
    return make_client().subscribe(
        smartcar_id="car-1", access_token=ACCESS, webhook_id=HOOK, user_id=USER
    )


@pytest.mark.parametrize(("status", "is_done"), [(202, False), (201, True), (409, True)])
@responses.activate
def test_subscribing_says_whether_it_is_done_or_only_asked_for(status: int, is_done: bool) -> None:
    wanted = {"webhookId": HOOK, "userId": USER, "vehicleId": "car-1"}
    responses.post(
        SUBSCRIPTIONS,
        status=status,
        json={},
        match=[
            matchers.json_params_matcher({"data": {"attributes": wanted}}),
            matchers.header_matcher({"Authorization": f"Bearer {ACCESS}"}),
        ],
    )
    assert subscribe() is is_done


@pytest.mark.parametrize(
    ("status", "type_", "outcome"),
    [
        (404, "RESOURCE_NOT_FOUND", Outcome.REJECTED),
        (403, "PERMISSION", Outcome.NOT_GRANTED),
        (401, "AUTHENTICATION", Outcome.REFRESH),
    ],
)
@responses.activate
def test_a_refused_subscription_is_raised(status: int, type_: str, outcome: Outcome) -> None:
    responses.post(SUBSCRIPTIONS, status=status, json={"errors": [{"type": type_}]})
    error = error_of(subscribe)
    assert error.outcome is outcome


@responses.activate
def test_a_subscription_that_may_have_been_made_may_be_asked_for_again() -> None:
    responses.post(SUBSCRIPTIONS, status=502)
    assert not error_of(subscribe).may_have_happened


def subscription(number: int, *, user: str = USER, hook: str = HOOK) -> dict[str, Any]:
    return {
        "id": f"subscription-{number}",
        "type": "subscription",
        "attributes": {"webhookId": hook, "userId": user, "vehicleId": f"car-{number}"},
    }


@responses.activate
def test_all_pages_of_subscriptions_are_read_and_those_of_other_webhooks_left_out() -> None:
    meta = {"totalCount": 3, "pageSize": 2}
    pages = (
        answer(subscription(1), subscription(2, hook="hook-2"), meta=meta),
        answer(subscription(3), meta=meta),
    )
    serve(SUBSCRIPTIONS, *pages)
    found = make_client().list_subscriptions(ACCESS, webhook_id=HOOK)
    assert found == [
        Subscription(id=f"subscription-{n}", webhook_id=HOOK, user_id=USER, vehicle_id=f"car-{n}")
        for n in (1, 3)
    ]
    assert [query["filter[webhookId]"] for query in queries()] == [HOOK, HOOK]


@pytest.mark.parametrize("row", [None, {}, {"id": "s"}, {"attributes": {"vehicleId": "car-1"}}])
@responses.activate
def test_subscriptions_are_never_listed_in_part(row: Any) -> None:
    serve(SUBSCRIPTIONS, answer(subscription(1), row))
    error = error_of(lambda: make_client().list_subscriptions(ACCESS, webhook_id=HOOK))
    assert error.type == "MALFORMED"


@pytest.mark.parametrize("status", [204, 200, 404])
@responses.activate
def test_unsubscribing_ends_this_drivers_subscription_of_this_car(status: int) -> None:
    rows = [subscription(1, user="user-2"), subscription(1), subscription(2)]
    rows[0]["id"] = "of-another-driver"
    serve(SUBSCRIPTIONS, answer(*rows))
    responses.delete(f"{SUBSCRIPTIONS}/subscription-1", status=status)
    make_client().unsubscribe(
        smartcar_id="car-1", access_token=ACCESS, webhook_id=HOOK, user_id=USER
    )
    deleted = [call.request.url for call in responses.calls if call.request.method == "DELETE"]
    assert deleted == [f"{SUBSCRIPTIONS}/subscription-1"]


# --- Disconnecting ----------------------------------------------------------------------------


def disconnect() -> None:
    make_client().disconnect(smartcar_id="car-1", access_token=ACCESS, user_id=USER)


@pytest.mark.parametrize("status", [204, 200, 404])
@responses.activate
def test_disconnecting_ends_every_connection_of_this_driver_with_this_car(status: int) -> None:
    rows = [connection(1), connection(1), connection(1, user="user-2"), connection(2)]
    rows[1]["id"], rows[2]["id"] = "connection-1b", "of-another-driver"
    serve(CONNECTIONS, answer(*rows))
    for one in ("connection-1", "connection-1b"):
        responses.delete(f"{CONNECTIONS}/{one}", status=status)
    disconnect()
    deleted = [call.request.url for call in responses.calls if call.request.method == "DELETE"]
    assert deleted == [f"{CONNECTIONS}/connection-1", f"{CONNECTIONS}/connection-1b"]
    assert queries()[0]["filter[vehicleId]"] == "car-1"
    assert queries()[0]["filter[userId]"] == USER


@responses.activate
def test_a_car_that_is_not_connected_needs_no_disconnecting() -> None:
    serve(CONNECTIONS, answer())
    disconnect()
    assert len(responses.calls) == 1


@responses.activate
def test_a_refused_farewell_is_raised() -> None:
    serve(CONNECTIONS, answer(connection(1)))
    responses.delete(f"{CONNECTIONS}/connection-1", status=500)
    assert error_of(disconnect).outcome is Outcome.RETRY
