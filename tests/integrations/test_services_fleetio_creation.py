"""Vehicles that Fleetio lacks, and fields that are blank there: over real HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from integrations.models import Activity, OutboxEntry, Vehicle
from integrations.sandbox.faults import bad_gateway, dropped_after
from integrations.services import delivery, fleetio_creation, fleetio_vehicles
from integrations.services.fleetio_creation import Choice
from tests.factories import make_user, make_vehicle
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db

VIN = "1FTBW2CM0KKA00001"


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """An account without vehicles."""
    with running(settings, vehicles=0) as running_world:
        yield running_world


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def car(world: World) -> Vehicle:
    return make_vehicle(vin=VIN, make="FORD", model="Transit", year=2019)


def choose(world: World, **fields: Any) -> Choice:
    records = world.sandbox.fleetio.records
    chosen = {
        "name": "Van 7",
        "status_id": records.rows("vehicle_statuses")[0]["id"],
        "type_id": records.rows("vehicle_types")[0]["id"],
        "meter_unit": "mi",
    }
    return Choice(**chosen | fields)


def queue(world: World, car: Vehicle, user: User, **fields: Any) -> bool:
    choice = choose(world, **fields)
    return fleetio_creation.queue_creation(car, choice, now=world.now, user=user)


def deliver(world: World) -> OutboxEntry:
    delivery.deliver_due(clock=world.clock, lanes=["fleetio"])
    return OutboxEntry.objects.filter(lane="fleetio").latest("pk")


def rows(world: World) -> list[dict[str, Any]]:
    return world.sandbox.fleetio.records.rows("vehicles")


def put(world: World, **fields: Any) -> dict[str, Any]:
    choice = choose(world)
    body = {
        "name": "theirs",
        "vin": VIN,
        "primary_meter_unit": "km",
        "vehicle_status_id": choice.status_id,
        "vehicle_type_id": choice.type_id,
    }
    return world.sandbox.fleetio.records.create_vehicle(body | fields)


# --- Creating ---------------------------------------------------------------------------------


def test_a_vehicle_is_made_as_a_person_chose_and_matched_at_once(
    world: World, car: Vehicle, user: User
) -> None:
    assert queue(world, car, user)
    entry = deliver(world)

    (row,) = rows(world)
    assert entry.state == "done"
    assert (row["name"], row["vin"], row["primary_meter_unit"]) == ("Van 7", VIN, "mi")
    assert (row["make"], row["model"], row["year"]) == ("FORD", "Transit", 2019)
    car.refresh_from_db()
    assert (car.fleetio_id, car.fleetio_name) == (row["id"], "Van 7")
    assert (car.fleetio_meter_unit, car.fleetio_note) == ("mi", "")
    assert Activity.objects.filter(user=user, what__contains="Van 7").count() == 1


def test_asking_twice_and_delivering_twice_makes_one(
    world: World, car: Vehicle, user: User
) -> None:
    assert queue(world, car, user)
    assert queue(world, car, user)
    assert Activity.objects.filter(user=user).count() == 1
    deliver(world)
    assert not queue(world, Vehicle.objects.get(), user)
    deliver(world)

    assert len(rows(world)) == 1


@pytest.mark.parametrize("fields", [{"vin": None}, {"vin": VIN, "fleetio_id": 7}])
def test_a_car_without_a_vin_or_with_a_match_is_left_alone(
    world: World, user: User, fields: dict[str, Any]
) -> None:
    car = make_vehicle(**fields)

    assert fleetio_creation.why_not_created(car)
    assert not queue(world, car, user)
    assert not OutboxEntry.objects.exists()


def test_one_that_is_there_already_is_matched_and_not_changed(
    world: World, car: Vehicle, user: User
) -> None:
    row = put(world)
    before = dict(row)

    queue(world, car, user)
    assert deliver(world).state == "done"

    assert rows(world) == [before]
    car.refresh_from_db()
    assert car.fleetio_id == row["id"]


def test_a_lost_answer_makes_no_second_vehicle(world: World, car: Vehicle, user: User) -> None:
    world.sandbox.fleetio.faults.add(dropped_after(method="POST", path="/api/vehicles"))
    queue(world, car, user)
    assert deliver(world).state == "unknown"

    world.pass_time(minutes=3)
    assert deliver(world).state == "done"

    assert len(rows(world)) == 1
    car.refresh_from_db()
    assert car.fleetio_id == rows(world)[0]["id"]


def test_an_archived_vehicle_is_named_and_not_made_again(
    world: World, car: Vehicle, user: User
) -> None:
    put(world)["archived_at"] = world.now.isoformat()

    queue(world, car, user)
    entry = deliver(world)

    assert entry.state == "dead"
    assert "restore it there" in entry.last_error
    assert len(rows(world)) == 1


def test_an_archived_vehicle_is_known_by_its_vin_however_it_was_typed(
    world: World, car: Vehicle, user: User
) -> None:
    row = put(world, vin=None)
    row |= {"vin": f"{VIN[:3]} {VIN[3:].lower()}", "archived_at": world.now.isoformat()}

    queue(world, car, user)
    assert deliver(world).state == "dead"
    assert len(rows(world)) == 1


def test_one_that_somebody_makes_by_hand_meanwhile_is_matched(
    world: World, car: Vehicle, user: User
) -> None:
    hand_made: list[dict[str, Any]] = []

    def make_first(request: Any) -> bool:
        if request.method == "POST" and not hand_made:
            hand_made.append(put(world))
        return False

    world.fleetio_fault(when=make_first)
    queue(world, car, user)

    assert deliver(world).state == "done"
    car.refresh_from_db()
    assert car.fleetio_id == hand_made[0]["id"]


def test_a_match_made_while_the_fleet_is_listed_stays(
    world: World, car: Vehicle, user: User
) -> None:
    Vehicle.objects.update(fleetio_note="")

    class Listing:
        def list_vehicles(self) -> list[Any]:
            queue(world, car, user)
            deliver(world)
            return []

    fleetio_vehicles.match(client=Listing(), now=world.now)

    car.refresh_from_db()
    assert car.fleetio_id == rows(world)[0]["id"]


def test_a_car_whose_vin_fleetio_has_twice_is_refused(
    world: World, car: Vehicle, user: User
) -> None:
    car.fleetio_note = fleetio_vehicles.SEVERAL
    car.save()

    assert "several vehicles" in fleetio_creation.why_not_created(car)


def test_a_name_that_is_taken_is_told_and_can_be_corrected(
    world: World, car: Vehicle, user: User
) -> None:
    put(world, vin="1FTBW2CM0KKA00002", name="Van 7")
    queue(world, car, user)
    entry = deliver(world)
    assert entry.state == "dead"
    assert "name: has already been taken" in entry.last_error

    assert queue(world, car, user, name="Van 8")
    entry = deliver(world)

    assert entry.state == "done"
    assert OutboxEntry.objects.filter(kind=fleetio_creation.CREATE).count() == 1
    assert {row["name"] for row in rows(world)} == {"Van 7", "Van 8"}


def test_a_choice_is_not_changed_under_a_sender(world: World, car: Vehicle, user: User) -> None:
    queue(world, car, user)
    OutboxEntry.objects.update(state="sending")

    assert not queue(world, car, user, name="another")
    assert OutboxEntry.objects.get().payload["name"] == "Van 7"


def test_an_outage_keeps_the_wish(world: World, car: Vehicle, user: User) -> None:
    fault = world.sandbox.fleetio.faults.add(bad_gateway(times=None))
    queue(world, car, user)
    assert deliver(world).state in {"pending", "unknown"}
    world.sandbox.fleetio.faults.remove(fault)

    world.pass_time(hours=1)
    assert deliver(world).state == "done"


# --- Filling ----------------------------------------------------------------------------------


def fill(world: World, car: Vehicle, user: User) -> bool:
    car.refresh_from_db()
    return fleetio_creation.queue_fill(car, now=world.now, user=user)


@pytest.fixture
def row(world: World, car: Vehicle) -> dict[str, Any]:
    """The car's vehicle in Fleetio, where only the make was written."""
    row = put(world, make="Ford (leased)", model=None, year=None)
    Vehicle.objects.filter(pk=car.pk).update(fleetio_id=row["id"])
    return row


def test_blank_fields_are_filled_and_what_a_person_wrote_stays(
    world: World, car: Vehicle, user: User, row: dict[str, Any]
) -> None:
    assert fill(world, car, user)
    entry = deliver(world)

    assert entry.result == "filled: model Transit, year 2019"
    (now,) = rows(world)
    assert (now["make"], now["model"], now["year"]) == ("Ford (leased)", "Transit", 2019)
    assert now["name"] == "theirs"


def test_what_a_person_writes_before_the_row_is_sent_stays_too(
    world: World, car: Vehicle, user: User, row: dict[str, Any]
) -> None:
    fill(world, car, user)
    world.sandbox.fleetio.records.touch(row, model="Transit 350 LWB", year=2018)

    assert deliver(world).result == "nothing to fill"

    (now,) = rows(world)
    assert (now["model"], now["year"]) == ("Transit 350 LWB", 2018)
    assert world.sandbox.fleetio.requests.count("PATCH") == 0


def test_nothing_is_filled_in_a_vehicle_that_has_another_vin_now(
    world: World, car: Vehicle, user: User, row: dict[str, Any]
) -> None:
    fill(world, car, user)
    row["vin"] = "1FTBW2CM0KKA00002"

    assert "another VIN" in deliver(world).result
    assert rows(world)[0]["model"] is None


def test_one_wish_waits_at_a_time(
    world: World, car: Vehicle, user: User, row: dict[str, Any]
) -> None:
    assert fill(world, car, user)
    assert not fill(world, car, user)
    deliver(world)
    world.pass_time(minutes=1)
    assert fill(world, car, user)


def test_a_car_without_a_match_has_nothing_to_fill(world: World, car: Vehicle, user: User) -> None:
    assert not fill(world, car, user)


def test_a_car_that_was_merged_since_it_was_chosen_is_left_out(
    world: World, car: Vehicle, user: User
) -> None:
    Vehicle.objects.filter(pk=car.pk).delete()

    assert not queue(world, car, user)
    assert not OutboxEntry.objects.exists()
