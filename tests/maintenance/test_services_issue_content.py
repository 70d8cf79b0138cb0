"""What an issue carries besides its words: due, people, labels, a fault; none of them blocks it."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from pytest_django import Settings

from integrations.models import Activity
from integrations.sandbox import Fault
from integrations.sandbox.faults import dropped_after
from integrations.sandbox.fleetio_comments import create_contact
from integrations.services.measures import KM_PER_MILE
from maintenance.models import Alert, Rule
from maintenance.services import issue_creation, issues
from tests.factories import NOW, make_alert, make_service, make_vehicle
from tests.maintenance.cars import DAY
from tests.maintenance.fleetio_world import FleetioWorld, fleetio_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(settings: Settings) -> Iterator[FleetioWorld]:
    with fleetio_world(settings) as running:
        yield running


def rules(**columns: Any) -> None:
    Rule.objects.update(**columns)


def make(world: FleetioWorld) -> dict[str, Any]:
    world.open_alert()
    world.deliver_all()
    return world.there()


def result(world: FleetioWorld) -> str:
    ((state, text),) = world.results("fleetio_issue")
    assert state == "done"
    return text


def people(world: FleetioWorld) -> list[int]:
    named = [("Kim", "Lee", "kim@example.com"), ("Alex", "", "alex@example.com")]
    return [
        create_contact(
            world.sandbox.fleetio.records, {"first_name": first, "last_name": last, "email": email}
        )["id"]
        for first, last, email in named
    ]


# --- Due --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "shown"), [("mi", 50_000.0), ("km", 80_467.2), ("hr", None)])
def test_what_is_due_is_in_the_unit_of_the_meter(unit: str, shown: float | None) -> None:
    evidence = {"due_odometer_km": 50_000 * KM_PER_MILE, "due_on": "2026-04-01"}
    car = make_vehicle(fleetio_id=5, fleetio_meter_unit=unit)
    draft = issue_creation.draft(make_alert(vehicle=car, evidence=evidence), car, 5)
    assert (draft.due_date, draft.due_meter_value) == (date(2026, 4, 1), shown)


@pytest.mark.parametrize("bad", [None, "soon", {}, 0])
def test_evidence_that_names_nothing_due_is_left_out(bad: Any) -> None:
    car = make_vehicle(fleetio_id=5, fleetio_meter_unit="mi")
    alert = make_alert(vehicle=car, evidence={"due_on": bad, "due_odometer_km": bad})
    draft = issue_creation.draft(alert, car, 5)
    assert (draft.due_date, draft.due_meter_value) == (None, None)


def test_an_interval_says_when_it_is_due(world: FleetioWorld) -> None:
    make_service(vehicle=world.car, odometer_km=50_000, done_on=(NOW - 90 * DAY).date())
    world.say(km=50_000 + 5100 * KM_PER_MILE)
    world.deliver_all()
    due = (50_000 + 5000 * KM_PER_MILE) / KM_PER_MILE
    assert world.there()["due_meter_value"] == pytest.approx(due, abs=0.1)


# --- People and labels ------------------------------------------------------------------------


def test_contacts_are_assigned_by_address_or_name(world: FleetioWorld) -> None:
    ids = people(world)
    rules(contacts="KIM@example.com, alex")
    assert make(world)["assigned_contact_ids"] == ids
    assert result(world) == f"issue {world.issue()}"


def test_contacts_that_nobody_knows_are_said_and_block_nothing(world: FleetioWorld) -> None:
    people(world)
    create_contact(world.sandbox.fleetio.records, {"first_name": "Alex"})
    rules(contacts="nobody@example.com, Alex, kim@example.com")
    row = make(world)

    assert len(row["assigned_contact_ids"]) == 1
    assert result(world) == (
        f"issue {world.issue()}; no contact is called nobody@example.com;"
        " several contacts are called Alex"
    )
    said = Activity.objects.filter(what__contains="nobody@example.com")
    assert said.get().what.startswith(f"Fleetio issue {world.issue()}: no contact")


def test_labels_are_made_when_they_are_missing(world: FleetioWorld) -> None:
    known = world.sandbox.fleetio.records.insert("labels", {"name": "Shop"})
    rules(labels="shop; Telematics")
    row = make(world)

    labels = world.sandbox.fleetio.records.rows("labels")
    assert row["label_ids"] == [known["id"], labels[-1]["id"]]
    assert [label["name"] for label in labels][-1] == "Telematics"


@pytest.mark.parametrize("path", ["labels", "contacts", "issue_priorities"])
@pytest.mark.parametrize("status", [403, 404, 422])
def test_what_may_not_be_read_is_done_without(world: FleetioWorld, path: str, status: int) -> None:
    rules(labels="Shop", contacts="Kim", priority="high")
    world.fault(path=f"/api/{path}", status=status, times=None)
    make(world)
    assert f"GET /{path}: HTTP {status}" in result(world)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("labels", "no label Shop: "),
        ("contacts", "nobody assigned: "),
        ("issue_priorities", "no priority: "),
        ("faults", "no fault: "),
        ("fault_rules", "no fault: "),
    ],
)
def test_what_goes_on_failing_is_done_without_in_the_end(
    world: FleetioWorld, path: str, said: str
) -> None:
    rules(labels="Shop", contacts="Kim", priority="high")
    fault = world.fault(path=f"/api/{path}", status=500, times=None)
    trouble(world)

    assert f"{said}Fleetio: " in result(world)
    assert world.issue().fleetio_id == world.there()["id"]
    assert world.sandbox.fleetio.faults.committed(fault) > issue_creation.PATIENCE


@pytest.mark.parametrize("path", ["labels", "contacts", "issue_priorities", "faults"])
def test_what_fails_for_a_while_is_waited_for(world: FleetioWorld, path: str) -> None:
    people(world)
    rules(labels="Shop", contacts="Kim Lee", priority="high")
    world.fault(path=f"/api/{path}", status=500, times=issue_creation.PATIENCE)
    trouble(world)

    row = world.there()
    for extra in ("assigned_contact_ids", "label_ids", "fault_id"):
        assert row[extra]
    assert row["issue_priority"]["alias"] == "high"
    assert result(world) == f"issue {world.issue()}"


def test_a_lost_answer_makes_no_second_label(world: FleetioWorld) -> None:
    rules(labels="Telematics")
    world.sandbox.fleetio.faults.add(dropped_after(method="POST", path="/api/labels"))
    make(world)
    names = [row["name"] for row in world.sandbox.fleetio.records.rows("labels")]
    assert names.count("Telematics") == 1


def test_an_optional_field_that_is_refused_is_left_out(world: FleetioWorld) -> None:
    people(world)
    rules(contacts="Alex")
    body = {"errors": {"assigned_contacts": ["is archived"]}}
    world.fault(method="POST", path="/api/issues", status=422, body=body)
    row = make(world)

    assert not row["assigned_contact_ids"]
    assert result(world).endswith("without assigned_contacts: is archived")


# --- Faults -----------------------------------------------------------------------------------


def trouble(world: FleetioWorld) -> Alert:
    Rule.objects.filter(kind="trouble_code").update(makes_fault=True, critical="*")
    world.say(codes=["P0301"])
    world.deliver_all()
    return Alert.objects.get()


def test_a_trouble_code_becomes_a_fault_with_its_rule(world: FleetioWorld) -> None:
    alert = trouble(world)
    records = world.sandbox.fleetio.records
    (rule,), (fault,) = records.rows("fault_rules"), records.rows("faults")
    assert rule["code"] == fault["code"] == "P0301"
    assert fault["external_id"] == issues.marker(alert)
    assert world.there()["fault_id"] == world.issue().fault_id == fault["id"]


def test_a_rule_that_is_there_is_used(world: FleetioWorld) -> None:
    records = world.sandbox.fleetio.records
    records.insert("fault_rules", {"code": "P0301", "name": "Ours", "description": None})
    trouble(world)
    assert len(records.rows("fault_rules")) == len(records.rows("faults")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        dropped_after(method="POST", path="/api/fault_rules"),
        dropped_after(method="POST", path="/api/faults"),
        dropped_after(method="POST", path="/api/issues"),
        Fault(method="POST", path="/api/faults", status=503, carried_out=True),
        Fault(method="POST", path="/api/issues", status=429, retry_after=20),
        Fault(method="GET", path="/api/faults", status=500),
    ],
    ids=str,
)
def test_lost_answers_make_one_of_each(world: FleetioWorld, fault: Fault) -> None:
    world.sandbox.fleetio.faults.add(fault)
    trouble(world)
    records = world.sandbox.fleetio.records
    assert [len(records.rows(kind)) for kind in ("fault_rules", "faults", "issues")] == [1, 1, 1]
    assert world.issue().fault_id == records.rows("faults")[0]["id"]


@pytest.mark.parametrize(("path", "status"), [("fault_rules", 403), ("faults", 422)])
def test_a_fault_that_is_refused_blocks_no_issue(
    world: FleetioWorld, path: str, status: int
) -> None:
    world.fault(method="POST", path=f"/api/{path}", status=status, times=None)
    trouble(world)
    assert world.issue().fault_id is None
    assert f"no fault: Fleetio: POST /{path}: HTTP {status}" in result(world)
