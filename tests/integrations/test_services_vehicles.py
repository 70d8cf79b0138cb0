"""Which cars there are, and which of the ways to a car is used."""

from datetime import timedelta
from typing import Any

import pytest

from integrations.models import Activity, Connection, Vehicle, VehicleAccess
from integrations.services import connection_status, vehicles
from tests.factories import (
    NOW,
    make_access,
    make_connection,
    make_group,
    make_outbox_entry,
    make_reading,
    make_signal,
    make_vehicle,
)

pytestmark = pytest.mark.django_db

VIN = "1FTBW2CM0KKA00001"
DAY = timedelta(days=1)


def test_attaching_makes_each_car_once_however_often_it_is_listed_or_repeated() -> None:
    connection = make_connection(group=make_group())

    first = vehicles.attach(connection, ["a", "b", "a"], now=NOW)
    again = vehicles.attach(connection, ["b", "a"], now=NOW)

    assert [v.smartcar_id for v in first] == ["a", "b"]
    assert {v.pk for v in again} == {v.pk for v in first}
    assert Vehicle.objects.count() == VehicleAccess.objects.count() == 2
    assert {v.group for v in Vehicle.objects.all()} == {connection.group}
    assert set(vehicles.reached_by(connection)) == set(first)


def test_attaching_nothing_ends_every_access_and_keeps_every_car() -> None:
    connection = make_connection()
    (car,) = vehicles.attach(connection, ["a"], now=NOW)

    assert vehicles.attach(connection, [], now=NOW + DAY) == []

    car.refresh_from_db()
    assert (car.connection, car.smartcar_id) == (None, "")
    assert car.accesses.get().ended_at == NOW + DAY


def test_ending_an_access_twice_is_told_once() -> None:
    connection = make_connection()
    vehicles.attach(connection, ["a"], now=NOW)
    for n in (1, 2):
        vehicles.attach(connection, [], now=NOW + n * DAY)

    assert Activity.objects.filter(what="No longer shared by the driver").count() == 1
    assert VehicleAccess.objects.get().ended_at == NOW + DAY


def test_a_group_that_an_admin_chose_survives_connecting_again() -> None:
    connection = make_connection(group=make_group())
    (car,) = vehicles.attach(connection, ["a"], now=NOW)
    chosen = make_group()
    Vehicle.objects.update(group=chosen)

    vehicles.attach(connection, ["a"], now=NOW + DAY)

    car.refresh_from_db()
    assert car.group == chosen


# --- Which way is used ------------------------------------------------------------------------


def car_with_ways(*ways: dict[str, Any]) -> tuple[Vehicle, list[VehicleAccess]]:
    car = make_vehicle(connection=None, smartcar_id="")
    made = []
    for number, way in enumerate(ways):
        connection = make_connection(status=way.get("status", "active"))
        made.append(
            make_access(
                vehicle=car,
                connection=connection,
                smartcar_id=f"way-{number}",
                connected_at=NOW + way.get("days", 0) * DAY,
                ended_at=way.get("ended_at"),
            )
        )
    vehicles.choose_access(car, now=NOW)
    return car, made


@pytest.mark.parametrize(
    ("ways", "chosen"),
    [
        pytest.param([{"days": 1}, {"days": 2}], 1, id="the newest"),
        pytest.param([{"days": 2}, {"days": 1}], 0, id="the newest, listed first"),
        pytest.param([{}, {}], 1, id="the later row of two at once"),
        pytest.param([{"days": 1}, {"days": 2, "status": "revoked"}], 0, id="not a revoked one"),
        pytest.param(
            [{"days": 1}, {"days": 2, "status": "needs_reconnect"}], 0, id="not a broken one"
        ),
        pytest.param([{"days": 1}, {"days": 2, "ended_at": NOW}], 0, id="not an ended one"),
        pytest.param(
            [{"days": 1, "status": "revoked"}, {"days": 2, "status": "revoked"}],
            1,
            id="the newest of broken ones, to show whose car it was",
        ),
        pytest.param([{"ended_at": NOW}], None, id="none"),
    ],
)
def test_a_car_is_read_through_the_newest_healthy_way(
    ways: list[dict[str, Any]], chosen: int | None
) -> None:
    car, made = car_with_ways(*ways)

    car.refresh_from_db()
    if chosen is None:
        assert (car.connection, car.smartcar_id) == (None, "")
    else:
        assert car.connection == made[chosen].connection
        assert car.smartcar_id == made[chosen].smartcar_id


def test_a_car_changes_to_the_other_way_when_its_own_breaks_and_back_when_it_heals() -> None:
    car, (older, newer) = car_with_ways({"days": 1}, {"days": 2})
    later = NOW + DAY

    connection_status.needs_reconnect(newer.connection, reason="gone", now=later)
    car.refresh_from_db()
    assert car.smartcar_id == older.smartcar_id
    assert car.next_poll_at == later

    connection_status.mark_active(newer.connection, now=later)
    car.refresh_from_db()
    assert car.smartcar_id == newer.smartcar_id


def test_choosing_the_same_way_again_leaves_the_schedule_alone() -> None:
    car, _ways = car_with_ways({})
    Vehicle.objects.update(next_poll_at=NOW + DAY, not_before=NOW + DAY)

    vehicles.choose_access(car, now=NOW)

    assert (car.next_poll_at, car.not_before) == (NOW + DAY, NOW + DAY)


# --- What a car is ----------------------------------------------------------------------------


def test_the_first_read_says_what_a_car_is() -> None:
    access = make_access(vehicle=make_vehicle(vin=None, make="", model="", year=None))

    car = vehicles.identify(
        access.vehicle,
        now=NOW,
        attributes={"make": "FORD", "model": "Transit", "year": 2021},
        vin=VIN,
        permissions=["read_vin", "read_odometer", "read_vin"],
    )

    assert (car.vin, car.make, car.model, car.year) == (VIN, "FORD", "Transit", 2021)
    assert car.identified_at == NOW
    access.refresh_from_db()
    assert access.permissions == ["read_odometer", "read_vin"]


@pytest.mark.parametrize("year", [None, "2021", 0, 1899, 99_999, True])
def test_an_impossible_year_or_missing_words_change_nothing(year: object) -> None:
    car = vehicles.identify(
        make_vehicle(), now=NOW, attributes={"make": None, "model": "", "year": year}
    )

    assert (car.make, car.model, car.year) == ("FORD", "Transit", 2021)


def test_words_that_are_too_long_are_cut() -> None:
    car = vehicles.identify(make_vehicle(), now=NOW, attributes={"make": "x" * 500})

    assert car.make == "x" * 60


def test_a_known_vin_is_never_written_over() -> None:
    car = make_vehicle(vin=VIN)

    vehicles.identify(car, vin="1FTBW2CM0KKA00002", now=NOW)

    car.refresh_from_db()
    assert car.vin == VIN
    assert Activity.objects.get(vehicle=car).what == (
        f"Smartcar now says VIN 1FTBW2CM0KKA00002; kept {VIN}"
    )


def test_two_ways_to_one_vin_become_one_car_with_the_older_history() -> None:
    known = make_vehicle(vin=VIN, group=None)
    make_access(vehicle=known)
    make_signal(vehicle=known, value=500.0)
    make_reading(vehicle=known)
    second = make_vehicle(vin=None, group=make_group())
    way = make_access(vehicle=second, connected_at=NOW + DAY)
    make_signal(vehicle=second, value=501.0)
    waiting = make_outbox_entry(vehicle=second)

    one = vehicles.identify(second, vin=VIN, now=NOW + DAY)

    assert one == known == Vehicle.objects.get()
    assert one.accesses.count() == 2
    assert (one.connection, one.smartcar_id) == (way.connection, way.smartcar_id)
    assert one.group == second.group
    assert one.signals.get().value == 500.0
    assert one.readings.count() == 1
    waiting.refresh_from_db()
    assert waiting.vehicle is None
    assert Activity.objects.filter(what="A second connection reaches this car").count() == 1


def test_the_group_of_the_known_car_wins_in_a_merge() -> None:
    known = make_vehicle(vin=VIN, group=make_group())
    second = make_vehicle(vin=None, group=make_group())

    assert vehicles.identify(second, vin=VIN, now=NOW).group == known.group


def test_permissions_go_to_the_way_that_was_read() -> None:
    car, (first, second) = car_with_ways({"days": 1}, {"days": 2})

    vehicles.identify(car, permissions=["read_vin"], now=NOW)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.permissions, second.permissions) == (None, ["read_vin"])


def test_two_cars_with_known_different_vins_are_never_merged() -> None:
    car, other = make_vehicle(vin=VIN), make_vehicle(vin="1FTBW2CM0KKA00002")

    assert vehicles.identify(car, vin="1FTBW2CM0KKA00002", now=NOW) == car
    assert Vehicle.objects.count() == 2
    assert other.pk != car.pk
    assert Connection.objects.count() == 2
