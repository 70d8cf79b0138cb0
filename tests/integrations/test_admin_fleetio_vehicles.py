"""Creating vehicles in Fleetio and filling blank fields, as a fleet manager does it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from integrations.models import OutboxEntry, Vehicle
from integrations.sandbox.faults import bad_gateway
from integrations.services import delivery
from tests.factories import make_vehicle
from tests.integrations.world import World, running

pytestmark = pytest.mark.django_db
LIST = "/admin/integrations/vehicle/"


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with running(settings, vehicles=0) as running_world:
        yield running_world


@pytest.fixture
def car(world: World) -> Vehicle:
    return make_vehicle(vin="1FTBW2CM0KKA00001", make="FORD", model="Transit", year=2019)


def act(client: Client, action: str, *cars: Vehicle, **fields: Any) -> Any:
    data = {"action": action, "_selected_action": [car.pk for car in cars], **fields}
    return client.post(LIST, data, secure=True, follow=True)


def confirmed(world: World, **fields: Any) -> dict[str, Any]:
    records = world.sandbox.fleetio.records
    return {
        "confirmed": "yes",
        "ask-status": records.rows("vehicle_statuses")[1]["id"],
        "ask-type": records.rows("vehicle_types")[0]["id"],
        "ask-meter_unit": "km",
        **fields,
    }


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def test_the_page_offers_the_accounts_own_words_and_a_name(
    admin_client: Client, world: World, car: Vehicle
) -> None:
    page = act(admin_client, "create_in_fleetio", car).content.decode()

    for word in ("In Shop", "Truck", "kilometres", "2019 FORD Transit · A00001"):
        assert word in page
    assert not OutboxEntry.objects.exists(), "nothing is done before it is confirmed"


def test_what_was_chosen_is_on_its_way(admin_client: Client, world: World, car: Vehicle) -> None:
    name = {f"ask-name-{car.pk}": "Van 7"}
    answer = act(admin_client, "create_in_fleetio", car, **confirmed(world), **name)

    assert "1 vehicle is on its way to Fleetio" in said(answer)
    assert reverse("admin:integrations_outboxentry_changelist") in said(answer)
    delivery.deliver_due(clock=world.clock, lanes=["fleetio"])
    (row,) = world.sandbox.fleetio.records.rows("vehicles")
    assert (row["name"], row["vehicle_status_name"]) == ("Van 7", "In Shop")
    assert row["primary_meter_unit"] == "km"


def test_names_have_to_differ(admin_client: Client, world: World, car: Vehicle) -> None:
    other = make_vehicle(vin="1FTBW2CM0KKA00002")
    make_vehicle(vin="1FTBW2CM0KKA00003", fleetio_id=9, fleetio_name="Van 9")
    names = {f"ask-name-{car.pk}": "van 9", f"ask-name-{other.pk}": "Van 10"}

    page = act(admin_client, "create_in_fleetio", car, other, **confirmed(world), **names)
    assert page.content.decode().count("This name is taken") == 1

    names = {f"ask-name-{car.pk}": "Van 10", f"ask-name-{other.pk}": "Van 10"}
    page = act(admin_client, "create_in_fleetio", car, other, **confirmed(world), **names)
    assert page.content.decode().count("This name is taken") == 1
    assert not OutboxEntry.objects.exists()


def test_cars_for_which_none_can_be_made_are_left_out_and_named(
    admin_client: Client, world: World, car: Vehicle
) -> None:
    unknown = make_vehicle(vin=None, name="Mystery van")
    matched = make_vehicle(vin="1FTBW2CM0KKA00003", fleetio_id=9, name="Known van")

    answer = act(admin_client, "create_in_fleetio", car, unknown, matched)

    assert "left out: its VIN is not known yet" in said(answer)
    assert "left out: is in Fleetio already" in said(answer)
    assert f"ask-name-{car.pk}" in answer.content.decode()
    assert f"ask-name-{unknown.pk}" not in answer.content.decode()


def test_when_fleetio_does_not_answer_the_page_says_so(
    admin_client: Client, world: World, car: Vehicle
) -> None:
    world.sandbox.fleetio.faults.add(bad_gateway(times=None))

    answer = act(admin_client, "create_in_fleetio", car)

    assert "Fleetio could not be asked" in said(answer)
    assert not OutboxEntry.objects.exists()


def test_without_fleetio_the_page_says_what_is_missing(
    admin_client: Client, world: World, car: Vehicle, settings: Settings
) -> None:
    settings.FLEETIO_API_TOKEN = ""

    assert "FLEETIO_API_TOKEN" in said(act(admin_client, "create_in_fleetio", car))


def test_filling_asks_first_and_takes_only_matched_cars(
    admin_client: Client, world: World, car: Vehicle
) -> None:
    assert "None of these cars is matched" in said(act(admin_client, "fill_in_fleetio", car))
    Vehicle.objects.update(fleetio_id=9)

    page = act(admin_client, "fill_in_fleetio", car)
    assert "What somebody wrote there stays as it is" in page.content.decode()
    assert not OutboxEntry.objects.exists()
    answer = act(admin_client, "fill_in_fleetio", car, confirmed="yes")

    assert "1 vehicle is on its way" in said(answer)
    assert OutboxEntry.objects.get().kind == "fleetio_vehicle_blanks"
