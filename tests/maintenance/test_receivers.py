"""Readings are judged in the transaction that stored them."""

import pytest
from django.db import transaction

from integrations.models import OutboxEntry, Reading, Signal
from maintenance.models import Alert, Rule
from tests.factories import NOW, make_signal, make_vehicle
from tests.maintenance.cars import HOUR, add_default_rules, say

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()
    Rule.objects.filter(kind="trouble_code").update(critical="*")


def test_readings_alert_and_messages_are_written_together_or_not_at_all() -> None:
    car = make_vehicle()
    with transaction.atomic():
        say(car, codes=["P0301"])
        assert Alert.objects.count() == 1
        assert OutboxEntry.objects.count() == 2
        transaction.set_rollback(True)

    for model in (Reading, Signal, Alert, OutboxEntry):
        assert not model.objects.exists()


def test_the_first_reading_of_a_car_says_what_else_to_ask_for() -> None:
    car = make_vehicle(identified_at=NOW)
    say(car, NOW, oil=90)

    assert car.signals.filter(is_wanted=True, code="diagnostics-dtclist").exists()


def test_a_car_that_was_identified_just_now_gets_the_rules_of_its_make() -> None:
    Rule.objects.filter(kind="oil_life").update(make="CHEVROLET")
    car = make_vehicle(make="CHEVROLET", identified_at=NOW - HOUR)
    make_signal(vehicle=car, code="odometer-traveleddistance", is_wanted=True)
    say(car, NOW, codes=[])
    assert not car.signals.filter(code="internalcombustionengine-oillife").exists()

    car.identified_at = NOW + HOUR
    say(car, NOW + HOUR, codes=[])
    assert car.signals.get(code="internalcombustionengine-oillife").is_wanted


def test_readings_that_are_no_news_do_not_run_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    car = make_vehicle()
    say(car, NOW - HOUR, oil=91)
    say(car, NOW, oil=90)
    monkeypatch.setattr(
        "maintenance.receivers.evaluation.evaluate", lambda *args, **kwargs: pytest.fail("ran")
    )
    say(car, NOW, oil=90, now=NOW + HOUR)
    say(car, NOW - HOUR, oil=91, now=NOW + HOUR)
