"""Rows of one bundle go out together, and what is unclear goes out again as it was."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.models import Activity, OutboxEntry
from integrations.registry import PUSH, Postponed, Sent
from integrations.services import delivery, outbox, parcels
from integrations.services.delivery import DeliveryCount
from tests.factories import NOW, make_outbox_entry

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
Answer = Sent | Postponed | ClientError


class Killed(BaseException):
    """The process ends here."""


class Outside:
    """Takes parcels, and answers as the test says."""

    def __init__(self) -> None:
        self.parcels: list[tuple[str, list[str], bool]] = []
        self.answers: list[list[Answer] | BaseException] = []
        self.before: Callable[[Sequence[OutboxEntry]], None] = lambda entries: None

    def __call__(
        self, entries: Sequence[OutboxEntry], *, unclear: bool, now: datetime
    ) -> list[Answer]:
        self.parcels.append((entries[0].parcel, [entry.dedupe_key for entry in entries], unclear))
        self.before(entries)
        answer: Any = self.answers.pop(0) if self.answers else [Sent("there")] * len(entries)
        if isinstance(answer, BaseException):
            raise answer
        return list(answer)

    @property
    def sent(self) -> list[list[str]]:
        return [keys for _parcel, keys, _unclear in self.parcels]


def register(monkeypatch: pytest.MonkeyPatch, name: str, world: Outside, **how: Any) -> None:
    kind = registry.Kind(lane=PUSH, handler=None, label=name, bundle_handler=world, **how)
    monkeypatch.setitem(registry._kinds, name, kind)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    world = Outside()
    register(monkeypatch, "told", world)
    register(monkeypatch, "over", world)
    return world


def write(*keys: str, kind: str = "told", bundle: str = "b", **fields: Any) -> None:
    for key in keys:
        make_outbox_entry(kind=kind, lane=PUSH, dedupe_key=key, bundle=bundle, **fields)


def deliver(at: datetime = NOW, gather: timedelta | None = None) -> DeliveryCount:
    return delivery.deliver_due(clock=lambda: at, lanes=[PUSH], gather=gather)


def states() -> dict[str, str]:
    return dict(OutboxEntry.objects.values_list("dedupe_key", "state"))


def failure(outcome: Outcome = Outcome.RETRY, **fields: Any) -> ClientError:
    return ClientError("no", outcome=outcome, **fields)


# --- Together ---------------------------------------------------------------------------------


def test_a_bundle_is_named_when_it_is_written(outside: Outside) -> None:
    entry = outbox.enqueue("told", dedupe_key="k", payload={}, now=NOW, bundle="b")

    assert (entry.bundle, entry.parcel) == ("b", "")


def test_due_rows_of_one_bundle_go_out_as_one_parcel(outside: Outside) -> None:
    write("1", "2")
    write("3", kind="over")
    write("4", bundle="c")
    write("later", next_attempt_at=NOW + SECOND)

    count = deliver()

    assert sorted(outside.sent) == [["1", "2", "3"], ["4"]]
    assert count.done == count.attempted == 4
    names = OutboxEntry.objects.filter(state="done").values_list("parcel", flat=True)
    assert len(set(names)) == 2
    assert states()["later"] == "pending"


def test_rows_that_name_no_bundle_go_out_by_themselves(outside: Outside) -> None:
    write("1", "2", bundle="")

    deliver()

    assert [(parcel, keys) for parcel, keys, _ in outside.parcels] == [("", ["1"]), ("", ["2"])]


def test_every_row_says_sending_before_the_call(outside: Outside) -> None:
    write("1", "2")
    seen: list[Any] = []

    def look(_: object) -> None:
        seen.extend(
            OutboxEntry.objects.values_list("state", "attempts", "lease_until", "started_at")
        )

    outside.before = look
    deliver()

    assert seen == [("sending", 1, NOW + delivery.LEASE, NOW)] * 2


def test_a_parcel_holds_no_more_than_its_kind_allows(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, "told", outside, most=2)
    write("1", "2", "3")

    deliver()

    assert outside.sent == [["1", "2"], ["3"]]


def test_a_kind_says_itself_which_rows_go_together(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd_and_even(entries: Sequence[OutboxEntry], *, now: datetime) -> list[list[OutboxEntry]]:
        return [list(entries[::2]), list(entries[1::2])]

    register(monkeypatch, "told", outside, split=odd_and_even)
    write("1", "2", "3")

    deliver()

    assert outside.sent == [["1", "3"], ["2"]]


def test_a_split_that_fails_keeps_nothing_from_being_sent(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(entries: Sequence[OutboxEntry], *, now: datetime) -> list[list[OutboxEntry]]:
        raise RuntimeError

    register(monkeypatch, "told", outside, split=broken)
    write("1", "2")

    deliver()

    assert outside.sent == [["1", "2"]]
    assert any(record.exc_info for record in caplog.records)


def test_what_somebody_else_took_meanwhile_is_nobodys_fault(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def first(entries: Sequence[OutboxEntry], *, now: datetime) -> list[list[OutboxEntry]]:
        return [[entries[0], *entries[1:]]]

    register(monkeypatch, "told", outside, split=first)
    write("1", "2")
    (lot,) = parcels.due(PUSH, now=NOW, gather=None)
    OutboxEntry.objects.update(state="done")

    assert parcels.split(lot, now=NOW) == []
    assert not caplog.records


# --- Gathering --------------------------------------------------------------------------------


def test_a_bundle_waits_until_nothing_more_joins_it(outside: Outside) -> None:
    write("1", created_at=NOW - 30 * SECOND)
    write("2", created_at=NOW - 19 * SECOND)

    assert deliver(gather=parcels.GATHER).attempted == 0
    assert deliver(NOW + SECOND, gather=parcels.GATHER).done == 2
    assert outside.sent == [["1", "2"]]


def test_a_storm_that_comes_in_waves_is_one(outside: Outside) -> None:
    """Cars are read, and snoozes end, when beat wakes somebody: once a minute."""
    first = [f"a{n}" for n in range(parcels.MUCH + 1)]
    write(*first, created_at=NOW)
    assert deliver(NOW + 59 * SECOND, gather=parcels.GATHER).attempted == 0

    write("b", created_at=NOW + MINUTE)
    assert deliver(NOW + 2 * MINUTE, gather=parcels.GATHER).attempted == 0
    deliver(NOW + MINUTE + parcels.GATHER_MUCH, gather=parcels.GATHER)
    assert outside.sent == [[*first, "b"]]


def test_nothing_waits_for_others_for_long(outside: Outside) -> None:
    write("1", created_at=NOW - parcels.GATHER_MOST)
    write("2", created_at=NOW)

    assert deliver(gather=parcels.GATHER).done == 2


def test_what_is_unclear_or_alone_does_not_wait_for_others(outside: Outside) -> None:
    write("1", state="unknown", parcel="p", started_at=NOW)
    write("2", bundle="")

    assert deliver(gather=parcels.GATHER).done == 2


# --- Killed, lost, unclear --------------------------------------------------------------------


def test_a_parcel_whose_sender_was_killed_goes_again_as_it_was_and_alone(
    outside: Outside,
) -> None:
    write("1", "2")
    outside.answers = [Killed()]
    with pytest.raises(Killed):
        deliver()
    later = NOW + delivery.LEASE
    write("3", next_attempt_at=later)

    assert deliver(later - SECOND).attempted == 0
    deliver(later)

    (first, keys, unclear), *others = outside.parcels
    assert (keys, unclear) == (["1", "2"], False)
    again = next(parcel for parcel in others if parcel[0] == first)
    assert again == (first, ["1", "2"], True)
    assert sorted(outside.sent[1:]) == [["1", "2"], ["3"]]
    assert set(states().values()) == {"done"}


def test_a_lost_answer_keeps_the_parcel_together(outside: Outside) -> None:
    write("1", "2")
    outside.answers = [failure(may_have_happened=True), failure()]

    count = deliver()

    assert (count.unclear, count.waiting) == (2, 0)
    (at,) = set(OutboxEntry.objects.values_list("next_attempt_at", flat=True))
    assert at >= NOW + delivery.SETTLE
    write("3", next_attempt_at=at)
    deliver(at)  # the look failed
    deliver(at + 6 * HOUR)
    first = outside.parcels[0][0]
    assert [p for p in outside.parcels if p[0] == first] == [
        (first, ["1", "2"], False),
        (first, ["1", "2"], True),
        (first, ["1", "2"], True),
    ]


def test_after_a_failure_that_did_nothing_others_may_join(outside: Outside) -> None:
    write("1", "2")
    outside.answers = [failure(status_code=503)]
    assert deliver().waiting == 2
    assert set(OutboxEntry.objects.values_list("parcel", flat=True)) == {""}

    later = NOW + 2 * MINUTE
    write("3", next_attempt_at=later, created_at=later)
    deliver(later)

    assert outside.sent[1:] == [["1", "2", "3"]]
    assert outside.parcels[1][2] is False


def test_our_own_fault_leaves_the_whole_parcel_unclear(outside: Outside) -> None:
    write("1", "2")
    outside.answers = [[Sent()]]

    assert deliver().unclear == 2
    assert set(OutboxEntry.objects.values_list("last_error", flat=True)) == {
        "Internal error: ValueError"
    }


# --- Each row has its own end -----------------------------------------------------------------


def test_each_row_ends_in_its_own_way(outside: Outside) -> None:
    write("1", "2", "3", "4", "5")
    outside.answers = [
        [
            Sent("there"),
            Postponed(NOW + HOUR, "not yet"),
            failure(Outcome.REJECTED, fields={"value": "too low"}),
            failure(may_have_happened=True),
            failure(status_code=500),
        ]
    ]

    count = deliver()

    assert (count.done, count.waiting, count.dead, count.unclear) == (1, 2, 1, 1)
    assert states() == {"1": "done", "2": "pending", "3": "dead", "4": "unknown", "5": "pending"}
    rows = {row.dedupe_key: row for row in OutboxEntry.objects.all()}
    assert {key for key, row in rows.items() if row.parcel} == {"1", "4"}
    assert rows["2"].attempts == 0
    assert rows["3"].last_error == "no (value: too low)"
    assert [a.what for a in Activity.objects.all()] == [
        f"Given up: {rows['3']}. no (value: too low)"
    ]


def test_a_limit_stops_the_lane_and_leaves_the_rows_due(outside: Outside) -> None:
    write("1", "2")
    write("3", bundle="c")
    outside.answers = [failure(Outcome.WAIT_ALL)]

    assert deliver().stopped == "no"

    assert len(outside.parcels) == 1
    assert OutboxEntry.objects.due(NOW).filter(attempts=0, started_at=None).count() == 3


def test_what_is_given_up_while_unclear_is_tried_again_together(outside: Outside) -> None:
    write("1", attempts=registry.MOST_ATTEMPTS - 1, state="unknown", parcel="p", started_at=NOW)
    write("2", attempts=3, state="unknown", parcel="p", started_at=NOW)
    outside.answers = [failure()]
    assert deliver().dead == 2

    outbox.retry(OutboxEntry.objects.get(dedupe_key="1"), now=NOW)
    deliver()

    assert outside.parcels[-1] == ("p", ["1", "2"], True)
    assert Activity.objects.filter(what__startswith="Try again").count() == 1


def test_a_row_that_somebody_took_over_meanwhile_is_left_to_them(outside: Outside) -> None:
    write("1", "2")

    def take_over(_: object) -> None:
        OutboxEntry.objects.filter(dedupe_key="2").update(lease_until=NOW + HOUR)

    outside.before = take_over
    deliver()

    assert states() == {"1": "done", "2": "sending"}


def test_the_lanes_in_use_are_known(outside: Outside) -> None:
    assert registry.lanes() == [registry.MAIL, PUSH, registry.FLEETIO]
