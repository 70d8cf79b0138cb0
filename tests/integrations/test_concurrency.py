"""Many workers at once, each with its own connection: on SQLite's file, and on PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from pytest_django import Settings

from integrations import registry
from integrations.clients.errors import ClientError
from integrations.clients.readings import ODOMETER, OIL_LIFE, SignalReading
from integrations.models import (
    Activity,
    Connection,
    ConnectLink,
    OAuthToken,
    OutboxEntry,
    Reading,
    Signal,
    Vehicle,
    VehicleAccess,
)
from integrations.services import (
    connect_links,
    connection_status,
    connections,
    delivery,
    fleetio_odometers,
    gates,
    leases,
    link_mails,
    outbox,
    polling,
    token_sweeps,
    tokens,
    vehicles,
)
from integrations.services.gates import Limit
from integrations.services.ingest import ingest
from integrations.services.polling import PollPolicy
from tests.factories import (
    NOW,
    make_access,
    make_connection,
    make_link,
    make_outbox_entry,
    make_rule,
    make_signal,
    make_token,
    make_vehicle,
)
from tests.integrations.world import World, running, together, without_rules

pytestmark = pytest.mark.django_db(transaction=True)

Slow = Callable[[str], Any]


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=2) as running_world:
        yield running_world


def errors(results: list[Any]) -> list[Exception]:
    return [result for result in results if isinstance(result, Exception)]


# --- Tokens -----------------------------------------------------------------------------------


def test_sixteen_threads_make_one_exchange_and_all_get_the_new_token(world: World) -> None:
    token = world.connect().connection.token
    world.pass_time(hours=2)
    world.sandbox.smartcar.requests.clear()
    world.smartcar_fault(path="/oauth/token", delay=0.1, times=None)

    access = together(
        16,
        lambda _: tokens.get_access_token(
            OAuthToken.objects.get(), client=world.smartcar, now=world.now
        ),
    )

    token.refresh_from_db()
    assert access == [token.access_token] * 16
    assert world.token_calls() == 1
    assert token.version == 2
    assert world.smartcar.list_vehicles(token.access_token)


def test_sixteen_threads_that_meet_a_lost_answer_make_one_exchange_and_lose_nothing(
    world: World,
) -> None:
    token = world.connect().connection.token
    world.pass_time(hours=2)
    world.sandbox.smartcar.requests.clear()
    world.smartcar_fault(path="/oauth/token", drop=True, carried_out=True)

    results = together(
        16,
        lambda _: tokens.get_access_token(
            OAuthToken.objects.get(), client=world.smartcar, now=world.now
        ),
    )

    assert {type(result) for result in results} == {ClientError}
    assert world.token_calls() == 1
    world.pass_time(seconds=5)
    together(4, lambda _: token_sweeps.finish_interrupted(client=world.smartcar, now=world.now))
    assert world.token_calls() == 2
    token.refresh_from_db()
    assert world.smartcar.list_vehicles(token.access_token)


def test_a_connection_that_ends_is_told_once_by_many_workers() -> None:
    make_rule(kind="connection", topic="connection", distance_km=None)
    connection = make_connection()
    make_access(vehicle=make_vehicle(connection=connection))

    found_out = together(
        8,
        lambda _: connection_status.needs_reconnect(
            Connection.objects.get(), reason="gone", now=NOW
        ),
    )

    assert sorted(map(str, found_out)) == ["False"] * 7 + ["True"]
    assert Activity.objects.filter(what__startswith="Connection is now").count() == 1
    assert OutboxEntry.objects.filter(kind=link_mails.RECONNECT).count() == 1
    assert OutboxEntry.objects.filter(kind="mail_alert").count() == 1
    connection.refresh_from_db()
    assert connection.status == Connection.Status.NEEDS_RECONNECT


# --- Gates ------------------------------------------------------------------------------------


def test_a_consent_given_again_at_the_moment_of_erasing_keeps_its_tokens(world: World) -> None:
    ended = world.connect().connection
    connection_status.mark_revoked(ended, reason="over", now=world.now)
    link = world.make_link()
    code = world.consent(link)
    half, erased = threading.Event(), threading.Event()
    activate = connection_status.mark_active

    def slowly(*args: Any, **known: Any) -> bool:
        half.set()  # the new pair is written, and not committed
        erased.wait(1)
        return activate(*args, **known)

    def give_again() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection_status, "mark_active", slowly)
            client = world.smartcar
            connections.finish(link, code=code, client=client, mode="test", now=world.now)

    def erase() -> bool:
        half.wait(10)
        done = tokens.erase(ended, now=world.now)
        erased.set()
        return done

    results = together(2, lambda number: give_again() if number else erase())

    assert results == [False, None]
    assert Connection.objects.get().status == "active"
    assert OAuthToken.objects.get().refresh_token


def test_sweeps_do_not_wait_for_each_other(world: World) -> None:
    world.connect()
    OAuthToken.objects.update(failures=1, next_attempt_at=world.now)
    world.sandbox.smartcar.requests.clear()
    world.smartcar_fault(path="/oauth/token", delay=1.5, times=None)

    def sweep(_: int) -> tuple[int, int]:
        count = token_sweeps.finish_interrupted(client=world.smartcar, now=world.now)
        return count.refreshed, OAuthToken.objects.get().version

    # One makes the exchange; the others are gone before it has ended.
    swept: list[Any] = together(4, sweep)
    assert sorted(swept) == [(0, 1), (0, 1), (0, 1), (1, 2)]
    assert world.token_calls() == 1


@pytest.mark.parametrize("by_clock_minute", [False, True])
def test_a_limit_is_shared_to_the_last_call(by_clock_minute: bool) -> None:
    limit = Limit(name="smartcar", size=5, per_minute=5, by_clock_minute=by_clock_minute)

    results = together(12, lambda _: gates.take(limit, now=NOW))

    assert len(errors(results)) == 7
    assert {type(error) for error in errors(results)} == {ClientError}


def test_an_account_has_one_sender() -> None:
    everybody_asked = threading.Barrier(8)

    def send(number: int) -> bool:
        with leases.only_sender("fleetio", owner=str(number), now=NOW) as lease:
            everybody_asked.wait(10)
            return lease is not None

    assert together(8, send).count(True) == 1


# --- Links and connecting ---------------------------------------------------------------------


def use(link: ConnectLink) -> bool:
    with connect_links.claimed(ConnectLink.objects.get(pk=link.pk), now=NOW) as is_ours:
        if is_ours:
            connect_links.use(link, now=NOW)
    return is_ours


def test_a_link_is_claimed_once() -> None:
    link = make_link()

    assert together(8, lambda _: use(link)).count(True) == 1


def test_a_claim_that_had_to_wait_for_another_one_fails() -> None:
    link = make_link()
    late: list[bool] = []

    def claim_late() -> None:
        late.append(use(link))
        database.close()

    with transaction.atomic():
        assert use(link)
        other = threading.Thread(target=claim_late)
        other.start()
        other.join(0.1)  # it waits for the row, or for the file
    other.join()

    assert late == [False]


def test_two_browsers_that_finish_at_once_use_a_link_once(world: World) -> None:
    link = world.make_link()
    codes = [world.consent(link), world.consent(link)]

    results = together(
        2,
        lambda n: connections.finish(
            ConnectLink.objects.select_related("driver").get(pk=link.pk),
            code=codes[n],
            client=world.smartcar,
            mode="test",
            now=world.now,
        ),
    )

    assert [type(error) for error in errors(results)] == [connections.LinkUsedError]
    assert world.token_calls() == 1
    assert (Connection.objects.count(), Vehicle.objects.count()) == (1, 2)


def test_the_same_cars_listed_twice_at_once_exist_once() -> None:
    connection = make_connection()

    results = together(
        4,
        lambda _: vehicles.attach(Connection.objects.get(pk=connection.pk), ["a", "b"], now=NOW),
    )

    assert errors(results) == []
    assert Vehicle.objects.count() == 2
    assert VehicleAccess.objects.count() == 2


def test_two_cars_that_turn_out_to_be_one_at_the_same_moment_become_one() -> None:
    cars = [make_vehicle(vin=None) for _ in range(4)]
    for car in cars:
        make_access(vehicle=car)

    results = together(
        4,
        lambda n: vehicles.identify(
            Vehicle.objects.get(pk=cars[n].pk), vin="1FTBW2CM0KKA00001", now=NOW
        ),
    )

    assert errors(results) == []
    car = Vehicle.objects.get()
    assert car.accesses.count() == 4


# --- Readings ---------------------------------------------------------------------------------


def test_eight_workers_that_poll_one_car_make_one_batch(world: World) -> None:
    (car, _) = world.connect().vehicles
    world.sandbox.smartcar.requests.clear()
    policy = PollPolicy(calls_per_month=500)

    for scheduled in (True, False):
        world.pass_time(hours=6)
        before = world.batches()
        results = together(
            8,
            lambda _, scheduled=scheduled: polling.poll_vehicle(  # type: ignore[misc]
                car.pk,
                client=world.smartcar,
                policy=policy,
                now=world.now,
                asked_at=None if scheduled else world.now,
            ),
        )
        assert errors(results) == []
        assert results.count(None) == 7
        assert world.batches() == before + 1


def test_the_same_readings_arriving_at_once_are_kept_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_rules(monkeypatch)
    car = make_vehicle()
    said = [
        SignalReading(
            code=OIL_LIFE,
            body={"value": 40 - n, "unit": "percent"},
            recorded_at=NOW + timedelta(hours=n),
            fetched_at=NOW + timedelta(hours=n),
        )
        for n in range(4)
    ]

    results = together(
        8,
        lambda n: (
            ingest(
                Vehicle.objects.get(pk=car.pk),
                [said[n % 4]],
                source="webhook",
                event_id="e",
                now=NOW,
            )
            if n % 4 == 0
            else ingest(
                Vehicle.objects.get(pk=car.pk),
                [said[n % 4]],
                source="webhook",
                event_id="e",
                now=NOW + timedelta(hours=4),
            )
        ),
    )

    assert errors(results) == []
    signal = Signal.objects.get()
    assert (signal.value, signal.recorded_at) == (37, NOW + timedelta(hours=3))
    kept = list(Reading.objects.values_list("recorded_at", flat=True))
    assert len(kept) == len(set(kept))


# --- Outgoing messages ------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kinds of both lanes whose handlers write down what they sent."""
    done: list[int] = []
    lock = threading.Lock()

    def handler(entry: OutboxEntry, *, unclear: bool, now: Any) -> registry.Sent:
        with lock:
            done.append(entry.pk)
        return registry.Sent("ok")

    for lane in (registry.MAIL, registry.FLEETIO):
        kind = registry.Kind(lane=lane, handler=handler, label="test")
        monkeypatch.setitem(registry._kinds, f"test_{lane}", kind)
    return done


@pytest.mark.parametrize("lane", [registry.MAIL, registry.FLEETIO])
def test_four_deliverers_at_once_send_nothing_twice(lane: str, sent: list[int]) -> None:
    rows = [make_outbox_entry(kind=f"test_{lane}", lane=lane) for _ in range(12)]

    results = together(4, lambda _: delivery.deliver_due(clock=lambda: NOW, lanes=[lane]))

    assert errors(results) == []
    assert sorted(sent) == [row.pk for row in rows]
    assert {row.state for row in OutboxEntry.objects.all()} == {"done"}


def test_four_deliverers_at_once_send_no_row_of_a_bundle_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parcels: list[list[int]] = []

    def handler(entries: Any, *, unclear: bool, now: Any) -> list[registry.Sent]:
        parcels.append([entry.pk for entry in entries])
        return [registry.Sent("ok")] * len(entries)

    kind = registry.Kind(lane=registry.MAIL, handler=None, label="test", bundle_handler=handler)
    monkeypatch.setitem(registry._kinds, "test_bundled", kind)
    rows = [make_outbox_entry(kind="test_bundled", bundle=f"b{n % 3}") for n in range(30)]

    results = together(4, lambda _: delivery.deliver_due(clock=lambda: NOW, lanes=["mail"]))

    assert errors(results) == []
    assert sorted(pk for parcel in parcels for pk in parcel) == [row.pk for row in rows]
    assert len(parcels) == 3
    assert {row.state for row in OutboxEntry.objects.all()} == {"done"}


def test_the_fleetio_lane_has_one_sender(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most = 0, 0
    lock = threading.Lock()

    def handler(entry: OutboxEntry, *, unclear: bool, now: Any) -> registry.Sent:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        threading.Event().wait(0.02)
        with lock:
            at_work -= 1
        return registry.Sent()

    kind = registry.Kind(lane=registry.FLEETIO, handler=handler, label="test")
    monkeypatch.setitem(registry._kinds, "test_fleetio", kind)
    for _ in range(6):
        make_outbox_entry(kind="test_fleetio", lane="fleetio")

    together(6, lambda _: delivery.deliver_due(clock=lambda: NOW, lanes=["fleetio"]))

    assert most == 1
    assert OutboxEntry.objects.filter(state="done").count() == 6


def test_one_effect_that_many_decide_at_once_is_written_once(sent: list[int]) -> None:
    results = together(
        8, lambda _: outbox.enqueue("test_mail", dedupe_key="same", payload={}, now=NOW)
    )

    assert errors(results) == []
    assert OutboxEntry.objects.count() == 1


def test_a_row_is_cancelled_or_sent_but_never_both(sent: list[int]) -> None:
    rows = [make_outbox_entry(kind="test_mail", lane="mail") for _ in range(10)]

    def work(n: int) -> Any:
        if n == 0:
            return delivery.deliver_due(clock=lambda: NOW, lanes=["mail"])
        return outbox.cancel(OutboxEntry.objects.all(), reason="over", now=NOW)

    assert errors(together(2, work)) == []
    states = {row.pk: row.state for row in OutboxEntry.objects.all()}
    assert {pk for pk, state in states.items() if state == "done"} == set(sent)
    assert set(states.values()) <= {"done", "cancelled"}
    assert len(states) == len(rows)


def test_odometers_queued_by_two_syncs_at_once_are_queued_once() -> None:
    car = make_vehicle(fleetio_id=1, fleetio_meter_unit="mi")
    make_signal(vehicle=car, code=ODOMETER, value=1000.0)

    results = together(4, lambda _: fleetio_odometers.queue_odometers(now=NOW))

    assert errors(results) == []
    assert OutboxEntry.objects.count() == 1


# --- This file proves what it says ------------------------------------------------------------


def test_threads_have_connections_of_their_own() -> None:
    make_token()

    def backend(_: int) -> object:
        assert OAuthToken.objects.count() == 1
        return database.connection

    # All three are still held here, so no two have the same address.
    assert len({id(one) for one in together(3, backend)}) == 3
