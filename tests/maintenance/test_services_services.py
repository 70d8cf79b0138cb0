"""Services that were done restart intervals."""

from datetime import date

import pytest
from django.core.exceptions import ValidationError

from integrations.models import Activity, Vehicle
from maintenance.models import Alert, ServiceRecord
from maintenance.services import services
from tests.factories import NOW, make_alert, make_service, make_user, make_vehicle
from tests.maintenance.cars import DAY, HOUR, MILE, add_default_rules, alerts_of, open_alert, say

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def due(car: Vehicle) -> Alert:
    make_service(vehicle=car, odometer_km=50_000, done_on=(NOW - 90 * DAY).date())
    say(car, NOW, km=50_000 + 5100 * MILE)
    return Alert.objects.get(vehicle=car)


def test_marking_serviced_records_today_and_the_odometer_and_ends_the_alert(car: Vehicle) -> None:
    alert, user = due(car), make_user(username="alex")

    assert services.mark_serviced(alert, now=NOW + HOUR, user=user)

    record = ServiceRecord.objects.order_by("pk").last()
    assert record
    assert (record.topic, record.source, record.created_by) == ("engine-oil", "admin", user)
    assert record.done_on == NOW.date()
    assert record.odometer_km == pytest.approx(50_000 + 5100 * MILE)
    alert.refresh_from_db()
    assert (alert.status, alert.resolution) == ("resolved", "serviced")
    assert Activity.objects.filter(what__startswith="Service recorded", actor="alex").exists()


def test_marking_serviced_twice_records_one_service(car: Vehicle) -> None:
    alert = due(car)
    stale = Alert.objects.get(pk=alert.pk)

    assert services.mark_serviced(alert, now=NOW + HOUR)
    assert not services.mark_serviced(alert, now=NOW + HOUR)
    assert not services.mark_serviced(stale, now=NOW + HOUR)
    assert car.services.count() == 2


def test_the_next_service_is_due_a_whole_interval_later(car: Vehicle) -> None:
    services.mark_serviced(due(car), now=NOW + HOUR)
    base = 50_000 + 5100 * MILE
    for day, miles in enumerate((1500, 3000, 4400), start=1):
        say(car, NOW + day * DAY, km=base + miles * MILE)
    assert Alert.objects.unresolved().count() == 0

    say(car, NOW + 9 * DAY, km=base + 5001 * MILE)
    # Within the reopen window it is the same alert.
    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_a_record_of_the_past_keeps_its_own_day_and_odometer(car: Vehicle) -> None:
    say(car, NOW, km=90_000)
    record = services.record(
        car, topic="tire-rotation", done_on=date(2026, 1, 5), odometer_km=85_000, now=NOW
    )
    assert (record.done_on, record.odometer_km) == (date(2026, 1, 5), 85_000)

    by_day = services.record(car, topic="tire-rotation", done_on=date(2026, 1, 5), now=NOW)
    assert by_day.odometer_km is None  # nobody knows what it showed then


def test_a_record_looks_at_the_rules_at_once(car: Vehicle) -> None:
    say(car, NOW, km=90_000)
    services.record(car, topic="engine-oil", done_on=date(2025, 1, 5), odometer_km=80_000, now=NOW)
    assert alerts_of(car) == [("engine-oil", "open", "overdue")]


def test_a_record_of_another_topic_ends_nothing(car: Vehicle) -> None:
    due(car)
    services.record(car, topic="tire-rotation", now=NOW + HOUR)

    assert alerts_of(car) == [("engine-oil", "open", "due")]


def test_a_car_without_an_odometer_can_be_serviced(car: Vehicle) -> None:
    alert = open_alert(car)
    assert services.mark_serviced(alert, now=NOW + HOUR)
    assert car.services.get().odometer_km is None


def test_an_impossible_record_is_refused_and_leaves_nothing(car: Vehicle) -> None:
    for values in ({"odometer_km": -1.0}, {"topic": "no topic!"}):
        with pytest.raises(ValidationError):
            services.record(car, **{"topic": "engine-oil", "now": NOW, **values})  # type: ignore[arg-type]
    assert not ServiceRecord.objects.exists()
    assert not Activity.objects.exists()


def test_an_alert_without_a_car_cannot_be_serviced() -> None:
    assert not services.mark_serviced(make_alert(vehicle=None), now=NOW)


def test_the_latest_service_counts_whatever_order_they_were_entered_in(car: Vehicle) -> None:
    say(car, NOW, km=58_500)
    services.record(car, topic="engine-oil", done_on=date(2026, 3, 1), odometer_km=58_000, now=NOW)
    services.record(car, topic="engine-oil", done_on=date(2025, 3, 1), odometer_km=40_000, now=NOW)

    assert alerts_of(car) == []
