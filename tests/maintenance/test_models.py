"""What the database refuses, what the admin is told, and what empty columns mean."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from maintenance.engine import rules as engine
from maintenance.models import Alert, FleetioIssue, FromStage, Recipient, Rule, ServiceRecord
from tests.factories import NOW, make_alert, make_issue, make_rule, make_service, make_vehicle

TODAY = date(2026, 3, 2)
RESOLVED = {"status": "resolved", "resolved_at": NOW}


def refused(**values: Any) -> bool:
    try:
        with transaction.atomic():
            make_alert(**values)
    except IntegrityError:
        return True
    return False


@pytest.mark.django_db
class TestConstraints:
    @pytest.mark.parametrize("status", ["pending", "open", "acknowledged", "snoozed"])
    def test_one_unresolved_alert_for_a_vehicle_topic_and_subject(self, status: str) -> None:
        first = make_alert(subject="P0301")
        same = {"vehicle": first.vehicle, "subject": "P0301", "status": status}

        assert refused(**same)
        assert not refused(**{**same, "subject": "P0420"})
        assert not refused(**{**same, "topic": "other"})
        assert not refused(**{**same, "vehicle": make_vehicle()})

    def test_any_number_of_resolved_ones_stand_beside_an_unresolved_one(self) -> None:
        first = make_alert()
        for _ in range(3):
            assert not refused(vehicle=first.vehicle, **RESOLVED)

    def test_one_unresolved_alert_for_the_whole_fleet(self) -> None:
        make_alert(vehicle=None, topic="stale-data", subject="FORD")

        assert refused(vehicle=None, topic="stale-data", subject="FORD")
        assert not refused(vehicle=None, topic="stale-data", subject="GMC")
        assert not refused(vehicle=make_vehicle(), topic="stale-data", subject="FORD")
        assert not refused(vehicle=None, topic="stale-data", subject="FORD", **RESOLVED)

    def test_resolved_and_its_time_belong_together(self) -> None:
        assert refused(status="resolved")
        assert refused(status="open", resolved_at=NOW)

    def test_an_alert_has_one_issue_and_an_issue_one_alert(self) -> None:
        issue = make_issue()
        for values in ({"alert": issue.alert}, {"fleetio_id": issue.fleetio_id}):
            with pytest.raises(IntegrityError), transaction.atomic():
                make_issue(**values)

    def test_an_address_is_one_recipient(self) -> None:
        Recipient.objects.create(email="a@example.com")
        with pytest.raises(IntegrityError), transaction.atomic():
            Recipient.objects.create(email="a@example.com")

    def test_a_deleted_rule_leaves_its_alerts_and_a_deleted_car_none(self) -> None:
        alert = make_alert()
        assert alert.rule
        assert alert.vehicle
        alert.rule.delete()
        assert Alert.objects.get(pk=alert.pk).rule is None
        make_issue(alert=alert)
        alert.vehicle.delete()
        assert not Alert.objects.exists()
        assert not FleetioIssue.objects.exists()

    def test_a_long_summary_is_cut_instead_of_refused(self) -> None:
        assert len(make_alert(summary="x" * 500).summary) == 200

    def test_names_are_what_people_read(self) -> None:
        alert = make_alert(vehicle=make_vehicle(name="Van 7", make="", model="", year=None))
        assert str(alert) == "Engine oil service due, Van 7"
        assert str(make_alert(vehicle=None)) == "Engine oil service due"
        assert str(FleetioIssue(fleetio_id=12)) == "#12"
        assert str(FleetioIssue(fleetio_id=12, number="3")) == "#3"
        assert str(ServiceRecord(topic="engine-oil", done_on=NOW.date())) == (
            "engine-oil, 2026-03-02"
        )
        assert str(Rule(name="Oil")) == "Oil"
        assert str(Recipient(email="a@example.com")) == "a@example.com"

    def test_unresolved_and_announced_are_what_they_say(self) -> None:
        for status in ("pending", "open", "acknowledged", "snoozed"):
            make_alert(status=status)
        make_alert(**RESOLVED)

        assert Alert.objects.unresolved().count() == 4
        assert Alert.objects.announced().count() == 3

    def test_enabled_rules_only(self) -> None:
        Rule.objects.all().delete()
        make_rule(is_enabled=False)
        enabled = make_rule()
        assert list(Rule.objects.enabled()) == [enabled]

    def test_the_latest_service_comes_first(self) -> None:
        car = make_vehicle()
        newer = make_service(vehicle=car, done_on=NOW.date())
        make_service(vehicle=car, done_on=(NOW - timedelta(days=9)).date())
        assert car.services.first() == newer


# --- Rule.clean ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        (
            {"kind": "service_interval"},
            "distance_km",
            "Give a distance, a number of days, or both.",
        ),
        (
            {"kind": "oil_life", "due_below": 35},
            "due_below",
            "Overdue, due, soon and clear must not decrease.",
        ),
        (
            {"kind": "oil_life", "clear_at": 10},
            "due_below",
            "Overdue, due, soon and clear must not decrease.",
        ),
        (
            {"kind": "service_interval", "days": 30, "due_on": TODAY},
            "due_on",
            "A service is due again and again, or once: not both in one rule.",
        ),
        (
            {"kind": "service_interval", "distance_km": 30, "due_odometer_km": 100},
            "due_odometer_km",
            "A service is due again and again, or once: not both in one rule.",
        ),
        (
            {"kind": "fuel_level", "due_below": 20.1},
            "clear_at",
            "This must not be below the level at which it fires.",
        ),
        (
            {"kind": "tire_pressure", "high_kpa": 217.8},
            "high_kpa",
            "A tire would be low and high at once: this must be higher.",
        ),
        (
            {"kind": "trouble_code", "year_from": 2022, "year_to": 2021},
            "year_to",
            "This is before the first year.",
        ),
        (
            {"kind": "trouble_code", "extra_addresses": "a@example.com, nobody"},
            "extra_addresses",
            "“nobody” is no email address.",
        ),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_a_reason(
    values: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Rule(topic="engine-oil", **values).clean()
    assert caught.value.message_dict == {field: [message]}


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "service_interval", "days": 30},
        {"kind": "service_interval", "distance_km": 100},
        {"kind": "oil_life"},
        {"kind": "oil_life", "due_below": 30, "soon_below": 30},
        {"kind": "trouble_code", "year_from": 2022, "year_to": 2022},
        {"kind": "system_status", "extra_addresses": "a@example.com; b@example.com\n"},
        {"kind": "service_interval", "due_on": TODAY},
        {"kind": "service_interval", "due_odometer_km": 100, "due_on": TODAY},
        {"kind": "fuel_level", "due_below": 20},
        {"kind": "tire_pressure", "low_kpa": 300},
        {"kind": "tire_pressure", "placard_front_kpa": 240, "placard_rear_kpa": 400},
        {"kind": "tire_pressure", "high_kpa": 217.9},
        {"kind": "stale_data"},
        {"kind": "connection"},
    ],
)
def test_a_rule_that_can_work_is_accepted(values: dict[str, Any]) -> None:
    Rule(topic="engine-oil", **values).clean()


def test_several_mistakes_are_told_at_once() -> None:
    rule = Rule(kind="service_interval", year_from=2022, year_to=2021, extra_addresses="x")
    with pytest.raises(ValidationError) as caught:
        rule.clean()
    assert caught.value.message_dict.keys() == {"distance_km", "year_to", "extra_addresses"}


# --- defaults of a kind -------------------------------------------------------------------------

HOLDS = {
    "oil_life": engine.Hold(readings=2, apart=timedelta(hours=12), zero_readings=3),
    "service_interval": engine.Hold(readings=1),
    "trouble_code": engine.Hold(readings=2, or_after=timedelta(hours=24)),
    "system_status": engine.Hold(readings=2),
    "tire_pressure": engine.Hold(readings=2, apart=timedelta(hours=6), zero_readings=3),
    "fuel_level": engine.Hold(readings=2),
    "state_of_charge": engine.Hold(readings=2),
    "stale_data": engine.Hold(),
    "connection": engine.Hold(),
}
CLEARS = dict.fromkeys(HOLDS, 1) | {"trouble_code": 2, "system_status": 2}
REPEATS = dict.fromkeys(HOLDS, timedelta(days=7)) | {
    "tire_pressure": timedelta(days=3),
    "connection": None,
}


@pytest.mark.parametrize("kind", list(Rule.Kind))
def test_empty_columns_take_the_defaults_of_the_kind(kind: Rule.Kind) -> None:
    spec = Rule(pk=1, kind=kind, topic="t").to_spec()

    assert spec.hold == HOLDS[kind]
    assert spec.clear_readings == CLEARS[kind]
    assert (spec.freshness, spec.reopen_window) == (timedelta(hours=72), timedelta(days=14))
    assert spec.repeat == REPEATS[kind]


@pytest.mark.parametrize(("days", "repeat"), [(0, None), (2, timedelta(days=2))])
def test_how_often_it_is_told_again_may_be_chosen(days: int, repeat: timedelta | None) -> None:
    for kind in Rule.Kind:
        assert Rule(pk=1, kind=kind, topic="t", repeat_days=days).to_spec().repeat == repeat


def test_the_default_thresholds_are_the_designs() -> None:
    oil = Rule(pk=1, kind="oil_life", topic="t").to_spec().condition
    assert oil == engine.OilLife(
        soon_below=30, due_below=20, overdue_below=5, clear_at=40, clear_jump=30
    )
    interval = Rule(pk=1, kind="service_interval", topic="t", days=10).to_spec().condition
    assert interval == engine.ServiceInterval(
        days=10,
        soon_fraction=0.9,
        soon_km=500 * 1.609344,
        soon_days=14,
        overdue_km=500 * 1.609344,
        overdue_days=14,
    )


def test_the_default_thresholds_of_tires_fuel_and_charge_are_the_designs() -> None:
    tires = Rule(pk=1, kind="tire_pressure", topic="t", low_kpa=200).to_spec().condition
    assert tires == engine.TirePressure(low_kpa=200)
    assert engine.TirePressure() == engine.TirePressure(low_kpa=193, high_kpa=None)
    fuel = Rule(pk=1, kind="fuel_level", topic="t", soon_below=50).to_spec().condition
    assert fuel == engine.FuelLevel(due_below=10, clear_at=20), "soon is not of this kind"
    charge = Rule(pk=1, kind="state_of_charge", topic="t", clear_at=30).to_spec().condition
    assert charge == engine.StateOfCharge(due_below=10, clear_at=30)


def test_a_service_that_is_due_once_knows_its_day_and_odometer() -> None:
    rule = Rule(pk=1, kind="service_interval", topic="t", due_odometer_km=9, due_on=TODAY)
    condition = rule.to_spec().condition
    assert condition == engine.ServiceInterval(due_odometer_km=9, due_on=TODAY)


def test_columns_that_are_set_win_also_when_they_are_zero() -> None:
    rule = Rule(
        pk=1,
        kind="oil_life",
        topic="t",
        overdue_below=0,
        due_below=10,
        hold_readings=4,
        hold_apart_hours=0,
        clear_readings=3,
        freshness_hours=24,
        reopen_days=0,
    )
    spec = rule.to_spec()

    assert isinstance(spec.condition, engine.OilLife)
    assert (spec.condition.overdue_below, spec.condition.due_below) == (0, 10)
    assert (spec.hold.readings, spec.hold.apart) == (4, timedelta(0))
    assert spec.clear_readings == 3
    assert (spec.freshness, spec.reopen_window) == (timedelta(hours=24), timedelta(0))


def test_patterns_are_split_as_people_type_them() -> None:
    rule = Rule(pk=1, kind="trouble_code", topic="t", patterns="P03*; B1*\nC00*,", ignored=" ,")
    condition = rule.to_spec().condition
    assert isinstance(condition, engine.TroubleCode)
    assert condition.patterns == ("P03*", "B1*", "C00*")
    assert condition.ignored == ()


def test_scope_leaves_empty_criteria_open() -> None:
    scope = Rule(kind="oil_life", make="", model="Transit", year_from=2020).scope
    assert (scope.make, scope.model, scope.year_from, scope.year_to) == (
        None,
        "Transit",
        2020,
        None,
    )


@pytest.mark.parametrize(
    ("setting", "covered"),
    [
        ("soon", ["soon", "due", "overdue"]),
        ("due", ["due", "overdue"]),
        ("overdue", ["overdue"]),
        ("never", []),
    ],
)
def test_from_stage_covers_itself_and_what_is_worse(setting: str, covered: list[str]) -> None:
    stages = ["soon", "due", "overdue"]
    assert [stage for stage in stages if FromStage(setting).covers(stage)] == covered


@pytest.mark.parametrize(("name", "is_good"), [("Europe/Berlin", True), ("Mars/Base", False)])
def test_a_time_zone_must_exist(name: str, is_good: bool) -> None:
    field = Recipient._meta.get_field("time_zone")
    if is_good:
        assert field.clean(name, None) == name
    else:
        with pytest.raises(ValidationError, match="no time zone"):
            field.clean(name, None)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"escalate_after_hours": 24}, "escalate_to"),
        ({"escalate_to": "boss@example.com"}, "escalate_after_hours"),
        ({"escalate_after_hours": 24, "escalate_to": "the boss"}, "escalate_to"),
    ],
)
def test_who_is_called_and_when_belong_together(
    db: None, columns: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        make_rule(**columns).full_clean()

    assert list(refused.value.error_dict) == [named]
    make_rule(escalate_after_hours=0, escalate_to="boss@example.com").full_clean()
