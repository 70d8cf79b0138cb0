"""What a driver is told, in a driver's words."""

from datetime import datetime
from typing import Any

import pytest

from integrations import consent
from integrations.clients import smartcar_v2_paths as paths
from integrations.models import Connection, Driver, Vehicle, VehicleAccess
from integrations.sandbox.smartcar_connect import CONNECT_ERRORS

PERMISSIONS = sorted({path.permission for path in paths.PATHS.values()} - {""})


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_every_permission_that_the_portal_can_use_has_words_and_a_reason(permission: str) -> None:
    (purpose,) = consent.explain([permission])

    assert "_" not in purpose.what
    assert purpose.why != "because your fleet asked for it"


def test_purposes_come_in_the_order_of_the_scope() -> None:
    what = [purpose.what for purpose in consent.explain(["read_tires", "read_odometer"])]

    assert what == ["Tire pressure", "Odometer"]


def test_unknown_permission_is_named_as_well_as_it_can_be() -> None:
    (purpose,) = consent.explain(["read_charge_events"])

    assert (purpose.what, purpose.why) == ("Charge events", "because your fleet asked for it")


def test_every_documented_error_has_words_of_its_own() -> None:
    problems = [consent.problem(error, {}) for error in CONNECT_ERRORS]

    assert len({problem.title for problem in problems}) == len(CONNECT_ERRORS)
    assert all(problem.text and problem.advice for problem in problems)


def test_undocumented_error_asks_for_patience() -> None:
    assert consent.problem("", {}) == consent.problem("server_error", {})


@pytest.mark.parametrize(
    ("details", "car"),
    [
        ({"year": "2024", "make": "FORD", "model": "Transit"}, "2024 FORD Transit"),
        ({"make": "FORD"}, "FORD"),
        ({"make": "x" * 100}, "x" * 40),
        ({}, "Your car"),
    ],
)
def test_incompatible_car_is_named_as_far_as_it_is_known(details: dict[str, str], car: str) -> None:
    assert consent.problem("vehicle_incompatible", details).text == f"{car} does not support it."


# --- What is shared ---------------------------------------------------------------------------


@pytest.fixture
def driver(db: None) -> Driver:
    return Driver.objects.create(email="maria@example.com", name="Maria Lopez")


def make_connection(driver: Driver, now: datetime, **fields: Any) -> Connection:
    fields = {"smartcar_user_id": "u", "scope": ["read_odometer", "read_tires"]} | fields
    return Connection.objects.create(
        driver=driver, status_changed_at=now, connected_at=now, **fields
    )


def make_access(connection: Connection, now: datetime, **fields: Any) -> VehicleAccess:
    car = Vehicle.objects.create(created_at=now)
    return VehicleAccess.objects.create(
        vehicle=car, connection=connection, smartcar_id=str(car.pk), connected_at=now, **fields
    )


def what(driver: Driver) -> list[str]:
    (share,) = consent.shares(driver)
    return [purpose.what for purpose in share.purposes]


def test_driver_is_told_what_was_asked_for_until_it_is_known_what_was_granted(
    driver: Driver, now: datetime
) -> None:
    connection = make_connection(driver, now)
    make_access(connection, now, permissions=["read_odometer"])
    assert what(driver) == ["Odometer"]

    make_access(connection, now, permissions=None)
    assert what(driver) == ["Odometer", "Tire pressure"]


def test_driver_who_granted_nothing_is_told_so(driver: Driver, now: datetime) -> None:
    make_access(make_connection(driver, now), now, permissions=[])

    assert what(driver) == []


def test_withdrawn_consents_and_ended_cars_are_left_out(driver: Driver, now: datetime) -> None:
    make_connection(driver, now, smartcar_user_id="old", status=Connection.Status.REVOKED)
    connection = make_connection(driver, now)
    kept = make_access(connection, now)
    make_access(connection, now, ended_at=now)

    (share,) = consent.shares(driver)

    assert share.connection == connection
    assert share.cars == [kept.vehicle]
    assert share.is_working


def test_consent_that_needs_the_driver_is_shown_as_not_working(
    driver: Driver, now: datetime
) -> None:
    make_connection(driver, now, status=Connection.Status.NEEDS_RECONNECT)

    (share,) = consent.shares(driver)

    assert not share.is_working
