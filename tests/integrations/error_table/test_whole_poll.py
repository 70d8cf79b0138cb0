"""Each error as the answer to a whole poll."""

import pytest
from django.test import Client

from integrations.clients.errors import Outcome
from integrations.models import Vehicle
from integrations.sandbox.smartcar_errors import ERRORS
from tests.integrations.error_table.scene import (
    assert_effect,
    calls,
    everything_of,
    found_by,
    known,
    polled,
    refuse_all,
    shown,
    told,
)
from tests.integrations.error_table.table import (
    AT,
    EFFECTS,
    MINUTE,
    TABLE,
    Row,
    each_effect,
    each_row,
)
from tests.integrations.world import World

pytestmark = pytest.mark.django_db


def test_the_table_here_is_the_whole_table() -> None:
    assert {row.error for row in TABLE} == set(ERRORS)
    assert len(TABLE) == len(ERRORS)


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
