"""Service records in the admin: proposals, and what follows from a change."""

from collections.abc import Iterator
from datetime import date

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from fleetportal import clock
from integrations.models import Vehicle
from maintenance.models import Alert, Rule, ServiceRecord
from tests import factories as make
from tests.factories import NOW
from tests.maintenance.cars import DAY, say
from tests.maintenance.test_admin import act, change, listing, said

pytestmark = pytest.mark.django_db
MILE = 1.609344


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    Rule.objects.all().delete()
    make.make_rule()  # engine oil every 5,000 miles
    yield
    clock.set_source(None)


@pytest.fixture
def car() -> Vehicle:
    """Driven 5,100 miles since its oil was changed."""
    car = make.make_vehicle()
    make.make_service(vehicle=car, odometer_km=50_000, done_on=(NOW - 90 * DAY).date())
    say(car, NOW, km=50_000 + 5100 * MILE)
    return car


def proposed(car: Vehicle) -> ServiceRecord:
    return make.make_service(
        vehicle=car,
        source="oil_life",
        reference="oil-life:x",
        is_proposed=True,
        odometer_km=58_000,
        done_on=(NOW - DAY).date(),
        note="Oil life went up",
    )


def status() -> str:
    return Alert.objects.get().status


# --- Proposals --------------------------------------------------------------------------------


def test_a_confirmed_service_counts(admin_client: Client, admin_user: User, car: Vehicle) -> None:
    record = proposed(car)
    assert "1 service counts now" in said(act(admin_client, "confirm", record))

    record.refresh_from_db()
    assert not record.is_proposed
    assert status() == "resolved"
    assert "0 services count" in said(act(admin_client, "confirm", record))


def test_a_dismissed_service_is_gone_for_good(admin_client: Client, car: Vehicle) -> None:
    record = proposed(car)
    assert "1 proposed service dismissed" in said(act(admin_client, "dismiss", record))

    assert status() == "open"
    page = admin_client.get(listing(ServiceRecord)).content.decode()
    assert change(record) not in page
    assert admin_client.get(change(record)).status_code == 302
    assert ServiceRecord.objects.get(pk=record.pk).dismissed_at == NOW


def test_actions_leave_what_counts_alone(admin_client: Client, car: Vehicle) -> None:
    act(admin_client, "dismiss", car.services.get())
    assert car.services.get().dismissed_at is None


def test_the_list_can_be_narrowed_to_what_waits(admin_client: Client, car: Vehicle) -> None:
    record = proposed(car)
    pages = {
        state: admin_client.get(listing(ServiceRecord), {"state": state}).content.decode()
        for state in ("proposed", "counting")
    }
    assert change(record) in pages["proposed"]
    assert change(record) not in pages["counting"]


def test_the_overview_and_the_car_say_what_waits(admin_client: Client, car: Vehicle) -> None:
    def tile() -> str:
        page = admin_client.get(reverse("admin:index")).content.decode()
        return page.split("Services to confirm", 1)[1][:120]

    assert ">0<" in tile()
    record = proposed(car)
    assert ">1<" in tile()
    page = admin_client.get(change(car)).content.decode()
    assert "Confirm or dismiss" in page
    assert f"state=proposed&amp;vehicle__id__exact={car.pk}" in page

    record.dismissed_at = NOW
    record.save()
    assert "Confirm or dismiss" not in admin_client.get(change(car)).content.decode()


def test_looking_changes_nothing_and_lookers_cannot_decide(client: Client, car: Vehicle) -> None:
    record = proposed(car)
    client.force_login(make.make_user("maintenance.view_servicerecord"))
    client.get(listing(ServiceRecord), {"action": "confirm", "_selected_action": str(record.pk)})
    act(client, "confirm", record)

    record.refresh_from_db()
    assert record.is_proposed


# --- What is written, changed and deleted later -----------------------------------------------


def test_a_record_older_than_the_latest_changes_nothing(admin_client: Client, car: Vehicle) -> None:
    typed = {"vehicle": str(car.pk), "topic": "engine-oil", "done_on": "2025-01-05"}
    admin_client.post(
        reverse("admin:maintenance_servicerecord_add"), {**typed, "odometer_km": "20000"}
    )
    assert (car.services.count(), status()) == (2, "open")


def test_a_late_entered_record_newer_than_the_latest_ends_the_alert(
    admin_client: Client, car: Vehicle
) -> None:
    typed = {"vehicle": str(car.pk), "topic": "engine-oil", "done_on": "2026-02-20"}
    admin_client.post(
        reverse("admin:maintenance_servicerecord_add"), {**typed, "odometer_km": "36000"}
    )
    assert status() == "resolved"


def test_deleting_the_latest_lets_the_interval_fire_again(
    admin_client: Client, car: Vehicle
) -> None:
    latest = make.make_service(vehicle=car, odometer_km=58_000, done_on=NOW.date())
    admin_client.post(change(latest), {"topic": "engine-oil", "done_on": "2026-03-02"})
    make.make_service(vehicle=car, odometer_km=58_000, done_on=NOW.date())
    act(admin_client, "delete_selected", latest, post="yes")
    assert status() == "resolved"

    act(admin_client, "delete_selected", car.services.latest("done_on"), post="yes")
    assert status() == "open"


def test_a_corrected_record_is_judged_anew(admin_client: Client, car: Vehicle) -> None:
    latest = make.make_service(vehicle=car, odometer_km=None, done_on=date(2026, 3, 1))
    typed = {"topic": "engine-oil", "done_on": "2026-03-01"}
    admin_client.post(change(latest), {**typed, "odometer_km": "36000"})
    assert status() == "resolved"

    admin_client.post(change(latest), {**typed, "odometer_km": "31000"})
    assert status() == "open"


def test_a_deleted_record_of_elsewhere_is_remembered(admin_client: Client, car: Vehicle) -> None:
    record = make.make_service(vehicle=car, reference="smartcar:1:engine-oil", done_on=NOW.date())
    address = reverse("admin:maintenance_servicerecord_delete", args=[record.pk])
    admin_client.post(address, {"post": "yes"})

    assert ServiceRecord.objects.get(pk=record.pk).dismissed_at == NOW


def test_the_names_of_a_service_are_typed_at_its_rule(admin_client: Client) -> None:
    rule = Rule.objects.get()
    assert 'name="service_names"' in admin_client.get(change(rule)).content.decode()
    assert (
        'name="service_names"'
        in admin_client.get(reverse("admin:maintenance_rule_add")).content.decode()
    )
