"""What beat wakes."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from fleetportal import clock
from fleetportal.celery import app
from integrations.models import Signal, Vehicle
from integrations.sandbox import FOREVER, Fault, Sandbox
from maintenance import tasks
from maintenance.models import Rule
from tests.factories import NOW, make_rule, make_service, make_signal, make_vehicle
from tests.maintenance.cars import add_default_rules, alerts_of
from tests.portal import sandbox_for

pytestmark = pytest.mark.django_db

CODES = {"values": [{"code": "P0301"}]}


@pytest.fixture(autouse=True)
def still_time(db: None) -> None:
    add_default_rules()
    Rule.objects.filter(kind="trouble_code").update(critical="*")
    clock.set_source(lambda: NOW)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    with sandbox_for(settings, vehicles=4) as running:
        yield running


def faulty(**columns: object) -> Vehicle:
    car = make_vehicle(**columns)
    make_signal(vehicle=car, code="diagnostics-dtclist", value=None, data=CODES)
    return car


def test_only_cars_that_are_due_are_evaluated_again() -> None:
    due, later, never = (
        faulty(evaluation_due_at=NOW),
        faulty(evaluation_due_at=NOW + timedelta(seconds=1)),
        faulty(),
    )
    assert tasks.evaluate_due_vehicles() == 1

    assert [bool(alerts_of(car)) for car in (due, later, never)] == [True, False, False]
    due.refresh_from_db()
    assert due.evaluation_due_at is None
    assert tasks.evaluate_due_vehicles() == 0


def test_the_calendar_alone_makes_services_due() -> None:
    Signal.objects.all().delete()
    Rule.objects.filter(kind="stale_data").delete()
    make_rule(topic="inspection", distance_km=None, days=30)
    car = make_vehicle()
    make_service(vehicle=car, topic="inspection", done_on=NOW.date())
    assert tasks.evaluate_all_vehicles() == 0

    clock.set_source(lambda: NOW + timedelta(days=31))
    assert tasks.evaluate_all_vehicles() == 1
    assert alerts_of(car) == [("inspection", "open", "due")]
    assert tasks.evaluate_all_vehicles() == 0


def test_syncing_without_credentials_does_nothing(settings: Settings) -> None:
    settings.FLEETIO_API_TOKEN = ""
    assert tasks.sync_fleetio() == 0


def test_syncing_matches_cars_and_queues_odometers(sandbox: Sandbox) -> None:
    twin = sandbox.fleet.cars[0]
    car = make_vehicle(vin=twin.vin)
    make_signal(vehicle=car, value=twin.odometer_km)

    assert tasks.sync_fleetio() == 1
    kinds = sorted(car.outbox.values_list("kind", flat=True))
    assert kinds == ["fleetio_history", "fleetio_odometer"]


@pytest.mark.parametrize(
    "fault", [Fault(status=502), Fault(status=429, retry_after=9), Fault(status=401)], ids=str
)
def test_a_sync_that_fleetio_refuses_changes_nothing_and_does_not_raise(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    car = make_vehicle(vin=sandbox.fleet.cars[0].vin)
    tasks.sync_fleetio()
    sandbox.fleetio.faults.add(Fault(status=fault.status, times=FOREVER))

    assert tasks.sync_fleetio() == 0
    car.refresh_from_db()
    assert car.fleetio_id
    assert "Fleetio was not synced" in caplog.text


def test_every_entry_of_the_schedule_is_a_task_and_expires() -> None:
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] >= 10
