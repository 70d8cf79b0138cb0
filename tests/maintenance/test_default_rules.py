"""What a new installation starts with."""

from importlib import import_module

import pytest
from django.apps import apps

from integrations.models import OutboxEntry
from maintenance.models import Rule
from maintenance.services import wanted
from tests.factories import make_outbox_entry, make_rule, make_signal, make_vehicle
from tests.maintenance.cars import MILE, add_default_rules

pytestmark = pytest.mark.django_db


def test_a_new_installation_has_the_default_set_enabled_for_every_car() -> None:
    Rule.objects.all().delete()
    add_default_rules()

    found = {(rule.kind, rule.topic): rule for rule in Rule.objects.all()}
    assert found.keys() == {
        ("oil_life", "engine-oil"),
        ("service_interval", "engine-oil"),
        ("service_interval", "tire-rotation"),
        ("trouble_code", "trouble-codes"),
        ("system_status", "system-status"),
        ("tire_pressure", "tire-pressure"),
        ("stale_data", "stale-data"),
        ("connection", "connection"),
        ("fuel_level", "fuel-level"),
        ("state_of_charge", "state-of-charge"),
    }
    assert found["service_interval", "engine-oil"].distance_km == pytest.approx(5000 * MILE)
    assert found["service_interval", "tire-rotation"].distance_km == pytest.approx(7500 * MILE)
    for rule in found.values():
        assert rule.is_enabled is (rule.kind not in {"fuel_level", "state_of_charge"})
        issues = "never" if rule.kind in {"stale_data", "connection"} else "due"
        assert (rule.mail_from_stage, rule.issue_from_stage) == ("soon", issues)
        assert not any((rule.vehicle, rule.group, rule.make, rule.model, rule.year_from))
        rule.full_clean()


def add_later_rules() -> None:
    import_module("maintenance.migrations.0004_rules_of_more_kinds").add(apps, None)


def test_an_installation_that_has_rules_gets_those_of_the_kinds_it_has_none_of() -> None:
    Rule.objects.all().delete()
    oil, tires = make_rule(kind="oil_life"), make_rule(kind="tire_pressure", topic="mine")
    car = make_vehicle()

    for _again in range(2):
        add_later_rules()

    added = Rule.objects.exclude(pk__in=[oil.pk, tires.pk]).values_list("kind", flat=True)
    assert sorted(added) == ["connection", "fuel_level", "stale_data", "state_of_charge"]
    assert not car.signals.exists(), "the tires are what they were"


def test_cars_that_were_there_before_are_asked_for_their_tires() -> None:
    Rule.objects.filter(kind="tire_pressure").delete()
    signal = make_signal(code="wheel-tires", value=None, is_wanted=False)
    other = make_vehicle()

    add_later_rules()

    urgency = wanted.URGENCY["wheel-tires"]
    for car in (signal.vehicle, other):
        (tires,) = car.signals.filter(code="wheel-tires")
        assert (tires.is_wanted, tires.urgency) == (True, urgency)


def test_notices_of_lost_connections_that_were_not_sent_are_not_sent_twice() -> None:
    for state in ("pending", "done"):
        make_outbox_entry(kind="mail_connection_lost", state=state)

    add_later_rules()

    states = OutboxEntry.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["cancelled", "done"]
