"""Reading cars over real HTTP. What each error of Smartcar does is in error_table/."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from integrations import conf
from integrations.clients.errors import Outcome
from integrations.clients.readings import ODOMETER, OIL_LIFE, TIRES, TROUBLE_CODES
from integrations.clients.smartcar_types import ConnectionInfo
from integrations.clients.smartcar_v2 import SmartcarV2
from integrations.models import Connection, Make, OAuthToken, Reading, Signal, Vehicle
from integrations.sandbox.faults import dropped_before
from integrations.services import gates, polling, revoking
from tests.factories import NOW, make_connection, make_vehicle
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NEXT_MONTH = datetime(2026, 4, 1, tzinfo=UTC)
IDENTITY_PATHS = ["/", "/vin", "/permissions"]
SIGNAL_PATHS = ["/diagnostics/dtcs", "/engine/oil", "/odometer"]


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=2) as running_world:
        yield running_world


@pytest.fixture
def car(world: World) -> Vehicle:
    """A Chevrolet that was read once, and said something new since; it is due."""
    car: Vehicle = world.connect().vehicles[0]
    assert world.poll(car)
    drives(world, car, days=1)
    world.sandbox.smartcar.requests.clear()
    Vehicle.objects.update(next_poll_at=world.now)
    car.refresh_from_db()
    return car


def drives(world: World, car: Vehicle, **time: float) -> None:
    known = world.car(car)
    known.report(world.pass_time(**time), odometer_km=known.odometer_km + 40)


def odometer(car: Vehicle) -> float | None:
    return car.signals.get(code=ODOMETER).value


def asked(world: World) -> list[list[str]]:
    """The paths of each batch."""
    batches = world.sandbox.smartcar.requests.matching("POST", pattern="/batch$")
    return [[one["path"] for one in entry.body["requests"]] for entry in batches]


def outcome_of(world: World, car: Vehicle) -> Outcome | None:
    result = world.poll(car)
    assert result is not None
    assert car.poll_lease_until is None, "the car is free again"
    return result.outcome


# --- A good poll ------------------------------------------------------------------------------


def test_one_batch_reads_all_that_is_wanted_the_most_urgent_first(
    world: World, car: Vehicle
) -> None:
    result = world.poll(car)

    assert asked(world) == [SIGNAL_PATHS]
    assert world.sandbox.smartcar.requests.count(path="/v2.0/") == 1
    assert result
    assert result.outcome is None
    assert result.ingested.codes == {ODOMETER, OIL_LIFE, TROUBLE_CODES}
    assert odometer(car) == pytest.approx(world.car(car).odometer_km)
    assert (car.last_polled_at, car.last_read_at) == (world.now, world.now)
    assert (car.poll_failures, car.last_error) == (0, "")


def test_the_first_batch_asks_what_the_car_is_and_the_next_one_does_not(world: World) -> None:
    new = world.connect().vehicles[0]
    world.poll(new)
    world.car(new).report(world.pass_time(days=1))
    world.poll(new)

    assert asked(world) == [[*IDENTITY_PATHS, *SIGNAL_PATHS], SIGNAL_PATHS]
    known = world.car(new)
    assert (new.vin, new.make, new.model, new.year) == (
        known.vin,
        known.make,
        known.model,
        known.year,
    )
    assert new.accesses.get().permissions == sorted(
        ["read_diagnostics", "read_engine_oil", "read_odometer", "read_vehicle_info", "read_vin"]
    )


def test_readings_stand_in_the_database_with_the_cars_own_time(world: World, car: Vehicle) -> None:
    world.car(car).report(world.now - 3 * HOUR)
    world.poll(car)

    row = Reading.objects.filter(code=ODOMETER).latest("pk")
    assert (row.recorded_at, row.fetched_at) == (world.now - 3 * HOUR, world.now)
    assert row.source == "poll"
    assert row.request_id


def test_a_car_that_has_nothing_new_was_read_all_the_same(world: World, car: Vehicle) -> None:
    world.poll(car)
    before = Reading.objects.count()
    world.pass_time(hours=6)

    result = world.poll(car)

    assert result
    assert (result.outcome, result.ingested.codes) == (None, set())
    assert car.last_read_at == world.now
    assert Reading.objects.count() == before


def test_what_the_car_cannot_give_is_not_asked_again_for_a_month(world: World) -> None:
    toyota = world.connect().vehicles[1]
    world.poll(toyota)
    world.pass_time(days=29)
    world.poll(toyota)
    world.pass_time(days=2)
    world.poll(toyota)

    assert toyota.signals.get(code=TROUBLE_CODES).support == "not_capable"
    assert [("/diagnostics/dtcs" in paths) for paths in asked(world)] == [True, False, True]


def test_what_the_driver_did_not_share_is_remembered_until_a_new_consent(world: World) -> None:
    car = world.connect(untick={"read_engine_oil"}).vehicles[0]
    world.poll(car)
    assert car.signals.get(code=OIL_LIFE).support == "not_granted"
    assert Connection.objects.get().status == "active"
    world.pass_time(days=1)
    world.poll(car)
    assert "/engine/oil" not in asked(world)[-1]

    world.pass_time(days=1)
    world.connect()
    world.poll(car)

    assert "/engine/oil" in asked(world)[-1]
    assert car.signals.get(code=OIL_LIFE).support == "ok"


def test_only_what_rules_want_from_this_car_is_asked(world: World, car: Vehicle) -> None:
    car.signals.filter(code=ODOMETER).update(is_wanted=True)

    world.poll(car)

    assert world.sandbox.smartcar.requests.count("GET", pattern="/odometer$") == 1
    assert asked(world) == []


def test_a_car_of_which_nobody_wants_anything_costs_no_call(
    world: World, car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rules(monkeypatch, **{TIRES: 1})
    car.signals.create(code=TIRES, support="not_capable", recheck_at=world.now + DAY)

    result = world.poll(car)

    assert result
    assert "No enabled rule" in result.error
    assert len(world.sandbox.smartcar.requests) == 0
    assert car.next_poll_at == world.now + DAY


# --- Our own limit ----------------------------------------------------------------------------


def test_our_own_limit_leaves_the_car_due_and_nobody_else_paused(
    world: World, car: Vehicle, settings: Settings
) -> None:
    world.poll(car)
    Vehicle.objects.update(next_poll_at=world.pass_time(hours=1))
    settings.SMARTCAR_BUCKET_SIZE = 1
    gates.take(conf.smartcar_limit(), now=world.now)
    before = world.batches()
    polled_at = car.last_polled_at

    assert outcome_of(world, car) is Outcome.WAIT_ALL

    assert world.batches() == before
    assert not gates.is_paused("smartcar", now=world.now)
    assert (car.last_polled_at, car.last_error, car.poll_failures) == (polled_at, "", 0)
    assert car.next_poll_at == world.now
    world.pass_time(minutes=1)
    assert outcome_of(world, car) is None


# --- Access tokens ----------------------------------------------------------------------------


def test_a_refused_access_token_is_exchanged_once_and_the_read_repeated_once(
    world: World, car: Vehicle
) -> None:
    world.poll(car)  # the pair is fresh now
    world.sandbox.smartcar.requests.clear()
    world.sandbox.smartcar.tokens.expire_access_tokens()
    drives(world, car, minutes=30)

    assert outcome_of(world, car) is None

    assert (world.token_calls(), world.batches()) == (1, 2)
    assert odometer(car) == pytest.approx(world.car(car).odometer_km)


def refuse_new_tokens(world: World, car: Vehicle) -> None:
    """The pair is fresh, and Smartcar refuses it and the next one for this car."""
    world.poll(car)
    world.sandbox.smartcar.requests.clear()
    world.pass_time(minutes=30)
    world.smartcar_fault(pattern="/batch$", error=("AUTHENTICATION", None), times=None)


def test_a_brand_new_token_that_is_refused_everywhere_needs_the_driver_and_no_third_try(
    world: World, car: Vehicle
) -> None:
    refuse_new_tokens(world, car)
    world.smartcar_fault(pattern="/vehicles$", error=("AUTHENTICATION", None), times=None)

    assert outcome_of(world, car) is Outcome.RECONNECT

    assert (world.token_calls(), world.batches()) == (1, 2)
    assert Connection.objects.get().status == "needs_reconnect"


def test_a_car_that_alone_is_refused_leaves_the_connection_and_the_other_cars(
    world: World, car: Vehicle
) -> None:
    refuse_new_tokens(world, car)
    world.sandbox.smartcar.tokens.disconnect(vehicle_id=car.smartcar_id)

    assert outcome_of(world, car) is Outcome.RETRY

    assert (world.token_calls(), world.batches()) == (1, 2)
    assert Connection.objects.get().status == "active"
    assert (car.connection, car.smartcar_id) == (None, "")
    assert car.accesses.get().ended_at == world.now
    assert Vehicle.objects.readable().count() == 1


def test_a_refusal_that_cannot_be_explained_now_is_tried_again(world: World, car: Vehicle) -> None:
    refuse_new_tokens(world, car)
    world.smartcar_fault(pattern="/vehicles$", status=502, times=None)

    assert outcome_of(world, car) is Outcome.RETRY

    assert Connection.objects.get().status == "active"
    assert car.smartcar_id


def test_a_refused_token_whose_exchange_is_lost_says_nothing_of_the_connection(
    world: World, car: Vehicle
) -> None:
    world.poll(car)
    world.pass_time(minutes=30)
    world.sandbox.smartcar.tokens.expire_access_tokens()
    world.sandbox.smartcar.faults.add(dropped_before(path="/oauth/token"))

    assert outcome_of(world, car) is Outcome.RETRY

    assert Connection.objects.get().status == "active"


def test_a_withdrawn_consent_is_noticed_by_the_next_poll(world: World, car: Vehicle) -> None:
    world.sandbox.smartcar.connect.revoke(world.sandbox.fleet.drivers[0].email)

    assert outcome_of(world, car) is Outcome.RECONNECT

    assert Connection.objects.get().status == "needs_reconnect"
    assert not polling.due_vehicles(now=world.now, every=True)


def test_a_connection_without_a_token_needs_the_driver(world: World, car: Vehicle) -> None:
    OAuthToken.objects.all().delete()

    assert outcome_of(world, car) is Outcome.RECONNECT


def test_a_fault_of_our_own_in_one_cars_answer_is_written_on_the_car(
    world: World, car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(SmartcarV2, "read", stumble)

    assert outcome_of(world, car) is Outcome.RETRY

    assert car.last_error == "Internal error: RuntimeError"
    assert Connection.objects.get().status == "active"


# --- Who reads what, and when -----------------------------------------------------------------


def test_the_longest_waiting_comes_first_and_all_ignores_the_schedule_only() -> None:
    connection = make_connection()

    def made(**fields: Any) -> int:
        return make_vehicle(connection=connection, **fields).pk

    later = made(next_poll_at=NOW + HOUR)
    first = made(next_poll_at=NOW - HOUR)
    second = made(next_poll_at=NOW)
    never = made(next_poll_at=None)
    made(not_before=NOW + HOUR)
    made(poll_lease_until=NOW + HOUR)
    made(smartcar_id="")
    make_vehicle(connection=make_connection(status="needs_reconnect"))
    make_vehicle(connection=make_connection(status="revoked"))
    make_vehicle(connection=None)

    assert list(polling.due_vehicles(now=NOW)) == [first, second]
    assert set(polling.due_vehicles(now=NOW, every=True)) == {first, second, later, never}


def test_one_car_can_be_asked_for_by_vin_in_any_case() -> None:
    car = make_vehicle(next_poll_at=NOW + DAY)
    make_vehicle()
    assert car.vin

    assert list(polling.due_vehicles(now=NOW, vin=car.vin.lower())) == [car.pk]
    Vehicle.objects.update(not_before=NOW + HOUR)
    assert not polling.due_vehicles(now=NOW, vin=car.vin)


@pytest.mark.parametrize("scheduled", [True, False])
@pytest.mark.parametrize(
    "fields",
    [{"not_before": 1}, {"poll_lease_until": 1}],
    ids=["told to wait", "read by somebody"],
)
def test_a_poll_on_request_never_ignores_a_retry_after_or_a_lease(
    world: World, car: Vehicle, fields: dict[str, int], scheduled: bool
) -> None:
    Vehicle.objects.update(**{name: world.now + n * MINUTE for name, n in fields.items()})

    assert world.poll(car, scheduled=scheduled) is None

    assert len(world.sandbox.smartcar.requests) == 0


def test_a_scheduled_poll_waits_for_its_time_and_a_requested_one_does_not(
    world: World, car: Vehicle
) -> None:
    Vehicle.objects.update(next_poll_at=world.now + MINUTE)

    assert world.poll(car, scheduled=True) is None
    assert world.poll(car, scheduled=False)


def test_two_people_who_want_it_now_at_once_mean_one_reading(world: World, car: Vehicle) -> None:
    assert world.poll(car)
    assert world.poll(car) is None
    assert world.batches() == 1


@pytest.mark.parametrize("status", ["needs_reconnect", "revoked"])
@pytest.mark.parametrize("scheduled", [True, False])
def test_a_car_whose_connection_ended_meanwhile_is_not_read(
    world: World, car: Vehicle, status: str, scheduled: bool
) -> None:
    Connection.objects.update(status=status)

    assert world.poll(car, scheduled=scheduled) is None

    assert len(world.sandbox.smartcar.requests) == 0
    assert car.poll_lease_until is None


def test_a_car_that_is_gone_is_not_read(world: World, car: Vehicle) -> None:
    Vehicle.objects.all().delete()

    assert world.poll(car) is None


def test_a_killed_worker_is_followed_within_seconds(world: World, car: Vehicle) -> None:
    seen: list[datetime | None] = []

    class Killed(BaseException):
        pass

    class Dying:
        has_application_token, version = False, "v2"

        def refresh(self, refresh_token: str) -> Any:
            return world.smartcar.refresh(refresh_token)

        def cost(self, codes: Any) -> int:
            return 1

        def list_vehicles(self, access_token: str, user_id: str = "") -> list[ConnectionInfo]:
            return []

        def read(self, **_: Any) -> Any:
            seen.append(Vehicle.objects.get(pk=car.pk).poll_lease_until)
            raise Killed

    policy = polling.PollPolicy(calls_per_month=500)
    with pytest.raises(Killed):
        polling.poll_vehicle(car.pk, client=Dying(), policy=policy, now=world.now)

    assert seen == [world.now + timedelta(seconds=10)]
    world.pass_time(seconds=9)
    assert world.poll(car, scheduled=True) is None
    assert list(polling.interrupted(now=world.now)) == []
    world.pass_time(seconds=1)
    assert list(polling.interrupted(now=world.now)) == [car.pk]
    assert world.poll(car, scheduled=True)
    assert list(polling.interrupted(now=world.now)) == []


# --- The month's calls ------------------------------------------------------------------------


def test_calls_are_counted_as_smartcar_counts_them(world: World, car: Vehicle) -> None:
    spent = car.calls_used
    world.poll(car)

    assert car.calls_used == spent + 3
    assert car.calls_month == datetime(2026, 3, 1, tzinfo=UTC).date()


def test_calls_of_last_month_do_not_count(world: World, car: Vehicle) -> None:
    Vehicle.objects.update(calls_used=10_000, calls_month="2026-02-01")

    assert outcome_of(world, car) is None
    assert car.calls_used == 3


@pytest.mark.parametrize(
    ("left", "paths"),
    [(3, SIGNAL_PATHS), (2, SIGNAL_PATHS[:2]), (1, SIGNAL_PATHS[:1])],
)
def test_the_least_urgent_is_left_out_when_calls_run_out(
    world: World, car: Vehicle, settings: Settings, left: int, paths: list[str]
) -> None:
    settings.SMARTCAR_CALLS_PER_VEHICLE_MONTH = car.calls_used + left

    assert outcome_of(world, car) is None

    single = world.sandbox.smartcar.requests.matching("GET")
    assert (asked(world) or [["/" + entry.path.split("/", 4)[4] for entry in single]]) == [paths]
    assert car.next_poll_at == NEXT_MONTH


def test_without_a_call_left_the_car_waits_for_the_next_month_and_nothing_is_asked(
    world: World, car: Vehicle, settings: Settings
) -> None:
    settings.SMARTCAR_CALLS_PER_VEHICLE_MONTH = car.calls_used

    assert outcome_of(world, car) is Outcome.QUOTA
    assert car.last_error == "This month's calls are used up"
    assert len(world.sandbox.smartcar.requests) == 0
    assert car.next_poll_at == NEXT_MONTH

    world.now = NEXT_MONTH
    assert outcome_of(world, car) is None


def test_polls_are_spread_by_what_is_left_and_the_makes_habit(
    world: World, car: Vehicle, settings: Settings
) -> None:
    settings.SMARTCAR_CALLS_PER_VEHICLE_MONTH = car.calls_used + 3 + 60
    world.poll(car)
    assert car.next_poll_at
    evenly = (NEXT_MONTH - world.now) / 20
    assert evenly * 0.9 <= car.next_poll_at - world.now <= evenly * 1.1

    Make.objects.update_or_create(name="CHEVROLET", defaults={"refresh_minutes": 24 * 60 * 3})
    world.pass_time(days=1)
    world.poll(car)
    assert 3 * DAY <= car.next_poll_at - world.now <= 3.3 * DAY


# --- What the car is --------------------------------------------------------------------------


def test_an_identity_item_that_the_batch_refuses_is_asked_for_once_by_itself(
    world: World,
) -> None:
    world.smartcar_fault(item="/vin", error=("UPSTREAM", "NO_RESPONSE"))
    car = world.connect().vehicles[0]

    assert outcome_of(world, car) is None

    assert world.sandbox.smartcar.requests.count("GET", pattern="/vin$") == 1
    assert car.vin == world.car(car).vin
    assert car.identified_at == world.now


def test_a_vin_that_does_not_come_is_asked_for_again_with_the_next_batch(world: World) -> None:
    world.smartcar_fault(item="/vin", error=("UPSTREAM", "NO_RESPONSE"))
    world.smartcar_fault(pattern="/vin$", error=("UPSTREAM", "NO_RESPONSE"))
    car = world.connect().vehicles[0]
    assert outcome_of(world, car) is None
    assert (car.vin, car.identified_at) == (None, None)
    assert car.make == "CHEVROLET"

    world.pass_time(days=1)
    world.poll(car)

    assert car.vin == world.car(car).vin
    assert world.sandbox.smartcar.requests.count("GET", pattern="/vin$") == 1


def test_a_vin_that_the_driver_did_not_share_is_not_asked_for_again(world: World) -> None:
    car = world.connect(untick={"read_vin"}).vehicles[0]
    world.poll(car)
    world.pass_time(days=1)
    world.poll(car)

    assert (car.vin, car.make) == (None, "CHEVROLET")
    assert [("/vin" in paths) for paths in asked(world)] == [True, False]
    assert world.sandbox.smartcar.requests.count("GET", pattern="/vin$") == 0


@pytest.mark.parametrize("vin", ["", "TOO SHORT", "0" * 17, "1GCCR10E0NA10012O"])
def test_what_is_no_vin_is_not_written(world: World, vin: str) -> None:
    world.smartcar_fault(item="/vin", alter=lambda body: {"vin": vin}, times=None)
    world.smartcar_fault(pattern="/vin$", alter=lambda body: {"vin": vin}, times=None)
    cars = world.connect().vehicles

    for car in cars:
        assert outcome_of(world, car) is None

    assert [car.vin for car in Vehicle.objects.all()] == [None, None]


def test_two_consents_that_reach_one_car_become_one_car_read_through_the_newest(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rules(monkeypatch)
    with running(settings, vehicles=2, drivers=2) as world:
        first, second = world.sandbox.fleet.drivers
        original = world.sandbox.fleet.cars[0]
        twin = world.sandbox.fleet.add(
            replace(
                original, smartcar_id="11111111-2222-4333-8444-555555555555", driver=second.email
            )
        )
        mine = world.connect(driver=first.email).vehicles[0]
        world.poll(mine)
        world.pass_time(hours=1)
        theirs = world.connect(driver=second.email, vehicles=[twin.smartcar_id])
        twin.report(world.now, odometer_km=original.odometer_km + 5)

        result = world.poll(theirs.vehicles[0])

        assert result
        assert result.vehicle_id == mine.pk
        mine.refresh_from_db()
        assert Vehicle.objects.filter(vin=original.vin).get() == mine
        assert mine.accesses.count() == 2
        assert (mine.connection, mine.smartcar_id) == (theirs.connection, twin.smartcar_id)
        assert mine.poll_lease_until is None
        assert Signal.objects.get(vehicle=mine, code=ODOMETER).value == twin.odometer_km

        revoking.revoke(theirs.connection, client=world.smartcar, reason="over", now=world.now)
        mine.refresh_from_db()
        assert mine.smartcar_id == original.smartcar_id
        world.pass_time(hours=1)
        assert outcome_of(world, mine) is None


def test_a_fault_of_our_own_in_one_cars_answer_leaves_the_others_to_be_read(
    world: World, car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: Any, **__: Any) -> list[Any]:
        raise OverflowError("int too large to convert to float")

    monkeypatch.setattr(type(world.smartcar), "read", stumble)

    assert outcome_of(world, car) is Outcome.RETRY

    assert car.last_error == "Internal error: OverflowError"
    assert car.poll_failures == 1


def test_what_a_slow_read_found_out_is_dated_when_it_is_known(world: World, car: Vehicle) -> None:
    """A minute late, messages about it would not be gathered with those of other cars."""
    error = ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")
    world.smartcar_fault(pattern="/batch$", error=error, delay=1.1)

    assert outcome_of(world, car) is Outcome.RECONNECT
    assert car.connection
    assert car.connection.status_changed_at > world.now


def test_what_cannot_be_stored_is_shown_and_counted_and_the_car_backs_off(
    world: World, car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = car.calls_used
    with monkeypatch.context() as broken:
        broken.setattr("integrations.services.polling.ingest", lambda *_, **__: 1 / 0)
        assert outcome_of(world, car) is Outcome.RETRY

    assert car.last_error == "Internal error: ZeroDivisionError"
    assert (car.poll_failures, car.calls_used) == (1, used + len(SIGNAL_PATHS))
    assert car.not_before
    assert car.not_before > world.now
    assert list(polling.interrupted(now=world.now + MINUTE)) == []


def test_what_a_car_is_may_hold_what_no_column_can(world: World) -> None:
    new = world.connect().vehicles[0]
    world.car(new).model = "Bolt\0\ud800"

    assert outcome_of(world, new) is None

    assert new.model == "Bolt"
