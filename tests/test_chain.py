"""The whole chain, from a driver's click to a Fleetio issue, over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from integrations import conf
from integrations.models import Connection, OutboxEntry, Reading, Vehicle
from integrations.sandbox import Sandbox
from integrations.services import polling
from maintenance.models import Alert, FleetioIssue
from tests.portal import HOURS, connect_driver, run, sandbox_for

pytestmark = pytest.mark.django_db

CARS = 30
LOW, FAULTY = 0, 4  # a Chevrolet with worn oil, a GMC with a trouble code
STATEMENTS = 13


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    with sandbox_for(settings, vehicles=CARS) as running:
        everything_counts_miles(running)
        yield running


def everything_counts_miles(sandbox: Sandbox) -> None:
    records = sandbox.fleetio.records
    status, kind = records.rows("vehicle_statuses")[0], records.rows("vehicle_types")[0]
    for row in records.rows("vehicles"):
        row["primary_meter_unit"] = "mi"
    for car in sandbox.fleet.cars:
        if car.vin not in {row["vin"] for row in records.rows("vehicles")}:
            records.create_vehicle(
                {
                    "name": car.name,
                    "vin": car.vin,
                    "primary_meter_unit": "mi",
                    "vehicle_status_id": status["id"],
                    "vehicle_type_id": kind["id"],
                }
            )
    records.tables["meter_entries"] = {}


def report(sandbox: Sandbox, at: datetime, km: float) -> None:
    """Every car says something new; one has worn oil, one a trouble code."""
    for number, car in enumerate(sandbox.fleet.cars):
        car.report(at, odometer_km=10_000 + number * 100 + km)
        if car.oil_life is not None:
            car.oil_life = 0.14 if number == LOW else 0.8
        car.trouble_codes = ["P0301"] if number == FAULTY else []


def read_three_times(sandbox: Sandbox) -> None:
    now = datetime.now(UTC)
    for hours_ago, km in ((26, 0.0), (13, 40.0), (0, 80.0)):
        report(sandbox, now - hours_ago * HOURS - timedelta(minutes=1), km)
        run("poll", "--all")


def test_every_car_exists_when_the_callback_page_answers(sandbox: Sandbox) -> None:
    page = connect_driver(sandbox)

    assert Vehicle.objects.count() == CARS
    assert Connection.objects.get().status == "active"
    assert str(CARS) in page


def test_one_worn_oil_and_one_code_make_two_issues_and_thirty_odometers(sandbox: Sandbox) -> None:
    connect_driver(sandbox)
    read_three_times(sandbox)
    run("sync_fleetio")
    run("deliver")

    issues = sandbox.fleetio.issues()
    assert len(issues) == 2
    assert {issue["summary"] for issue in issues} == {
        "Engine oil life 14 %",
        "P0301: misfire in cylinder 1",
    }
    for car in sandbox.fleet.cars:
        entries = sandbox.fleetio.meter_entries(car.vin)
        assert [float(entry["value"]) for entry in entries] == [
            pytest.approx(car.odometer_km / 1.609344, abs=0.06)
        ]
    assert {alert.status for alert in Alert.objects.all()} == {"open"}
    assert FleetioIssue.objects.count() == 2
    assert [message.to for message in mail.outbox] == [["maintenance@example.com"]] * 2


def test_a_second_round_adds_nothing(sandbox: Sandbox) -> None:
    connect_driver(sandbox)
    read_three_times(sandbox)
    for _ in range(2):
        run("sync_fleetio")
        run("deliver")
    before = (
        len(sandbox.fleetio.issues()),
        sandbox.fleetio.requests.count("POST"),
        len(mail.outbox),
        Reading.objects.count(),
        OutboxEntry.objects.count(),
    )
    run("poll", "--all")
    run("evaluate")
    run("sync_fleetio")
    run("deliver")

    assert before == (
        len(sandbox.fleetio.issues()),
        sandbox.fleetio.requests.count("POST"),
        len(mail.outbox),
        Reading.objects.count(),
        OutboxEntry.objects.count(),
    )


def test_a_poll_makes_one_call_for_each_vehicle(sandbox: Sandbox) -> None:
    connect_driver(sandbox)
    sandbox.smartcar.requests.clear()
    report(sandbox, datetime.now(UTC), 0)
    run("poll", "--all")

    assert len(sandbox.smartcar.requests) == CARS
    assert sandbox.smartcar.requests.count("POST", pattern="/batch$") == CARS


def test_a_poll_in_the_steady_state_takes_at_most_thirteen_statements(sandbox: Sandbox) -> None:
    connect_driver(sandbox)
    read_three_times(sandbox)
    run("evaluate")
    client, policy = conf.get_smartcar_client(), conf.poll_policy()
    counts = []
    for vehicle in Vehicle.objects.order_by("pk"):
        now = datetime.now(UTC)
        sandbox.fleet.car(vehicle.smartcar_id).report(now)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            result = polling.poll_vehicle(
                vehicle.pk, client=client, policy=policy, now=now, asked_at=now
            )
        assert result
        assert result.outcome is None
        assert result.ingested.codes
        control = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT", "ROLLBACK")
        counts.append(
            [q["sql"] for q in captured.captured_queries if not q["sql"].startswith(control)]
        )
    worst = max(counts, key=len)
    assert len(worst) <= STATEMENTS, "\n".join(worst)
