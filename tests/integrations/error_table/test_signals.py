"""Each error as the answer to one signal of a poll, to every signal, and to several at once."""

import pytest
from django.test import Client

from integrations.clients.errors import Outcome
from integrations.clients.readings import ODOMETER, OIL_LIFE, TROUBLE_CODES
from integrations.models import Connection, ProviderGate, Signal, Vehicle
from integrations.sandbox.faults import Fault
from tests.factories import NOW
from tests.integrations.error_table.scene import (
    assert_effect,
    calls,
    found_by,
    known,
    polled,
    refuse_all,
    refuse_items,
    shown,
    told,
)
from tests.integrations.error_table.table import (
    ACCOUNT,
    AT,
    DAY,
    EFFECTS,
    PATHS,
    SUPPORT,
    TABLE,
    Row,
    each_effect,
    each_row,
)
from tests.integrations.world import World

pytestmark = pytest.mark.django_db


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
