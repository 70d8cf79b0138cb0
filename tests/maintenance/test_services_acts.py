"""What people do with alerts, and what that does to reminders."""

from datetime import timedelta

import pytest

from integrations.models import Activity, Vehicle
from maintenance.models import Alert
from maintenance.services import acts
from tests.factories import NOW, make_user, make_vehicle
from tests.maintenance.cars import DAY, HOUR, open_alert, say

pytestmark = pytest.mark.django_db
Status = Alert.Status


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def test_an_acknowledged_alert_reminds_nobody(car: Vehicle) -> None:
    alert = open_alert(car)
    assert Alert.objects.get(remind_at=NOW + 7 * DAY) == alert

    assert acts.acknowledge(alert, now=NOW + HOUR, name="wrench@example.com", note="Booked")

    alert.refresh_from_db()
    assert (alert.status, alert.acknowledged_name) == (Status.ACKNOWLEDGED, "wrench@example.com")
    assert alert.remind_at is None
    assert alert.note == "Booked"
    assert Activity.objects.get(what__startswith="Acknowledged").actor == "wrench@example.com"


def test_a_snoozed_alert_has_a_time_at_which_it_ends(car: Vehicle) -> None:
    alert = open_alert(car)

    assert acts.snooze(alert, until=NOW + 3 * DAY, user=make_user(), now=NOW)

    alert.refresh_from_db()
    assert (alert.status, alert.snoozed_until) == (Status.SNOOZED, NOW + 3 * DAY)
    assert alert.remind_at is None


def test_nothing_is_snoozed_into_the_past(car: Vehicle) -> None:
    assert not acts.snooze(open_alert(car), until=NOW, now=NOW)


def test_what_will_not_be_fixed_stays_on_the_list_but_reminds_nobody(car: Vehicle) -> None:
    alert = open_alert(car)

    assert acts.waive(alert, user=make_user(username="boss"), now=NOW, note="Sold next week")

    alert.refresh_from_db()
    assert (alert.status, alert.waived_name) == (Status.ACKNOWLEDGED, "boss")
    assert not acts.waive(alert, now=NOW)


def test_will_not_be_fixed_is_honoured_until_it_has_cleared(car: Vehicle) -> None:
    alert = open_alert(car)
    acts.waive(alert, now=NOW)
    say(car, NOW + DAY, oil=3)
    alert.refresh_from_db()
    assert (alert.stage, alert.waived_at) == ("overdue", NOW)

    say(car, NOW + 2 * DAY, oil=90)
    alert.refresh_from_db()
    assert alert.status == Status.RESOLVED

    open_alert(car, NOW + 4 * DAY)
    alert.refresh_from_db()
    assert (alert.status, alert.waived_at) == (Status.OPEN, None)


@pytest.mark.parametrize("act", [acts.acknowledge, acts.waive, acts.resolve])
def test_nothing_is_done_to_what_is_over(car: Vehicle, act: object) -> None:
    alert = open_alert(car)
    acts.resolve(alert, now=NOW)

    assert not act(alert, now=NOW + HOUR)  # type: ignore[operator]
    assert not acts.snooze(alert, until=NOW + DAY, now=NOW + HOUR)


def test_what_a_person_reopens_is_open_against_what_the_car_said_before(car: Vehicle) -> None:
    alert = open_alert(car)
    say(car, NOW + DAY, oil=90)
    alert.refresh_from_db()
    assert alert.status == Status.RESOLVED

    assert acts.reopen(alert, now=NOW + 2 * DAY, name="mechanic", note="Not changed at all")
    say(car, NOW + DAY + HOUR, oil=91, now=NOW + 2 * DAY + HOUR)
    alert.refresh_from_db()
    assert (alert.status, alert.times_opened) == (Status.OPEN, 2)

    say(car, NOW + 3 * DAY, oil=92)
    alert.refresh_from_db()
    assert alert.status == Status.RESOLVED


def test_an_open_alert_cannot_be_reopened(car: Vehicle) -> None:
    assert not acts.reopen(open_alert(car), now=NOW)


def test_an_old_alert_is_not_reopened_beside_a_newer_one(car: Vehicle) -> None:
    old = open_alert(car)
    acts.resolve(old, now=NOW)
    newer = open_alert(car, NOW + 30 * DAY)
    assert newer.pk != old.pk

    assert not acts.reopen(old, now=NOW + 31 * DAY)
    assert Alert.objects.unresolved().filter(vehicle=car).count() == 1


def test_an_interval_that_a_person_reopens_waits_for_a_word_to_the_contrary(car: Vehicle) -> None:
    from tests.factories import make_service

    make_service(vehicle=car, topic="engine-oil", odometer_km=10_000, done_on=NOW.date())
    say(car, NOW, km=18_100)
    alert = Alert.objects.get(vehicle=car, topic="engine-oil")
    make_service(vehicle=car, topic="engine-oil", odometer_km=18_100, done_on=NOW.date())
    say(car, NOW + HOUR, km=18_101)
    alert.refresh_from_db()
    assert alert.status == Status.RESOLVED

    assert acts.reopen(alert, now=NOW + 2 * HOUR)
    alert.refresh_from_db()
    assert alert.status == Status.OPEN

    say(car, NOW + 2 * HOUR + timedelta(minutes=5), km=18_120)
    alert.refresh_from_db()
    assert alert.status == Status.RESOLVED
