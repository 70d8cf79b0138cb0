"""The door for Smartcar's deliveries: who comes in, what is kept, and what a stranger can do."""

import hashlib
import io
import json
import logging
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import OperationalError, close_old_connections, connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from fleetportal import clock
from integrations.clients.smartcar_webhooks import sign
from integrations.models import WebhookEndpoint, WebhookEvent, prepared
from integrations.services import inbox, webhook_setup
from integrations.webhook_views import LARGEST
from tests.factories import NOW
from tests.integrations.deliveries import (
    TOKEN,
    URL,
    deliver,
    encode,
    later,
    odometer,
    signal,
    state,
    v2,
    verify,
)
from tests.integrations.world import together

pytestmark = pytest.mark.django_db

Verify = WebhookEndpoint.Verify


@pytest.fixture(autouse=True)
def standing_clock() -> None:
    clock.set_source(lambda: NOW)


def answer_of(environ: dict[str, Any]) -> str:
    """The status that a server would send for this request."""
    said: list[Any] = []
    whole = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": URL,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        **environ,
    }

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        said.append(status)
        return said.append

    # As Django's test client does: the test's connection outlives the request.
    request_started.disconnect(close_old_connections)
    try:
        list(WSGIHandler()(whole, start_response))
    finally:
        request_started.connect(close_old_connections)
    return str(said[0])[:3]


# --- Genuine ----------------------------------------------------------------------------------


def test_a_genuine_event_is_kept_as_it_came_before_it_is_answered(client: Client) -> None:
    message = state("car-1", odometer(1_000), sent_at=later(minutes=-1))

    response = deliver(client, message)

    assert response.status_code == 200
    assert response.content == b""
    event = WebhookEvent.objects.get()
    assert (event.provider, event.event_id, event.kind) == (
        "smartcar",
        message["eventId"],
        "VEHICLE_STATE",
    )
    assert (event.state, event.smartcar_id) == ("received", "car-1")
    assert event.body == encode(message).decode()
    assert (event.occurred_at, event.received_at) == (later(minutes=-1), NOW)
    assert (event.processed_at, event.lease_until, event.vehicle) == (None, None, None)


def test_an_event_that_is_delivered_again_is_accepted_and_kept_once(client: Client) -> None:
    message = state("car-1", odometer(1_000))
    deliver(client, message)
    WebhookEvent.objects.update(state="processed", note="1 new")
    message["meta"] |= {"deliveryId": "another", "deliveredAt": message["meta"]["deliveredAt"] + 9}

    assert deliver(client, message).status_code == 200
    event = WebhookEvent.objects.get()
    assert (event.state, event.note) == ("processed", "1 new")


def test_an_event_takes_one_question_to_the_database(client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        deliver(client, state("car-1", odometer(1_000)))

    assert len(queries) == 1
    assert queries[0]["sql"].startswith("INSERT INTO")
    assert "ON CONFLICT DO NOTHING" in queries[0]["sql"]


def test_nothing_is_published_while_smartcar_waits(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    from celery import Celery

    monkeypatch.setattr(Celery, "send_task", lambda *a, **o: pytest.fail("published"))

    assert deliver(client, state("car-1", odometer(1))).status_code == 200


def test_every_kind_is_kept_also_what_nobody_knows(client: Client) -> None:
    for message in (
        v2("scheduled", vehicles=[{"vehicleId": "car-1", "data": []}]),
        v2("eventBased", eventId="e-1", vehicleId="car-1", eventType="CHARGING_STARTED"),
        {"eventId": "e-2", "eventType": "VEHICLE_DREAM", "data": None},
    ):
        assert deliver(client, message).status_code == 200

    assert set(WebhookEvent.objects.values_list("kind", flat=True)) == {
        "scheduled",
        "eventBased",
        "VEHICLE_DREAM",
    }


def test_long_ids_are_kept_as_they_are(client: Client) -> None:
    ids = {"x" * 79 + end for end in "ab"}
    for id_ in ids:
        deliver(client, state("car-1") | {"eventId": id_})

    assert set(WebhookEvent.objects.values_list("event_id", flat=True)) == ids


@pytest.mark.parametrize("id_", [None, "x" * 81])
def test_an_event_without_an_id_of_use_is_known_by_its_body(client: Client, id_: Any) -> None:
    body = encode(state("car-1") | {"eventId": id_})
    deliver(client, body)
    deliver(client, body)

    expected = f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert WebhookEvent.objects.get().event_id == expected


@pytest.mark.parametrize("days", [8, 400])
def test_an_old_recording_played_again_is_kept_and_ignored(client: Client, days: int) -> None:
    assert deliver(client, state("car-1", sent_at=later(days=-days))).status_code == 200

    event = WebhookEvent.objects.get()
    assert (event.state, event.note, event.processed_at) == ("ignored", "older than 7 days", NOW)


def test_an_event_of_a_week_ago_still_counts(client: Client) -> None:
    deliver(client, state("car-1", sent_at=later(days=-7)))

    assert WebhookEvent.objects.get().state == "received"


def test_while_the_token_changes_both_are_good(client: Client, settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["new-token", TOKEN]

    for token in ("new-token", TOKEN):
        assert deliver(client, state("car-1"), token=token).status_code == 200
    assert deliver(client, state("car-1"), token="old-token").status_code == 401
    assert WebhookEvent.objects.count() == 2


def test_no_session_and_no_cookie_is_made(client: Client) -> None:
    client.cookies["sessionid"] = "x" * 32

    with CaptureQueriesContext(connection) as queries:
        response = deliver(client, state("car-1"))

    assert not response.cookies
    assert "session" not in " ".join(query["sql"] for query in queries)


def test_a_browser_has_no_business_here(client: Client) -> None:
    for method in (client.get, client.put, client.delete, client.options, client.head):
        response = method(URL)
        assert response.status_code == 405
        assert response["Allow"] == "POST"
    assert Client(enforce_csrf_checks=True).post(URL).status_code == 401


def test_no_form_token_is_asked_for(settings: Settings) -> None:
    settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]

    assert deliver(Client(enforce_csrf_checks=True), state("car-1")).status_code == 200


# --- Forged -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"SC-Signature": ""},
        {"SC-Signature": "0" * 64},
        {"SC-Signature": "sha256=" + "0" * 64},
        {"SC-Signature": "ü" * 64},
        {"SC-Signature": sign(TOKEN, b"something else")},
        {"X-SC-Signature": sign(TOKEN, b"{}")},
    ],
)
def test_what_is_not_signed_with_the_token_changes_nothing(
    client: Client, headers: dict[str, str]
) -> None:
    response = client.post(
        URL, encode(state("car-1")), content_type="application/json", headers=headers
    )

    assert response.status_code == 401
    assert response.content == b""
    assert not WebhookEvent.objects.exists()


def test_one_changed_byte_is_a_forgery(client: Client) -> None:
    body = encode(state("car-1", odometer(1_000)))
    signature = sign(TOKEN, body)
    for place in range(0, len(body), 7):
        changed = bytearray(body)
        changed[place] ^= 1
        response = client.post(
            URL,
            bytes(changed),
            content_type="application/json",
            headers={"SC-Signature": signature},
        )
        assert response.status_code == 401
    assert not WebhookEvent.objects.exists()


def test_without_a_token_everything_is_refused_and_it_is_said_why(
    client: Client, settings: Settings
) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = []

    assert deliver(client, state("car-1"), token="").status_code == 401
    row = WebhookEndpoint.objects.get()
    assert (row.refused_at, row.refused_why) == (NOW, "SMARTCAR_MANAGEMENT_TOKEN is not set")


def test_a_flood_of_forgeries_is_written_down_once_a_minute(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(client, state("car-1"), token="wrong")
    clock.set_source(lambda: later(seconds=30))

    with CaptureQueriesContext(connection) as queries:
        for _ in range(50):
            deliver(client, state("car-1"), token="wrong")

    assert len(queries) == 0
    assert len(caplog.records) == 1
    assert WebhookEndpoint.objects.get().refused_at == NOW
    cache.clear()  # another process
    deliver(client, state("car-1"), token="wrong")
    assert WebhookEndpoint.objects.get().refused_at == NOW
    cache.clear()
    clock.set_source(lambda: later(seconds=60))
    deliver(client, state("car-1"), token="wrong")
    row = WebhookEndpoint.objects.get()
    assert (row.refused_at, row.refused_why) == (later(seconds=60), webhook_setup.BAD_SIGNATURE)


def test_neither_logs_nor_answers_hold_what_was_sent_or_the_token(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for message in (b"private words", b"[1]", encode(state("private words"))):
        for token in (TOKEN, "wrong", None):
            cache.clear()
            assert b"private" not in deliver(client, message, token=token).content
    assert "private words" not in caplog.text
    assert TOKEN not in caplog.text


# --- Broken -----------------------------------------------------------------------------------


BROKEN = [
    b"",
    b" ",
    b"null",
    b"[]",
    b'"VERIFY"',
    b"{",
    b"{}",
    b'{"eventType":null}',
    b'{"eventType":["VERIFY"]}',
    b"\x00",
    b'{"eventType":"VEHICLE_STATE"}\x00',
    b'{"eventType":"VEHICLE\x00STATE"}',
    b'{"eventType":"VEHICLE\\u0000STATE"}',
    b"\xff\xfe{\x00}\x00",
    b'{"eventType":"\xff"}',
    b'{"eventType":"VEHICLE_STATE","data":' + b"9" * 5_000 + b"}",
    b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
    b"[" * 100_000,
    b'{"eventType":"VEHICLE_STATE","data":' + b"[" * 500 + b"]" * 500 + b"}",
    "{}".encode("utf-16"),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_signed_but_not_an_event_is_refused_and_not_kept(client: Client, number: int) -> None:
    assert deliver(client, BROKEN[number]).status_code == 400
    assert deliver(client, BROKEN[number], token=None).status_code == 401
    assert not WebhookEvent.objects.exists()


STRANGE: list[dict[str, Any]] = [
    {"eventId": "a\x00b", "eventType": "VEHICLE_STATE", "data": {"vehicle": {"id": "c\x00"}}},
    {"eventId": "\ud800", "eventType": "VEHICLE_STATE", "data": {"vehicle": {"id": "\udfff"}}},
    {"eventId": 7, "eventType": "VEHICLE_STATE", "data": {"vehicle": {"id": {"a": 1}}}},
    {"eventId": "i" * 5_000, "eventType": "K" * 39, "data": {"vehicle": {"id": "v" * 5_000}}},
    {"eventId": ["x"], "eventType": "VEHICLE_ERROR", "data": {"errors": "\x00"}},
    {"eventId": "e", "eventType": "VEHICLE_STATE", "meta": {"deliveredAt": 1e308}},
    {"eventId": "e", "eventType": "VEHICLE_STATE", "meta": {"deliveredAt": -(10**40)}},
    {"eventId": "e", "eventType": "VEHICLE_STATE", "meta": {"deliveredAt": "0001-01-01T00:00Z"}},
    {"eventId": "e", "eventType": "VEHICLE_STATE", "meta": {"deliveredAt": float("nan")}},
    {"eventId": "e", "eventType": "VEHICLE_STATE", "meta": {"deliveredAt": True}},
]


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_a_strange_event_is_kept_in_a_form_that_every_database_takes(
    client: Client, number: int
) -> None:
    assert deliver(client, STRANGE[number]).status_code == 200

    event = WebhookEvent.objects.get()
    assert json.loads(event.body) is not None
    assert event.event_id.isprintable()
    assert event.smartcar_id.isprintable()


def test_a_body_that_says_it_is_too_large_is_not_even_read() -> None:
    class Unread(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            pytest.fail("it was read")

    for length in (LARGEST + 1, 10**12, 10**100):
        assert answer_of({"CONTENT_LENGTH": str(length), "wsgi.input": Unread()}) == "413"
    row = WebhookEndpoint.objects.get()
    assert row.refused_why == webhook_setup.TOO_LARGE


def signed(body: bytes, **environ: Any) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(body), "HTTP_SC_SIGNATURE": sign(TOKEN, body), **environ}


def test_a_body_in_chunks_is_read_to_its_end_or_to_the_limit() -> None:
    body = encode(state("car-1", odometer(1)))
    chunks = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    endless = io.BytesIO(b"x" * (LARGEST + 5))

    assert answer_of(signed(body, **chunks)) == "200"
    assert answer_of({"wsgi.input": endless, **chunks}) == "413"
    assert endless.tell() == LARGEST + 1
    assert WebhookEvent.objects.count() == 1


def test_the_largest_that_is_taken_is_taken() -> None:
    message = state("car-1", signal("x-y", NOW, value=""))
    message["data"]["signals"][0]["body"]["value"] = "v" * (LARGEST - len(encode(message)))
    body = encode(message)
    assert len(body) == LARGEST

    assert answer_of(signed(body, CONTENT_LENGTH=str(LARGEST))) == "200"
    assert answer_of(signed(body + b" ", CONTENT_LENGTH=str(LARGEST + 1))) == "413"


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("10", "401"),  # less than there is: the rest belongs to nobody
        ("100000", "400"),  # more: the sender hung up
        ("-5", "401"),
        ("-99999999", "401"),
        ("abc", "401"),
        ("1e3", "401"),
        ("9" * 5_000, "401"),
        ("0", "401"),
        (None, "401"),
    ],
)
def test_a_length_that_lies_is_not_believed(length: str | None, status: str) -> None:
    environ = {} if length is None else {"CONTENT_LENGTH": length}

    assert answer_of(signed(encode(state("car-1")), **environ)) == status
    assert not WebhookEvent.objects.exists()


class GarbledError(Exception):
    """As servers have them: no OSError."""


@pytest.mark.parametrize("error", [ConnectionResetError, GarbledError])
def test_a_sender_that_hangs_up_or_garbles_is_no_error_of_ours(
    caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    class Broken(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise error(b"private")

    assert answer_of({"CONTENT_LENGTH": "10", "wsgi.input": Broken()}) == "400"
    assert answer_of({"wsgi.input_terminated": True, "wsgi.input": Broken()}) == "400"
    assert caplog.text == ""


def test_slow_senders_are_read_piece_by_piece() -> None:
    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 11))

    body = encode(state("car-1", odometer(1)))
    environ = signed(body, CONTENT_LENGTH=str(len(body))) | {"wsgi.input": Dripping(body)}

    assert answer_of(environ) == "200"


def _random_bodies(seed: int) -> Iterator[bytes]:
    """Forged, cut, oversized, nested and random ones."""
    chance = random.Random(seed)  # noqa: S311  it has to repeat
    whole = encode(state("car-1", odometer(1), odometer(2)) | {"extra": "ü\u2028"})
    pieces = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"VERIFY", b"eventType", b"\\u0000"]
    pieces += [b"null", b"1e999", b"\xff", b"\x00", b"data", b"challenge", b"meta", b"\\ud800"]
    values: list[Any] = [None, True, 0, -1, 1e308, 10**400, "", "\x00", [], {}, [[]], "VERIFY"]
    makers: list[Callable[[], bytes]] = [
        lambda: whole[: chance.randrange(len(whole))],
        lambda: chance.randbytes(chance.randrange(300)),
        lambda: b"".join(chance.choices(pieces, k=chance.randrange(60))),
        lambda: b'{"eventType":' * chance.randrange(1, 3_000),
        lambda: encode(dict.fromkeys(("eventType", "eventId", "meta"), chance.choice(values))),
        lambda: encode(
            {
                key: chance.choice([*values, {"id": chance.choice(values)}])
                for key in ("eventId", "data", "payload", "meta", "vehicleId", "mode", "triggers")
            }
            | {"eventType": chance.choice(["VEHICLE_STATE", "VEHICLE_ERROR", "scheduled", "x"])}
        ),
        lambda: whole.replace(b'"', chance.choice(pieces), chance.randrange(1, 9)),
        lambda: b"[" * chance.randrange(LARGEST * 2),
    ]
    while True:
        yield chance.choice(makers)()


@pytest.mark.parametrize("seed", range(6))
def test_no_body_makes_an_error_of_ours_and_only_genuine_events_are_kept(
    client: Client, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  it has to repeat
    bodies = _random_bodies(seed)
    genuine: set[bytes] = set()
    webhook_setup.open_window(now=NOW, user=None)
    for _ in range(250):
        body = next(bodies)
        token = chance.choice([TOKEN, TOKEN, "wrong", None])
        response = deliver(client, body, token=token)
        assert response.status_code in {200, 400, 401, 413}, body[:200]
        if response.status_code == 200:
            assert token == TOKEN
            assert isinstance(json.loads(body), dict)
            genuine.add(body)
    kept = {event.body.encode() for event in WebhookEvent.objects.all()}
    assert kept <= genuine
    assert kept


# --- The database is away ---------------------------------------------------------------------


def test_without_the_database_smartcar_is_asked_to_repeat(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise OperationalError("connection to 10.0.0.1, user portal, password hunter2 failed")

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "_cursor", away)
        patch.setattr(connections["default"], "cursor", away)
        for _ in range(5):
            assert deliver(client, state("car-1")).status_code == 503
        assert deliver(client, verify(), token=None).status_code == 503
        assert deliver(client, state("car-1"), token="wrong").status_code == 401

    assert "a webhook delivery could not be stored: OperationalError" in caplog.text
    assert "hunter2" not in caplog.text
    assert caplog.text.count("could not be stored") == 1


def test_it_is_not_asked_beforehand_whether_the_connection_lives(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = connections["default"]
    monkeypatch.setattr(kept, "health_check_enabled", True)
    monkeypatch.setattr(kept, "health_check_done", False)
    monkeypatch.setattr(kept, "is_usable", lambda: pytest.fail("asked"))

    assert deliver(client, state("car-1")).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_kept_connection_that_broke_is_replaced(client: Client) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no connection that breaks")
    deliver(client, state("car-1"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    together(1, lambda _: _end_backend(pid))

    assert deliver(client, state("car-1")).status_code == 200
    assert WebhookEvent.objects.count() == 2


def _end_backend(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])


@pytest.mark.django_db(transaction=True)
def test_eight_deliveries_of_one_event_at_once_are_one() -> None:
    message = state("car-1", odometer(1))

    answers = together(8, lambda _: deliver(Client(), message).status_code)

    assert answers == [200] * 8
    assert WebhookEvent.objects.count() == 1


# --- Smartcar's check of the address ----------------------------------------------------------


@pytest.mark.parametrize("token", [None, TOKEN, "wrong"])
@pytest.mark.parametrize("message", [verify("abc-123"), v2("verify", challenge="abc-123")])
def test_in_the_window_the_check_is_answered_signed_or_not(
    client: Client, message: dict[str, Any], token: str | None
) -> None:
    webhook_setup.open_window(now=later(minutes=-14), user=None)

    response = deliver(client, message, token=token)

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == {"challenge": sign(TOKEN, b"abc-123")}
    row = WebhookEndpoint.objects.get()
    assert (row.verify_seen_at, row.verified_at, row.verify_outcome) == (NOW, NOW, Verify.ANSWERED)
    assert not WebhookEvent.objects.exists()


def test_the_newest_token_signs_the_answer(client: Client, settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["new-token", TOKEN]
    webhook_setup.open_window(now=NOW, user=None)

    assert deliver(client, verify("abc"), token=None).json() == {
        "challenge": sign("new-token", b"abc")
    }


@pytest.mark.parametrize("token", ["new-token", TOKEN])
def test_a_check_that_is_signed_is_answered_with_the_token_that_signed_it(
    client: Client, settings: Settings, token: str
) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["new-token", TOKEN]
    webhook_setup.open_window(now=NOW, user=None)

    assert deliver(client, verify("abc"), token=token).json() == {"challenge": sign(token, b"abc")}


@pytest.mark.parametrize("minutes", [None, -15, -60])
def test_out_of_the_window_nothing_is_signed(client: Client, minutes: int | None) -> None:
    if minutes is not None:
        webhook_setup.open_window(now=later(minutes=minutes), user=None)

    assert deliver(client, verify(), token=None).status_code == 401
    assert deliver(client, verify()).status_code == 400
    row = WebhookEndpoint.objects.get()
    assert (row.verify_seen_at, row.verified_at, row.verify_outcome) == (NOW, None, Verify.CLOSED)
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize(
    "challenge", ['{"eventType":"VEHICLE_STATE"}', "x" * 300, "", None, 7, ["a"], {"a": 1}, "a b"]
)
def test_no_text_that_could_be_an_event_is_ever_signed(client: Client, challenge: Any) -> None:
    webhook_setup.open_window(now=NOW, user=None)

    assert deliver(client, verify(challenge), token=None).status_code == 401
    assert deliver(client, verify(challenge)).status_code == 400
    row = WebhookEndpoint.objects.get()
    assert (row.verify_outcome, row.verified_at) == (Verify.IMPLAUSIBLE, None)


def test_a_long_unsigned_check_is_not_looked_at(client: Client) -> None:
    webhook_setup.open_window(now=NOW, user=None)
    message = verify("abc") | {"padding": "x" * inbox.LONGEST_VERIFY}

    assert deliver(client, message, token=None).status_code == 401
    assert WebhookEndpoint.objects.get().verify_seen_at is None
    assert deliver(client, message).status_code == 200


def test_without_a_token_a_check_is_seen_and_not_answered(
    client: Client, settings: Settings
) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = []
    webhook_setup.open_window(now=NOW, user=None)

    assert deliver(client, verify(), token=None).status_code == 401
    assert WebhookEndpoint.objects.get().verify_outcome == Verify.NO_TOKEN


def test_a_flood_of_checks_is_written_down_once_a_minute(client: Client) -> None:
    deliver(client, verify(), token=None)
    clock.set_source(lambda: later(seconds=59))

    with CaptureQueriesContext(connection) as queries:
        for _ in range(20):
            deliver(client, verify(), token=None)

    assert not [query for query in queries if query["sql"].startswith("UPDATE")]
    clock.set_source(lambda: NOW + timedelta(seconds=60))
    deliver(client, verify(), token=None)
    assert WebhookEndpoint.objects.get().verify_seen_at == later(seconds=60)
