"""The life of alerts: what people do, what comes back, and what silences."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from integrations.models import Activity, OutboxEntry, Vehicle
from maintenance.models import Alert, FleetioIssue, Rule
from maintenance.services import acts, evaluation, services
from tests.factories import NOW, make_alert, make_service, make_user, make_vehicle
from tests.maintenance.cars import (
    DAY,
    HOUR,
    add_default_rules,
    alerts_of,
    open_alert,
    rule_of,
    say,
    states,
)

pytestmark = pytest.mark.django_db

ISSUE, MAIL, RESOLVED = "fleetio_issue", "mail_alert", "mail_alert_resolved"


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle(make="CHEVROLET")


@pytest.fixture
def user() -> User:
    return make_user(username="alex")


def done(*kinds: str) -> None:
    """Let the waiting messages of these kinds have arrived."""
    rows = OutboxEntry.objects.filter(kind__in=kinds, state="pending")
    rows.update(state="done", started_at=NOW, finished_at=NOW)


def fix(car: Vehicle, at_hour: float) -> None:
    say(car, NOW + at_hour * HOUR, oil=95)


def wear(car: Vehicle, at_hour: float) -> None:
    for hour in (at_hour, at_hour + 12):
        say(car, NOW + hour * HOUR, oil=14)


# --- people -------------------------------------------------------------------------------------


def test_acknowledging_is_remembered_once(car: Vehicle, user: User) -> None:
    alert = open_alert(car)

    assert acts.acknowledge(alert, user=user, now=NOW + HOUR, note="Booked for Friday")
    assert not acts.acknowledge(alert, user=make_user(), now=NOW + 2 * HOUR)

    alert.refresh_from_db()
    assert (alert.status, alert.acknowledged_at) == ("acknowledged", NOW + HOUR)
    assert (alert.acknowledged_by, alert.note) == (user, "Booked for Friday")
    assert Activity.objects.filter(what__startswith="Acknowledged", actor="alex").count() == 1


def test_resolving_is_remembered_once(car: Vehicle, user: User) -> None:
    alert = open_alert(car)

    assert acts.resolve(alert, user=user, now=NOW + HOUR, note="A false alarm")
    assert not acts.resolve(alert, user=make_user(), now=NOW + 2 * HOUR)

    alert.refresh_from_db()
    assert (alert.status, alert.resolved_at) == ("resolved", NOW + HOUR)
    assert (alert.resolution, alert.resolved_by) == (Alert.Resolution.PERSON, user)
    assert Activity.objects.filter(what__startswith="Alert resolved").count() == 1


def test_what_is_not_open_cannot_be_acknowledged(car: Vehicle, user: User) -> None:
    say(car, NOW, oil=14)
    pending = Alert.objects.get()
    assert not acts.acknowledge(pending, user=user, now=NOW)

    resolved = open_alert(make_vehicle())
    acts.resolve(resolved, now=NOW + HOUR)
    assert not acts.acknowledge(resolved, user=user, now=NOW + 2 * HOUR)


def test_an_acknowledged_alert_still_gets_worse_and_clears(car: Vehicle, user: User) -> None:
    alert = open_alert(car, oil=14)
    acts.acknowledge(alert, user=user, now=NOW + HOUR)
    say(car, NOW + 2 * HOUR, oil=3)
    assert alerts_of(car) == [("engine-oil", "acknowledged", "overdue")]

    say(car, NOW + 3 * HOUR, oil=95)
    assert alerts_of(car) == [("engine-oil", "resolved", "overdue")]


def test_status_follows_from_the_columns() -> None:
    later = NOW + HOUR
    cases: dict[str, dict[str, Any]] = {
        "pending": {"opened_at": None},
        "open": {},
        "acknowledged": {"acknowledged_at": NOW},
        "snoozed": {"acknowledged_at": NOW, "snoozed_until": later},
        "resolved": {"resolved_at": NOW, "snoozed_until": later},
    }
    for status, columns in cases.items():
        assert Alert(**{"opened_at": NOW, **columns}).settled_status(NOW) == status
    assert Alert(opened_at=NOW, snoozed_until=NOW).settled_status(NOW) == "open"


# --- silence ------------------------------------------------------------------------------------


def test_what_a_person_resolved_stays_silent_while_the_car_goes_on(car: Vehicle) -> None:
    acts.resolve(open_alert(car), now=NOW + HOUR)
    for day in range(1, 14):
        say(car, NOW + day * DAY, oil=14)

    assert alerts_of(car) == [("engine-oil", "resolved", "due")]


def test_after_the_reopen_window_it_is_a_new_alert(car: Vehicle) -> None:
    acts.resolve(open_alert(car), now=NOW)
    wear(car, 14 * 24 + 1)

    assert alerts_of(car) == [("engine-oil", "resolved", "due"), ("engine-oil", "open", "due")]


def test_once_the_car_was_well_again_a_person_has_no_say_in_what_follows(car: Vehicle) -> None:
    alert = open_alert(car)
    acts.resolve(alert, now=NOW + HOUR)
    fix(car, 2)
    alert.refresh_from_db()
    assert alert.cleared_since_resolved

    wear(car, 3)
    assert alerts_of(car) == [("engine-oil", "open", "due")]
    assert Alert.objects.get().pk == alert.pk


def test_hovering_at_the_threshold_does_not_end_the_silence(car: Vehicle) -> None:
    acts.resolve(open_alert(car), now=NOW + HOUR)
    for hour, oil in enumerate([31, 19, 35, 19, 19], start=2):
        say(car, NOW + hour * 13 * HOUR, oil=oil)

    assert alerts_of(car) == [("engine-oil", "resolved", "due")]


def test_a_service_record_silences_oil_that_still_reads_low(car: Vehicle) -> None:
    alert = open_alert(car)
    assert services.mark_serviced(alert, now=NOW + HOUR)
    for day in range(1, 13):
        say(car, NOW + day * DAY, oil=13)

    assert alerts_of(car) == [("engine-oil", "resolved", "due")]
    alert.refresh_from_db()
    assert alert.resolution == Alert.Resolution.SERVICED


# --- coming back --------------------------------------------------------------------------------


def test_a_return_within_the_window_is_the_same_alert_with_its_issue(car: Vehicle) -> None:
    alert = open_alert(car)
    done(ISSUE, MAIL)
    issue = FleetioIssue.objects.create(alert=alert, fleetio_id=7, created_at=NOW)
    fix(car, 24)
    wear(car, 48)

    alert.refresh_from_db()
    assert alerts_of(car) == [("engine-oil", "open", "due")]
    assert (alert.times_opened, alert.opened_at) == (2, NOW)
    assert (alert.resolved_at, alert.resolution) == (None, "")
    assert alert.reported_at == NOW + 60 * HOUR
    assert alert.fleetio_issue == issue
    assert states(ISSUE) == ["done"]
    assert states(MAIL) == ["done", "pending"]
    assert Activity.objects.filter(what__startswith="Alert came back").exists()


def test_the_window_counts_from_the_end_of_the_alert(car: Vehicle) -> None:
    open_alert(car)
    fix(car, 24)
    wear(car, 24 + 14 * 24 - 12)
    assert len(alerts_of(car)) == 1

    other = make_vehicle()
    open_alert(other)
    fix(other, 24)
    wear(other, 24 + 14 * 24 - 11)
    assert len(alerts_of(other)) == 2
    assert len(states(ISSUE)) == 3


def test_a_return_forgets_who_acknowledged_it(car: Vehicle, user: User) -> None:
    alert = open_alert(car)
    acts.acknowledge(alert, user=user, now=NOW + HOUR)
    fix(car, 24)
    wear(car, 48)

    alert.refresh_from_db()
    assert (alert.status, alert.acknowledged_at, alert.acknowledged_by) == ("open", None, None)


def test_a_return_gets_an_issue_when_the_first_one_was_cancelled(car: Vehicle) -> None:
    open_alert(car)
    fix(car, 1)
    assert states(ISSUE) == ["cancelled"]

    wear(car, 24)
    assert states(ISSUE) == ["pending"]
    entry = OutboxEntry.objects.get(kind=ISSUE)
    assert (entry.finished_at, entry.last_error) == (None, "")


def test_a_return_needs_the_hold_again(car: Vehicle) -> None:
    open_alert(car)
    fix(car, 24)
    say(car, NOW + 48 * HOUR, oil=14)

    assert alerts_of(car) == [("engine-oil", "resolved", "due"), ("engine-oil", "pending", "due")]


# --- how alerts end -----------------------------------------------------------------------------


def test_an_interval_ends_as_serviced_and_oil_as_cleared(car: Vehicle) -> None:
    open_alert(car)
    fix(car, 1)
    assert Alert.objects.get().resolution == Alert.Resolution.CLEARED

    other = make_vehicle()
    make_service(vehicle=other, odometer_km=10_000, done_on=NOW.date())
    say(other, NOW, km=18_100)
    make_service(vehicle=other, odometer_km=18_100, done_on=NOW.date())
    evaluation.evaluate_vehicle(other.pk, now=NOW + HOUR)
    alert = Alert.objects.get(vehicle=other)
    assert alert.resolution == Alert.Resolution.SERVICED


def test_a_pending_alert_that_is_resolved_leaves_nothing_behind(car: Vehicle) -> None:
    say(car, NOW, oil=14)
    assert acts.resolve(Alert.objects.get(), now=NOW)
    assert not Alert.objects.exists()
    assert not OutboxEntry.objects.exists()


def test_an_alert_without_a_vehicle_can_be_acknowledged_and_resolved(user: User) -> None:
    alert = make_alert(vehicle=None)
    assert acts.acknowledge(alert, user=user, now=NOW)
    assert acts.resolve(alert, user=user, now=NOW + timedelta(minutes=1))


def test_handing_over_prefers_a_rule_of_the_same_kind(car: Vehicle) -> None:
    alert = open_alert(car)
    oil = rule_of("oil_life")
    twin = Rule.objects.create(name="Twin", kind="oil_life", topic="engine-oil", vehicle=car)
    Rule.objects.filter(pk=oil.pk).update(is_enabled=False)
    evaluation.evaluate_vehicle(car.pk, now=NOW + HOUR)

    alert.refresh_from_db()
    assert alert.rule == twin
    assert Activity.objects.filter(what="Alert now follows the rule Twin").count() == 1
