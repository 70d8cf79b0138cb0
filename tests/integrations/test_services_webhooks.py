"""Working off the inbox: once each, in any order, by any number of workers, killed anywhere."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import (
    IntegrityError,
    InternalError,
    OperationalError,
    connection,
    connections,
    transaction,
)

from fleetportal import clock
from integrations import tasks
from integrations.clients.readings import ODOMETER, OIL_LIFE
from integrations.models import (
    Activity,
    Reading,
    Signal,
    Vehicle,
    VehicleAccess,
    WebhookEndpoint,
    WebhookEvent,
)
from integrations.services import leases, webhook_cars, webhook_states, webhooks
from integrations.services.ingest import ingest as real_ingest
from integrations.services.webhooks import Counts
from tests.factories import (
    NOW,
    make_access,
    make_user,
    make_vehicle,
)
from tests.integrations.deliveries import (
    error,
    later,
    odometer,
    process,
    refused,
    signal,
    state,
    store,
    v2,
)
from tests.integrations.world import together, without_rules

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
IDENTITY = {"make": "FORD", "model": "Transit", "year": 2021}


@pytest.fixture(autouse=True)
def stop_at_the_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    without_rules(monkeypatch)


@pytest.fixture
def access() -> VehicleAccess:
    vehicle = make_vehicle(last_read_at=NOW, next_poll_at=later(hours=2))
    return make_access(vehicle=vehicle, permissions=["read_odometer"])


def km(vehicle: Vehicle) -> float | None:
    return Signal.objects.get(vehicle=vehicle, code=ODOMETER).value


# --- A car's state ----------------------------------------------------------------------------


def test_a_state_is_taken_in_like_a_poll(access: VehicleAccess) -> None:
    event = process(
        state(
            access,
            odometer(1_000, later(minutes=-9)),
            signal(OIL_LIFE, later(minutes=-9), value=40, unit="percent"),
            refused("service-records", "COMPATIBILITY", "VEHICLE_NOT_CAPABLE"),
        )
    )

    vehicle = access.vehicle
    assert (event.state, event.note) == ("processed", "2 new, 1 not readable")
    assert (event.vehicle, event.processed_at, event.lease_until) == (vehicle, NOW, None)
    reading = Reading.objects.get(code=ODOMETER)
    assert (reading.value, reading.source, reading.event_id) == (1_000, "webhook", event.event_id)
    assert (reading.recorded_at, reading.fetched_at) == (later(minutes=-9), later(minutes=-9))
    assert km(vehicle) == 1_000
    assert Signal.objects.get(code="service-records").support == "not_capable"


def test_a_good_webhook_puts_off_the_next_poll_to_once_a_day(access: VehicleAccess) -> None:
    Vehicle.objects.update(last_read_at=later(hours=-20), poll_failures=3)

    process(state(access, odometer(1_000)))

    vehicle = Vehicle.objects.get()
    assert vehicle.last_webhook_at == NOW
    assert vehicle.next_poll_at == later(hours=4)
    assert (vehicle.poll_failures, vehicle.last_read_at) == (3, later(hours=-20))


def test_when_the_make_is_quiet_polling_takes_over(access: VehicleAccess) -> None:
    process(state(access, odometer(1_000)))

    assert Vehicle.objects.get().next_poll_at == later(hours=6)  # and Ford refreshes often


def test_a_make_that_refreshes_seldom_is_left_alone_for_longer(access: VehicleAccess) -> None:
    from integrations.models import Make

    Make.objects.update_or_create(name="FORD", defaults={"refresh_minutes": 5 * 60})

    process(state(access, odometer(1_000)))

    assert Vehicle.objects.get().next_poll_at == later(hours=15)


@pytest.mark.parametrize("planned", [None, later(hours=30), later(hours=-1), NOW])
def test_a_webhook_neither_asks_for_a_poll_nor_loses_one(
    access: VehicleAccess, planned: datetime | None
) -> None:
    """The polls of this car fail, so it was not read for long."""
    Vehicle.objects.update(last_read_at=later(days=-9), next_poll_at=planned)

    process(state(access, odometer(1_000)))

    assert Vehicle.objects.get().next_poll_at == planned


def test_told_to_wait_is_told_to_wait(access: VehicleAccess) -> None:
    Vehicle.objects.update(not_before=later(days=20))

    process(state(access, odometer(1_000)))

    assert Vehicle.objects.get().next_poll_at == later(days=20)


def test_a_state_without_a_good_reading_is_no_good_webhook(access: VehicleAccess) -> None:
    event = process(state(access, refused(ODOMETER, "VEHICLE_STATE", "ASLEEP")))

    vehicle = Vehicle.objects.get()
    assert (event.state, event.note) == ("processed", "1 not readable")
    assert (vehicle.last_webhook_at, vehicle.next_poll_at) == (None, later(hours=2))


def test_an_event_that_waited_long_does_not_make_the_webhook_young(
    access: VehicleAccess,
) -> None:
    Vehicle.objects.update(last_webhook_at=later(minutes=-5))
    event = store(
        state(access, odometer(1_000), sent_at=later(hours=-8)), received_at=later(hours=-8)
    )

    webhooks.process(event.pk, now=NOW)

    assert Vehicle.objects.get().last_webhook_at == later(minutes=-5)


def test_readings_in_any_order_end_in_the_same_state() -> None:
    ends = set()
    for order in itertools.permutations(range(3)):
        access = make_access()
        for hour in order:
            process(
                state(access, odometer(1_000 + hour, later(hours=hour)), sent_at=later(hours=hour)),
                now=later(hours=4),
            )
        known = Signal.objects.get(vehicle=access.vehicle)
        ends.add((known.value, known.recorded_at))

    assert ends == {(1_002, later(hours=2))}


def test_that_a_signal_failed_is_no_news_when_it_was_read_later(access: VehicleAccess) -> None:
    failed = state(access, refused(ODOMETER, "PERMISSION"), sent_at=later(hours=-1))
    process(state(access, odometer(1_000)))

    process(failed)

    assert Signal.objects.get().support == "ok"


def test_a_car_that_is_not_ours_is_ignored() -> None:
    event = process(state("car-of-somebody", odometer(1_000)))

    assert (event.state, event.note, event.vehicle) == ("ignored", "no such car here", None)


@pytest.mark.parametrize("ending", ["access", "connection"])
def test_a_car_that_is_no_longer_shared_is_not_read(access: VehicleAccess, ending: str) -> None:
    if ending == "access":
        VehicleAccess.objects.update(ended_at=NOW)
    else:
        type(access.connection).objects.update(status="revoked")

    event = process(state(access, odometer(1_000)))

    assert (event.state, event.note) == ("ignored", "no longer shared")
    assert not Reading.objects.exists()


def test_a_state_that_came_another_way_is_of_the_same_car(access: VehicleAccess) -> None:
    second = make_access(
        vehicle=make_vehicle(vin=None, smartcar_id="second"), permissions=["read_odometer"]
    )
    VehicleAccess.objects.filter(pk=second.pk).update(vehicle=access.vehicle)

    event = process(state("second", odometer(1_000)))

    assert event.vehicle == access.vehicle


# --- What the car is --------------------------------------------------------------------------


def nameless(**fields: Any) -> VehicleAccess:
    values: dict[str, Any] = {"vin": None, "make": "", "model": "", "year": None}
    return make_access(vehicle=make_vehicle(**values | {"identified_at": None} | fields))


def vin(value: str) -> dict[str, Any]:
    return signal("vehicleidentification-vin", NOW, value=value)


def test_a_new_car_is_identified_by_what_it_says() -> None:
    access = nameless()

    process(state(access, vin("1FTBW2CM0KKA00001"), odometer(1_000), vehicle=IDENTITY))

    vehicle = Vehicle.objects.get()
    assert vehicle.vin == "1FTBW2CM0KKA00001"
    assert (vehicle.make, vehicle.model, vehicle.year) == ("FORD", "Transit", 2021)
    assert vehicle.identified_at is None, "a poll still has to ask what was granted"
    assert km(vehicle) == 1_000


def test_with_known_permissions_nothing_is_left_to_ask() -> None:
    access = nameless()
    VehicleAccess.objects.update(permissions=["read_vin"])

    process(state(access, vin("1FTBW2CM0KKA00001"), vehicle=IDENTITY))

    assert Vehicle.objects.get().identified_at == NOW


def test_a_car_that_is_known_by_its_vin_becomes_one_with_it() -> None:
    known = make_access(vehicle=make_vehicle(vin="1FTBW2CM0KKA00001")).vehicle
    access = nameless()

    event = process(state(access, vin("1FTBW2CM0KKA00001"), odometer(1_000)))

    assert event.vehicle == Vehicle.objects.get() == known
    assert km(known) == 1_000
    known.refresh_from_db()
    assert known.last_webhook_at == NOW


@pytest.mark.parametrize("said", ["", "0" * 17, "not a vin", None])
def test_what_is_no_vin_makes_no_car(said: Any) -> None:
    access = nameless()

    process(state(access, vin(said), odometer(1_000)))

    assert Vehicle.objects.get().vin is None


def test_who_a_known_car_is_does_not_change(access: VehicleAccess) -> None:
    process(state(access, vin("1FTBW2CM0KKA00001"), vehicle={"make": "TESLA"}))

    vehicle = Vehicle.objects.get()
    assert (vehicle.vin, vehicle.make) == (access.vehicle.vin, "FORD")
    assert not Activity.objects.exists()


# --- Legacy webhooks, tests, and what is nothing to us ----------------------------------------


def test_a_legacy_webhook_brings_several_cars(access: VehicleAccess) -> None:
    def car(id_: str, distance: float) -> dict[str, Any]:
        headers = {"sc-data-age": NOW.isoformat(), "sc-unit-system": "metric"}
        item = {
            "path": "/odometer",
            "code": 200,
            "body": {"distance": distance},
            "headers": headers,
        }
        return {"vehicleId": id_, "requestId": "r", "data": [item]}

    other = make_access()
    cars = [car(access.smartcar_id, 1_000), car("nobody", 5), car(other.smartcar_id, 2_000)]
    event = process(v2("scheduled", vehicles=cars))

    assert (event.state, event.note) == ("processed", "1 new")
    assert km(access.vehicle) == 1_000
    assert km(other.vehicle) == 2_000


def test_several_cars_are_held_in_one_order(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[str] = []
    hold = webhook_cars.hold

    def note(smartcar_id: str) -> webhook_cars.Car:
        held.append(smartcar_id)
        return hold(smartcar_id)

    monkeypatch.setattr(webhook_cars, "hold", note)
    ids = [access.smartcar_id, *(make_access().smartcar_id for _ in range(3)), "nobody"]

    cars = [{"vehicleId": id_, "data": []} for id_ in reversed(ids)]
    process(v2("scheduled", vehicles=cars))

    assert held == ids


@contextmanager
def moved_while_we_wait(*changes: dict[str, Any]) -> Iterator[None]:
    """Each time that a connection is to be locked, somebody who had it changed the access."""
    left = list(changes)

    def execute(run: Any, sql: str, *rest: Any) -> Any:
        if 'FROM "integrations_connection"' in sql and left:
            VehicleAccess.objects.filter(smartcar_id="car-1").update(**left.pop(0))
        return run(sql, *rest)

    with connection.execute_wrapper(execute):
        yield


@pytest.mark.parametrize("moves", ["connection", "vehicle"])
def test_a_car_that_moved_while_we_waited_is_looked_at_again(moves: str) -> None:
    make_access(vehicle=make_vehicle(smartcar_id="car-1"))
    other = make_access()

    with transaction.atomic(), moved_while_we_wait({moves: getattr(other, moves)}):
        car = webhook_cars.hold("car-1")

    access = VehicleAccess.objects.get(smartcar_id="car-1")
    assert (car.connection, car.vehicle) == (access.connection, access.vehicle)
    assert car.access.connection_id == access.connection_id
    assert car.access.vehicle_id == access.vehicle_id


def test_a_car_whose_access_ended_while_we_waited_is_not_read() -> None:
    access = make_access(vehicle=make_vehicle(smartcar_id="car-1"))

    with moved_while_we_wait({"ended_at": NOW}):
        event = process(state(access, odometer(1_000)))

    assert (event.state, event.note) == ("ignored", "no longer shared")


def test_a_car_that_never_stands_still_is_left_for_later() -> None:
    access = make_access(vehicle=make_vehicle(smartcar_id="car-1"))
    event = store(state(access, odometer(1_000)))
    ways = [{"connection": make_access().connection}, {"connection": access.connection}]

    with moved_while_we_wait(*ways * webhook_cars.LOOKS):
        assert webhooks.process_due(now=NOW) == Counts()

    event.refresh_from_db()
    assert event.state == "received"


@pytest.mark.parametrize(
    ("message", "note"),
    [
        (
            v2("eventBased", eventId="e", vehicleId="c", eventType="CHARGING_STARTED"),
            "charging started: nothing depends on it",
        ),
        (v2("eventBased", vehicleId="c"), "an event: nothing depends on it"),
        (v2("eventBased", eventType=["x"] * 90), "an event: nothing depends on it"),
        ({"eventId": "e", "eventType": "VEHICLE_DREAM"}, "unknown kind VEHICLE_DREAM"),
        (v2("scheduled", vehicles=[]), "says nothing of a car"),
        ({"eventId": "e", "eventType": "VEHICLE_STATE"}, "no such car here"),
        ({"eventId": "e", "eventType": "VEHICLE_ERROR", "data": 1}, "no such car here"),
    ],
)
def test_what_is_nothing_to_us_is_ignored_with_the_reason(
    message: dict[str, Any], note: str
) -> None:
    event = process(message)

    assert (event.state, event.note) == ("ignored", note)


def test_a_test_delivery_is_seen_and_changes_nothing(access: VehicleAccess) -> None:
    message = state(access, odometer(1_000))
    message["meta"]["mode"] = "TEST"

    event = process(message)

    assert (event.state, event.note) == ("ignored", "test delivery")
    assert WebhookEndpoint.objects.get().test_seen_at == NOW
    assert not Reading.objects.exists()


# --- The inbox --------------------------------------------------------------------------------


def test_everything_that_waits_is_worked_off_by_the_providers_clock(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[float] = []

    def ingest(vehicle: Vehicle, results: Any, **options: Any) -> Any:
        order.append(results[0].body["value"])
        return real_ingest(vehicle, results, **options)

    monkeypatch.setattr(webhook_states, "ingest", ingest)
    for hour in (3, 1, 2):
        store(state(access, odometer(hour, later(hours=-hour)), sent_at=later(hours=-hour)))
    store(state("nobody"))

    assert webhooks.process_due(now=NOW) == Counts(processed=3, ignored=1)
    assert order == [3, 2, 1]
    assert webhooks.process_due(now=NOW) == Counts()


def test_no_more_than_a_share_at_once(access: VehicleAccess) -> None:
    for _ in range(5):
        store(state(access, odometer(1)))

    assert webhooks.process_due(now=NOW, limit=3).processed == 3
    assert WebhookEvent.objects.filter(state="received").count() == 2


def test_what_somebody_has_is_left_to_him_until_he_is_gone(access: VehicleAccess) -> None:
    event = store(state(access, odometer(1_000)))
    WebhookEvent.objects.update(lease_until=NOW + leases.LEASE)

    assert webhooks.process(event.pk, now=NOW) is None
    assert webhooks.process_due(now=later(seconds=9)) == Counts()
    assert webhooks.process_due(now=later(seconds=10)) == Counts(processed=1)


def test_a_failure_is_kept_with_its_reason_and_the_others_go_on(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = store(state(access, odometer(13)))
    good = store(state(access, odometer(14)))

    def ingest(vehicle: Vehicle, results: Any, **options: Any) -> Any:
        done = real_ingest(vehicle, results, **options)
        if results[0].body["value"] == 13:
            raise KeyError("a fault of ours")
        return done

    monkeypatch.setattr(webhook_states, "ingest", ingest)

    assert webhooks.process_due(now=NOW) == Counts(processed=1, failed=1)
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, bad.error) == ("failed", "KeyError: 'a fault of ours'")
    assert (bad.processed_at, bad.lease_until) == (NOW, None)
    assert good.state == "processed"
    assert not Reading.objects.filter(value=13).exists(), "nothing is left half done"
    assert "Traceback" in caplog.text
    assert '"oemUpdatedAt"' not in caplog.text


def test_trouble_with_the_database_leaves_the_event_waiting(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    event = store(state(access, odometer(1_000)))

    def away(*args: Any, **options: Any) -> Any:
        raise OperationalError("deadlock detected")

    with monkeypatch.context() as patch:
        patch.setattr(webhook_states, "ingest", away)
        assert webhooks.process_due(now=NOW) == Counts()
    event.refresh_from_db()
    assert (event.state, event.error) == ("received", "")

    assert webhooks.process_due(now=later(seconds=10)) == Counts(processed=1)


@pytest.mark.parametrize("error_type", [IntegrityError, InternalError])
@pytest.mark.parametrize(("times", "ends"), [(1, "processed"), (3, "processed"), (4, "failed")])
def test_what_two_wrote_at_once_is_tried_again_before_it_fails(
    access: VehicleAccess,
    monkeypatch: pytest.MonkeyPatch,
    error_type: type[Exception],
    times: int,
    ends: str,
) -> None:
    event = store(state(access, odometer(1_000)))
    tries: list[int] = []

    def ingest(vehicle: Vehicle, results: Any, **options: Any) -> Any:
        done = real_ingest(vehicle, results, **options)
        tries.append(1)
        if len(tries) <= times:
            raise error_type("somebody was faster")
        return done

    monkeypatch.setattr(webhook_states, "ingest", ingest)
    webhooks.process(event.pk, now=NOW)

    event.refresh_from_db()
    assert event.state == ends
    assert len(tries) == min(times + 1, 4)
    assert Reading.objects.count() == (ends == "processed")


def test_without_the_database_work_stops_at_once(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(state(access, odometer(1_000)))

    def away(*args: Any, **options: Any) -> Any:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(webhook_states, "ingest", away)
    monkeypatch.setattr(connections["default"], "is_usable", lambda: False)
    with pytest.raises(OperationalError):
        webhooks.process_due(now=NOW)


def test_who_was_held_up_and_followed_by_another_changes_nothing_more(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = store(state(access, odometer(1_000)))

    def slow(vehicle: Vehicle, results: Any, **options: Any) -> Any:
        WebhookEvent.objects.update(state="processed", note="by another")
        return real_ingest(vehicle, results, **options)

    monkeypatch.setattr(webhook_states, "ingest", slow)

    assert webhooks.process(event.pk, now=NOW) is None
    assert not Reading.objects.exists()


def test_the_same_event_worked_off_again_changes_nothing(access: VehicleAccess) -> None:
    event = process(state(access, odometer(1_000)))
    user = make_user()

    assert webhooks.replay(event, now=later(minutes=1), user=user)
    assert not webhooks.replay(event, now=later(minutes=1), user=user)
    assert webhooks.process_due(now=later(minutes=1)) == Counts(processed=1)

    event.refresh_from_db()
    assert (event.state, event.note) == ("processed", "nothing new")
    assert Reading.objects.count() == 1
    activity = Activity.objects.get()
    assert (activity.user, activity.vehicle, activity.about) == (user, access.vehicle, event)
    assert "To be worked off again" in activity.what


def test_a_failed_event_is_mended_by_playing_it_again(access: VehicleAccess) -> None:
    event = store(state(access, odometer(1_000)))
    WebhookEvent.objects.update(state="failed", error="KeyError: x", processed_at=NOW)

    webhooks.replay(event, now=NOW, user=None)
    webhooks.process_due(now=NOW)

    event.refresh_from_db()
    assert (event.state, event.error) == ("processed", "")


def test_an_event_that_was_too_old_can_be_played_by_a_person(access: VehicleAccess) -> None:
    event = store(state(access, odometer(1_000), sent_at=later(days=-8)))
    assert event.state == "ignored"

    webhooks.replay(event, now=NOW, user=None)
    assert webhooks.process_due(now=NOW).processed == 1


def test_what_was_worked_off_a_month_ago_is_deleted(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DELETED_AT_ONCE", 2)
    for number, state_ in enumerate(["processed", "ignored", "failed", "received"] * 2):
        event = store(state(access))
        age = 31 if number < 4 else 29
        WebhookEvent.objects.filter(pk=event.pk).update(state=state_, received_at=later(days=-age))
    for _ in range(3):
        event = store(state(access))
        WebhookEvent.objects.filter(pk=event.pk).update(
            state="processed", received_at=later(days=-99)
        )
    clock.set_source(lambda: NOW)

    assert tasks.forget_old_webhooks() == 5
    kept = sorted(WebhookEvent.objects.values_list("state", flat=True))
    assert kept == sorted(["failed", "received", "processed", "ignored", "failed", "received"])


def test_the_command_works_off_everything_and_says_what_it_came_to(
    access: VehicleAccess, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.set_source(lambda: NOW)
    for _ in range(2):
        store(state(access, odometer(1)))
    store(state("nobody"))

    call_command("process_webhooks")

    assert capsys.readouterr().out.splitlines()[-1] == "2 processed, 1 ignored, 0 failed"


def test_the_command_fails_when_an_event_does(
    access: VehicleAccess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.set_source(lambda: NOW)
    monkeypatch.setattr(webhook_states, "ingest", lambda *a, **o: 1 // 0)
    store(state(access, odometer(1)))

    with pytest.raises(SystemExit) as exit_:
        call_command("process_webhooks")

    assert exit_.value.code == 1
    assert "0 processed, 0 ignored, 1 failed" in capsys.readouterr().out


def test_the_task_works_off_the_inbox(access: VehicleAccess) -> None:
    clock.set_source(lambda: NOW)
    store(state(access, odometer(1)))

    assert tasks.process_webhooks() == 1


# --- Many workers -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("workers", [2, 6])
def test_any_number_of_workers_does_each_event_once(workers: int) -> None:
    access, other = make_access(), nameless()
    make_access(vehicle=make_vehicle(vin="1FTBW2CM0KKA00001"))
    for number in range(6):
        at = later(hours=-number)
        store(state(access, odometer(9_000 - number, at), sent_at=at))
        store(state(other, vin("1FTBW2CM0KKA00001"), odometer(500 - number, at), sent_at=at))
        store(
            error(
                access,
                "CONNECTED_SERVICES_ACCOUNT",
                "AUTHENTICATION_FAILED",
                at=at,
                is_over=number % 2 == 0,
            )
        )

    counts = together(workers, lambda _: webhooks.process_due(now=NOW))

    assert not [count for count in counts if isinstance(count, Exception)]
    rest = webhooks.process_due(now=later(seconds=30))
    assert rest.failed == 0
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"processed"}
    assert km(access.vehicle) == 9_000
    assert Signal.objects.get(vehicle__vin="1FTBW2CM0KKA00001").value == 500
    assert Vehicle.objects.count() == 2
    access.connection.refresh_from_db()
    assert access.connection.status == "active"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dies_at", ["before the end", "after the readings"])
def test_a_worker_that_dies_leaves_all_or_nothing(
    dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nobody catches it, as nobody catches kill -9."""

    def die(*args: Any, **options: Any) -> Any:
        raise Killed

    access = make_access()
    event = store(state(access, odometer(1_000)))
    with monkeypatch.context() as patch:
        if dies_at == "before the end":
            patch.setattr(webhooks, "_finish", die)
        else:
            patch.setattr(webhook_states, "_words", die)
        with pytest.raises(Killed):
            webhooks.process(event.pk, now=NOW)
    event.refresh_from_db()
    assert event.state == "received"
    assert not Reading.objects.exists()

    assert webhooks.process_due(now=NOW) == Counts(), "it may still be at work"
    assert webhooks.process_due(now=later(seconds=10)) == Counts(processed=1)
    assert Reading.objects.count() == 1
