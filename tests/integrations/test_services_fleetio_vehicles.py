"""Which Fleetio vehicle is which car: over real HTTP against the stand-in."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from integrations.clients.errors import ClientError
from integrations.models import Activity, Vehicle
from integrations.sandbox.faults import bad_gateway
from tests.factories import make_outbox_entry, make_vehicle
from tests.integrations.fleetio_account import VIN, fresh, in_fleetio, match
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """An account without vehicles; tests put in what they need."""
    with running(settings, vehicles=0) as running_world:
        yield running_world


@pytest.mark.parametrize("written", [VIN, VIN.lower(), f"  {VIN} ", f"{VIN[:3]} {VIN[3:]}"])
def test_a_vin_is_the_same_in_any_case_and_with_any_spaces(world: World, written: str) -> None:
    car, row = make_vehicle(vin=VIN), in_fleetio(world, written)

    assert match(world).matched == 1

    assert fresh(car).fleetio_id == row["id"]
    assert (car.fleetio_name, car.fleetio_meter_unit, car.fleetio_note) == (row["name"], "mi", "")
    assert Activity.objects.get(vehicle=car).what == f"Matched to Fleetio vehicle {row['name']}"


def test_nothing_but_the_vin_brings_two_together(world: World) -> None:
    car = make_vehicle(vin=VIN, name="Van 0")
    unknown = make_vehicle(vin=None, name="Van 1")
    in_fleetio(world, VIN[:-1] + "2", name="Van 0")
    in_fleetio(world, None, name="Van 1")
    in_fleetio(world, "", name="Van 2")

    result = match(world)

    assert (result.matched, result.unmatched) == (0, [car, unknown])
    assert fresh(car).fleetio_note == "no vehicle with this VIN"
    assert fresh(unknown).fleetio_note == "no VIN yet"
    assert {v.fleetio_id for v in Vehicle.objects.all()} == {None}


def test_a_vin_that_fleetio_has_twice_belongs_to_none(world: World) -> None:
    car = make_vehicle(vin=VIN)
    first = in_fleetio(world)
    match(world)
    assert fresh(car).fleetio_id == first["id"]

    in_fleetio(world, VIN.lower())
    match(world)

    assert fresh(car).fleetio_id is None
    assert car.fleetio_note == "several vehicles with this VIN"


@pytest.mark.parametrize("what", ["archived", "gone", "another VIN"])
def test_a_vehicle_that_ended_in_fleetio_loses_its_match(world: World, what: str) -> None:
    car, row = make_vehicle(vin=VIN), in_fleetio(world)
    match(world)
    Vehicle.objects.update(fleetio_odometer_km=5.0)

    if what == "archived":
        row["archived_at"] = "2026-03-02T00:00:00Z"
    elif what == "gone":
        del world.sandbox.fleetio.records.tables["vehicles"][row["id"]]
    else:
        row["vin"] = VIN[:-1] + "2"
    match(world)

    assert fresh(car).fleetio_id is None
    assert (car.fleetio_name, car.fleetio_meter_unit) == ("", "")
    assert car.fleetio_odometer_km is None
    said = Activity.objects.filter(vehicle=car).values_list("what", flat=True)
    assert "Not in Fleetio: no vehicle with this VIN" in said


def test_an_archived_twin_does_not_stand_in_the_way(world: World) -> None:
    car = make_vehicle(vin=VIN)
    in_fleetio(world)["archived_at"] = "2026-03-02T00:00:00Z"
    row = in_fleetio(world)

    match(world)

    assert fresh(car).fleetio_id == row["id"]


def test_an_archived_vehicle_is_none_even_when_a_list_still_names_it(world: World) -> None:
    car = make_vehicle(vin=VIN)
    in_fleetio(world)

    def archived(page: dict[str, Any]) -> dict[str, Any]:
        rows = [row | {"archived_at": "2026-03-02T00:00:00Z"} for row in page["records"]]
        return page | {"records": rows}

    world.fleetio_fault(path="/api/vehicles", alter=archived)
    match(world)

    assert fresh(car).fleetio_id is None


def test_a_page_that_fails_changes_nothing(world: World) -> None:
    cars = [make_vehicle() for _ in range(101)]  # more than a page
    rows = [in_fleetio(world, car.vin) for car in cars]
    world.sandbox.fleetio.faults.add(bad_gateway(path="/api/vehicles", skip=1))
    with pytest.raises(ClientError):
        match(world)
    assert not Vehicle.objects.filter(fleetio_id__isnull=False).exists()

    match(world)
    assert Vehicle.objects.filter(fleetio_id__isnull=False).count() == 101
    rows[0]["vin"] = None
    world.sandbox.fleetio.faults.add(bad_gateway(path="/api/vehicles", skip=1))
    with pytest.raises(ClientError):
        match(world)
    assert Vehicle.objects.filter(fleetio_id__isnull=False).count() == 101


def test_vins_that_changed_places_in_fleetio_change_places_here(world: World) -> None:
    one, two = make_vehicle(), make_vehicle()
    first, second = in_fleetio(world, one.vin), in_fleetio(world, two.vin)
    match(world)

    first["vin"], second["vin"] = two.vin, one.vin
    match(world)

    assert (fresh(one).fleetio_id, fresh(two).fleetio_id) == (second["id"], first["id"])
    assert (one.fleetio_name, two.fleetio_name) == (second["name"], first["name"])


def test_matching_again_writes_nothing_down_and_changes_of_words_keep_the_match(
    world: World,
) -> None:
    car, row = make_vehicle(vin=VIN), in_fleetio(world)
    match(world)
    Vehicle.objects.update(fleetio_odometer_km=5.0)
    row["name"], row["primary_meter_unit"] = "Renamed", "km"
    match(world)
    match(world)

    assert (fresh(car).fleetio_name, car.fleetio_meter_unit) == ("Renamed", "km")
    assert car.fleetio_odometer_km == 5.0
    assert Activity.objects.filter(vehicle=car).count() == 1


def test_what_waited_for_the_match_is_tried_at_once(world: World) -> None:
    car = make_vehicle(vin=VIN)
    in_fleetio(world)
    later = world.now + timedelta(hours=6)
    waiting = make_outbox_entry(vehicle=car, lane="fleetio", next_attempt_at=later)
    unclear = make_outbox_entry(vehicle=car, lane="fleetio", state="unknown", next_attempt_at=later)

    match(world)

    waiting.refresh_from_db()
    unclear.refresh_from_db()
    assert (waiting.next_attempt_at, unclear.next_attempt_at) == (world.now, later)
