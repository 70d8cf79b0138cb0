"""What the fleet's own word on a code does to the alerts of its cars."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from integrations.models import Activity, Vehicle
from maintenance.models import Alert, CodeOverride, Rule
from maintenance.services import code_book, code_overrides, evaluation
from tests.factories import NOW, make_override, make_user, make_vehicle
from tests.maintenance.cars import HOUR, alerts_of, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def decide(now: datetime = NOW, **values: Any) -> CodeOverride:
    override = CodeOverride(**values)
    override.full_clean()
    code_overrides.save(override, now=now)
    return override


def look_again(car: Vehicle, now: datetime) -> None:
    """What the sweep of due vehicles does."""
    car.refresh_from_db()
    assert car.evaluation_due_at == now
    evaluation.evaluate_vehicle(car.pk, now=now)


def open_code(car: Vehicle, code: str) -> Alert:
    say(car, NOW - HOUR, codes=[code])
    say(car, NOW, codes=[code])
    return Alert.objects.get(vehicle=car, subject=code, status=Alert.Status.OPEN)


def test_ignoring_a_code_ends_its_alerts_without_another_reading(car: Vehicle) -> None:
    alert = open_code(car, "P0420")
    now = NOW + timedelta(minutes=5)
    decide(now, pattern="P04*", is_ignored=True)
    look_again(car, now)

    alert.refresh_from_db()
    assert (alert.status, alert.resolution) == (Alert.Status.RESOLVED, Alert.Resolution.RULE)
    say(car, NOW + HOUR, codes=["P0420"])
    assert Alert.objects.unresolved().count() == 0


def test_ignoring_a_code_ends_the_alert_of_a_car_that_is_silent(car: Vehicle) -> None:
    alert = open_code(car, "P0420")
    now = NOW + timedelta(days=9)
    decide(now, pattern="P0420", is_ignored=True)
    look_again(car, now)

    alert.refresh_from_db()
    assert alert.status == Alert.Status.RESOLVED


def test_a_code_that_is_no_longer_ignored_is_back_within_the_reopen_window(car: Vehicle) -> None:
    alert = open_code(car, "P0420")
    override = decide(pattern="P0420", is_ignored=True)
    look_again(car, NOW)
    code_overrides.delete([override], now=NOW + HOUR)
    look_again(car, NOW + HOUR)
    say(car, NOW + 2 * HOUR, codes=["P0420"])

    alert.refresh_from_db()
    assert (alert.status, alert.times_opened) == (Alert.Status.OPEN, 2)


def test_a_critical_code_opens_at_the_first_reading(car: Vehicle) -> None:
    say(car, NOW, codes=["P0420", "P0524"])
    assert alerts_of(car) == [("P0420", "pending", "due"), ("P0524", "open", "due")]
    assert Alert.objects.get(subject="P0524").evidence["severity"] == "critical"

    decide(pattern="P0420", severity="critical", text="Our test car")
    look_again(car, NOW)
    alert = Alert.objects.get(subject="P0420")
    assert alert.status == Alert.Status.OPEN
    assert alert.summary == "P0420: Our test car"
    assert alert.evidence["severity"] == "critical"


def test_what_the_fleet_calls_harmless_is_held_like_any_other(car: Vehicle) -> None:
    decide(pattern="P0524", severity="low")
    say(car, NOW, codes=["P0524"])
    assert alerts_of(car) == [("P0524", "pending", "due")]


def test_late_lists_are_judged_by_the_same_book(car: Vehicle) -> None:
    decide(pattern="P0420", is_ignored=True)
    decide(pattern="P1234", severity="critical")
    say(car, NOW, codes=["P0430"])
    say(car, NOW - HOUR, now=NOW, codes=["P0420", "P0430", "P1234", "P1235"])
    # P1234 opened on the late list; that it is gone takes one more list to believe.
    assert alerts_of(car) == [("P0430", "open", "due"), ("P1234", "open", "due")]


def test_a_dry_run_knows_the_book(car: Vehicle) -> None:
    open_code(car, "P0420")
    make_override(pattern="P0420")
    assert evaluation.dry_run(car, now=NOW) == ["resolve: Any trouble code P0420"]


def test_the_book_follows_the_rows_at_once() -> None:
    assert not code_book.now_in_force().judge("P0420").is_ignored
    row = make_override(pattern="P0420")
    assert code_book.now_in_force().judge("P0420").is_ignored
    CodeOverride.objects.filter(pk=row.pk).update(is_ignored=False, text="Ours", severity="high")
    judged = code_book.now_in_force().judge("P0420")
    assert (judged.is_ignored, judged.own_meaning, judged.severity) == (False, "Ours", "high")
    row.delete()
    assert code_book.now_in_force().choose("P0420") is None


def test_what_was_decided_is_written_down() -> None:
    user = make_user()
    override = CodeOverride(pattern="p0420")
    code_overrides.save(override, now=NOW, user=user)
    code_overrides.save(override, now=NOW, user=user)
    code_overrides.delete([override], now=NOW, user=user)
    assert list(Activity.objects.order_by("pk").values_list("what", "actor")) == [
        (f"Code override {done}: P0420", user.username) for done in ("added", "changed", "deleted")
    ]
    assert not CodeOverride.objects.exists()


def test_every_car_is_looked_at_again_and_asked_for_no_other_signals(car: Vehicle) -> None:
    Rule.objects.all().delete()
    decide(pattern="P0420")
    car.refresh_from_db()
    assert car.evaluation_due_at == NOW
    assert not car.signals.exists()


# --- The row ----------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "P04", "0420", "P0420, P0430", "*", "P04[", "'P0420"])
def test_a_pattern_that_fits_no_code_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CodeOverride(pattern=typed).full_clean()
    assert set(caught.value.message_dict) == {"pattern"}


def test_two_ways_to_write_one_code_are_one_row() -> None:
    make_override(pattern="c056171")
    with pytest.raises(ValidationError, match="in the list already"):
        CodeOverride(pattern=" C0561-71 ").full_clean()
    with pytest.raises(IntegrityError):
        CodeOverride.objects.create(pattern="C0561:71")


def test_texts_are_kept_on_one_line() -> None:
    row = make_override(text=" a\r\n b ", note="\tc")
    assert (row.text, row.note) == ("a b", "c")
