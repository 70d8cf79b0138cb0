"""Whatever Retry-After says, nobody asks before it and nobody waits for good."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.test import Client

from integrations.clients.errors import Outcome
from integrations.clients.readings import OIL_LIFE
from integrations.models import ProviderGate, Vehicle
from integrations.sandbox.faults import bad_gateway
from tests.integrations.error_table.scene import calls, polled, refuse_all, refuse_items, shown
from tests.integrations.error_table.table import AT, MINUTE, PATHS, SECOND, TABLE
from tests.integrations.world import World

pytestmark = pytest.mark.django_db


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
