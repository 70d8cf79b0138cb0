"""Tokens: one exchange whoever asks, and no pair lost whatever breaks."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from fleetportal.celery import app
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.smartcar_v2 import TokenPair
from integrations.models import Activity, Connection, OAuthToken, ProviderGate
from integrations.models.encryption import DecryptionError
from integrations.sandbox.faults import bad_gateway, dropped_after, dropped_before
from integrations.services import gates, leases, revoking, token_sweeps, tokens
from integrations.signals import connection_changed
from tests.factories import NOW, make_connection, make_token
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db

TOKEN_PATH = "/oauth/token"
A_PAIR = TokenPair(
    access_token="new-access",
    refresh_token="new-refresh",
    expires_in=timedelta(hours=2),
    refresh_expires_in=timedelta(days=60),
)


class Killed(BaseException):
    """The process ends here; nothing of ours catches it."""


class Provider:
    """Answers a refresh as the test says, and remembers what it was given."""

    def __init__(self, *answers: TokenPair | BaseException | Callable[[str], TokenPair]) -> None:
        self.answers = list(answers)
        self.given: list[str] = []

    has_application_token = False
    version = "v2"

    def request_token(self) -> TokenPair:
        return self.refresh("")

    def refresh(self, refresh_token: str) -> TokenPair:
        self.given.append(refresh_token)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, TokenPair) else answer(refresh_token)


def fault(outcome: Outcome, text: str = "Smartcar: refresh: no") -> ClientError:
    return ClientError(text, outcome=outcome)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with running(settings) as running_world:
        yield running_world


@pytest.fixture
def token(world: World) -> OAuthToken:
    """The pair of a driver who has just connected, two hours later: it has run out."""
    token = world.connect().connection.token
    world.sandbox.smartcar.requests.clear()
    world.pass_time(hours=2)
    return token


def works(world: World, token: OAuthToken) -> bool:
    token.refresh_from_db()
    return bool(world.smartcar.list_vehicles(token.access_token))


# --- On demand --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "exchanges"),
    [
        pytest.param(timedelta(minutes=5, seconds=1), 0, id="enough life"),
        pytest.param(timedelta(minutes=5), 1, id="five minutes early"),
        pytest.param(timedelta(0), 1, id="run out"),
    ],
)
def test_access_token_is_exchanged_some_minutes_before_it_runs_out(
    left: timedelta, exchanges: int
) -> None:
    token = make_token(access_expires_at=NOW + left)
    provider = Provider(A_PAIR)

    access = tokens.get_access_token(token, client=provider, now=NOW)

    assert access == ("new-access" if exchanges else "secret-access-token")
    assert provider.given == ["secret-refresh-token"] * exchanges


def test_exchange_stores_the_whole_new_pair_and_forgets_failures(
    world: World, token: OAuthToken
) -> None:
    OAuthToken.objects.update(failures=2, last_error="down", next_attempt_at=world.now)
    before = token.refresh_token

    access = tokens.get_access_token(token, client=world.smartcar, now=world.now)

    stored = OAuthToken.objects.get()
    assert works(world, stored)
    assert stored.access_token == access
    assert stored.refresh_token != before
    assert stored.access_expires_at == world.now + timedelta(hours=2)
    assert stored.refresh_expires_at == world.now + timedelta(days=60)
    assert (stored.issued_at, stored.version) == (world.now, 2)
    assert (stored.failures, stored.last_error) == (0, "")
    assert stored.next_attempt_at is None
    assert stored.lease_until is None


def test_a_refused_access_token_is_exchanged_however_long_it_would_live() -> None:
    token, provider = make_token(), Provider(A_PAIR)

    assert tokens.get_access_token(token, client=provider, now=NOW, refused=True) == "new-access"


def test_a_refused_access_token_that_somebody_exchanged_meanwhile_is_not_exchanged_again() -> None:
    mine = make_token()
    tokens.store(_connection_of(mine), A_PAIR, now=NOW)

    provider = Provider(fault(Outcome.RETRY))
    assert tokens.get_access_token(mine, client=provider, now=NOW, refused=True) == "new-access"
    assert provider.given == []


def test_the_pair_is_written_before_anything_else_and_outside_of_any_transaction(
    world: World, token: OAuthToken
) -> None:
    log: list[str] = []

    def answer(refresh_token: str) -> TokenPair:
        pair: TokenPair = world.smartcar.refresh(refresh_token)
        log.append("answer")
        return pair

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        log.append(sql)
        return execute(sql, params, many, context)

    with database.execute_wrapper(watch):
        tokens.refresh(token, client=Provider(answer), now=world.now)

    written = log[log.index("answer") + 1]
    assert written.startswith('UPDATE "integrations_oauthtoken"')
    assert '"refresh_token"' in written


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_smartcar_is_asked() -> None:
    def answer(_: str) -> TokenPair:
        assert not database.in_atomic_block
        assert database.get_autocommit()
        return A_PAIR

    tokens.refresh(make_token(), client=Provider(answer), now=NOW)


# --- Killed workers and lost answers ----------------------------------------------------------


def test_what_a_killed_worker_began_is_finished_with_the_same_refresh_token(
    world: World, token: OAuthToken
) -> None:
    def dies_after_the_answer(refresh_token: str) -> TokenPair:
        world.smartcar.refresh(refresh_token)
        raise Killed

    with pytest.raises(Killed):
        tokens.refresh(token, client=Provider(dies_after_the_answer), now=world.now)
    spent = OAuthToken.objects.get().refresh_token

    survivor = Provider(world.smartcar.refresh)
    world.pass_time(seconds=9)
    assert token_sweeps.finish_interrupted(client=survivor, now=world.now).refreshed == 0
    world.pass_time(seconds=1)
    assert token_sweeps.finish_interrupted(client=survivor, now=world.now).refreshed == 1

    assert survivor.given == [spent]
    assert works(world, token)
    assert token.lease_until is None


def test_a_slow_exchange_keeps_its_lease_and_a_long_sweep_gives_each_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: only a worker that is gone is followed."""
    going = iter(range(0, 1000, 20))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(going)))
    time_now = leases.going_on(NOW)
    assert time_now() == NOW + timedelta(seconds=20)
    monkeypatch.undo()
    until: list[datetime | None] = []

    def slow(_: str) -> TokenPair:
        until.append(OAuthToken.objects.get().lease_until)
        return A_PAIR

    monkeypatch.setattr(leases, "going_on", lambda now: lambda: now + timedelta(minutes=5))
    make_token(lease_until=NOW - timedelta(seconds=1))
    token_sweeps.finish_interrupted(client=Provider(slow), now=NOW)
    assert until == [NOW + timedelta(minutes=5) + leases.LEASE]


def test_several_tries_fit_into_the_grace_window() -> None:
    look = timedelta(seconds=app.conf.beat_schedule["finish-interrupted-refreshes"]["schedule"])

    assert 4 * (leases.LEASE + look) < timedelta(seconds=60)


def test_a_lost_answer_is_healed_within_the_grace_window(world: World, token: OAuthToken) -> None:
    world.sandbox.smartcar.faults.add(dropped_after(path=TOKEN_PATH))

    with pytest.raises(ClientError) as caught:
        tokens.get_access_token(token, client=world.smartcar, now=world.now)
    assert caught.value.outcome is Outcome.RETRY
    world.pass_time(seconds=5)
    count = token_sweeps.finish_interrupted(client=world.smartcar, now=world.now)

    assert (count.refreshed, count.failed) == (1, 0)
    assert works(world, token)
    assert Connection.objects.get().status == Connection.Status.ACTIVE


def test_an_answer_that_stays_lost_beyond_the_grace_window_needs_the_driver(
    world: World, token: OAuthToken
) -> None:
    world.sandbox.smartcar.faults.add(dropped_after(path=TOKEN_PATH))
    with pytest.raises(ClientError):
        tokens.get_access_token(token, client=world.smartcar, now=world.now)

    world.pass_time(seconds=61)
    count = token_sweeps.finish_interrupted(client=world.smartcar, now=world.now)

    assert (count.failed, count.declined) == (1, 1)
    assert Connection.objects.get().status == Connection.Status.NEEDS_RECONNECT


@pytest.mark.parametrize("broken", [dropped_before, bad_gateway], ids=["hung up", "502 page"])
def test_failures_keep_the_refresh_token_and_wait_5_10_20_seconds_then_15_minutes(
    world: World, token: OAuthToken, broken: Callable[..., Any]
) -> None:
    world.sandbox.smartcar.faults.add(broken(path=TOKEN_PATH, times=None))
    before, waits = token.refresh_token, []

    for _ in range(5):
        with pytest.raises(ClientError):
            tokens.refresh(token, client=world.smartcar, now=world.now)
        token.refresh_from_db()
        assert token.next_attempt_at
        waits.append((token.next_attempt_at - world.now).total_seconds())
        world.now = token.next_attempt_at

    assert waits == [5, 10, 20, 900, 900]
    assert token.refresh_token == before
    assert (token.failures, token.version) == (5, 1)
    assert Connection.objects.get().status == Connection.Status.ACTIVE


def test_nobody_asks_again_before_it_is_time(world: World, token: OAuthToken) -> None:
    world.sandbox.smartcar.faults.add(dropped_before(path=TOKEN_PATH))
    with pytest.raises(ClientError):
        tokens.refresh(token, client=world.smartcar, now=world.now)
    asked = world.token_calls()

    world.pass_time(seconds=4)
    with pytest.raises(ClientError) as caught:
        tokens.get_access_token(OAuthToken.objects.get(), client=world.smartcar, now=world.now)

    assert (caught.value.type, caught.value.outcome) == ("TOKEN_BUSY", Outcome.RETRY)
    assert world.token_calls() == asked
    world.pass_time(seconds=1)
    tokens.refresh(OAuthToken.objects.get(), client=world.smartcar, now=world.now)
    assert works(world, token)


def test_patience_with_a_stuck_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0.05)
    token = make_token(access_expires_at=NOW, lease_until=NOW + timedelta(seconds=20))
    provider = Provider(A_PAIR)

    with pytest.raises(ClientError) as caught:
        tokens.get_access_token(token, client=provider, now=NOW)

    assert caught.value.type == "TOKEN_BUSY"
    assert provider.given == []


# --- Refusals ---------------------------------------------------------------------------------


def test_invalid_grant_means_nothing_when_somebody_was_faster(
    world: World, token: OAuthToken
) -> None:
    world.sandbox.smartcar.tokens.grace = 0

    def too_late(refresh_token: str) -> TokenPair:
        faster = world.smartcar.refresh(refresh_token)
        tokens.store(_connection_of(token), faster, now=world.now)
        return cast(TokenPair, world.smartcar.refresh(refresh_token))

    access = tokens.get_access_token(token, client=Provider(too_late), now=world.now)

    assert world.sandbox.smartcar.requests.count("POST", TOKEN_PATH, status=400) == 1
    assert works(world, token)
    assert access == token.access_token
    assert (token.failures, token.last_error) == (0, "")
    assert Connection.objects.get().status == Connection.Status.ACTIVE


def test_invalid_grant_means_nothing_when_somebody_is_faster_at_the_very_last_moment() -> None:
    token = make_token(access_expires_at=NOW)
    done: list[str] = []

    def step_in(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "integrations_oauthtoken"') and '"failures"' in sql and not done:
            done.append(sql)
            tokens.store(_connection_of(token), A_PAIR, now=NOW)
        return execute(sql, params, many, context)

    def refuse(_: str) -> TokenPair:
        raise fault(Outcome.RECONNECT)

    class Watching(Provider):
        def refresh(self, refresh_token: str) -> TokenPair:
            watch.__enter__()
            return super().refresh(refresh_token)

    watch = database.execute_wrapper(step_in)
    try:
        access = tokens.get_access_token(token, client=Watching(refuse), now=NOW)
    finally:
        watch.__exit__(None, None, None)

    assert done
    assert access == "new-access"
    assert Connection.objects.get().status == Connection.Status.ACTIVE


def test_invalid_grant_ends_the_connection_and_is_told_once(
    world: World, token: OAuthToken
) -> None:
    told: list[Connection] = []

    def listen(connection: Connection, **_: Any) -> None:
        told.append(connection)

    world.sandbox.smartcar.connect.revoke(world.sandbox.fleet.drivers[0].email)
    connection_changed.connect(listen)
    try:
        for _ in range(3):
            with pytest.raises(ClientError):
                tokens.get_access_token(token, client=world.smartcar, now=world.now)
            token_sweeps.refresh_due(client=world.smartcar, now=world.now, every=True)
            world.pass_time(seconds=30)
            token.refresh_from_db()
    finally:
        connection_changed.disconnect(listen)

    connection = Connection.objects.get()
    assert connection.status == Connection.Status.NEEDS_RECONNECT
    assert connection.status_reason == "Smartcar no longer accepts our token"
    assert Activity.objects.filter(what__startswith="Connection is now").count() == 1
    assert told == [connection]


def test_wrong_credentials_of_ours_pause_smartcar_and_harm_no_driver(
    world: World, token: OAuthToken, settings: Settings
) -> None:
    make_token(access_expires_at=world.now)
    settings.SMARTCAR_CLIENT_SECRET = "wrong"

    count = token_sweeps.refresh_due(client=world.smartcar, now=world.now, every=True)

    assert (count.failed, count.refreshed, count.refused) == (1, 0, True)
    assert world.token_calls() == 1, "the first refusal speaks for all"
    gate = ProviderGate.objects.get(name="smartcar tokens")
    assert gate.paused_until == world.now + timedelta(minutes=5)
    assert "invalid_client" in gate.paused_reason
    assert {c.status for c in Connection.objects.all()} == {Connection.Status.ACTIVE}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"status": 403, "body": {"error": "access_denied"}}, id="403 of Smartcar"),
        pytest.param({"status": 403, "body": "blocked", "content_type": "text/html"}, id="a proxy"),
        pytest.param({"status": 401, "body": {}}, id="bare 401"),
        pytest.param({"status": 429, "body": {}}, id="429"),
        pytest.param({"status": 400, "body": {"error": "invalid_request"}}, id="invalid_request"),
        pytest.param({"status": 200, "body": {"access_token": "only"}}, id="half a pair"),
    ],
)
def test_only_invalid_grant_touches_the_connection(
    world: World, token: OAuthToken, answer: dict[str, Any]
) -> None:
    world.smartcar_fault(path=TOKEN_PATH, **answer)
    before = token.refresh_token

    with pytest.raises(ClientError):
        tokens.refresh(token, client=world.smartcar, now=world.now)

    assert Connection.objects.get().status == Connection.Status.ACTIVE
    assert OAuthToken.objects.get().refresh_token == before


# --- A pair that is replaced or erased meanwhile ----------------------------------------------


def test_a_fresh_consent_is_not_overwritten_by_an_exchange_that_was_under_way() -> None:
    token = make_token(access_expires_at=NOW)
    consent = TokenPair(
        access_token="consent-access",
        refresh_token="consent-refresh",
        expires_in=timedelta(hours=2),
        refresh_expires_in=timedelta(days=60),
    )

    def reconnects_meanwhile(_: str) -> TokenPair:
        tokens.store(_connection_of(token), consent, now=NOW)
        return A_PAIR

    access = tokens.get_access_token(token, client=Provider(reconnects_meanwhile), now=NOW)

    assert access == "consent-access"
    assert OAuthToken.objects.get().refresh_token == "consent-refresh"


def test_each_pair_has_a_version_of_its_own_even_when_two_arrive_at_once() -> None:
    token = make_token(access_expires_at=NOW)
    connection = _connection_of(token)
    seen: list[int] = []

    def exchange_first(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "integrations_oauthtoken"') and not seen:
            seen.append(0)
            seen[0] = tokens.refresh(
                OAuthToken.objects.get(), client=Provider(A_PAIR), now=NOW
            ).version
        return execute(sql, params, many, context)

    with database.execute_wrapper(exchange_first):
        stored = tokens.store(connection, A_PAIR, now=NOW)

    assert stored.version > seen[0]


def test_tokens_erased_meanwhile_are_not_brought_back(
    world: World, token: OAuthToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0)
    connection = _connection_of(token)

    def withdraws_meanwhile(refresh_token: str) -> TokenPair:
        pair: TokenPair = world.smartcar.refresh(refresh_token)
        revoking.revoke(connection, client=world.smartcar, reason="over", now=world.now)
        return pair

    with pytest.raises(ClientError) as caught:
        tokens.get_access_token(token, client=Provider(withdraws_meanwhile), now=world.now)

    assert caught.value.outcome is Outcome.RECONNECT
    stored = OAuthToken.objects.get()
    assert (stored.access_token, stored.refresh_token) == ("", "")
    assert Connection.objects.get().status == Connection.Status.REVOKED


def test_an_erased_token_is_never_sent_to_smartcar() -> None:
    token = make_token(access_token="", refresh_token="", access_expires_at=NOW)
    provider = Provider(A_PAIR)

    with pytest.raises(ClientError) as caught:
        tokens.get_access_token(token, client=provider, now=NOW)

    assert caught.value.outcome is Outcome.RECONNECT
    assert provider.given == []


# --- Sweeps -----------------------------------------------------------------------------------

ago, ahead = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("fields", "due", "interrupted"),
    [
        pytest.param({}, False, False, id="fresh"),
        pytest.param({"lease_until": ago}, True, True, id="interrupted"),
        pytest.param({"lease_until": NOW}, True, True, id="interrupted just now"),
        pytest.param({"lease_until": ahead}, False, False, id="somebody is at it"),
        pytest.param({"failures": 1, "next_attempt_at": NOW}, True, True, id="failed, time came"),
        pytest.param({"failures": 1, "next_attempt_at": ahead}, False, False, id="failed, waits"),
        pytest.param({"issued_at": NOW - timedelta(days=30)}, True, False, id="30 days old"),
        pytest.param({"issued_at": NOW - timedelta(days=29)}, False, False, id="29 days old"),
    ],
)
def test_sweeps_take_what_is_due_and_nothing_else(
    fields: dict[str, Any], due: bool, interrupted: bool
) -> None:
    token = make_token(**fields)

    def snapshot() -> None:
        OAuthToken.objects.filter(pk=token.pk).update(
            **{"version": 1, "lease_until": None, "next_attempt_at": None, "failures": 0}
            | {"issued_at": NOW}
            | fields
        )

    assert token_sweeps.refresh_due(client=Provider(A_PAIR), now=NOW).refreshed == due
    snapshot()
    assert (
        token_sweeps.finish_interrupted(client=Provider(A_PAIR), now=NOW).refreshed == interrupted
    )


def test_refresh_command_adds_what_has_run_out_and_all_adds_everything() -> None:
    make_token()
    make_token(access_expires_at=NOW + timedelta(minutes=5))

    assert token_sweeps.refresh_due(client=Provider(A_PAIR), now=NOW).refreshed == 0
    assert token_sweeps.refresh_due(client=Provider(A_PAIR), now=NOW, expired=True).refreshed == 1
    assert token_sweeps.refresh_due(client=Provider(A_PAIR), now=NOW, every=True).refreshed == 2


@pytest.mark.parametrize("status", ["needs_reconnect", "revoked"])
def test_tokens_of_ended_connections_are_left_alone(status: str) -> None:
    make_token(connection=make_connection(status=status), lease_until=ago)

    provider = Provider(A_PAIR)
    token_sweeps.refresh_due(client=provider, now=NOW, every=True)
    token_sweeps.finish_interrupted(client=provider, now=NOW)

    assert provider.given == []


def test_one_failing_token_does_not_keep_the_others_from_being_refreshed() -> None:
    make_token(lease_until=ago)
    make_token(lease_until=ago)

    count = token_sweeps.finish_interrupted(client=Provider(fault(Outcome.RETRY), A_PAIR), now=NOW)

    assert (count.refreshed, count.failed) == (1, 1)


def test_the_application_token_uses_the_same_code_and_no_connection() -> None:
    token = make_token(connection=None, access_expires_at=NOW)

    with pytest.raises(ClientError):
        tokens.refresh(token, client=Provider(fault(Outcome.RECONNECT)), now=NOW)
    later = NOW + timedelta(seconds=5)
    tokens.refresh(OAuthToken.objects.get(), client=Provider(A_PAIR), now=later)

    assert OAuthToken.objects.get().access_token == "new-access"


# --- Secrets ----------------------------------------------------------------------------------


def _raw() -> str:
    with database.cursor() as cursor:
        cursor.execute("SELECT * FROM integrations_oauthtoken")
        return repr(cursor.fetchall())


def test_raw_rows_and_statements_show_no_token(world: World) -> None:
    with CaptureQueriesContext(database) as captured:
        token = world.connect().connection.token
        world.pass_time(hours=2)
        tokens.refresh(token, client=world.smartcar, now=world.now)

    everything = _raw() + "".join(query["sql"] for query in captured.captured_queries)
    assert token.access_token
    assert token.access_token not in everything
    assert token.refresh_token not in everything


def test_what_is_printed_or_logged_shows_no_token(
    world: World, token: OAuthToken, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # Smartcar's own description quotes the token it refuses.
    world.sandbox.smartcar.connect.revoke(world.sandbox.fleet.drivers[0].email)
    with pytest.raises(ClientError) as caught:
        tokens.refresh(token, client=world.smartcar, now=world.now)

    stored = OAuthToken.objects.get()
    shown = [repr(stored), str(stored), repr(A_PAIR), stored.last_error, caplog.text]
    shown += [str(caught.value), repr(caught.value.__context__)]
    shown += [f"{a.what}{a.about_text}" for a in Activity.objects.all()]
    assert stored.last_error
    for secret in (stored.access_token, stored.refresh_token, "new-access", "new-refresh"):
        assert secret not in "".join(shown)


def test_rotation_puts_everything_under_the_newest_key(settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [old]
    make_token()
    make_token(connection=None, refresh_token="")
    make_token(access_token="", refresh_token="")

    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert token_sweeps.encrypt_again() == 2
    settings.FIELD_ENCRYPTION_KEYS = [new]

    kept = {(t.access_token, t.refresh_token) for t in OAuthToken.objects.all()}
    assert kept == {
        ("secret-access-token", "secret-refresh-token"),
        ("secret-access-token", ""),
        ("", ""),
    }


def test_rotation_leaves_a_pair_alone_that_is_exchanged_meanwhile() -> None:
    token = make_token()
    done: list[str] = []

    def exchange_first(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "integrations_oauthtoken"') and not done:
            done.append(sql)
            tokens.refresh(OAuthToken.objects.get(), client=Provider(A_PAIR), now=NOW)
        return execute(sql, params, many, context)

    with database.execute_wrapper(exchange_first):
        assert token_sweeps.encrypt_again() == 0

    token.refresh_from_db()
    assert token.refresh_token == "new-refresh"


def test_rotation_without_the_old_key_raises_and_changes_nothing(settings: Settings) -> None:
    make_token()
    before = _raw()
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(DecryptionError):
        token_sweeps.encrypt_again()

    assert _raw() == before


def _connection_of(token: OAuthToken) -> Connection:
    assert token.connection
    return token.connection


def test_a_fresh_consent_forgets_the_failures_of_the_old_pair() -> None:
    token = make_token(failures=4, last_error="down", next_attempt_at=NOW, lease_until=NOW)

    stored = tokens.store(_connection_of(token), A_PAIR, now=NOW)

    assert (stored.failures, stored.last_error, stored.version) == (0, "", 2)
    assert stored.next_attempt_at is None
    assert stored.lease_until is None
    assert isinstance(stored.issued_at, datetime)


def test_an_exchange_that_a_pause_holds_back_leaves_the_row_as_it_was(
    world: World, token: OAuthToken
) -> None:
    """What a dead worker left half done is still to be finished afterwards."""
    left = world.now - timedelta(seconds=1)
    OAuthToken.objects.update(lease_until=left)
    hour = timedelta(hours=1)
    gates.pause(gates.SMARTCAR_TOKENS, until=world.now + hour, reason="429", now=world.now)

    count = token_sweeps.finish_interrupted(client=world.smartcar, now=world.now)

    token.refresh_from_db()
    assert (count.refreshed, world.token_calls()) == (0, 0)
    assert (token.lease_until, token.failures, token.last_error) == (left, 0, "")
    world.pass_time(hours=1)
    assert token_sweeps.finish_interrupted(client=world.smartcar, now=world.now).refreshed == 1
