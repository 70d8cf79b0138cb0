"""Forecasts of many cars, from what is stored; and how a car's page shows them."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fleetportal import clock
from integrations.models import PortalSettings, Reading, Vehicle
from maintenance.models import Rule
from maintenance.services import forecasts
from tests.factories import NOW, make_reading, make_rule, make_service, make_vehicle
from tests.maintenance.cars import DAY, MILE, say
from tests.maintenance.test_admin import change

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    Rule.objects.all().delete()
    make_rule(distance_km=5000 * MILE)
    yield
    clock.set_source(None)


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def drive(car: Vehicle, *, miles_a_day: float = 50) -> None:
    """For twenty days since the service of its oil."""
    make_service(vehicle=car, odometer_km=50_000, done_on=(NOW - 20 * DAY).date())
    for days in (20, 10, 0):
        say(car, NOW - days * DAY, km=50_000 + (20 - days) * miles_a_day * MILE)


def test_what_is_stored_foretells_the_next_service(car: Vehicle) -> None:
    drive(car)
    (found,) = forecasts.for_vehicle(car, now=NOW)

    assert found.due_on == (NOW + 80 * DAY).date()
    assert found.left_km == pytest.approx(4000 * MILE)


def test_proposed_services_and_doubtful_readings_do_not_count(car: Vehicle) -> None:
    drive(car)
    before = forecasts.for_vehicle(car, now=NOW)
    make_service(vehicle=car, odometer_km=51_000, done_on=NOW.date(), is_proposed=True)
    make_reading(
        vehicle=car,
        value=900_000,
        recorded_at=NOW - 15 * DAY,
        quality=Reading.Quality.DOUBTFUL,
    )
    assert forecasts.for_vehicle(car, now=NOW) == before


def test_only_rules_in_force_are_foretold(car: Vehicle) -> None:
    drive(car)
    make_rule(vehicle=car, distance_km=2000 * MILE)
    (found,) = forecasts.for_vehicle(car, now=NOW)
    assert found.left_km == pytest.approx(1000 * MILE)


def test_many_cars_take_as_many_queries_as_one() -> None:
    cars = [make_vehicle() for _ in range(5)]
    for place, car in enumerate(cars):
        drive(car, miles_a_day=10 * (place + 1))
    counts = []
    for some in (cars[:1], cars):
        with CaptureQueriesContext(connection) as queries:
            found = forecasts.for_vehicles(some, now=NOW)
        counts.append(len(queries))
        assert found == {car.pk: forecasts.for_vehicle(car, now=NOW) for car in some}
    assert counts == [4, 4]


# --- The page of a car ----------------------------------------------------------------------------


def panel(client: Client, car: Vehicle) -> str:
    page = client.get(change(car)).content.decode()
    return page.split("<h2>Forecast</h2>", 1)[1].split("</section>", 1)[0]


def test_the_page_shows_day_odometer_and_what_is_left(admin_client: Client, car: Vehicle) -> None:
    drive(car)
    shown = panel(admin_client, car)
    for text in (
        "Engine oil",
        "May 21, 2026",
        "36,069 mi",
        "4,000 mi, 80 days",
        "the distance driven",
    ):
        assert text in shown

    PortalSettings(distance_unit="km").save()
    assert "58,047 km" in panel(admin_client, car)


def test_the_page_says_why_nothing_is_known(admin_client: Client, car: Vehicle) -> None:
    assert "needs the last service to be recorded" in panel(admin_client, car)
    make_service(vehicle=car, odometer_km=50_000)
    say(car, NOW, km=51_000)
    assert "needs two odometer readings some days apart" in panel(admin_client, car)


def test_the_page_says_what_is_due(admin_client: Client, car: Vehicle) -> None:
    drive(car, miles_a_day=300)
    assert "fp-due" in panel(admin_client, car)


def test_without_an_interval_there_is_nothing_to_foretell(
    admin_client: Client, car: Vehicle
) -> None:
    Rule.objects.all().delete()
    assert "No enabled rule for this vehicle has an interval." in panel(admin_client, car)
