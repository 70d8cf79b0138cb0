"""Smartcar's table of errors, row by row: what the portal then knows, does and shows.

Each row is met three times through the real client: as the answer to a whole poll, as the answer
to one signal of it, and as the answer to each of its signals.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from integrations.clients.errors import Outcome
from integrations.clients.readings import ODOMETER, OIL_LIFE, TROUBLE_CODES
from integrations.models import Activity, Connection, ProviderGate, Reading, Signal, Vehicle
from integrations.sandbox.faults import (
    Fault,
    bad_gateway,
    dropped_after,
    dropped_before,
    empty_body,
    garbage,
    no_content_type,
    slow,
    wrong_types,
)
from integrations.sandbox.smartcar_errors import ERRORS
from tests.factories import NOW
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY = timedelta(days=1)
NEXT_MONTH = datetime(2026, 4, 1, tzinfo=UTC)
AT = NOW + 30 * MINUTE  # when the car is read: its access token is still good
PATHS = {TROUBLE_CODES: "/diagnostics/dtcs", OIL_LIFE: "/engine/oil", ODOMETER: "/odometer"}
ACCOUNT = "CONNECTED_SERVICES_ACCOUNT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a kind of error does to the car and shows of it, besides the words of the row.

    `polls` is the choice of the list's filter, `until` what the page says about when it goes on.
    """

    polls: str
    until: str
    due: timedelta | None = None  # from now; None: as it was
    waits: timedelta | None = None  # until when nobody may ask, whatever they want
    backs_off: bool = False  # both of the former, by chance, within half a minute and two
    fails: bool = False  # counts as a failed poll
    pauses: timedelta | None = None  # calls for all cars
    status: str = "active"  # of the connection
    told: str = ""  # what is written down for people, once


EFFECTS = {
    "wait": Effect(polls="wait", until="Waits until 12:32 p.m.", due=2 * MINUTE, waits=2 * MINUTE),
    "wait all": Effect(
        polls="wait",
        until="All cars wait until 12:31 p.m.",
        pauses=MINUTE,
        told="Calls to smartcar paused",
    ),
    "stop": Effect(
        polls="refused",
        until="No car is read; tried again at 12:35 p.m.",
        pauses=5 * MINUTE,
        told="refuses our credentials",
    ),
    "month": Effect(
        polls="quota",
        until="Not read before April 1, 2026, midnight",
        due=NEXT_MONTH - AT,
        waits=NEXT_MONTH - AT,
        told="Not read before next month",
    ),
    "reconnect": Effect(
        polls="reconnect",
        until="The driver must connect again",
        status="needs_reconnect",
        told="Connection is now: Needs reconnect",
    ),
    "driver": Effect(
        polls="driver",
        until="Asked again on March 3, 2026, 12:30 p.m.",
        due=DAY,
        fails=True,
        told="The driver has to act",
    ),
    "later": Effect(polls="asleep", until="Asked again at 2:30 p.m.", due=2 * HOUR),
    "soon": Effect(polls="asleep", until="Asked again at 1 p.m.", due=30 * MINUTE),
    "after the trip": Effect(polls="asleep", until="Asked again at 1:15 p.m.", due=45 * MINUTE),
    "tomorrow": Effect(polls="asleep", until="Asked again on March 3, 2026, 12:30 p.m.", due=DAY),
    "maker waits": Effect(
        polls="wait", until="Waits until 4:30 p.m.", due=4 * HOUR, waits=4 * HOUR
    ),
    "no room": Effect(
        polls="quota",
        until="Not read before March 3, 2026, 12:30 p.m.",
        due=DAY,
        waits=DAY,
        told="Not read: BILLING:VEHICLE_LIMIT",
    ),
    "not understood": Effect(
        polls="refused",
        until="Asked again on March 3, 2026, 12:30 p.m.",
        due=DAY,
        fails=True,
        told="Smartcar refuses: ",
    ),
    "back off": Effect(polls="failed", until="Asked again at 12:3", backs_off=True, fails=True),
    "refused": Effect(
        polls="refused", until="Asked again on March 3, 2026, 12:30 p.m.", due=DAY, fails=True
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: how the client sorts it, what it does as the answer to a whole poll,
    and how it reads. `of_one` is how it reads beside a single signal, where that differs.
    """

    type: str
    code: str | None
    outcome: Outcome
    effect: str
    matter: str
    of_one: str = ""

    @property
    def error(self) -> tuple[str, str | None]:
        return self.type, self.code

    @property
    def pair(self) -> str:
        return f"{self.type}:{self.code}" if self.code else self.type


WAITS = {
    "UNREACHABLE": "soon",
    "IN_MOTION": "after the trip",
    "IGNITION_ON": "after the trip",
    "VEHICLE_OFFLINE_FOR_SERVICE": "tomorrow",
}
NOTHING_TO_GIVE = "The car cannot give anything that is asked for"

TABLE = [
    Row("AUTHENTICATION", None, Outcome.REFRESH, "back off", "Smartcar refuses us this car alone"),
    Row(
        "PERMISSION",
        None,
        Outcome.NOT_GRANTED,
        "refused",
        "The driver has not shared what is asked for",
        "The driver did not share it",
    ),
    Row(
        "VALIDATION",
        None,
        Outcome.REJECTED,
        "not understood",
        "Smartcar does not understand our request",
    ),
    Row(
        "VALIDATION",
        "PARAMETER",
        Outcome.REJECTED,
        "not understood",
        "Smartcar does not understand our request",
    ),
    Row(
        "RESOURCE_NOT_FOUND",
        "PATH",
        Outcome.REJECTED,
        "not understood",
        "Smartcar does not know what we ask for",
    ),
    Row(
        "RESOURCE_NOT_FOUND",
        "VERSION",
        Outcome.REJECTED,
        "not understood",
        "Smartcar has ended this version of its API",
    ),
    Row(
        "RATE_LIMIT",
        "SMARTCAR_API",
        Outcome.WAIT_ALL,
        "wait all",
        "Smartcar was asked too often by all of us",
    ),
    Row(
        "RATE_LIMIT",
        "VEHICLE",
        Outcome.WAIT,
        "wait",
        "Smartcar was asked for this car too often",
    ),
    Row(
        "BILLING",
        "VEHICLE_REQUEST_LIMIT",
        Outcome.QUOTA,
        "month",
        "This month's calls are used up",
    ),
    Row(
        "BILLING",
        "VEHICLE_LIMIT",
        Outcome.QUOTA,
        "no room",
        "Smartcar's plan has no room for this car",
    ),
    Row(
        "BILLING",
        "INVALID_PLAN",
        Outcome.NOT_CAPABLE,
        "refused",
        "Smartcar's plan does not include what is asked for",
        "Smartcar's plan does not include it",
    ),
    Row(
        "BILLING",
        "ACCOUNT_SUSPENDED",
        Outcome.STOP,
        "stop",
        "Smartcar has suspended our account",
    ),
    Row(
        "COMPATIBILITY",
        "VEHICLE_NOT_CAPABLE",
        Outcome.NOT_CAPABLE,
        "refused",
        NOTHING_TO_GIVE,
        "The car cannot give it",
    ),
    Row(
        "COMPATIBILITY",
        "SMARTCAR_NOT_CAPABLE",
        Outcome.NOT_CAPABLE,
        "refused",
        NOTHING_TO_GIVE,
        "Smartcar cannot read it from this car",
    ),
    Row(
        "COMPATIBILITY",
        "MAKE_NOT_COMPATIBLE",
        Outcome.NOT_CAPABLE,
        "refused",
        NOTHING_TO_GIVE,
        "Smartcar cannot read it from this make",
    ),
    Row(
        "COMPATIBILITY",
        "PLATFORM_NOT_CAPABLE",
        Outcome.RECONNECT,
        "reconnect",
        "The maker has moved to a new platform",
    ),
    Row(
        ACCOUNT,
        "AUTHENTICATION_FAILED",
        Outcome.RECONNECT,
        "reconnect",
        "The maker no longer accepts the driver's sign-in",
    ),
    Row(
        ACCOUNT,
        "PERMISSION",
        Outcome.RECONNECT,
        "reconnect",
        "The owner took our access back at the maker",
    ),
    Row(
        ACCOUNT,
        "NO_VEHICLES",
        Outcome.RECONNECT,
        "reconnect",
        "The driver's account at the maker has no car",
    ),
    Row(
        ACCOUNT,
        "VEHICLE_MISSING",
        Outcome.RECONNECT,
        "driver",  # the driver has another car, which must go on
        "The car is no longer in the driver's account at the maker",
    ),
    Row(
        ACCOUNT,
        "ACCOUNT_ISSUE",
        Outcome.DRIVER,
        "driver",
        "The driver's account at the maker wants attention",
    ),
    Row(
        ACCOUNT,
        "SUBSCRIPTION",
        Outcome.DRIVER,
        "driver",
        "The subscription at the maker has ended or is too small",
    ),
    Row(
        ACCOUNT,
        "VIRTUAL_KEY_REQUIRED",
        Outcome.DRIVER,
        "driver",
        "The car lacks Smartcar's virtual key",
    ),
    Row(
        "VEHICLE_STATE",
        "REMOTE_ACCESS_DISABLED",
        Outcome.DRIVER,
        "driver",
        "Remote access is switched off in the car",
    ),
    *(
        Row("VEHICLE_STATE", code, Outcome.ASLEEP, WAITS.get(code, "later"), matter)
        for code, matter in {
            "ASLEEP": "The car is asleep",
            "UNREACHABLE": "The car has no network",
            "UNKNOWN": "The car cannot be read, for no known reason",
            "LOW_BATTERY": "The car's battery is low",
            "IN_MOTION": "The car is being driven",
            "IGNITION_ON": "The car's ignition is on",
            "VEHICLE_OFFLINE_FOR_SERVICE": "The car is in service mode",
            "CHARGING_IN_PROGRESS": "The car is charging",
            "CHARGING_PLUG_CONNECTED": "The charging plug is connected",
            "CHARGING_PLUG_NOT_CONNECTED": "The charging plug is not connected",
            "FULLY_CHARGED": "The car is fully charged",
            "NOT_CHARGING": "The car is not charging",
            "CHARGE_FAULT": "Charging the car has failed",
            "DOOR_OPEN": "A door of the car is open",
            "HOOD_OPEN": "The hood of the car is open",
            "TRUNK_OPEN": "The trunk of the car is open",
        }.items()
    ),
    *(
        Row("UPSTREAM", code, Outcome.RETRY, "back off", matter)
        for code, matter in {
            "INVALID_DATA": "The maker sent data that cannot be right",
            "KNOWN_ISSUE": "The maker has a problem that Smartcar knows of",
            "NO_RESPONSE": "The maker does not answer Smartcar",
            "UNKNOWN_ISSUE": "The maker has a problem",
        }.items()
    ),
    Row(
        "UPSTREAM",
        "RATE_LIMIT",
        Outcome.WAIT,
        "maker waits",
        "The maker was asked for this car too often",
    ),
    Row("SERVER", "INTERNAL", Outcome.RETRY, "back off", "Smartcar has a problem of its own"),
    Row(
        "SERVER",
        "RECORD_NOT_FOUND",
        Outcome.NOT_CAPABLE,
        "refused",
        "Smartcar has no record of it for this car",
    ),
    Row(
        "SERVER",
        "MULTIPLE_RECORDS_FOUND",
        Outcome.NOT_CAPABLE,
        "refused",
        "Smartcar has no clear record of it for this car",
    ),
]
SUPPORT = {Outcome.NOT_CAPABLE: "not_capable", Outcome.NOT_GRANTED: "not_granted"}

each_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pair)
# One row stands for all that do the same; that they do is what the tests of each row say.
ALIKE = {(row.outcome, row.effect): row for row in TABLE}
each_effect = pytest.mark.parametrize("row", ALIKE.values(), ids=lambda row: row.pair)


def test_the_table_here_is_the_whole_table() -> None:
    assert {row.error for row in TABLE} == set(ERRORS)
    assert len(TABLE) == len(ERRORS)


# --- The world --------------------------------------------------------------------------------


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two drivers; the first has two cars. All were read half an hour ago and are due."""
    without_rules(monkeypatch)
    with running(settings, vehicles=3, drivers=2) as running_world:
        for driver in running_world.sandbox.fleet.drivers:
            for vehicle in running_world.connect(driver=driver.email).vehicles:
                assert running_world.poll(vehicle)
        running_world.now = AT
        for car in running_world.sandbox.fleet.cars:
            car.report(AT, odometer_km=car.odometer_km + 40)
        Vehicle.objects.update(next_poll_at=AT)
        Activity.objects.all().delete()
        running_world.sandbox.smartcar.requests.clear()
        yield running_world


@pytest.fixture
def car(world: World) -> Vehicle:
    """A Chevrolet that gives all that is wanted; its driver has another car."""
    vehicle = Vehicle.objects.get(smartcar_id=world.sandbox.fleet.cars[0].smartcar_id)
    Signal.objects.filter(vehicle=vehicle).update(is_wanted=True)
    return vehicle


@pytest.fixture
def sibling(world: World) -> Vehicle:
    return Vehicle.objects.get(smartcar_id=world.sandbox.fleet.cars[2].smartcar_id)


@pytest.fixture
def stranger(world: World) -> Vehicle:
    """The car of another driver."""
    return Vehicle.objects.get(smartcar_id=world.sandbox.fleet.cars[1].smartcar_id)


def polled(world: World, car: Vehicle) -> Outcome | None:
    result = world.poll(car)
    assert result is not None, "the car was not read at all"
    assert car.poll_lease_until is None, "the car is free again"
    return result.outcome


def calls(world: World) -> dict[str, int]:
    """How often each address was called, under its last word."""
    found: dict[str, int] = {}
    for entry in world.sandbox.smartcar.requests:
        word = entry.path.rstrip("/").rpartition("/")[2]
        found[word] = found.get(word, 0) + 1
    return found


def known(car: Vehicle) -> dict[str, Any]:
    return {s.code: (s.value, s.data, s.recorded_at, s.support) for s in car.signals.all()}


def everything_of(car: Vehicle) -> dict[str, Any]:
    row = Vehicle.objects.filter(pk=car.pk).values().get()
    return row | {"signals": known(car), "readings": car.readings.count()}


def told() -> list[str]:
    return list(Activity.objects.values_list("what", flat=True))


def shown(client: Client, car: Vehicle) -> tuple[str, str]:
    """The page of the car, and its row in the list, as text with tags."""
    page = client.get(reverse("admin:integrations_vehicle_change", args=[car.pk]))
    listing = client.get(reverse("admin:integrations_vehicle_changelist"), {"q": str(car.vin)})
    assert (page.status_code, listing.status_code) == (200, 200)
    return unescape(page.content.decode()), unescape(listing.content.decode())


def found_by(client: Client, choice: str) -> list[Vehicle]:
    address = reverse("admin:integrations_vehicle_changelist")
    page = client.get(address, {"polls": choice})
    assert page.status_code == 200, "the filter knows the choice"
    return list(page.context["cl"].queryset)


def assert_effect(world: World, car: Vehicle, effect: Effect) -> None:
    """Exactly this happened to the car, its connection and the application, and nothing else."""
    due, wait = car.next_poll_at, car.not_before
    assert due is not None
    if effect.backs_off:
        assert due == wait
        assert 30 * SECOND <= due - AT <= 2 * MINUTE
    else:
        assert due - AT == (effect.due or timedelta())
        assert wait == (effect.waits and AT + effect.waits)
    assert car.poll_failures == effect.fails
    assert Connection.objects.get(vehicles=car).status == effect.status
    gates = ProviderGate.objects.filter(paused_until__isnull=False)
    pauses = [gate.paused_until - AT for gate in gates if gate.paused_until]
    assert pauses == ([effect.pauses] if effect.pauses else [])
    assert (car.last_polled_at, car.last_read_at) == (AT, NOW)


# --- The answer to a whole poll ---------------------------------------------------------------


def refuse_all(world: World, car: Vehicle, row: Row, **fault: Any) -> None:
    where = {"pattern": f"{car.smartcar_id}/batch$", "error": row.error, "times": None}
    world.smartcar_fault(**where | fault)


def refuse_items(world: World, car: Vehicle, row: Row, *paths: str, **fault: Any) -> None:
    for path in paths:
        where = {"item": path, "vehicle": car.smartcar_id, "error": row.error, "times": None}
        world.smartcar_fault(**where | fault)


@each_row
def test_as_the_answer_to_a_whole_poll(
    world: World, car: Vehicle, stranger: Vehicle, row: Row, admin_client: Client
) -> None:
    effect, before, others = EFFECTS[row.effect], known(car), everything_of(stranger)
    refuse_all(world, car, row)

    # Smartcar still lists the car, so a token that it refuses even when new is no reason to lose
    # the driver: the car is tried again.
    refreshes = row.outcome is Outcome.REFRESH
    assert polled(world, car) is (Outcome.RETRY if refreshes else row.outcome)

    assert_effect(world, car, effect)
    repeated = {"batch": 2, "token": 1, "vehicles": 1}
    assert calls(world) == (repeated if refreshes else {"batch": 1}), "asked once, repeated never"
    assert known(car) == before
    assert everything_of(stranger) == others
    assert sum(effect.told in line for line in told()) == 1 if effect.told else told() == []

    page, listed = shown(admin_client, car)
    assert row.matter in page
    assert row.matter in listed
    assert effect.until in page
    assert row.pair in page, "what Smartcar said stands below, for those who ask it"
    assert found_by(admin_client, effect.polls) == (
        list(Vehicle.objects.filter(connection=car.connection).order_by("pk"))
        if effect.status == "needs_reconnect"
        else [car]
    )


@each_effect
def test_what_it_means_for_the_other_cars(
    world: World, car: Vehicle, sibling: Vehicle, stranger: Vehicle, row: Row
) -> None:
    refuse_all(world, car, row)
    polled(world, car)
    world.sandbox.smartcar.requests.clear()
    world.pass_time(seconds=1)

    of_sibling, of_stranger = world.poll(sibling), world.poll(stranger)

    effect = EFFECTS[row.effect]
    if effect.pauses:
        assert of_sibling
        assert of_stranger
        assert {of_sibling.outcome, of_stranger.outcome} == {row.outcome}
        assert calls(world) == {}, "nobody is asked"
        assert (stranger.last_error, stranger.next_poll_at) == ("", AT), "they stay due"
        return
    assert of_stranger
    assert of_stranger.outcome is None
    if effect.status == "needs_reconnect":
        assert of_sibling is None, "the same consent is broken"
    else:
        assert of_sibling
        assert of_sibling.outcome is None


@each_effect
def test_the_car_is_good_again_after_the_next_good_poll_or_a_new_consent(
    world: World, car: Vehicle, row: Row, admin_client: Client
) -> None:
    refuse_all(world, car, row)
    polled(world, car)
    effect = EFFECTS[row.effect]
    world.sandbox.smartcar.faults.clear()

    world.now = AT + max(effect.due or 2 * MINUTE, effect.pauses or MINUTE)
    if effect.status == "needs_reconnect":
        world.connect()
        car.refresh_from_db()
        assert car.next_poll_at == world.now
    else:
        assert polled(world, car) is None

    assert (car.poll_failures, car.last_error, car.not_before) == (0, "", None)
    assert (car.poll_outcome, car.poll_error, car.poll_outcome_since) == ("", "", None)
    page, listed = shown(admin_client, car)
    assert row.matter not in page
    assert row.matter not in listed
    assert found_by(admin_client, effect.polls) == []


# --- The answer to one signal of a poll -------------------------------------------------------


@each_row
def test_as_the_answer_to_one_signal(
    world: World, car: Vehicle, row: Row, admin_client: Client
) -> None:
    refuse_items(world, car, row, PATHS[OIL_LIFE])

    assert polled(world, car) is None, "the others came"

    oil, odometer = car.signals.get(code=OIL_LIFE), car.signals.get(code=ODOMETER)
    assert odometer.value == pytest.approx(world.car(car).odometer_km)
    assert car.readings.filter(recorded_at=AT).count() == 2
    assert (car.last_read_at, car.poll_failures, car.last_error) == (AT, 0, "")
    assert Connection.objects.get(vehicles=car).status == "active", "whatever it is"
    assert calls(world) == {"batch": 1}

    assert oil.last_error == row.pair
    assert oil.recorded_at == NOW, "the last value stands"
    support = SUPPORT.get(row.outcome)
    assert oil.support == (support or "ok")
    assert oil.recheck_at == (AT + 30 * DAY if support else None)
    effect = EFFECTS[row.effect]
    assert car.not_before == (AT + effect.waits if effect.waits else None)

    page, listed = shown(admin_client, car)
    assert (row.of_one or row.matter) in page
    if support:
        assert "asked again on April 1, 2026, 12:30 p.m." in page
        assert ("has not shared: Oil life" if support == "not_granted" else "give: Oil") in listed
        assert found_by(admin_client, support) == [car]
    if effect.waits:
        assert effect.until in listed
    pauses = ProviderGate.objects.get(name="smartcar").paused_until
    assert pauses == (AT + effect.pauses if effect.pauses else None), "of an item too, it is heard"


@each_effect
def test_what_a_car_cannot_give_or_was_not_granted_is_left_out_for_a_month_and_else_asked_again(
    world: World, car: Vehicle, row: Row
) -> None:
    refuse_items(world, car, row, PATHS[OIL_LIFE], times=1)
    polled(world, car)
    left_out = row.outcome in SUPPORT

    world.now = car.not_before or AT + 29 * DAY
    assert polled(world, car) is None
    assert car.signals.get(code=OIL_LIFE).support == (SUPPORT[row.outcome] if left_out else "ok")
    world.now = AT + 31 * DAY
    assert polled(world, car) is None

    batches = world.sandbox.smartcar.requests.matching("POST", pattern="/batch$")
    asked = [
        PATHS[OIL_LIFE] in [one["path"] for one in entry.body["requests"]] for entry in batches
    ]
    assert asked == [True, not left_out, True]
    oil = car.signals.get(code=OIL_LIFE)
    assert (oil.support, oil.recheck_at, oil.last_error) == ("ok", None, "")


@each_row
def test_as_the_answer_to_every_signal(
    world: World, car: Vehicle, row: Row, admin_client: Client
) -> None:
    refuse_items(world, car, row, *PATHS.values())

    outcome = polled(world, car)

    refreshes = row.outcome is Outcome.REFRESH
    repeated = {"batch": 2, "token": 1, "vehicles": 1}
    assert calls(world) == (repeated if refreshes else {"batch": 1})
    if row.outcome in SUPPORT:  # it was read: that is what it can give
        assert outcome is None
        assert {s.support for s in car.signals.all()} == {SUPPORT[row.outcome]}
        assert Connection.objects.get(vehicles=car).status == "active"
        assert told() == []
        return
    assert outcome is (Outcome.RETRY if refreshes else row.outcome)
    assert_effect(world, car, EFFECTS[row.effect])
    page, listed = shown(admin_client, car)
    assert row.matter in page
    assert row.matter in listed
    assert EFFECTS[row.effect].until in page


@pytest.mark.parametrize("effect", ["reconnect", "driver", "later"])
def test_what_smartcar_knows_of_a_car_does_not_count_as_a_reading(
    world: World, car: Vehicle, effect: str
) -> None:
    row = next(row for row in TABLE if row.effect == effect)
    Vehicle.objects.filter(pk=car.pk).update(identified_at=None)
    refuse_items(world, car, row, "/vin", *PATHS.values())

    assert polled(world, car) is row.outcome

    assert_effect(world, car, EFFECTS[effect])


def test_a_sold_car_that_was_its_drivers_only_one_wants_a_new_consent(
    world: World, stranger: Vehicle
) -> None:
    row = next(row for row in TABLE if row.code == "VEHICLE_MISSING")
    refuse_all(world, stranger, row)

    polled(world, stranger)

    assert Connection.objects.get(vehicles=stranger).status == "needs_reconnect"


@each_effect
def test_as_the_answer_to_a_read_of_one_signal_alone(
    world: World, car: Vehicle, row: Row, admin_client: Client
) -> None:
    """A poll that wants one signal only is no batch."""
    Signal.objects.filter(vehicle=car).exclude(code=OIL_LIFE).update(is_wanted=False)
    world.smartcar_fault(pattern="/engine/oil$", error=row.error, times=None)

    outcome = polled(world, car)

    effect = EFFECTS[row.effect]
    if row.outcome in SUPPORT:
        assert outcome is None
        assert car.signals.get(code=OIL_LIFE).support == SUPPORT[row.outcome]
        assert Connection.objects.get(vehicles=car).status == "active"
        assert calls(world) == {"oil": 1}
    elif row.outcome is Outcome.REFRESH:
        assert outcome is Outcome.RETRY
        assert_effect(world, car, effect)
        assert calls(world) == {"oil": 2, "token": 1, "vehicles": 1}
    else:
        assert outcome is row.outcome
        assert_effect(world, car, effect)
        assert calls(world) == {"oil": 1}
    page, _listed = shown(admin_client, car)
    assert (row.of_one if row.outcome in SUPPORT and row.of_one else row.matter) in page


# What says most comes first.
WEIGHT = [
    "BILLING:ACCOUNT_SUSPENDED",
    "RATE_LIMIT:SMARTCAR_API",
    "BILLING:VEHICLE_REQUEST_LIMIT",
    "RATE_LIMIT:VEHICLE",
    f"{ACCOUNT}:ACCOUNT_ISSUE",
    "VEHICLE_STATE:ASLEEP",
    "UPSTREAM:NO_RESPONSE",
    "VALIDATION",
    f"{ACCOUNT}:PERMISSION",  # believed only when all that could be read says so
    "PERMISSION",
]


@pytest.mark.parametrize("place", range(len(WEIGHT) - 1), ids=lambda place: WEIGHT[place])
def test_of_several_failures_the_one_that_says_most_decides(
    world: World, car: Vehicle, place: int
) -> None:
    rows = {row.pair: row for row in TABLE}
    heavy, light = rows[WEIGHT[place]], rows[WEIGHT[place + 1]]
    refuse_items(world, car, light, PATHS[TROUBLE_CODES], PATHS[ODOMETER])
    refuse_items(world, car, heavy, PATHS[OIL_LIFE])

    assert polled(world, car) is heavy.outcome

    assert_effect(world, car, EFFECTS[heavy.effect])


def test_a_permission_that_a_signal_lacks_never_touches_the_connection(
    world: World, car: Vehicle, sibling: Vehicle
) -> None:
    """However often, on whatever signal, as an item or as the whole answer."""
    lacking = next(row for row in TABLE if row.type == "PERMISSION")
    connection = Connection.objects.filter(vehicles=car)
    before = connection.values().get()
    for path in (*PATHS.values(), None):
        if path:
            refuse_items(world, car, lacking, path)
        else:
            world.sandbox.smartcar.faults.clear()
            refuse_all(world, car, lacking)
        for _ in range(2):
            polled(world, car)
            world.pass_time(days=1)
            assert connection.values().get() == before
    assert told() == []
    assert polled(world, sibling) is None


def test_a_403_without_smartcars_words_is_a_gateways_page_and_switches_nothing_off(
    world: World, car: Vehicle
) -> None:
    before = known(car)
    page = Fault(pattern="/batch$", status=403, body="<html>no</html>", content_type="text/html")
    world.sandbox.smartcar.faults.add(page)

    assert polled(world, car) is Outcome.RETRY

    assert known(car) == before
    assert Connection.objects.get(vehicles=car).status == "active"


# --- Told once --------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [f"{ACCOUNT}:ACCOUNT_ISSUE", "BILLING:VEHICLE_REQUEST_LIMIT"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "items"])
def test_a_person_is_told_once_and_not_at_each_poll(
    world: World, car: Vehicle, pair: str, whole: bool
) -> None:
    row = next(row for row in TABLE if row.pair == pair)
    if whole:
        refuse_all(world, car, row)
    else:
        refuse_items(world, car, row, *PATHS.values())
    for _ in range(3):
        polled(world, car)
        Vehicle.objects.update(not_before=None, next_poll_at=world.pass_time(days=1))
    world.sandbox.smartcar.faults.clear()
    world.sandbox.smartcar.faults.add(bad_gateway(pattern="/batch$"))
    polled(world, car)  # something else in between is no new beginning
    world.pass_time(days=1)
    refuse_all(world, car, row)
    polled(world, car)

    assert [EFFECTS[row.effect].told in line for line in told()] == [True]
    assert Activity.objects.get().vehicle == car


def test_a_driver_who_must_act_again_is_a_new_story(world: World, car: Vehicle) -> None:
    row = next(row for row in TABLE if row.code == "ACCOUNT_ISSUE")
    for _ in range(2):
        refuse_all(world, car, row)
        assert polled(world, car) is Outcome.DRIVER
        world.sandbox.smartcar.faults.clear()
        world.pass_time(days=1)
        assert polled(world, car) is None
        world.pass_time(days=1)

    assert len(told()) == 2


def test_calls_that_are_used_up_again_next_month_are_told_again(world: World, car: Vehicle) -> None:
    row = next(row for row in TABLE if row.code == "VEHICLE_REQUEST_LIMIT")
    refuse_all(world, car, row)
    polled(world, car)
    world.now = NEXT_MONTH
    polled(world, car)

    assert len(told()) == 2


def test_how_long_it_lasts_is_shown_from_its_beginning(
    world: World, car: Vehicle, admin_client: Client
) -> None:
    refuse_all(world, car, next(row for row in TABLE if row.code == "ACCOUNT_ISSUE"))
    polled(world, car)
    world.pass_time(days=2)
    polled(world, car)

    page, _listed = shown(admin_client, car)

    assert car.poll_outcome_since == AT
    assert "2 days ago" in page.replace("\xa0", " ")


# --- Retry-After ------------------------------------------------------------------------------


def in_ten_minutes() -> str:
    return format_datetime(datetime.now(UTC) + 10 * MINUTE, usegmt=True)


def ten_minutes_ago() -> str:
    return format_datetime(datetime.now(UTC) - 10 * MINUTE, usegmt=True)


SAID = {
    "number": (300, 300.0),
    "text": ("120", 120.0),
    "padded text": (" 7 ", 7.0),
    "float text": ("90.5", 90.5),
    "date": (in_ten_minutes, 600.0),
    "date that is over": (ten_minutes_ago, None),
    "missing": (None, None),
    "empty": ("", None),
    "zero": ("0", None),
    "negative": ("-5", None),
    "garbage": ("soon", None),
    "no number": ("nan", None),
    "endless": ("inf", None),
    "huge": (10**12, 172_800.0),
    "huge float": ("1e300", 172_800.0),
}
each_said = pytest.mark.parametrize("said", SAID)


def retry_after(said: str) -> Any:
    value = SAID[said][0]
    return value() if callable(value) else value


def assert_waits(until: datetime | None, said: str, *, default: float) -> None:
    assert until is not None
    assert abs((until - AT).total_seconds() - (SAID[said][1] or default)) <= 2


@each_said
@pytest.mark.parametrize("where", ["whole", "one signal", "every signal"])
def test_a_car_waits_as_long_as_it_was_told_within_bounds(
    world: World, car: Vehicle, said: str, where: str, admin_client: Client
) -> None:
    row = next(row for row in TABLE if row.pair == "RATE_LIMIT:VEHICLE")
    if where == "whole":
        refuse_all(world, car, row, retry_after=retry_after(said))
    else:
        paths = [PATHS[OIL_LIFE]] if where == "one signal" else list(PATHS.values())
        refuse_items(world, car, row, *paths, retry_after=retry_after(said))

    polled(world, car)

    assert_waits(car.not_before, said, default=120)
    assert car.not_before
    assert car.next_poll_at
    assert "Waits until" in shown(admin_client, car)[1]
    world.sandbox.smartcar.faults.clear()
    world.now = car.not_before - SECOND
    assert world.poll(car) is None, "not even when a person wants it"
    world.now = car.not_before
    assert polled(world, car) is None


@each_said
def test_all_cars_wait_as_long_as_they_were_told_within_bounds(
    world: World, car: Vehicle, stranger: Vehicle, said: str, admin_client: Client
) -> None:
    row = next(row for row in TABLE if row.pair == "RATE_LIMIT:SMARTCAR_API")
    refuse_all(world, car, row, retry_after=retry_after(said))

    polled(world, car)

    gate = ProviderGate.objects.get(name="smartcar")
    assert gate.paused_until
    day = timedelta(days=1).total_seconds()  # what silences everybody is bounded closer
    assert abs((gate.paused_until - AT).total_seconds() - min(SAID[said][1] or 60, day)) <= 2
    assert "Calls to Smartcar are paused" in shown(admin_client, stranger)[0]
    world.sandbox.smartcar.faults.clear()
    world.sandbox.smartcar.requests.clear()
    world.now = gate.paused_until - SECOND
    assert polled(world, stranger) is Outcome.WAIT_ALL
    assert "batch" not in calls(world)
    world.now = gate.paused_until
    assert polled(world, stranger) is None


@each_said
@pytest.mark.parametrize("where", ["a gateway's page", "the maker", "every signal"])
def test_who_backs_off_never_asks_before_the_time_that_was_named(
    world: World, car: Vehicle, said: str, where: str
) -> None:
    row = next(row for row in TABLE if row.pair == "UPSTREAM:NO_RESPONSE")
    named = {"retry_after": retry_after(said)}
    if where == "a gateway's page":
        world.sandbox.smartcar.faults.add(bad_gateway(pattern="/batch$", **named))
    elif where == "the maker":
        refuse_all(world, car, row, **named)
    else:
        refuse_items(world, car, row, *PATHS.values(), **named)

    assert polled(world, car) is Outcome.RETRY

    least = (SAID[said][1] or 30) - 2
    assert car.not_before == car.next_poll_at
    assert car.not_before
    assert least <= (car.not_before - AT).total_seconds() <= max(least + 4, 120)


# --- Broken answers ---------------------------------------------------------------------------

FITS_ALL = {"distance": 5.0, "lifeRemaining": 0.5, "activeCodes": []}


def items(**fields: Any) -> dict[str, Any]:
    return {"responses": [{"path": path, **fields} for path in PATHS.values()]}


WRONG_BODIES: dict[str, Any] = {
    "an object without anything": {},
    "a list": [],
    "null": None,
    "a number": 42,
    "a word": "OK",
    "an error": {"type": "VEHICLE_STATE", "code": "ASLEEP", "statusCode": 409},
    "an error of v3": {"errors": [{"type": "RATE_LIMIT", "code": "VEHICLE", "status": "429"}]},
    "no items": {"responses": None},
    "items by name": {"responses": {"/odometer": {"code": 200, "body": FITS_ALL}}},
    "an empty list of items": {"responses": []},
    "items of other types": {"responses": [None, 7, "x", [], {}, {"path": None}]},
    "items of other paths": {"responses": [{"path": "/fuel", "code": 200, "body": FITS_ALL}]},
    "items without a path": {"responses": [{"code": 200, "body": FITS_ALL}]},
    "items without a code": items(body=FITS_ALL),
    "items without a body": items(code=200),
    "codes that are words": items(code="fine", body=FITS_ALL),
    "codes that are lists": items(code=[200], body=FITS_ALL),
    "bodies that are lists": items(code=200, body=[FITS_ALL]),
    "bodies that are words": items(code=200, body="OK"),
    "times of no calendar": items(code=200, body=FITS_ALL, headers={"sc-data-age": "yesterday"}),
}
BROKEN: dict[str, Fault] = {
    "a gateway's page": bad_gateway(pattern="/batch$"),
    "a gateway's page with 504": Fault(
        pattern="/batch$", status=504, body="<html>", content_type="text/html"
    ),
    "a page with 200": Fault(
        pattern="/batch$", status=200, body="<html>hello</html>", content_type="text/html"
    ),
    "a page that says it is JSON": Fault(pattern="/batch$", status=200, body=b"<html>"),
    "JSON cut off": garbage(pattern="/batch$"),
    "an error cut off": garbage(500, pattern="/batch$"),
    "nothing": empty_body(pattern="/batch$"),
    "nothing with 500": empty_body(500, pattern="/batch$"),
    "no content": Fault(pattern="/batch$", status=204, body=b""),
    "no type": no_content_type(pattern="/batch$"),
    "no type with 200": no_content_type(200, pattern="/batch$"),
    "bytes of no alphabet": Fault(pattern="/batch$", status=200, body=b"\xff\xfe\x00{"),
    "a redirect": Fault(
        pattern="/batch$", status=302, body=b"", headers={"Location": "https://example.com/"}
    ),
    "every value of another type": wrong_types(pattern="/batch$"),
    "no answer and nothing done": dropped_before(pattern="/batch$"),
    "no answer although all was done": dropped_after(pattern="/batch$"),
    "too late": slow(1.5, pattern="/batch$"),
    **{
        f"200 with {name}": Fault(pattern="/batch$", status=200, body=body)
        for name, body in WRONG_BODIES.items()
    },
}


@pytest.mark.parametrize("name", BROKEN)
def test_of_a_broken_answer_nothing_is_believed_and_the_car_backs_off(
    world: World, car: Vehicle, settings: Settings, name: str, admin_client: Client
) -> None:
    settings.SMARTCAR_READ_TIMEOUT = 0.5 if name == "too late" else 5
    before, readings = known(car), Reading.objects.count()
    broken = world.sandbox.smartcar.faults.add(BROKEN[name])

    assert polled(world, car) is Outcome.RETRY

    assert world.sandbox.smartcar.faults.committed(broken) == 1
    assert calls(world) == {"batch": 1}, "not asked again in the same poll"
    assert (known(car), Reading.objects.count()) == (before, readings)
    assert_effect(world, car, EFFECTS["back off"])
    assert car.last_error
    page, listed = shown(admin_client, car)
    assert car.last_error in page
    assert "Asked again at 12:3" in listed
    assert found_by(admin_client, "failed") == [car]


def test_a_provider_that_cannot_be_reached_makes_the_car_back_off(
    world: World, car: Vehicle, admin_client: Client
) -> None:
    before = known(car)
    world.sandbox.smartcar.stop()

    assert polled(world, car) is Outcome.RETRY

    assert known(car) == before
    assert_effect(world, car, EFFECTS["back off"])
    assert "The connection to Smartcar broke" in shown(admin_client, car)[1]


def test_it_backs_off_longer_each_time_up_to_hours_and_ends_with_a_good_answer(
    world: World, car: Vehicle
) -> None:
    world.sandbox.smartcar.faults.add(bad_gateway(pattern="/batch$", times=None))
    bounds: list[timedelta] = []
    waits: list[timedelta] = []
    for _ in range(12):
        now = world.now
        assert polled(world, car) is Outcome.RETRY
        assert car.next_poll_at
        bounds.append(min(2 * MINUTE * 2 ** len(bounds), 6 * HOUR))
        waits.append(car.next_poll_at - now)
        assert world.poll(car) is None, "not before its time"
        world.now = car.next_poll_at

    assert all(30 * SECOND <= wait <= most for wait, most in zip(waits, bounds, strict=True))
    assert max(waits) > 2 * MINUTE
    world.sandbox.smartcar.faults.clear()
    assert polled(world, car) is None
    assert (car.poll_failures, car.last_error, car.not_before) == (0, "", None)


BROKEN_ITEMS: dict[str, Any] = {
    "an object without anything": {},
    "a list": [],
    "null": None,
    "a word": "n/a",
    "a number": 0.5,
    "an error": {"type": "VEHICLE_STATE", "code": "ASLEEP", "statusCode": 409},
    "another name of the field": {"life": 0.5},
    "null in the field": {"lifeRemaining": None},
    "a word in the field": {"lifeRemaining": "n/a"},
    "an object in the field": {"lifeRemaining": {"value": 0.5}},
    "yes in the field": {"lifeRemaining": True},
    "no number": {"lifeRemaining": float("nan")},
    "endless": {"lifeRemaining": float("inf")},
    "too much": {"lifeRemaining": 655.35},
    "huge": {"lifeRemaining": 10**400},
    "negative": {"lifeRemaining": -0.5},
}


@pytest.mark.parametrize("name", BROKEN_ITEMS)
def test_of_one_broken_item_nothing_is_believed_and_the_rest_is_stored(
    world: World, car: Vehicle, name: str
) -> None:
    before = car.signals.get(code=OIL_LIFE)
    world.smartcar_fault(item=PATHS[OIL_LIFE], alter=lambda _: BROKEN_ITEMS[name])

    assert polled(world, car) is None

    oil = car.signals.get(code=OIL_LIFE)
    assert (oil.value, oil.recorded_at) == (before.value, before.recorded_at)
    assert not car.readings.filter(code=OIL_LIFE, recorded_at=AT, quality="clean").exists()
    assert car.readings.filter(recorded_at=AT, quality="clean").count() == 2
    assert (oil.support, car.poll_failures) == ("ok", 0)


@pytest.mark.parametrize("name", BROKEN_ITEMS)
def test_when_each_item_is_broken_nothing_is_believed_and_the_car_backs_off(
    world: World, car: Vehicle, name: str
) -> None:
    before = known(car)
    for path in PATHS.values():
        world.smartcar_fault(item=path, alter=lambda _: BROKEN_ITEMS[name])

    polled(world, car)

    assert known(car) == before
    assert Connection.objects.get(vehicles=car).status == "active"
