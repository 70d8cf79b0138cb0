"""What a mechanic does in Fleetio ends the alert here."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from pytest_django import Settings

from fleetportal import clock
from integrations import conf, registry
from integrations.clients.errors import ClientError
from integrations.models import ProviderGate, Vehicle
from integrations.sandbox import Fault, Sandbox
from integrations.services import delivery, fleetio_vehicles
from maintenance.models import Alert, FleetioIssue, ServiceRecord
from maintenance.services import fleetio_sync
from tests.factories import NOW, make_service, make_vehicle
from tests.maintenance.cars import DAY, HOUR, MILE, add_default_rules, open_alert, say, states

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    clock.set_source(lambda: NOW)
    with Sandbox(vehicles=4, drivers=1, clock=clock.now) as running:
        for name, value in running.environment().items():
            setattr(settings, name, value)
        settings.FLEETIO_REQUESTS_PER_MINUTE = 10_000
        yield running


@pytest.fixture
def car(sandbox: Sandbox) -> Vehicle:
    vehicle = make_vehicle(vin=sandbox.fleet.cars[0].vin)
    fleetio_vehicles.match(client=conf.get_fleetio_client(), now=NOW)
    vehicle.refresh_from_db()
    return vehicle


def deliver(at: datetime = NOW) -> FleetioIssue:
    clock.set_source(lambda: at)
    delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO])
    return FleetioIssue.objects.get()


def bring_back(at: datetime) -> int:
    clock.set_source(lambda: at)
    return fleetio_sync.bring_back(client=conf.get_fleetio_client(), now=at)


def move(sandbox: Sandbox, issue: FleetioIssue, what: str, at: datetime) -> None:
    clock.set_source(lambda: at)
    sandbox.fleetio.move_issue(issue.fleetio_id, what)


def interval_alert(car: Vehicle) -> Alert:
    make_service(vehicle=car, odometer_km=50_000, done_on=(NOW - 90 * DAY).date())
    say(car, NOW, km=50_000 + 5100 * MILE)
    return Alert.objects.get()


@pytest.mark.parametrize("what", ["resolve", "close"])
def test_an_issue_that_ended_in_fleetio_ends_its_alert(
    sandbox: Sandbox, car: Vehicle, what: str
) -> None:
    alert = open_alert(car)
    issue = deliver()
    assert bring_back(NOW + MINUTE) == 0

    move(sandbox, issue, what, NOW + 2 * HOUR)
    assert bring_back(NOW + 3 * HOUR) == 1

    alert.refresh_from_db()
    issue.refresh_from_db()
    assert (alert.status, alert.resolution) == ("resolved", Alert.Resolution.FLEETIO)
    assert (issue.state, issue.checked_at) == (f"{what}d", NOW + 3 * HOUR)
    assert not ServiceRecord.objects.exists()
    assert bring_back(NOW + 4 * HOUR) == 0


def test_what_fleetio_ended_stays_silent_while_the_car_goes_on(
    sandbox: Sandbox, car: Vehicle
) -> None:
    open_alert(car)
    move(sandbox, deliver(), "resolve", NOW + HOUR)
    bring_back(NOW + 2 * HOUR)
    for day in range(1, 13):
        say(car, NOW + day * DAY, oil=14)

    assert Alert.objects.get().status == "resolved"


def test_an_interval_that_was_resolved_there_records_a_service(
    sandbox: Sandbox, car: Vehicle
) -> None:
    alert = interval_alert(car)
    move(sandbox, deliver(), "resolve", NOW + HOUR)

    assert bring_back(NOW + 2 * HOUR) == 1
    record = ServiceRecord.objects.get(source="fleetio")
    assert (record.topic, record.done_on) == ("engine-oil", NOW.date())
    assert record.odometer_km == pytest.approx(50_000 + 5100 * MILE)
    alert.refresh_from_db()
    assert alert.status == "resolved"

    say(car, NOW + DAY, km=50_000 + 5200 * MILE)
    assert Alert.objects.unresolved().count() == 0
    for day in range(1, 5):
        bring_back(NOW + day * DAY)
    assert ServiceRecord.objects.filter(source="fleetio").count() == 1


def test_an_interval_that_was_closed_there_starts_again_too(sandbox: Sandbox, car: Vehicle) -> None:
    alert = interval_alert(car)
    issue = deliver()
    move(sandbox, issue, "close", NOW + HOUR)

    assert bring_back(NOW + 2 * HOUR) == 1
    record = ServiceRecord.objects.get(source="fleetio")
    assert record.reference == f"issue:{issue.fleetio_id}"
    alert.refresh_from_db()
    assert alert.resolution == Alert.Resolution.FLEETIO


def test_the_end_of_an_earlier_life_does_not_end_a_return(sandbox: Sandbox, car: Vehicle) -> None:
    alert = open_alert(car)
    issue = deliver()
    say(car, NOW + 59 * MINUTE, codes=[])
    move(sandbox, issue, "resolve", NOW + 60 * MINUTE)
    assert bring_back(NOW + 61 * MINUTE) == 1
    say(car, NOW + 62 * MINUTE, oil=95)
    # The hold is over at the first reading: this rule wants no second one.
    alert.rule.hold_readings = 1  # type: ignore[union-attr]
    alert.rule.save()  # type: ignore[union-attr]
    say(car, NOW + 63 * MINUTE, oil=14)
    alert.refresh_from_db()
    assert (alert.status, alert.times_opened) == ("open", 2)

    assert bring_back(NOW + 64 * MINUTE) == 0
    alert.refresh_from_db()
    assert alert.status == "open"

    move(sandbox, issue, "reopen", NOW + 2 * HOUR)
    bring_back(NOW + 3 * HOUR)
    move(sandbox, issue, "resolve", NOW + 4 * HOUR)
    assert bring_back(NOW + 5 * HOUR) == 1


def test_only_what_changed_since_the_last_look_is_asked_for(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car)
    deliver()
    bring_back(NOW + HOUR)
    bring_back(NOW + 2 * HOUR)

    asked = sandbox.fleetio.requests.matching("GET", "/api/issues")[-1]
    since = (NOW + HOUR - fleetio_sync.OVERLAP).isoformat()
    assert asked.query["filter[updated_at][gt]"] == [since]


def test_without_open_issues_fleetio_is_not_asked(sandbox: Sandbox, car: Vehicle) -> None:
    sandbox.fleetio.requests.clear()
    assert bring_back(NOW) == 0
    assert len(sandbox.fleetio.requests) == 0
    assert ProviderGate.objects.get(name="fleetio").synced_until == NOW


def test_a_look_that_failed_is_made_again_from_where_it_was(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car)
    issue = deliver()
    bring_back(NOW + MINUTE)
    move(sandbox, issue, "resolve", NOW + HOUR)
    sandbox.fleetio.faults.add(Fault(method="GET", path="/api/issues", status=502))
    with pytest.raises(ClientError):
        bring_back(NOW + 2 * HOUR)
    assert ProviderGate.objects.get(name="fleetio").synced_until == NOW + MINUTE

    assert bring_back(NOW + 3 * HOUR) == 1


def test_issues_of_others_are_left_alone(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car)
    mine = deliver()
    body = {
        "asset_type": "Vehicle",
        "asset_id": car.fleetio_id,
        "summary": "Scratch",
        "reported_at": NOW.isoformat(),
    }
    from integrations.sandbox.fleetio_issues import create_issue, move_issue

    records = sandbox.fleetio.records
    move_issue(records, create_issue(records, body), "resolve")

    assert bring_back(NOW + HOUR) == 0
    assert Alert.objects.get(fleetio_issue=mine).status == "open"


def test_those_who_were_told_hear_of_the_end(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car)
    issue = deliver()
    delivery.deliver_due(clock=clock.now, lanes=[registry.MAIL])
    move(sandbox, issue, "resolve", NOW + HOUR)
    bring_back(NOW + 2 * HOUR)

    assert states("mail_alert_resolved") == ["pending"]
