"""People are told of an error once, and from when on it lasts."""

import pytest
from django.test import Client

from integrations.clients.errors import Outcome
from integrations.models import Activity, Vehicle
from integrations.sandbox.faults import bad_gateway
from tests.integrations.error_table.scene import polled, refuse_all, refuse_items, shown, told
from tests.integrations.error_table.table import ACCOUNT, AT, EFFECTS, NEXT_MONTH, PATHS, TABLE
from tests.integrations.world import World

pytestmark = pytest.mark.django_db


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
