"""Of an answer that is broken nothing is believed."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from integrations.clients.errors import Outcome
from integrations.clients.readings import OIL_LIFE
from integrations.models import Connection, Reading, Vehicle
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
from tests.integrations.error_table.scene import (
    assert_effect,
    calls,
    found_by,
    known,
    polled,
    shown,
)
from tests.integrations.error_table.table import AT, EFFECTS, HOUR, MINUTE, PATHS, SECOND
from tests.integrations.world import World

pytestmark = pytest.mark.django_db


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
