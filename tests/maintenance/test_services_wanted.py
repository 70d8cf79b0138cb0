"""Which signals are asked for follows from the rules."""

import pytest

from integrations import registry
from integrations.clients.readings import (
    FUEL_LEVEL,
    ODOMETER,
    OIL_LIFE,
    SERVICE_RECORDS,
    STATE_OF_CHARGE,
    SYSTEM_STATUS,
    TIRES,
    TROUBLE_CODES,
)
from integrations.models import PortalSettings, Signal, Vehicle
from maintenance.models import Rule
from maintenance.services import wanted
from tests.factories import NOW, make_group, make_rule, make_signal, make_vehicle
from tests.maintenance.cars import add_default_rules, say

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


def asked(vehicle: Vehicle) -> set[str]:
    return set(vehicle.signals.filter(is_wanted=True).values_list("code", flat=True))


def only(*kinds: str) -> None:
    Rule.objects.exclude(kind__in=kinds).update(is_enabled=False)
    PortalSettings(send_odometers=False).save()


def test_a_new_car_is_asked_for_all_that_the_default_rules_need() -> None:
    car = make_vehicle()
    say(car, oil=90)

    signals = {ODOMETER, OIL_LIFE, TROUBLE_CODES, TIRES, SERVICE_RECORDS, *SYSTEM_STATUS}
    assert asked(car) == signals
    assert registry.wanted_signals().keys() == asked(car)


def test_the_dangerous_is_the_most_urgent() -> None:
    car = make_vehicle()
    wanted.write_for_all()
    ranked = list(car.signals.order_by("-urgency", "code").values_list("code", flat=True))

    assert ranked[:4] == [TROUBLE_CODES, TIRES, OIL_LIFE, ODOMETER]


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("oil_life", {OIL_LIFE}),
        ("service_interval", {ODOMETER, SERVICE_RECORDS}),
        ("trouble_code", {TROUBLE_CODES}),
        ("system_status", set(SYSTEM_STATUS)),
        ("tire_pressure", {TIRES}),
        ("fuel_level", {FUEL_LEVEL}),
        ("state_of_charge", {STATE_OF_CHARGE}),
        ("stale_data", set()),
        ("connection", set()),
    ],
)
def test_each_kind_of_rule_wants_its_own_signals(kind: str, codes: set[str]) -> None:
    car = make_vehicle()
    only(kind)
    Rule.objects.filter(kind=kind).update(is_enabled=True)
    wanted.rules_changed(now=NOW)

    assert asked(car) == codes == set(wanted.for_any_car())


def test_an_interval_in_days_wants_only_to_know_of_services() -> None:
    Rule.objects.all().delete()
    PortalSettings(send_odometers=False).save()
    make_rule(distance_km=None, days=365)
    car = make_vehicle()
    wanted.rules_changed(now=NOW)

    assert asked(car) == {SERVICE_RECORDS}
    assert car.signals.get(code=SERVICE_RECORDS).urgency == wanted.LEAST_URGENT


def test_odometers_for_fleetio_are_wanted_without_any_rule() -> None:
    Rule.objects.update(is_enabled=False)
    car = make_vehicle()
    wanted.rules_changed(now=NOW)
    assert asked(car) == {ODOMETER}


def test_patterns_choose_the_systems() -> None:
    only("system_status")
    Rule.objects.filter(kind="system_status").update(patterns="Oil*, MIL")
    car = make_vehicle()
    wanted.rules_changed(now=NOW)

    assert asked(car) == {
        f"diagnostics-{name}" for name in ("mil", "oillife", "oilpressure", "oiltemperature")
    }


def test_a_rule_of_a_group_is_for_its_cars_only() -> None:
    Rule.objects.all().delete()
    PortalSettings(send_odometers=False).save()
    group = make_group()
    make_rule(kind="oil_life", group=group, distance_km=None)
    inside, outside = make_vehicle(group=group), make_vehicle()
    wanted.rules_changed(now=NOW)

    assert (asked(inside), asked(outside)) == ({OIL_LIFE}, set())


def test_what_no_rule_wants_any_more_is_not_asked_for_and_keeps_its_value() -> None:
    car = make_vehicle()
    say(car, oil=55)
    only("trouble_code")
    wanted.rules_changed(now=NOW)

    signal = car.signals.get(code=OIL_LIFE)
    assert (signal.is_wanted, signal.urgency, signal.value) == (False, 0, 55)


def test_changed_rules_make_every_car_be_evaluated_again() -> None:
    cars = [make_vehicle() for _ in range(3)]
    wanted.rules_changed(now=NOW)

    assert {Vehicle.objects.get(pk=car.pk).evaluation_due_at for car in cars} == {NOW}


def test_a_reading_that_nobody_wants_does_not_make_it_wanted() -> None:
    car = make_vehicle()
    make_signal(vehicle=car, code=OIL_LIFE, is_wanted=True, value=80)
    make_signal(vehicle=car, code="closure-doors", is_wanted=False, value=None)
    wanted.write_for(car, list(car.signals.all()))

    assert "closure-doors" not in asked(car)


def test_writing_again_changes_nothing() -> None:
    car = make_vehicle()
    assert wanted.write_for_all() == 1
    before = list(Signal.objects.order_by("pk").values())
    wanted.write_for_all()

    assert list(Signal.objects.order_by("pk").values()) == before
    assert len(asked(car)) > 3
