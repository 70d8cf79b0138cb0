"""One alert, one issue in Fleetio, whatever happens on the way. Over real HTTP."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from fleetportal import clock
from integrations import conf, registry
from integrations.models import OutboxEntry, PortalSettings, ProviderGate, Vehicle
from integrations.sandbox import FOREVER, Fault, Sandbox
from integrations.sandbox.faults import bad_gateway, dropped_after, dropped_before, empty_body
from integrations.sandbox.fleetio_issues import create_issue
from integrations.services import delivery, fleetio_vehicles, outbox
from integrations.services.delivery import DeliveryCount
from maintenance.models import Alert, FleetioIssue, Rule
from maintenance.services import acts, issue_creation, issues
from tests.factories import NOW, make_alert, make_vehicle
from tests.maintenance.cars import HOUR, add_default_rules, open_alert, say

pytestmark = pytest.mark.django_db

KIND = "fleetio_issue"
POST: dict[str, Any] = {"method": "POST", "path": "/api/issues"}
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    """Stand-ins that live on the portal's clock, which stands still at NOW."""
    clock.set_source(lambda: NOW)
    with Sandbox(vehicles=4, drivers=1, clock=clock.now) as running:
        for name, value in running.environment().items():
            setattr(settings, name, value)
        settings.FLEETIO_REQUESTS_PER_MINUTE = 10_000
        yield running


@pytest.fixture
def car(sandbox: Sandbox) -> Vehicle:
    """A car that is matched, with its first simulated twin."""
    vehicle = make_vehicle(vin=sandbox.fleet.cars[0].vin)
    fleetio_vehicles.match(client=conf.get_fleetio_client(), now=NOW)
    vehicle.refresh_from_db()
    assert vehicle.fleetio_id
    return vehicle


def deliver(at: datetime = NOW) -> DeliveryCount:
    clock.set_source(lambda: at)
    return delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO])


def deliver_until_quiet(at: datetime = NOW, *, rounds: int = 30) -> datetime:
    """Deliver again whenever something is due, as beat does; returns when it was quiet."""
    for _ in range(rounds):
        deliver(at)
        waiting = OutboxEntry.objects.filter(kind=KIND, state__in=outbox.UNFINISHED)
        if not waiting.exists():
            return at
        entry = waiting.get()
        paused = ProviderGate.objects.get(name="fleetio").paused_until or at
        at = max(entry.next_attempt_at, entry.lease_until or at, paused, at) + timedelta(seconds=1)
    raise AssertionError(f"{entry.state}: {entry.last_error}")


def entry() -> OutboxEntry:
    return OutboxEntry.objects.get(kind=KIND)


def hide_descriptions(sandbox: Sandbox) -> None:
    """Lists show none from now on; single issues do."""

    def strip(page: dict[str, Any]) -> dict[str, Any]:
        return page | {"records": [row | {"description": None} for row in page["records"]]}

    fault = Fault(method="GET", pattern=r"/issues$", times=FOREVER, alter=strip)
    sandbox.fleetio.faults.add(fault)


def make_others(sandbox: Sandbox, car: Vehicle, number: int, at: datetime) -> list[int]:
    """Issues of the car that people wrote."""
    clock.set_source(lambda: at)
    draft = issue_creation.draft(make_alert(vehicle=make_vehicle()), car, car.fleetio_id or 0)
    rows = [{**draft.to_json(), "description": "Rattles"} for _ in range(number)]
    return [create_issue(sandbox.fleetio.records, row)["id"] for row in rows]


def test_an_issue_says_what_since_when_and_why(sandbox: Sandbox, car: Vehicle) -> None:
    alert = open_alert(car, NOW - 3 * HOUR)
    deliver()

    (row,) = sandbox.fleetio.issues(car.vin or "")
    assert row["summary"] == "Engine oil life 14 %"
    assert row["reported_at"] == (NOW - 3 * HOUR).isoformat()
    assert row["issue_priority"]["name"] == "Medium"
    assert row["description"].splitlines() == [
        "Engine oil life 14 % (Due).",
        "",
        "Remaining oil life: 14 %",
        "Due below: 20 %",
        "Clears at: 40 %",
        "Rule: Engine oil life low",
        "Recorded by the car: 2026-03-02 09:00 UTC",
        "",
        f"Raised by Fleet Portal. Reference {issues.marker(alert)}",
    ]
    issue = FleetioIssue.objects.get()
    assert (issue.alert, issue.fleetio_id, issue.number) == (alert, row["id"], row["number"])
    assert (entry().state, entry().result) == ("done", f"issue #{row['number']}")


@pytest.mark.parametrize(
    "fault",
    [
        dropped_after(**POST),
        dropped_before(**POST),
        dropped_after(**POST, times=4),
        bad_gateway(**POST, times=3),
        bad_gateway(**POST, carried_out=True),
        Fault(**POST, status=500, carried_out=True),
        Fault(**POST, status=503, times=2),
        Fault(**POST, status=429, retry_after=30, times=2),
        Fault(**POST, status=401),
        empty_body(201, **POST, carried_out=True),
        Fault(method="GET", path="/api/issues", status=500, times=3),
    ],
    ids=str,
)
def test_one_alert_makes_one_issue_whatever_goes_wrong(
    sandbox: Sandbox, car: Vehicle, fault: Fault
) -> None:
    open_alert(car)
    sandbox.fleetio.faults.add(fault)
    if fault.method == "GET":
        sandbox.fleetio.faults.add(dropped_after(**POST))
    deliver_until_quiet()

    assert entry().state == "done"
    assert len(sandbox.fleetio.issues()) == 1
    assert FleetioIssue.objects.get().fleetio_id == sandbox.fleetio.issues()[0]["id"]


def test_a_list_that_lags_makes_no_second_issue(sandbox: Sandbox, car: Vehicle) -> None:
    sandbox.fleetio.list_lag = 40
    open_alert(car)
    sandbox.fleetio.faults.add(dropped_after(**POST))
    deliver_until_quiet()

    assert len(sandbox.fleetio.issues()) == 1
    assert sandbox.fleetio.requests.count("POST") == 1


def test_a_worker_that_dies_after_the_answer_is_followed_by_one_that_finds_the_issue(
    sandbox: Sandbox, car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_alert(car)

    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(issue_creation, "_remember", die)
        with pytest.raises(KeyboardInterrupt):
            deliver()
    assert entry().state == "sending"
    assert not FleetioIssue.objects.exists()

    deliver(NOW + MINUTE)  # the dead worker's lease still holds
    assert entry().state == "sending"
    deliver_until_quiet(NOW + 2 * MINUTE)
    assert len(sandbox.fleetio.issues()) == 1
    assert FleetioIssue.objects.count() == 1


def test_the_marker_is_found_among_other_issues_and_without_descriptions_in_the_list(
    sandbox: Sandbox, car: Vehicle
) -> None:
    other = make_alert(vehicle=make_vehicle(), topic="other")
    client = conf.get_fleetio_client()
    client.create_issue(issue_creation.draft(other, car, car.fleetio_id or 0))
    open_alert(car)
    sandbox.fleetio.faults.add(dropped_after(**POST))
    hide_descriptions(sandbox)
    deliver_until_quiet()

    assert len(sandbox.fleetio.issues()) == 2
    assert FleetioIssue.objects.get().fleetio_id == sandbox.fleetio.issues()[1]["id"]


def test_old_issues_are_not_looked_through(sandbox: Sandbox, car: Vehicle) -> None:
    old = make_others(sandbox, car, 30, NOW - 2 * HOUR)
    hide_descriptions(sandbox)
    open_alert(car)
    sandbox.fleetio.faults.add(dropped_before(**POST))
    deliver_until_quiet()

    assert FleetioIssue.objects.get().fleetio_id == sandbox.fleetio.issues()[-1]["id"]
    asked = [sandbox.fleetio.requests.count("GET", f"/api/issues/{key}") for key in old]
    assert not any(asked)


def test_a_search_that_meets_our_limit_goes_on_where_it_was(
    sandbox: Sandbox, car: Vehicle, settings: Settings
) -> None:
    hide_descriptions(sandbox)
    open_alert(car)
    sandbox.fleetio.faults.add(dropped_after(**POST))
    deliver()
    theirs = make_others(sandbox, car, 30, NOW + MINUTE)
    settings.FLEETIO_REQUESTS_PER_MINUTE = 6
    for minute in range(2, 10):
        deliver(NOW + minute * MINUTE)

    assert len(sandbox.fleetio.issues()) == 31
    assert FleetioIssue.objects.get().fleetio_id == sandbox.fleetio.issues()[0]["id"]
    asked = {sandbox.fleetio.requests.count("GET", f"/api/issues/{key}") for key in theirs}
    assert asked == {1}


def test_an_issue_that_is_gone_but_listed_is_passed_by(sandbox: Sandbox, car: Vehicle) -> None:
    (gone,) = make_others(sandbox, car, 1, NOW)
    hide_descriptions(sandbox)
    open_alert(car)
    sandbox.fleetio.faults.add(dropped_before(**POST))
    sandbox.fleetio.faults.add(
        Fault(method="GET", path=f"/api/issues/{gone}", status=404, times=FOREVER)
    )
    deliver_until_quiet()

    assert entry().state == "done"
    assert FleetioIssue.objects.get().fleetio_id == sandbox.fleetio.issues()[-1]["id"] != gone


def test_a_marker_belongs_to_one_alert_and_to_this_portal(settings: Settings) -> None:
    first, second = Alert(pk=1), Alert(pk=11)
    assert issues.marker(first) == issues.marker(Alert(pk=1))
    assert issues.marker(first) not in issues.marker(second)
    before = issues.marker(first)
    settings.SECRET_KEY = "another portal on the same account"
    assert issues.marker(first) != before


def test_an_unmatched_car_waits_and_is_woken_by_the_match(sandbox: Sandbox) -> None:
    car = make_vehicle(vin=sandbox.fleet.cars[0].vin)
    open_alert(car)
    deliver()

    assert (entry().state, entry().attempts) == ("pending", 0)
    assert entry().next_attempt_at == NOW + issue_creation.UNMATCHED_WAIT
    assert entry().last_error == "The car is not in Fleetio: not matched yet"
    assert len(sandbox.fleetio.requests) == 0

    fleetio_vehicles.match(client=conf.get_fleetio_client(), now=NOW + MINUTE)
    deliver(NOW + MINUTE)
    assert entry().state == "done"
    assert len(sandbox.fleetio.issues(car.vin or "")) == 1


def test_an_unmatched_cars_issue_is_cancelled_when_the_alert_ends(sandbox: Sandbox) -> None:
    car = make_vehicle(vin=sandbox.fleet.cars[0].vin)
    open_alert(car)
    deliver()
    say(car, NOW + HOUR, oil=95)

    assert entry().state == "cancelled"


def test_no_issue_is_made_for_an_alert_that_ended_meanwhile(sandbox: Sandbox, car: Vehicle) -> None:
    alert = open_alert(car)
    sandbox.fleetio.faults.add(dropped_before(**POST))
    deliver()
    assert entry().state == "unknown"
    acts.resolve(alert, now=NOW + MINUTE)
    deliver_until_quiet(NOW + 2 * MINUTE)

    assert (entry().state, entry().result) == ("done", "not sent: the alert is over")
    assert sandbox.fleetio.issues() == []


def test_an_issue_that_arrived_before_the_alert_ended_is_still_known(
    sandbox: Sandbox, car: Vehicle
) -> None:
    alert = open_alert(car)
    sandbox.fleetio.faults.add(dropped_after(**POST))
    deliver()
    acts.resolve(alert, now=NOW + MINUTE)
    deliver_until_quiet(NOW + 2 * MINUTE)

    assert FleetioIssue.objects.get().alert == alert
    assert len(sandbox.fleetio.issues()) == 1


def test_a_return_after_an_issue_that_was_not_needed_gets_one(
    sandbox: Sandbox, car: Vehicle
) -> None:
    alert = open_alert(car, NOW - 3 * HOUR)
    sandbox.fleetio.faults.add(dropped_before(**POST))
    deliver()
    say(car, NOW + MINUTE, oil=95)
    at = deliver_until_quiet(NOW + 2 * MINUTE)
    assert sandbox.fleetio.issues() == []

    for hour in (1, 13):
        say(car, at + hour * HOUR, oil=14)
    deliver_until_quiet(at + 14 * HOUR)
    assert len(sandbox.fleetio.issues()) == 1
    assert FleetioIssue.objects.get().alert == alert


def test_a_return_uses_the_issue_that_is_there(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car)
    deliver()
    say(car, NOW + HOUR, oil=95)
    for hour in (24, 36):
        say(car, NOW + hour * HOUR, oil=14)
    deliver(NOW + 37 * HOUR)

    assert len(sandbox.fleetio.issues()) == 1
    assert Alert.objects.get().status == "open"


def test_after_the_window_a_new_alert_gets_a_new_issue(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car)
    deliver()
    say(car, NOW + HOUR, oil=95)
    for hour in (400, 412):
        say(car, NOW + hour * HOUR, oil=14)
    deliver(NOW + 413 * HOUR)

    assert len(sandbox.fleetio.issues()) == 2
    assert FleetioIssue.objects.count() == 2


def test_a_refusal_is_given_up_with_fleetios_words(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car)
    body = {"errors": {"summary": ["is too rude"]}}
    sandbox.fleetio.faults.add(Fault(**POST, status=422, body=body))
    deliver()

    assert entry().state == "dead"
    assert "summary: is too rude" in entry().last_error


def test_what_was_given_up_is_tried_again_when_the_alert_is_back(
    sandbox: Sandbox, car: Vehicle
) -> None:
    open_alert(car, NOW - 14 * HOUR)
    body = {"errors": {"summary": ["is too rude"]}}
    sandbox.fleetio.faults.add(Fault(**POST, status=422, body=body, times=2))
    deliver()
    say(car, NOW + HOUR, oil=4)  # worse, in the same life
    deliver(NOW + HOUR)
    assert (entry().state, entry().attempts) == ("dead", 1)

    for life in (2, 3):
        at = NOW + life * 48 * HOUR
        say(car, at, oil=95)
        for hours in (13, 26):
            say(car, at + hours * HOUR, oil=14)
        deliver(at + 27 * HOUR)
        assert (entry().state, entry().payload["life"]) == ("dead" if life == 2 else "done", life)
    assert len(sandbox.fleetio.issues()) == 1


def test_what_was_given_up_and_had_arrived_is_found_when_the_alert_is_back(
    sandbox: Sandbox, car: Vehicle
) -> None:
    open_alert(car, NOW - 14 * HOUR)
    sandbox.fleetio.faults.add(dropped_after(**POST))
    sandbox.fleetio.faults.add(Fault(method="GET", pattern=r"/issues$", status=403))
    deliver()
    deliver(NOW + 2 * MINUTE)
    assert entry().state == "dead"

    say(car, NOW + HOUR, oil=95)
    for hours in (14, 27):
        say(car, NOW + hours * HOUR, oil=14)
    deliver(NOW + 28 * HOUR)
    assert entry().state == "done"
    assert FleetioIssue.objects.get().fleetio_id == sandbox.fleetio.issues()[0]["id"]
    assert len(sandbox.fleetio.issues()) == 1


def test_an_alert_that_was_deleted_sends_nothing(sandbox: Sandbox, car: Vehicle) -> None:
    open_alert(car).delete()
    assert deliver().done == 1
    assert sandbox.fleetio.issues() == []


# --- priority -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priority", "alias", "name", "is_found"),
    [
        ("high", "high", "Dringend", True),
        ("high", None, "High", True),
        ("high", "", " HIGH ", True),
        ("critical", None, "Now", False),
        ("no_priority", "no_priority", "No Priority", False),
    ],
)
def test_the_priority_is_found_by_alias_or_name(
    car: Vehicle, sandbox: Sandbox, *, priority: str, alias: str | None, name: str, is_found: bool
) -> None:
    Rule.objects.update(priority=priority)
    for row in sandbox.fleetio.records.rows("issue_priorities"):
        if row["alias"] == priority:
            row |= {"alias": alias, "name": name}
    open_alert(car)
    deliver()

    (issue,) = sandbox.fleetio.issues()
    assert (issue["issue_priority"] or {}).get("name") == (name if is_found else None)


def test_priorities_are_asked_for_once_in_a_while(sandbox: Sandbox, car: Vehicle) -> None:
    Rule.objects.filter(kind="trouble_code").update(critical="*")
    say(car, codes=["P0301", "P0420", "P0171"])
    deliver()

    assert len(sandbox.fleetio.issues()) == 3
    assert sandbox.fleetio.requests.count("GET", "/api/issue_priorities") == 1


# --- words --------------------------------------------------------------------------------------


def test_distances_in_an_issue_are_in_the_portals_unit(sandbox: Sandbox) -> None:
    evidence = {"odometer_km": 80467.2, "due_odometer_km": 80000.0, "due_on": "2026-03-01"}
    alert = make_alert(evidence=evidence, reported_at=None)
    assert "Odometer: 50,000 mi" in issue_creation.draft(alert, alert.vehicle, 1).description

    PortalSettings(distance_unit="km").save()
    draft = issue_creation.draft(alert, alert.vehicle, 1)
    assert "Odometer: 80,467 km" in draft.description
    assert "Due on: " in draft.description
    assert draft.reported_at == NOW
