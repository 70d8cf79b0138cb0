"""The application's one token: shared by all workers, renewed early, and never locked for long."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection as database
from pytest_django import Settings

from integrations import conf, tasks
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.smartcar_types import TokenPair
from integrations.models import Connection, OAuthToken, OutboxEntry, ProviderGate, Vehicle
from integrations.sandbox.faults import bad_gateway, dropped_before
from integrations.services import gates, token_sweeps, tokens
from tests.factories import NOW
from tests.integrations.world import World, running, together, without_rules
from tests.portal import run

pytestmark = pytest.mark.django_db

IAM = "/oauth2/token"
HOUR = timedelta(hours=1)


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=2, version="v3") as running_world:
        yield running_world


def exchanges(world: World) -> int:
    return world.sandbox.smartcar.iam.exchanges


def access(world: World, **how: Any) -> str:
    token = tokens.of_application(now=world.now)
    return tokens.get_access_token(token, client=world.smartcar, now=world.now, **how)


def stored() -> OAuthToken:
    return OAuthToken.objects.get(connection__isnull=True)


# --- One row ----------------------------------------------------------------------------------


def test_the_first_who_asks_makes_the_row_and_the_token_serves_everybody(world: World) -> None:
    first = access(world)

    assert access(world) == first
    assert exchanges(world) == 1
    token = stored()
    assert (token.access_token, token.refresh_token) == (first, "")
    assert token.access_expires_at == NOW + HOUR
    assert token.refresh_expires_at is None
    assert world.smartcar.list_vehicles(first) == []


def test_a_drivers_consent_brings_no_pair_and_is_opened_by_the_applications_token(
    world: World,
) -> None:
    connection = world.connect().connection

    assert not OAuthToken.objects.filter(connection=connection).exists()
    assert tokens.of(connection, client=world.smartcar, now=world.now) == stored()
    assert tokens.of(None, client=world.smartcar, now=world.now) is None


def test_the_token_stands_encrypted_in_its_row(world: World) -> None:
    given = access(world)

    with database.cursor() as cursor:
        cursor.execute("SELECT access_token FROM integrations_oauthtoken")
        ((written,),) = cursor.fetchall()
    assert written
    assert given not in str(written)
    assert token_sweeps.encrypt_again() == 1
    assert stored().access_token == given


@pytest.mark.django_db(transaction=True)
def test_eight_threads_at_once_make_one_row_and_one_exchange(world: World) -> None:
    world.smartcar_fault(path=IAM, delay=0.2, times=None)

    results = together(8, lambda _: access(world))

    assert results == [stored().access_token] * 8
    assert exchanges(world) == 1
    assert OAuthToken.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_threads_whose_token_is_refused_make_one_exchange(world: World) -> None:
    access(world)
    rows = [stored() for _ in range(8)]
    world.smartcar_fault(path=IAM, delay=0.2, times=None)

    results = together(
        8,
        lambda n: tokens.get_access_token(
            rows[n], client=world.smartcar, now=world.now, refused=True
        ),
    )

    assert results == [stored().access_token] * 8
    assert exchanges(world) == 2


# --- Early ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "renewed"),
    [
        pytest.param(timedelta(minutes=5, seconds=1), False, id="enough life"),
        pytest.param(timedelta(minutes=5), True, id="five minutes early"),
        pytest.param(timedelta(minutes=1), True, id="the last minute"),
        pytest.param(timedelta(0), True, id="run out"),
    ],
)
def test_the_token_is_renewed_some_minutes_early(
    world: World, left: timedelta, renewed: bool
) -> None:
    first = access(world)
    world.now = NOW + HOUR - left

    assert (access(world) != first) is renewed
    assert exchanges(world) == 1 + renewed


@pytest.mark.django_db(transaction=True)
def test_while_one_renews_early_the_others_go_on_with_what_is_good(world: World) -> None:
    first = access(world)
    world.pass_time(minutes=57)
    world.smartcar_fault(path=IAM, delay=1, times=None)

    def ask(_: int) -> tuple[str, float]:
        began = time.monotonic()
        return access(world), time.monotonic() - began

    results = [one for one in together(8, ask) if not isinstance(one, Exception)]

    assert len(results) == 8
    quick = [given for given, seconds in results if seconds < 0.8]
    assert quick == [first] * 7
    assert exchanges(world) == 2
    assert access(world) != first


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 502}, id="502"),
        pytest.param({"drop": True}, id="hung up"),
        pytest.param({"status": 429, "body": {}, "retry_after": 600}, id="told to wait"),
    ],
)
def test_while_the_token_is_good_a_renewal_that_fails_stops_nothing(
    world: World, fault: dict[str, Any]
) -> None:
    first = access(world)
    world.pass_time(minutes=57)
    world.smartcar_fault(path=IAM, times=None, **fault)

    assert access(world) == first
    assert access(world) == first, "nor does the wait before the next try"
    assert world.sandbox.smartcar.requests.count("POST", IAM) == 2, "which is kept"
    assert stored().failures == 1


def test_in_the_last_minute_a_renewal_that_fails_is_an_error(world: World) -> None:
    access(world)
    world.pass_time(minutes=59)
    world.sandbox.smartcar.faults.add(bad_gateway(path=IAM))

    with pytest.raises(ClientError) as caught:
        access(world)
    assert caught.value.outcome is Outcome.RETRY


def test_the_beat_renews_the_token_before_any_car_has_to_wait_for_it(world: World) -> None:
    tasks.refresh_due_tokens()
    first = stored().access_token
    world.pass_time(minutes=49)
    tasks.refresh_due_tokens()
    assert stored().access_token == first
    world.pass_time(minutes=1)

    assert tasks.refresh_due_tokens() == 1

    assert stored().access_token != first
    assert exchanges(world) == 2


def test_the_command_renews_what_is_due_and_all_when_it_is_asked_to(world: World) -> None:
    assert run("refresh_tokens") == "1 refreshed, 0 failed"
    assert run("refresh_tokens") == "0 refreshed, 0 failed"
    assert run("refresh_tokens", "--all") == "1 refreshed, 0 failed"


# --- A token that is refused ------------------------------------------------------------------


@pytest.fixture
def car(world: World) -> Vehicle:
    """Read once; its next read is due."""
    car: Vehicle = world.connect().vehicles[0]
    assert world.poll(car)
    world.pass_time(minutes=5)
    world.sandbox.smartcar.requests.clear()
    return car


def test_a_refused_token_is_renewed_once_and_the_read_repeated_once(
    world: World, car: Vehicle
) -> None:
    world.sandbox.smartcar.iam.expire()

    polled = world.poll(car)

    assert polled
    assert polled.outcome is None
    assert (exchanges(world), world.signal_calls()) == (2, 2)
    assert Connection.objects.get().status == "active"


def test_a_token_that_is_refused_again_is_not_asked_for_without_end(
    world: World, car: Vehicle
) -> None:
    world.smartcar_fault(pattern="/signals", error=("AUTHENTICATION", "UNAUTHORIZED"), times=None)

    polled = world.poll(car)

    assert polled
    assert polled.outcome is Outcome.RETRY
    assert (exchanges(world), world.signal_calls()) == (2, 2)
    assert Connection.objects.get().status == "active", "it says nothing of the driver"
    assert not OutboxEntry.objects.exists()
    assert car.accesses.filter(ended_at__isnull=True).count() == 1


def test_credentials_that_are_refused_stop_the_reading_and_ask_no_driver(
    world: World, car: Vehicle, settings: Settings
) -> None:
    settings.SMARTCAR_V3_CLIENT_SECRET = "wrong"
    world.pass_time(hours=1)

    for _ in range(2):
        world.pass_time(seconds=30)
        polled = world.poll(car)
        assert polled
        assert polled.outcome is Outcome.STOP

    assert world.sandbox.smartcar.requests.count("POST", IAM) == 1
    assert gates.is_paused(gates.SMARTCAR_TOKENS, now=world.now)
    assert Connection.objects.get().status == "active"
    assert list(OutboxEntry.objects.values_list("kind", flat=True)) == ["mail_provider_refuses"]


# --- The provider is down ---------------------------------------------------------------------


def test_an_outage_never_locks_the_token_for_longer_than_20_seconds(world: World) -> None:
    world.sandbox.smartcar.faults.add(dropped_before(path=IAM, times=None))
    waits = []

    for _ in range(6):
        with pytest.raises(ClientError):
            access(world)
        token = stored()
        assert token.lease_until is None
        assert token.next_attempt_at
        waits.append((token.next_attempt_at - world.now).total_seconds())
        world.now = token.next_attempt_at

    assert waits == [5, 10, 20, 20, 20, 20]
    world.sandbox.smartcar.faults.clear()
    assert access(world)
    assert (stored().failures, stored().last_error) == (0, "")


def test_nobody_asks_again_before_it_is_time(world: World) -> None:
    world.sandbox.smartcar.faults.add(bad_gateway(path=IAM))
    with pytest.raises(ClientError):
        access(world)
    world.pass_time(seconds=4)

    with pytest.raises(ClientError) as caught:
        access(world)

    assert (caught.value.type, caught.value.outcome) == (tokens.BUSY, Outcome.RETRY)
    assert world.sandbox.smartcar.requests.count("POST", IAM) == 1
    world.pass_time(seconds=1)
    assert access(world)


class Killed(BaseException):
    """The process ends here."""


def test_a_worker_that_dies_over_it_is_followed_when_its_lease_is_over(world: World) -> None:
    class Dying:
        has_application_token, version = True, "v3"

        def request_token(self) -> TokenPair:
            raise Killed

    token = tokens.of_application(now=world.now)
    with pytest.raises(Killed):
        tokens.refresh(token, client=Dying(), now=world.now)
    assert stored().lease_until

    world.pass_time(seconds=10)
    assert access(world)
    assert stored().lease_until is None


# --- The pairs of v2 --------------------------------------------------------------------------


@pytest.fixture
def moved(world: World, settings: Settings) -> OAuthToken:
    """The pair of a driver who connected under v2; the fleet has moved to v3."""
    settings.SMARTCAR_API_VERSION = "v2"
    pair: OAuthToken = world.connect().connection.token
    settings.SMARTCAR_API_VERSION = "v3"
    world.sandbox.smartcar.requests.clear()
    return pair


def works_under_v2(world: World, pair: OAuthToken, settings: Settings) -> bool:
    settings.SMARTCAR_API_VERSION = "v2"
    pair.refresh_from_db()
    try:
        access = tokens.get_access_token(pair, client=world.smartcar, now=world.now)
        return bool(world.smartcar.list_vehicles(access))
    finally:
        settings.SMARTCAR_API_VERSION = "v3"


def test_pairs_of_v2_are_kept_alive_under_v3_and_not_more_often_than_needed(
    world: World, moved: OAuthToken, settings: Settings
) -> None:
    world.pass_time(days=29)
    tasks.refresh_due_tokens()
    assert world.token_calls() == 0
    world.pass_time(days=1)
    tasks.refresh_due_tokens()
    assert world.token_calls() == 1
    world.pass_time(days=59)

    assert works_under_v2(world, moved, settings)


def test_an_exchange_of_v2_that_was_interrupted_is_finished_under_v3(
    world: World, moved: OAuthToken, settings: Settings
) -> None:
    OAuthToken.objects.filter(pk=moved.pk).update(lease_until=world.now)

    assert tasks.finish_interrupted_refreshes() == 1

    assert works_under_v2(world, moved, settings)


def test_a_pair_of_v2_that_is_declined_under_v3_asks_no_driver_and_is_left_alone(
    world: World, moved: OAuthToken
) -> None:
    OAuthToken.objects.filter(pk=moved.pk).update(refresh_token="not-one-of-theirs")
    world.pass_time(days=30)

    tasks.refresh_due_tokens()
    world.pass_time(days=1)
    tasks.refresh_due_tokens()
    tasks.finish_interrupted_refreshes()

    assert world.token_calls() == 1
    assert Connection.objects.get().status == "active"
    assert not OutboxEntry.objects.exists()
    moved.refresh_from_db()
    assert moved.refresh_token == ""


def test_a_pair_that_cannot_live_any_more_is_not_tried(world: World, moved: OAuthToken) -> None:
    world.pass_time(days=61)  # a refresh token lives 60 days

    tasks.refresh_due_tokens()

    assert world.token_calls() == 0


def test_credentials_of_v2_that_are_refused_stop_nothing_of_v3(
    world: World, moved: OAuthToken, settings: Settings
) -> None:
    settings.SMARTCAR_CLIENT_SECRET = "of-yesterday"
    world.pass_time(days=30)

    assert run("refresh_tokens") == "1 refreshed, 1 failed"

    assert not ProviderGate.objects.filter(refused_at__isnull=False).exists()
    assert not OutboxEntry.objects.exists()
    moved.refresh_from_db()
    assert moved.refresh_token


def test_without_credentials_of_v2_its_pairs_are_not_touched(
    world: World, moved: OAuthToken, settings: Settings
) -> None:
    settings.SMARTCAR_CLIENT_ID = ""
    world.pass_time(days=30)
    OAuthToken.objects.filter(pk=moved.pk).update(lease_until=world.now)

    tasks.finish_interrupted_refreshes()
    tasks.refresh_due_tokens()

    assert conf.get_pair_client() is None
    assert world.token_calls() == 0
    assert Connection.objects.get().status == "active"


def test_the_moment_of_a_renewal_is_kept(world: World) -> None:
    def times() -> tuple[datetime, int]:
        return stored().issued_at, stored().version

    access(world)
    assert times() == (NOW, 1)
    world.pass_time(hours=1)
    access(world)
    assert times() == (world.now, 2)
