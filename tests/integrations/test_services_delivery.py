"""Outgoing work: written once, sent once, and never forgotten."""

import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from smtplib import (
    SMTPAuthenticationError,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)
from typing import Any

import pytest
from django.db import connection as database

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.models import Activity, OutboxEntry, ProviderGate
from integrations.registry import FLEETIO, MAIL, Postponed, Sent
from integrations.services import delivery, gates, leases, outbox
from integrations.services.delivery import DeliveryCount
from integrations.services.gates import Limit
from tests.factories import NOW, make_link, make_outbox_entry, make_user, make_vehicle

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
Answer = Sent | Postponed | BaseException
LIMIT = Limit(name=FLEETIO, size=1_000, per_minute=1_000)


class Killed(BaseException):
    """The process ends here."""


class Outside:
    """The world outside: answers each attempt as the test says, and remembers it."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.calls: list[tuple[int, bool]] = []
        self.kinds: list[str] = []
        self.before: Callable[[OutboxEntry], None] = lambda entry: None

    def __call__(self, entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent | Postponed:
        self.calls.append((entry.pk, unclear))
        self.kinds.append(entry.kind)
        self.before(entry)
        answer = self.answers.pop(0) if self.answers else Sent("there")
        if isinstance(answer, ClientError) and entry.lane == FLEETIO and answer.type != gates.OURS:
            with gates.counted(LIMIT, clock=lambda: now):
                raise answer
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    world = Outside()
    for name, lane in (("a", FLEETIO), ("b", FLEETIO), ("mail", MAIL)):
        kind = registry.Kind(lane=lane, handler=world, label=name)
        monkeypatch.setitem(registry._kinds, name, kind)
    monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))
    return world


def write(kind: str = "a", **fields: Any) -> OutboxEntry:
    return make_outbox_entry(kind=kind, lane=registry.kind(kind).lane, **fields)


def deliver(at: datetime = NOW, *lanes: str) -> DeliveryCount:
    return delivery.deliver_due(clock=lambda: at, lanes=lanes or (FLEETIO,))


def seen(entry: OutboxEntry) -> tuple[str, int]:
    entry.refresh_from_db()
    return entry.state, entry.attempts


def failure(outcome: Outcome, **fields: Any) -> ClientError:
    return ClientError("Fleetio: no", outcome=outcome, **fields)


# --- Writing ----------------------------------------------------------------------------------


def test_the_same_effect_is_written_once_and_stays_as_it_was_decided(outside: Outside) -> None:
    car, link = make_vehicle(), make_link()
    first = outbox.enqueue(
        "a", dedupe_key="k", payload={"n": 1}, now=NOW, about=link, vehicle=car, due_at=NOW + HOUR
    )
    second = outbox.enqueue("a", dedupe_key="k", payload={"n": 2}, now=NOW + HOUR)

    assert first == second == OutboxEntry.objects.get()
    assert (second.payload, second.lane, second.vehicle) == ({"n": 1}, FLEETIO, car)
    assert (second.created_at, second.next_attempt_at) == (NOW, NOW + HOUR)
    assert list(outbox.entries_about(link)) == [first]
    assert outbox.count(about=link) == 1
    assert outbox.count(about=car) == 0


def test_an_effect_that_nobody_can_send_is_refused_when_it_is_written() -> None:
    with pytest.raises(KeyError):
        outbox.enqueue("nobody", dedupe_key="k", payload={}, now=NOW)


def test_a_done_effect_is_not_done_again_by_deciding_it_again(outside: Outside) -> None:
    outbox.enqueue("a", dedupe_key="k", payload={}, now=NOW)
    deliver()
    outbox.enqueue("a", dedupe_key="k", payload={}, now=NOW)
    deliver(NOW + HOUR)

    assert len(outside.calls) == 1


# --- One attempt ------------------------------------------------------------------------------


def test_what_is_sent_says_so(outside: Outside) -> None:
    entry = write()

    count = deliver()

    assert (count.done, count.attempted, count.stopped) == (1, 1, "")
    assert seen(entry) == ("done", 1)
    assert (entry.result, entry.last_error, entry.lease_until) == ("there", "", None)
    assert entry.started_at == entry.finished_at == NOW
    assert outside.calls == [(entry.pk, False)]
    assert ProviderGate.objects.get(name=FLEETIO).lease_owner == ""


def test_the_row_says_sending_before_the_call(outside: Outside) -> None:
    entry = write()
    states: list[Any] = []

    def look(_: OutboxEntry) -> None:
        stored = OutboxEntry.objects.get(pk=entry.pk)
        states.append((stored.state, stored.attempts, stored.lease_until, stored.started_at))

    outside.before = look
    deliver()

    assert states == [("sending", 1, NOW + delivery.LEASE, NOW)]


def test_only_what_is_due_in_the_lane_is_sent(outside: Outside) -> None:
    write(next_attempt_at=NOW + SECOND)
    write("mail")
    for state in ("done", "dead", "cancelled"):
        write(state=state)
    write(state="sending", lease_until=NOW + SECOND)
    due = write(next_attempt_at=NOW)

    deliver()

    assert outside.calls == [(due.pk, False)]


def test_what_is_due_is_sent_in_turns_of_its_kinds_the_oldest_first(outside: Outside) -> None:
    for n in range(4):
        write("a", next_attempt_at=NOW - n * SECOND)
    write("b", next_attempt_at=NOW)
    write("b", next_attempt_at=NOW - HOUR)

    deliver()

    assert outside.kinds == ["a", "b", "a", "b", "a", "a"]
    first_a = OutboxEntry.objects.get(pk=outside.calls[0][0])
    assert first_a.next_attempt_at == NOW - 3 * SECOND


def test_progress_is_told_after_each_attempt(outside: Outside) -> None:
    write()
    write()
    told: list[tuple[int, int]] = []

    delivery.deliver_due(
        clock=lambda: NOW,
        lanes=[FLEETIO],
        progress=lambda done, total: told.append((done, total)),
    )

    assert told == [(1, 2), (2, 2)]


def test_a_row_that_somebody_claimed_a_moment_earlier_is_left_to_them(outside: Outside) -> None:
    entry = write("mail")
    earlier = {"state": "sending", "attempts": 1, "lease_until": NOW + delivery.LEASE}
    done: list[str] = []

    def step_in(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "integrations_outboxentry"') and not done:
            done.append(sql)
            OutboxEntry.objects.filter(pk=entry.pk).update(**earlier)
        return execute(sql, params, many, context)

    with database.execute_wrapper(step_in):
        count = deliver(NOW, MAIL)

    assert done
    assert count.attempted == 0
    assert outside.calls == []
    assert seen(entry) == ("sending", 1)


@pytest.mark.parametrize("answers", [[], [failure(Outcome.REJECTED)]], ids=["sent", "refused"])
def test_an_attempt_whose_row_somebody_took_over_meanwhile_writes_nothing(
    outside: Outside, answers: list[Any]
) -> None:
    entry = write()
    outside.answers = answers
    later = NOW + 2 * MINUTE

    def take_over(_: OutboxEntry) -> None:
        OutboxEntry.objects.update(lease_until=later, attempts=7)

    outside.before = take_over
    deliver()

    assert seen(entry) == ("sending", 7)
    assert entry.lease_until == later
    assert not Activity.objects.exists()


# --- Killed, lost, unclear --------------------------------------------------------------------


def test_a_row_whose_sender_was_killed_is_unclear_and_looked_for_first(outside: Outside) -> None:
    entry = write()
    outside.answers = [Killed()]
    with pytest.raises(Killed):
        deliver()
    assert seen(entry) == ("sending", 1)

    assert deliver(NOW + delivery.LEASE - SECOND).attempted == 0
    assert deliver(NOW + delivery.LEASE).done == 1

    assert outside.calls == [(entry.pk, False), (entry.pk, True)]
    assert seen(entry) == ("done", 2)
    assert entry.started_at == NOW


def test_a_killed_sender_does_not_keep_the_account(outside: Outside) -> None:
    write()
    outside.answers = [Killed()]
    with pytest.raises(Killed):
        deliver()
    # kill -9 leaves the lease behind as well; it ends by itself.
    ProviderGate.objects.update(lease_until=NOW + 10 * SECOND, lease_owner="the dead")

    assert deliver(NOW + 9 * SECOND).stopped == "another worker is sending to Fleetio"
    assert deliver(NOW + 10 * SECOND).done == 0, "what was under way may have arrived"
    assert deliver(NOW + 90 * SECOND).done == 1


def test_a_lost_answer_is_unclear_for_good_and_waits_for_the_list_to_catch_up(
    outside: Outside,
) -> None:
    entry = write()
    outside.answers = [
        failure(Outcome.RETRY, may_have_happened=True),
        failure(Outcome.RETRY),  # the look failed: still unclear
    ]

    count = deliver()
    assert (count.unclear, count.waiting) == (1, 0)
    assert seen(entry) == ("unknown", 1)
    assert entry.next_attempt_at >= NOW + delivery.SETTLE

    at = entry.next_attempt_at
    deliver(at)
    assert seen(entry) == ("unknown", 2)
    deliver(at + 6 * HOUR)
    assert seen(entry) == ("done", 3)
    assert [unclear for _pk, unclear in outside.calls] == [False, True, True]


def test_a_failure_that_surely_did_nothing_is_simply_tried_again(outside: Outside) -> None:
    entry = write()
    outside.answers = [failure(Outcome.RETRY, status_code=503)]

    count = deliver()

    assert (count.waiting, count.unclear, count.unreachable) == (1, 0, False)
    assert seen(entry) == ("pending", 1)
    assert NOW + 30 * SECOND <= entry.next_attempt_at <= NOW + 2 * MINUTE
    assert entry.last_error == "Fleetio: no"
    deliver(NOW + 2 * MINUTE)
    assert outside.calls == [(entry.pk, False), (entry.pk, False)]


def test_nobody_answering_at_all_is_told_apart_from_a_refusal(outside: Outside) -> None:
    write()
    write()
    outside.answers = [failure(Outcome.RETRY), failure(Outcome.RETRY)]
    assert deliver().unreachable

    outside.answers = [failure(Outcome.RETRY)]
    assert not deliver(NOW + HOUR).unreachable


def test_a_kind_may_allow_fewer_attempts(
    outside: Outside,
) -> None:
    registry.register_kind("c", lane=FLEETIO, handler=outside, label="c", most_attempts=3)
    entry = write("c")
    outside.answers = [failure(Outcome.RETRY)] * 3

    for n in range(4):
        deliver(NOW + n * timedelta(days=1))

    assert seen(entry) == ("dead", 3)
    assert len(outside.calls) == 3


def test_it_is_given_up_after_as_many_attempts_as_allowed(outside: Outside) -> None:
    car = make_vehicle()
    entry = write(attempts=registry.MOST_ATTEMPTS - 1, vehicle=car)
    outside.answers = [failure(Outcome.RETRY)]

    assert deliver().dead == 1

    assert seen(entry) == ("dead", registry.MOST_ATTEMPTS)
    assert entry.finished_at == NOW
    assert Activity.objects.get(vehicle=car).what == f"Given up: a {entry.pk}. Fleetio: no"
    assert deliver(NOW + 30 * timedelta(days=1)).attempted == 0


# --- Limits and refusals ----------------------------------------------------------------------


@pytest.mark.parametrize(("retry_after", "pause"), [(300, 300), (None, 60)])
def test_a_429_pauses_the_account_and_keeps_every_row(
    outside: Outside, retry_after: float | None, pause: int
) -> None:
    first, second = write(), write()
    outside.answers = [failure(Outcome.WAIT_ALL, status_code=429, retry_after=retry_after)]

    count = deliver()

    assert (count.waiting, count.done, count.refused) == (1, 0, False)
    assert count.stopped == "Fleetio: no"
    assert seen(first) == ("pending", 0)
    assert first.started_at is None, "it may still be cancelled"
    assert seen(second) == ("pending", 0)
    assert len(outside.calls) == 1
    assert deliver(NOW + (pause - 1) * SECOND).stopped.startswith("fleetio is paused until")
    assert deliver(NOW + pause * SECOND).done == 2
    assert not gates.is_paused(MAIL, now=NOW)


def test_a_401_pauses_the_account_for_minutes_and_says_so(outside: Outside) -> None:
    entry = write()
    outside.answers = [failure(Outcome.STOP, status_code=401)]

    count = deliver()

    assert (count.refused, count.dead) == (True, 0)
    assert seen(entry) == ("pending", 0)
    assert gates.is_paused(FLEETIO, now=NOW + 4 * MINUTE)
    assert not gates.is_paused(FLEETIO, now=NOW + 5 * MINUTE)


def test_our_own_limit_stops_the_lane_without_a_pause_and_leaves_the_rows_due(
    outside: Outside,
) -> None:
    rows = [write(), write()]
    outside.answers = [failure(Outcome.WAIT_ALL, type="PORTAL_LIMIT", retry_after=30)]

    assert deliver().stopped == "Fleetio: no"

    assert not gates.is_paused(FLEETIO, now=NOW)
    assert [row.pk for row in OutboxEntry.objects.due(NOW).order_by("pk")] == [r.pk for r in rows]
    assert deliver(NOW + SECOND).done == 2


def test_a_limit_met_while_looking_leaves_the_row_unclear(outside: Outside) -> None:
    entry = write(state="unknown", attempts=3, started_at=NOW - HOUR)
    outside.answers = [failure(Outcome.WAIT_ALL, retry_after=10)]

    deliver()

    assert seen(entry) == ("unknown", 3)
    assert entry.started_at == NOW - HOUR
    deliver(NOW + 10 * SECOND)
    assert outside.calls == [(entry.pk, True)] * 2


def test_a_refusal_is_final_and_tells_each_field(outside: Outside) -> None:
    entry = write()
    fields = {"value": ["must be less than 5", "is odd"], "base": "no"}
    outside.answers = [failure(Outcome.REJECTED, status_code=422, fields=fields)]

    assert deliver().dead == 1

    assert seen(entry) == ("dead", 1)
    assert entry.last_error == "Fleetio: no (value: must be less than 5, is odd; base: no)"
    deliver(NOW + HOUR)
    assert len(outside.calls) == 1
    assert not gates.is_paused(FLEETIO, now=NOW)


def test_one_refused_row_does_not_stop_the_others(outside: Outside) -> None:
    write()
    write()
    outside.answers = [failure(Outcome.REJECTED)]

    count = deliver()

    assert (count.dead, count.done) == (1, 1)


def test_a_fault_of_ours_in_one_row_does_not_stop_the_others(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = write(), write()
    outside.answers = [RuntimeError("a secret of ours")]

    count = deliver()

    assert (count.unclear, count.done) == (1, 1)
    assert seen(broken) == ("unknown", 1)
    assert broken.last_error == "Internal error: RuntimeError"
    assert seen(fine) == ("done", 1)
    assert any(record.exc_info for record in caplog.records)


def test_a_row_of_a_kind_that_is_gone_waits_and_harms_no_other(outside: Outside) -> None:
    orphan = make_outbox_entry(kind="gone", lane=FLEETIO)
    write()

    assert deliver().done == 1
    assert seen(orphan) == ("unknown", 1)


# --- Mail servers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (SMTPServerDisconnected("x"), "unknown", "Mail server: SMTPServerDisconnected"),
        (TimeoutError(), "unknown", "Mail server: TimeoutError"),
        (ConnectionRefusedError(), "pending", "Mail server: ConnectionRefusedError"),
        (SMTPAuthenticationError(535, b"no"), "pending", "Mail server: SMTPAuthenticationError"),
        (SMTPSenderRefused(550, b"no", "us"), "pending", "Mail server: SMTPSenderRefused"),
        (SMTPRecipientsRefused({"a@b": (550, b"no")}), "dead", "The address was refused"),
    ],
)
def test_a_mail_servers_errors_are_told_apart(
    outside: Outside, error: Exception, state: str, text: str
) -> None:
    entry = write("mail")
    outside.answers = [error]

    deliver(NOW, MAIL)

    assert seen(entry) == (state, 1)
    assert entry.last_error == text


def test_a_stopped_lane_does_not_stop_the_next_one(outside: Outside) -> None:
    write()
    write("mail")
    gates.pause(FLEETIO, until=NOW + HOUR, reason="429", now=NOW)

    assert deliver(NOW, FLEETIO, MAIL).done == 1


# --- Postponed --------------------------------------------------------------------------------


def test_a_postponed_row_was_never_tried_and_may_be_cancelled(outside: Outside) -> None:
    entry = write()
    outside.answers = [Postponed(NOW + HOUR, "the issue has to exist first")]

    count = deliver()

    assert (count.waiting, count.done) == (1, 0)
    assert seen(entry) == ("pending", 0)
    assert (entry.next_attempt_at, entry.started_at) == (NOW + HOUR, None)
    assert entry.last_error == "the issue has to exist first"
    assert outbox.cancel(OutboxEntry.objects.all(), reason="over", now=NOW) == 1


def test_a_postponed_unclear_row_stays_unclear(outside: Outside) -> None:
    entry = write(state="unknown", attempts=2, started_at=NOW - HOUR)
    outside.answers = [Postponed(NOW + HOUR, "later")]

    deliver()

    assert seen(entry) == ("unknown", 3)
    assert entry.started_at == NOW - HOUR


# --- Cancelling and trying again --------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "failed_too", "cancelled"),
    [
        ({}, False, True),
        ({"started_at": NOW}, False, False),
        ({"started_at": NOW}, True, True),
        ({"state": "sending", "started_at": NOW, "lease_until": NOW}, True, False),
        ({"state": "unknown", "started_at": NOW}, True, False),
        ({"state": "done", "started_at": NOW}, True, False),
        ({"state": "dead", "started_at": NOW}, True, False),
    ],
    ids=["untried", "tried", "failed", "being sent", "unclear", "done", "given up"],
)
def test_only_what_surely_did_not_arrive_is_cancelled(
    outside: Outside, fields: dict[str, Any], failed_too: bool, cancelled: bool
) -> None:
    entry = write(**fields)
    before = entry.state

    done = outbox.cancel(
        OutboxEntry.objects.all(), reason="the alert ended", now=NOW, failed_too=failed_too
    )

    assert done == cancelled
    entry.refresh_from_db()
    assert entry.state == ("cancelled" if cancelled else before)
    if cancelled:
        assert (entry.last_error, entry.finished_at) == ("the alert ended", NOW)


@pytest.mark.parametrize(
    ("fields", "state", "unclear"),
    [
        ({"state": "dead", "started_at": NOW, "attempts": 20}, "unknown", True),
        ({"state": "dead", "attempts": 20}, "pending", False),
        ({"state": "pending", "attempts": 3}, "pending", False),
        ({"state": "unknown", "started_at": NOW}, "unknown", True),
    ],
    ids=["given up after trying", "given up untried", "waiting", "unclear"],
)
def test_a_person_may_try_a_row_again_and_it_is_looked_for_when_it_may_have_arrived(
    outside: Outside, fields: dict[str, Any], state: str, unclear: bool
) -> None:
    entry, user = write(next_attempt_at=NOW + 9 * HOUR, finished_at=NOW, **fields), make_user()

    assert outbox.retry(entry, now=NOW, user=user)

    entry.refresh_from_db()
    assert (entry.state, entry.next_attempt_at, entry.finished_at) == (state, NOW, None)
    assert Activity.objects.get().user == user
    deliver()
    assert outside.calls == [(entry.pk, unclear)]


@pytest.mark.parametrize("state", ["done", "sending", "cancelled"])
def test_what_is_done_cancelled_or_on_its_way_is_not_tried_again(
    outside: Outside, state: str
) -> None:
    entry = write(state=state, lease_until=NOW + HOUR)

    assert not outbox.retry(entry, now=NOW)

    assert deliver().attempted == 0
    assert not Activity.objects.exists()


# --- The account ------------------------------------------------------------------------------


def test_a_worker_that_lost_the_account_stops_before_the_next_call(outside: Outside) -> None:
    write()
    write()

    def lose(_: OutboxEntry) -> None:
        ProviderGate.objects.update(lease_owner="somebody else", lease_until=NOW + HOUR)

    outside.before = lose
    count = deliver()

    assert (count.done, count.stopped) == (1, "another worker took over")
    assert ProviderGate.objects.get().lease_owner == "somebody else"


def test_a_host_with_the_longest_name_can_send(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "fleet-portal-worker-" + "x" * 43)
    write()

    assert deliver().done == 1
    owner = ProviderGate._meta.get_field("lease_owner")
    assert len(delivery.account_owner()) <= (owner.max_length or 0)


def test_mails_need_no_account_of_their_own(outside: Outside) -> None:
    write("mail")
    with leases.only_sender(MAIL, owner="x", now=NOW):
        assert deliver(NOW, MAIL).done == 1


@pytest.mark.parametrize("seconds", [1e12, 1e300])
def test_a_nonsense_retry_after_pauses_for_a_day_at_most(outside: Outside, seconds: float) -> None:
    entry = write()
    outside.answers = [failure(Outcome.WAIT_ALL, status_code=429, retry_after=seconds)]

    deliver()

    assert seen(entry) == ("pending", 0)
    assert gates.is_paused(FLEETIO, now=NOW + 23 * HOUR)
    assert not gates.is_paused(FLEETIO, now=NOW + 24 * HOUR)
