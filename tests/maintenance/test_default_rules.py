"""What a new installation starts with."""

import pytest

from maintenance.models import Rule
from tests.factories import make_rule
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
    }
    assert found["service_interval", "engine-oil"].distance_km == pytest.approx(5000 * MILE)
    assert found["service_interval", "tire-rotation"].distance_km == pytest.approx(7500 * MILE)
    for rule in found.values():
        assert rule.is_enabled
        assert (rule.mail_from_stage, rule.issue_from_stage) == ("soon", "due")
        assert not any((rule.vehicle, rule.group, rule.make, rule.model, rule.year_from))
        rule.full_clean()


def test_an_installation_that_has_rules_keeps_just_those() -> None:
    Rule.objects.all().delete()
    mine = make_rule()
    add_default_rules()

    assert list(Rule.objects.all()) == [mine]
