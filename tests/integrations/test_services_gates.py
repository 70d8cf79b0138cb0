"""Limits, pauses and leases that all workers share."""

from contextlib import suppress
from datetime import timedelta

import pytest

from integrations.clients.errors import ClientError, Outcome
from integrations.models import Activity, ProviderGate
from integrations.services import gates
from integrations.services.gates import Limit
from tests.factories import NOW

pytestmark = pytest.mark.django_db

BUCKET = Limit(name="smartcar", size=3, per_minute=2)
MINUTE = Limit(name="fleetio", size=3, per_minute=3, by_clock_minute=True)
SECOND = timedelta(seconds=1)


def refused(limit: Limit, at: timedelta = timedelta()) -> float:
    """The seconds to wait; fails when the call was allowed."""
    with pytest.raises(ClientError) as caught:
        gates.take(limit, now=NOW + at)
    assert (caught.value.type, caught.value.outcome) == ("PORTAL_LIMIT", Outcome.WAIT_ALL)
    assert caught.value.retry_after is not None
    return caught.value.retry_after


def test_a_bucket_holds_its_size_and_fills_again_by_its_rate() -> None:
    for _ in range(3):
        gates.take(BUCKET, now=NOW)

    wait = refused(BUCKET)
    assert 15 <= wait <= 30
    gates.take(BUCKET, now=NOW + 30 * SECOND)
    refused(BUCKET, 30 * SECOND)


def test_a_bucket_never_holds_more_than_its_size() -> None:
    gates.take(BUCKET, now=NOW)

    for _ in range(3):
        gates.take(BUCKET, now=NOW + timedelta(days=1))
    refused(BUCKET, timedelta(days=1))


def test_waiting_as_long_as_told_is_enough() -> None:
    at = timedelta()
    for _ in range(12):
        try:
            gates.take(BUCKET, now=NOW + at)
        except ClientError as exc:
            at += timedelta(seconds=exc.retry_after or 0)
            gates.take(BUCKET, now=NOW + at)


def test_a_clock_minute_gives_its_calls_and_the_next_one_gives_them_again() -> None:
    at = 50 * SECOND  # late in the minute
    for _ in range(3):
        gates.take(MINUTE, now=NOW + at)

    assert refused(MINUTE, at) == 10
    for _ in range(3):
        gates.take(MINUTE, now=NOW + 60 * SECOND)
    assert refused(MINUTE, 61 * SECOND) == 59


def test_what_is_forced_is_counted_and_never_refused() -> None:
    gates.pause("smartcar", until=NOW + timedelta(hours=1), reason="told to", now=NOW)
    for _ in range(5):
        gates.take(BUCKET, now=NOW, force=True)
    gates.resume("smartcar", now=NOW)

    refused(BUCKET)


def test_providers_do_not_share_a_limit() -> None:
    for _ in range(3):
        gates.take(BUCKET, now=NOW)
    gates.take(MINUTE, now=NOW)


# --- Pauses -----------------------------------------------------------------------------------


def test_a_pause_refuses_until_its_end_and_says_why() -> None:
    gates.pause("smartcar", until=NOW + 90 * SECOND, reason="429", now=NOW)

    with pytest.raises(ClientError, match="smartcar: 429"):
        gates.take(BUCKET, now=NOW)
    assert refused(BUCKET, 30 * SECOND) == 60
    assert gates.is_paused("smartcar", now=NOW + 89 * SECOND)
    assert not gates.is_paused("smartcar", now=NOW + 90 * SECOND)
    assert not gates.is_paused("fleetio", now=NOW)
    gates.take(BUCKET, now=NOW + 90 * SECOND)


def test_a_longer_pause_stands_and_only_changes_are_written_down() -> None:
    gates.pause("smartcar", until=NOW + 90 * SECOND, reason="long", now=NOW)
    gates.pause("smartcar", until=NOW + 60 * SECOND, reason="short", now=NOW)
    gates.pause("smartcar", until=NOW + 90 * SECOND, reason="the same", now=NOW)

    gate = ProviderGate.objects.get()
    assert (gate.paused_until, gate.paused_reason) == (NOW + 90 * SECOND, "long")
    assert Activity.objects.count() == 1

    gates.pause("smartcar", until=NOW + 91 * SECOND, reason="x" * 999, now=NOW)
    gate.refresh_from_db()
    assert gate.paused_reason == "x" * 255
    assert Activity.objects.count() == 2


def test_calls_are_allowed_again_when_a_person_says_so() -> None:
    gates.pause("smartcar", until=NOW + timedelta(days=9), reason="", now=NOW)
    assert refused(BUCKET) == timedelta(days=9).total_seconds()

    gates.resume("smartcar", now=NOW)

    gates.take(BUCKET, now=NOW)
    assert ProviderGate.objects.get().paused_reason == ""


# --- Refused credentials ----------------------------------------------------------------------


def call(at: timedelta, outcome: Outcome | None = None) -> None:
    """One call that goes as said; raises what it, or the gate, has to say."""
    with gates.counted(BUCKET, clock=lambda: NOW + at):
        if outcome:
            raise ClientError("HTTP", outcome=outcome)


def is_refused() -> bool:
    return ProviderGate.objects.filter(refused_at__isnull=False).exists()


def test_after_a_refusal_one_call_at_a_time_tries_again() -> None:
    with pytest.raises(ClientError):
        call(timedelta(), Outcome.STOP)
    with pytest.raises(ClientError) as caught:
        call(299 * SECOND)
    assert (caught.value.type, caught.value.outcome) == (gates.OURS, Outcome.STOP)

    probe = gates.counted(BUCKET, clock=lambda: NOW + 300 * SECOND)
    with probe, pytest.raises(ClientError, match="smartcar"):
        call(301 * SECOND)
    assert not is_refused()
    call(302 * SECOND)


@pytest.mark.parametrize(
    ("answer", "is_good"),
    [
        (None, True),
        (Outcome.RECONNECT, True),
        (Outcome.REJECTED, True),
        (Outcome.RETRY, False),
        (Outcome.WAIT_ALL, False),
        (Outcome.STOP, False),
    ],
)
def test_credentials_are_good_again_when_an_answer_is_about_something_else(
    answer: Outcome | None, is_good: bool
) -> None:
    with pytest.raises(ClientError):
        call(timedelta(), Outcome.STOP)

    with suppress(ClientError):
        call(300 * SECOND, answer)

    assert is_refused() is not is_good
    assert Activity.objects.filter(what__contains="refuses").count() == 1
    assert Activity.objects.filter(what__contains="accepts").count() == is_good
