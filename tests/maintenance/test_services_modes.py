"""While a vehicle is in the shop nobody is told; afterwards people hear what was held back."""

from zoneinfo import ZoneInfo

import pytest

from integrations.models import Activity, OutboxEntry, Vehicle
from maintenance.models import Alert, FleetioIssue, MaintenanceMode, Rule
from maintenance.services import acts, issues, modes, notifying, tending
from tests.factories import NOW, make_group, make_vehicle
from tests.maintenance.cars import DAY, HOUR, add_default_rules, open_alert, say

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fleet(settings: object, db: None) -> None:
    settings.MAINTENANCE_EMAILS = ["shop@example.com"]  # type: ignore[attr-defined]
    add_default_rules()


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle(group=make_group())


def written(kind: str) -> int:
    rows = OutboxEntry.objects.filter(kind=kind)
    return rows.exclude(state=OutboxEntry.State.CANCELLED).count()


def test_nobody_is_told_while_it_is_in_the_shop(car: Vehicle) -> None:
    modes.begin(vehicle=car, now=NOW - DAY)

    alert = open_alert(car)

    assert alert.held_because == Alert.Hold.MAINTENANCE
    assert (written(notifying.MAIL), written(issues.KIND)) == (0, 0)
    assert not FleetioIssue.objects.exists()


def test_a_group_in_the_shop_holds_its_vehicles_alone(car: Vehicle) -> None:
    modes.begin(group=car.group, now=NOW - DAY)

    assert open_alert(car).held_because == Alert.Hold.MAINTENANCE
    assert open_alert(make_vehicle()).held_because == ""


def test_at_the_end_people_hear_what_is_still_the_matter(car: Vehicle) -> None:
    mode = modes.begin(vehicle=car, now=NOW - DAY)
    alert = open_alert(car)

    assert modes.end(mode, now=NOW + DAY)
    assert not modes.end(mode, now=NOW + DAY)

    assert (written(notifying.MAIL), written(issues.KIND)) == (1, 1)
    alert.refresh_from_db()
    assert alert.announced_stage == "due"


def test_what_came_and_went_in_the_shop_leaves_no_alarm_behind(car: Vehicle) -> None:
    mode = modes.begin(vehicle=car, now=NOW - DAY)
    alert = open_alert(car)
    say(car, NOW + HOUR, oil=90)
    assert [each.pk for each in modes.held_by(mode)] == [alert.pk]

    modes.end(mode, now=NOW + DAY)

    assert written(notifying.MAIL) == written(notifying.RESOLVED_MAIL) == 0
    assert modes.held_by(mode) == []


def test_a_mode_ends_by_the_clock(car: Vehicle) -> None:
    mode = modes.begin(vehicle=car, ends_at=NOW + DAY, now=NOW - DAY)
    open_alert(car)

    tending.tend(now=NOW + DAY - HOUR)
    assert written(notifying.MAIL) == 0
    tending.tend(now=NOW + DAY)

    assert written(notifying.MAIL) == 1
    mode.refresh_from_db()
    assert mode.ended_at == NOW + DAY


def test_what_was_said_before_is_not_said_again(car: Vehicle) -> None:
    alert = open_alert(car)
    mode = modes.begin(vehicle=car, now=NOW + HOUR)
    tending.tend(now=NOW + 7 * DAY)  # the reminder is held

    modes.end(mode, now=NOW + 8 * DAY)

    assert written(notifying.MAIL) == 1
    alert.refresh_from_db()
    assert alert.remind_at == NOW + 15 * DAY


def test_what_got_worse_in_the_shop_is_said_at_the_end(car: Vehicle) -> None:
    open_alert(car)
    OutboxEntry.objects.update(state=OutboxEntry.State.DONE)
    mode = modes.begin(vehicle=car, now=NOW + HOUR)
    say(car, NOW + DAY, oil=3)
    assert written(notifying.MAIL) == 1

    modes.end(mode, now=NOW + 2 * DAY)

    assert written(notifying.MAIL) == 2


def test_the_end_of_one_mode_leaves_what_another_still_holds(car: Vehicle) -> None:
    modes.begin(group=car.group, now=NOW - DAY)
    mode = modes.begin(vehicle=car, now=NOW - DAY)
    alert = open_alert(car)

    modes.end(mode, now=NOW + DAY)

    alert.refresh_from_db()
    assert alert.held_because == Alert.Hold.MAINTENANCE
    assert written(notifying.MAIL) == 0


def test_a_mode_that_was_deleted_holds_nothing(car: Vehicle) -> None:
    modes.begin(vehicle=car, now=NOW - DAY)
    open_alert(car)
    MaintenanceMode.objects.all().delete()

    tending.tend(now=NOW + HOUR)

    assert written(notifying.MAIL) == 1


def test_what_a_person_acknowledged_in_the_shop_is_said_without_reminders(car: Vehicle) -> None:
    mode = modes.begin(vehicle=car, now=NOW - DAY)
    alert = open_alert(car)
    acts.acknowledge(alert, now=NOW)

    modes.end(mode, now=NOW + DAY)

    alert.refresh_from_db()
    assert alert.remind_at is None
    assert alert.held_because == ""


def test_what_came_and_went_is_listed_when_the_vehicle_left_its_group(car: Vehicle) -> None:
    modes.begin(group=car.group, now=NOW - DAY)
    open_alert(car)
    say(car, NOW + HOUR, oil=90)
    Vehicle.objects.filter(pk=car.pk).update(group=None)

    tending.tend(now=NOW + 2 * HOUR)

    assert written(notifying.HELD_MAIL) == 1
    assert written(notifying.MAIL) == 0


def test_who_heard_that_it_is_over_is_not_told_that_it_came_and_went(car: Vehicle) -> None:
    alert = open_alert(car, oil=25)
    OutboxEntry.objects.update(state=OutboxEntry.State.DONE)
    mode = modes.begin(vehicle=car, now=NOW + HOUR)
    say(car, NOW + DAY, oil=12)
    alert.refresh_from_db()
    assert alert.held_because == Alert.Hold.MAINTENANCE
    say(car, NOW + 2 * DAY, oil=90)

    modes.end(mode, now=NOW + 3 * DAY)

    assert (written(notifying.RESOLVED_MAIL), written(notifying.HELD_MAIL)) == (1, 0)


def test_the_next_reason_for_quiet_takes_the_place_of_the_shop(car: Vehicle) -> None:
    Alert.objects.create(
        vehicle=car,
        rule=Rule.objects.get(kind=Rule.Kind.STALE_DATA),
        kind=Rule.Kind.STALE_DATA,
        topic="stale-data",
        stage="due",
        summary="Quiet",
        status=Alert.Status.OPEN,
        pending_since=NOW,
        opened_at=NOW,
        held_because=Alert.Hold.MAINTENANCE,
    )
    connection = car.connection
    assert connection is not None
    connection.status = connection.Status.NEEDS_RECONNECT
    connection.save()

    tending.tend(now=NOW)

    assert Alert.objects.get(kind=Rule.Kind.STALE_DATA).held_because == Alert.Hold.CONNECTION


def test_times_are_written_down_in_utc(car: Vehicle) -> None:
    local = (NOW + DAY).astimezone(ZoneInfo("America/Denver"))
    modes.begin(vehicle=car, ends_at=local, now=NOW)
    acts.snooze(open_alert(make_vehicle()), until=local, now=NOW)

    texts = Activity.objects.filter(what__contains="until").values_list("what", flat=True)
    assert len(texts) == 2
    assert all("2026-03-03 12:00 UTC" in text for text in texts)
