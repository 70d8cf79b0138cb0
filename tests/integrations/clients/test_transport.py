import os
import threading
import time
import traceback
from typing import Any

import pytest
import responses

from integrations.clients import transport
from integrations.clients.errors import ClientError, Outcome
from tests.integrations.clients.stub_server import StubHandler, closed_port, serving

SECRET = "s3cr3t-7d1f"


def call(method: str, url: str, **more: Any) -> Any:
    options = {"read_timeout": 5.0, "provider": "Acme", "label": f"{method} things", **more}
    return transport.request(method, url, **options)


def failure(method: str, url: str, **more: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call(method, url, **more)
    return caught.value


def test_calls_of_one_thread_share_one_connection() -> None:
    with serving(lambda h: h.send(b"{}")) as server:
        for _ in range(3):
            call("GET", server.url)
    assert len(set(server.ports)) == 1


def test_threads_do_not_share_a_session() -> None:
    sessions = [transport._session()]
    thread = threading.Thread(target=lambda: sessions.append(transport._session()))
    thread.start()
    thread.join()
    assert sessions[0] is transport._session()
    assert sessions[0] is not sessions[1]


def test_a_forked_child_gets_a_session_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = transport._session()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert transport._session() is not before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_is_retried_later_and_did_nothing(method: str) -> None:
    error = failure(method, f"http://127.0.0.1:{closed_port()}/")
    assert error.outcome is Outcome.RETRY
    assert error.type == "CONNECTION"
    assert not error.may_have_happened


def test_a_connect_timeout_did_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib3

    def slow(*args: object, **kwargs: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(urllib3.util.connection, "create_connection", slow)
    monkeypatch.setattr("urllib3.connection.connection.create_connection", slow)
    error = failure("POST", "http://127.0.0.1:9/")
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, False)


@pytest.mark.parametrize(("method", "may_have"), [("POST", True), ("GET", False)])
def test_a_read_timeout_leaves_a_post_open(method: str, may_have: bool) -> None:
    done = threading.Event()

    def hang(handler: StubHandler) -> None:
        done.wait(5)

    with serving(hang) as server:
        started = time.monotonic()
        error = failure(method, server.url, read_timeout=0.2)
        assert time.monotonic() - started < 2
        done.set()
    assert error.type == "TIMEOUT"
    assert error.outcome is Outcome.RETRY
    assert error.may_have_happened is may_have
    assert len(server.ports) == 1, "a read is never repeated"


@pytest.mark.parametrize(("method", "may_have"), [("POST", True), ("GET", False)])
def test_a_reset_leaves_a_post_open_and_is_not_repeated(method: str, may_have: bool) -> None:
    with serving(StubHandler.reset) as server:
        error = failure(method, server.url)
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, may_have)
    assert len(server.ports) == 1


def test_half_an_answer_leaves_a_post_open() -> None:
    def half(handler: StubHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"id": 1')
        handler.close_connection = True

    with serving(half) as server:
        error = failure("POST", server.url)
    assert (error.outcome, error.may_have_happened) == (Outcome.RETRY, True)


def test_a_repeatable_post_is_never_left_open() -> None:
    with serving(StubHandler.reset) as server:
        assert not failure("POST", server.url, repeatable=True).may_have_happened


@pytest.mark.parametrize(
    ("status", "outcome", "may_have"),
    [
        (500, Outcome.RETRY, True),
        (503, Outcome.RETRY, True),
        (302, Outcome.RETRY, True),
        (404, Outcome.REJECTED, False),
        (408, Outcome.RETRY, True),
    ],
)
@responses.activate
def test_a_refusing_status_is_an_error(status: int, outcome: Outcome, may_have: bool) -> None:
    responses.post("http://127.0.0.1/x", status=status, headers={"Location": "http://127.0.0.1/y"})
    error = failure("POST", "http://127.0.0.1/x")
    assert (error.status_code, error.outcome) == (status, outcome)
    assert error.may_have_happened is may_have
    assert len(responses.calls) == 1, "a redirect could carry a token elsewhere"


def test_a_429_with_retry_after_comes_back_at_once_and_whole() -> None:
    with serving(lambda h: h.send(b"{}", 429, Retry_After="3")) as server:
        error = failure("GET", server.url)
    assert error.status_code == 429
    assert len(server.ports) == 1


def test_a_cookie_is_not_carried_to_the_next_call() -> None:
    seen: list[str | None] = []

    def script(handler: StubHandler) -> None:
        seen.append(handler.headers.get("Cookie"))
        handler.send(b"{}", Set_Cookie="driver=anna")

    with serving(script) as server:
        call("GET", server.url)
        call("GET", server.url)
    assert seen == [None, None]


def test_a_netrc_does_not_replace_our_authorization(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str | None] = []

    def script(handler: StubHandler) -> None:
        seen.append(handler.headers.get("Authorization"))
        handler.send(b"{}")

    with serving(script) as server:
        call("GET", server.url, headers={"Authorization": "Bearer a"})
    assert seen == ["Bearer a"]


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with serving(lambda h: h.send(b'{"by": "proxy"}')) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert call("GET", "http://example.invalid/").json() == {"by": "proxy"}


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}\n"}},
        {"headers": {"Authorization": f"Bearer {SECRET}\u20ac"}},
        {"auth": (f"{SECRET}\u20ac", SECRET)},
    ],
)
def test_a_header_that_cannot_be_written_is_our_fault_and_not_shown(more: Any) -> None:
    error = failure("POST", "http://127.0.0.1:9/", **more)
    assert (error.outcome, error.may_have_happened) == (Outcome.REJECTED, False)
    assert SECRET not in "".join(traceback.format_exception(error))


def test_garbage_in_a_2xx_is_an_error() -> None:
    with serving(lambda h: h.send(b"<html>")) as server:
        response = call("POST", server.url)
    with pytest.raises(ClientError) as caught:
        transport.read_json(response, "Acme: POST things", may_have_happened=True)
    assert caught.value.type == "MALFORMED"
    assert caught.value.may_have_happened


@pytest.mark.parametrize("kind", ["refused", "reset", "timeout", "500"])
def test_no_secret_shows_in_an_error(kind: str) -> None:
    done = threading.Event()
    scripts: dict[str, Any] = {
        "reset": StubHandler.reset,
        "timeout": lambda h: done.wait(5),
        "500": lambda h: h.send(SECRET.encode(), 500, X_Echo=SECRET),
        "refused": StubHandler.reset,
    }
    with serving(scripts[kind]) as server:
        url = f"http://127.0.0.1:{closed_port()}" if kind == "refused" else server.url
        error = failure(
            "POST",
            f"{url}/?token={SECRET}",
            read_timeout=0.3,
            headers={"Authorization": SECRET},
            json={"token": SECRET},
        )
        done.set()
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert SECRET not in shown
    assert "Acme: POST things" in shown
    assert error.__context__ is None
