"""When a make's vehicles go quiet together, one alert without a vehicle speaks for them."""

from datetime import datetime

import pytest

from integrations.models import Connection, OutboxEntry, Vehicle
from integrations.services import connection_status
from maintenance.models import Alert, Rule
from maintenance.services import acts, evaluation, notifying, outages
from tests.factories import NOW, make_access, make_group, make_vehicle
from tests.maintenance.cars import DAY, HOUR, add_default_rules, say

pytestmark = pytest.mark.django_db
QUIET = NOW + 3 * DAY + HOUR


@pytest.fixture(autouse=True)
def rules(settings: object, db: None) -> None:
    settings.MAINTENANCE_EMAILS = ["shop@example.com"]  # type: ignore[attr-defined]
    Rule.objects.all().delete()
    add_default_rules()


@pytest.fixture
def cars() -> list[Vehicle]:
    """Five of one make, and one of another; each said something at NOW."""
    cars = [make_vehicle(make="FORD") for _ in range(5)]
    for car in [*cars, make_vehicle(make="KIA")]:
        say(car, NOW, km=50_000)
    return cars


def outage() -> Alert:
    return Alert.objects.get(vehicle=None)


def written(kind: str = notifying.MAIL) -> int:
    rows = OutboxEntry.objects.filter(kind=kind)
    return rows.exclude(state=OutboxEntry.State.CANCELLED).count()


def everybody_speaks(cars: list[Vehicle], at: datetime) -> None:
    for car in cars:
        say(car, at, km=50_100)


def test_one_alert_speaks_for_all(cars: list[Vehicle]) -> None:
    evaluation.evaluate_all(now=QUIET)

    assert outage().summary == "5 of 5 FORD vehicles give no fresh data"
    single = Alert.objects.filter(kind=Rule.Kind.STALE_DATA, vehicle__make="FORD")
    assert set(single.values_list("held_because", flat=True)) == {Alert.Hold.OUTAGE}
    assert single.count() == 5  # the admin shows them all
    assert written() == 2  # the outage, and the one car of the other make


def test_it_ends_with_one_notice_and_the_single_ones_never_speak(cars: list[Vehicle]) -> None:
    evaluation.evaluate_all(now=QUIET)
    OutboxEntry.objects.update(state=OutboxEntry.State.DONE)

    everybody_speaks(cars, QUIET + HOUR)
    outages.look(now=QUIET + HOUR)

    assert outage().status == Alert.Status.RESOLVED
    assert written() == 2
    assert written(notifying.RESOLVED_MAIL) == 1


def test_what_was_about_to_be_said_of_single_vehicles_is_said_by_the_outage(
    cars: list[Vehicle],
) -> None:
    for car in cars:
        evaluation.evaluate_vehicle(car.pk, now=QUIET)
    assert written() == 5

    outages.look(now=QUIET)

    assert written() == 1
    assert not Alert.objects.filter(vehicle__make="FORD", held_because="").exists()


def test_an_outage_that_a_person_ended_is_not_back_within_a_minute(cars: list[Vehicle]) -> None:
    outages.look(now=QUIET)
    acts.resolve(outage(), now=QUIET)

    assert outages.look(now=QUIET + HOUR) == 0
    assert Alert.objects.filter(vehicle=None).count() == 1


def test_an_outage_that_was_over_comes_back_as_the_same_alert(cars: list[Vehicle]) -> None:
    outages.look(now=QUIET)
    acts.resolve(outage(), now=QUIET)
    everybody_speaks(cars, QUIET + HOUR)
    outages.look(now=QUIET + HOUR)

    outages.look(now=QUIET + HOUR + 3 * DAY)

    assert (outage().status, outage().times_opened) == (Alert.Status.OPEN, 2)


def test_looking_again_changes_nothing(cars: list[Vehicle]) -> None:
    assert outages.look(now=QUIET) == 1
    assert outages.look(now=QUIET) == 0


def test_a_rule_for_some_vehicles_makes_no_outage_of_the_others(cars: list[Vehicle]) -> None:
    Rule.objects.filter(kind=Rule.Kind.STALE_DATA).update(group=make_group())

    assert outages.look(now=QUIET) == 0


def test_without_its_rule_an_outage_ends(cars: list[Vehicle]) -> None:
    outages.look(now=QUIET)
    Rule.objects.filter(kind=Rule.Kind.STALE_DATA).update(is_enabled=False)

    outages.look(now=QUIET)

    assert outage().status == Alert.Status.RESOLVED


def test_its_cost_does_not_grow_with_the_fleet(
    cars: list[Vehicle], django_assert_max_num_queries: object
) -> None:
    outages.look(now=QUIET)
    for _ in range(20):
        say(make_vehicle(make="FORD"), NOW, km=1000)

    with django_assert_max_num_queries(4):  # type: ignore[operator]
        outages.look(now=QUIET)


def test_cars_whose_connection_was_lost_for_days_and_is_back_are_no_outage(
    cars: list[Vehicle],
) -> None:
    for car in cars:
        make_access(vehicle=car)
    for consent in Connection.objects.all():
        connection_status.needs_reconnect(consent, reason="lost", now=NOW + HOUR)
    for consent in Connection.objects.all():
        connection_status.mark_active(consent, now=QUIET)

    assert outages.look(now=QUIET + HOUR) == 0
    # Nor is that a way to stay quiet.
    assert outages.look(now=QUIET + 3 * DAY) == 1
