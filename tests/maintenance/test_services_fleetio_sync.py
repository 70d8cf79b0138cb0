"""What a mechanic does in Fleetio ends the alert here."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from fleetportal import clock
from integrations import conf, registry
from integrations.clients.errors import ClientError
from integrations.models import Activity, OutboxEntry, ProviderGate, Vehicle
from integrations.sandbox import Fault, Sandbox
from integrations.sandbox.faults import dropped_after
from integrations.services import delivery, fleetio_vehicles
from maintenance.models import Alert, FleetioIssue, Rule, ServiceRecord
from maintenance.services import acts, fleetio_entries, fleetio_sync, issues
from tests.factories import NOW, make_service, make_user, make_vehicle
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


@pytest.mark.parametrize("what", ["resolve", "close"])
def test_an_issue_that_ended_before_we_knew_it_ends_its_alert(
    sandbox: Sandbox, car: Vehicle, what: str
) -> None:
    alert = open_alert(car)
    sandbox.fleetio.faults.add(dropped_after(method="POST", path="/api/issues"))
    delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO])
    assert not FleetioIssue.objects.exists()
    clock.set_source(lambda: NOW + MINUTE)
    sandbox.fleetio.move_issue(sandbox.fleetio.issues()[0]["id"], what)
    bring_back(NOW + 2 * HOUR)  # the list has told all it had to tell

    issue = deliver(NOW + 3 * HOUR)
    assert bring_back(NOW + 3 * HOUR + MINUTE) == 1
    alert.refresh_from_db()
    issue.refresh_from_db()
    assert (alert.status, alert.resolution) == ("resolved", Alert.Resolution.FLEETIO)
    assert issue.state == f"{what}d"
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


# --- Both ways --------------------------------------------------------------------------------


def test_an_issue_that_was_reopened_there_reopens_its_alert(sandbox: Sandbox, car: Vehicle) -> None:
    alert = interval_alert(car)
    issue = deliver()
    move(sandbox, issue, "resolve", NOW + HOUR)
    bring_back(NOW + 2 * HOUR)
    assert ServiceRecord.objects.filter(reference=f"issue:{issue.fleetio_id}").exists()

    move(sandbox, issue, "reopen", NOW + 3 * HOUR)
    assert bring_back(NOW + 4 * HOUR) == 0
    alert.refresh_from_db()
    issue.refresh_from_db()
    assert (alert.status, issue.state) == ("open", "open")
    assert not ServiceRecord.objects.filter(reference=f"issue:{issue.fleetio_id}").exists()
    deliver(NOW + 5 * HOUR)
    assert sandbox.fleetio.records.rows("comments") == [], "Fleetio's own news is no news there"

    move(sandbox, issue, "close", NOW + 6 * HOUR)
    assert bring_back(NOW + 7 * HOUR) == 1
    assert ServiceRecord.objects.filter(reference=f"issue:{issue.fleetio_id}").count() == 1


def test_a_record_that_is_older_than_what_is_known_is_no_news(
    sandbox: Sandbox, car: Vehicle
) -> None:
    open_alert(car)
    issue = deliver()
    client = conf.get_fleetio_client()
    move(sandbox, issue, "resolve", NOW + HOUR)
    ended = client.get_issue(issue.fleetio_id)
    move(sandbox, issue, "reopen", NOW + 2 * HOUR)
    bring_back(NOW + 3 * HOUR)
    changes = [
        fleetio_sync.take_over(issue, ended, client=client, now=NOW + 4 * HOUR) for _ in range(2)
    ]

    assert changes == ["nothing new", "nothing new"]
    assert Alert.objects.get().status == "open"


def test_the_service_entry_that_resolved_it_says_when_and_at_what_odometer(
    sandbox: Sandbox, car: Vehicle
) -> None:
    interval_alert(car)
    issue = deliver()
    meter = float(sandbox.fleetio.records.vehicle(car.vin or "")["primary_meter_value"])
    done_at = NOW - 2 * HOUR
    sandbox.fleetio.add_service_entry(
        car.vin or "", issue_ids=[issue.fleetio_id], completed_at=done_at, meter_value=meter + 10
    )
    assert bring_back(NOW + HOUR) == 1

    record = ServiceRecord.objects.get(source="fleetio")
    assert record.reference == f"issue:{issue.fleetio_id}"
    assert record.done_on == done_at.date()
    assert record.odometer_km == pytest.approx((meter + 10) * MILE, abs=0.01)


def test_an_interval_that_a_person_ended_here_starts_again_when_it_is_done_there(
    sandbox: Sandbox, car: Vehicle
) -> None:
    alert = interval_alert(car)
    issue = deliver()
    acts.resolve(alert, now=NOW + HOUR)
    sandbox.fleetio.add_service_entry(
        car.vin or "", issue_ids=[issue.fleetio_id], completed_at=NOW + 2 * HOUR
    )

    bring_back(NOW + 3 * HOUR)

    assert ServiceRecord.objects.filter(source="fleetio").count() == 1
    say(car, NOW + 20 * DAY, km=50_000 + 5500 * MILE)
    assert not Alert.objects.unresolved().filter(vehicle=car, topic="engine-oil").exists()


def test_an_entry_that_fleetio_stumbles_over_stops_no_other_issue(
    sandbox: Sandbox, car: Vehicle
) -> None:
    interval_alert(car)
    Rule.objects.filter(kind="trouble_code").update(critical="*")
    say(car, NOW, codes=["P0301"])
    clock.set_source(lambda: NOW)
    delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO])
    interval = FleetioIssue.objects.get(alert__topic="engine-oil")
    code = FleetioIssue.objects.exclude(pk=interval.pk).get()
    clock.set_source(lambda: NOW + HOUR)
    sandbox.fleetio.add_service_entry(
        car.vin or "", issue_ids=[interval.fleetio_id], completed_at=NOW + HOUR
    )
    move(sandbox, code, "close", NOW + HOUR)
    sandbox.fleetio.faults.add(Fault(pattern=r"/service_entries/\d+$", status=500, times=None))

    assert bring_back(NOW + HOUR + MINUTE) == 1  # the code's
    assert bring_back(NOW + 3 * HOUR) == 1  # long enough: without its entry
    assert not Alert.objects.unresolved().filter(vehicle=car, topic="engine-oil").exists()


def test_a_service_that_cannot_be_true_ends_the_alert_without_a_record(
    sandbox: Sandbox, car: Vehicle
) -> None:
    interval_alert(car)
    issue = deliver()
    sandbox.fleetio.add_service_entry(
        car.vin or "",
        issue_ids=[issue.fleetio_id],
        completed_at=datetime(1901, 1, 1, tzinfo=UTC),
    )

    assert bring_back(NOW + HOUR) == 1
    assert not ServiceRecord.objects.filter(source="fleetio").exists()
    assert Activity.objects.filter(what__contains="was not taken over").count() == 1


def test_what_was_ended_before_the_car_said_it_again_is_reopened(
    sandbox: Sandbox, car: Vehicle
) -> None:
    open_alert(car)
    issue = deliver()
    say(car, NOW + HOUR, oil=95)
    deliver(NOW + 2 * HOUR)
    move(sandbox, issue, "resolve", NOW + 3 * HOUR)  # nobody here hears of it yet
    for hours in (24, 36):
        say(car, NOW + hours * HOUR, oil=14)

    assert bring_back(NOW + 37 * HOUR) == 0
    assert Alert.objects.get().status == "open"
    deliver(NOW + 38 * HOUR)
    deliver(NOW + 39 * HOUR)
    (row,) = sandbox.fleetio.issues()
    assert row["state"] == "Open"


def test_one_record_that_fails_stops_neither_the_others_nor_is_it_forgotten(
    sandbox: Sandbox, car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rule.objects.filter(kind="trouble_code").update(critical="*")
    say(car, NOW, codes=["P0301", "P0420"])
    clock.set_source(lambda: NOW)
    delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO])
    first, second = FleetioIssue.objects.order_by("pk")
    move(sandbox, first, "close", NOW + HOUR)
    move(sandbox, second, "close", NOW + 2 * HOUR)
    real = fleetio_sync._take_over

    def fail(issue: FleetioIssue, *args: Any) -> Any:
        if issue.pk == first.pk:
            raise RuntimeError("a fault of ours")
        return real(issue, *args)

    with monkeypatch.context() as patch:
        patch.setattr(fleetio_sync, "_take_over", fail)
        assert bring_back(NOW + 30 * HOUR) == 1
    assert ProviderGate.objects.get(name="fleetio").synced_until == NOW + HOUR
    assert bring_back(NOW + 31 * HOUR) == 1


def test_a_deleted_issue_is_noticed_and_a_person_may_want_a_new_one(
    sandbox: Sandbox, car: Vehicle
) -> None:
    open_alert(car)
    issue = deliver()
    del sandbox.fleetio.records.tables["issues"][issue.fleetio_id]
    bring_back(NOW + 2 * DAY)
    issue.refresh_from_db()
    assert issue.state == "deleted"
    assert Alert.objects.get().status == "open"
    say(car, NOW + 2 * DAY, oil=4)
    clock.set_source(lambda: NOW + 3 * DAY)
    assert deliver(NOW + 3 * DAY).state == "deleted"

    assert issues.make_again(issue, now=NOW + 3 * DAY, user=make_user())
    assert not issues.make_again(issue, now=NOW + 3 * DAY, user=make_user())
    assert deliver(NOW + 4 * DAY).state == "open"
    assert len(sandbox.fleetio.issues()) == 1


# --- Service entries --------------------------------------------------------------------------


@pytest.fixture
def oil_change(sandbox: Sandbox, car: Vehicle) -> str:
    Rule.objects.filter(kind="service_interval", topic="engine-oil").update(
        service_names="Change Oil, Lube"
    )
    name = "  change OIL"
    for task in (name, "Wash"):
        sandbox.fleetio.records.insert("service_tasks", {"name": task, "description": None})
    return name


def entries(at: datetime) -> int:
    clock.set_source(lambda: at)
    return fleetio_entries.bring_back(client=conf.get_fleetio_client(), now=at)


def write_down(sandbox: Sandbox, car: Vehicle, at: datetime, *tasks: str) -> dict[str, Any]:
    clock.set_source(lambda: at)
    return sandbox.fleetio.add_service_entry(car.vin or "", tasks=tasks)


def test_a_service_entry_restarts_the_interval_of_its_task(
    sandbox: Sandbox, car: Vehicle, oil_change: str
) -> None:
    entries(NOW)
    row = write_down(sandbox, car, NOW + HOUR, oil_change, "Wash")
    assert entries(NOW + 2 * HOUR) == 1
    assert entries(NOW + 2 * HOUR) == 0

    record = ServiceRecord.objects.get()
    assert (record.topic, record.reference) == ("engine-oil", f"entry:{row['id']}")
    assert (record.source, record.done_on) == ("fleetio", (NOW + HOUR).date())
    meter = float(row["meter_entry"]["value"])
    assert record.odometer_km == pytest.approx(meter * MILE, abs=0.01)


def test_entries_that_change_there_change_here_and_people_here_are_not_overruled(
    sandbox: Sandbox, car: Vehicle, oil_change: str
) -> None:
    entries(NOW)
    row = write_down(sandbox, car, NOW + HOUR, oil_change)
    entries(NOW + 2 * HOUR)
    ServiceRecord.objects.update(odometer_km=77_777)
    entries(NOW + 2 * HOUR)
    assert ServiceRecord.objects.get().odometer_km == 77_777

    clock.set_source(lambda: NOW + 3 * HOUR)
    sandbox.fleetio.records.touch(row, completed_at=(NOW - DAY).isoformat())
    assert entries(NOW + 4 * HOUR) == 1
    assert ServiceRecord.objects.get().done_on == (NOW - DAY).date()


def test_what_was_done_before_a_car_was_matched_is_read_once(
    sandbox: Sandbox, car: Vehicle, oil_change: str
) -> None:
    write_down(sandbox, car, NOW - 5 * DAY, oil_change)
    assert entries(NOW) == 0
    for _ in range(2):
        clock.set_source(lambda: NOW)
        delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO])
        entries(NOW + HOUR)

    assert ServiceRecord.objects.get().done_on == (NOW - 5 * DAY).date()
    done = OutboxEntry.objects.get(kind="fleetio_history")
    assert (done.state, done.result) == ("done", "1 service entries, 1 services recorded")


def test_an_entry_that_resolved_an_issue_is_recorded_once(
    sandbox: Sandbox, car: Vehicle, oil_change: str
) -> None:
    entries(NOW)
    interval_alert(car)
    issue = deliver()
    clock.set_source(lambda: NOW + HOUR)
    sandbox.fleetio.add_service_entry(
        car.vin or "", tasks=[oil_change], issue_ids=[issue.fleetio_id]
    )
    bring_back(NOW + 2 * HOUR)
    entries(NOW + 2 * HOUR)

    assert ServiceRecord.objects.filter(source="fleetio").count() == 1


def test_entries_of_strangers_and_work_that_is_not_done_count_for_nothing(
    sandbox: Sandbox, car: Vehicle, oil_change: str
) -> None:
    entries(NOW)
    other = make_vehicle(vin=sandbox.fleet.cars[1].vin)
    write_down(sandbox, other, NOW + HOUR, oil_change)
    row = write_down(sandbox, car, NOW + HOUR, oil_change)
    sandbox.fleetio.records.touch(row, completed_at=None, date=None)
    assert entries(NOW + 2 * HOUR) == 0
    assert not ServiceRecord.objects.exists()


def test_a_limit_in_the_middle_loses_no_entry(
    sandbox: Sandbox, car: Vehicle, oil_change: str
) -> None:
    entries(NOW)
    for hours in (1, 2, 3):
        write_down(sandbox, car, NOW + hours * HOUR, oil_change)
    sandbox.fleetio.faults.add(
        Fault(method="GET", pattern=r"service_entries/\d+$", status=429, skip=1)
    )
    with pytest.raises(ClientError):
        entries(NOW + 4 * HOUR)
    assert ServiceRecord.objects.count() == 1
    assert entries(NOW + 5 * HOUR) == 2
