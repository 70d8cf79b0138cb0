"""What the maker's records say of services becomes service records, once."""

from datetime import date
from typing import Any

import pytest
from pytest_django import Settings

from integrations.clients.readings import SERVICE_RECORDS, SignalReading
from integrations.models import Reading, Vehicle
from integrations.services.ingest import ingest
from maintenance.models import Rule, ServiceRecord
from maintenance.services import services
from tests.factories import NOW, make_service, make_vehicle
from tests.maintenance.cars import DAY, HOUR, add_default_rules, alerts_of, say

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()
    Rule.objects.filter(topic="engine-oil").update(service_names="Oil Change")


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def done(**values: Any) -> dict[str, Any]:
    tasks = [{"id": "7", "description": name} for name in values.pop("tasks", ["oil change"])]
    return {
        "id": "s1",
        "time": "2026-02-10T15:00:00.000Z",
        "odometer": 50_000.5,
        "tasks": tasks,
        **values,
    }


def tell(car: Vehicle, *records: Any, body: Any = None, at: Any = NOW) -> None:
    reading = SignalReading(
        code=SERVICE_RECORDS,
        body=body if body is not None else {"values": list(records)},
        recorded_at=at,
        fetched_at=at,
    )
    ingest(car, [reading], source=Reading.Source.POLL, now=at)


def test_a_service_of_the_history_becomes_a_record_and_ends_the_alert(car: Vehicle) -> None:
    make_service(vehicle=car, odometer_km=40_000, done_on=date(2025, 6, 1))
    say(car, NOW - HOUR, km=51_000)
    assert alerts_of(car) == [("engine-oil", "open", "overdue")]

    tell(car, done(tasks=["Oil-Change", "Wash the car"]))
    record = car.services.latest("pk")
    assert (record.topic, record.source, record.is_proposed) == ("engine-oil", "smartcar", False)
    assert (record.done_on, record.odometer_km) == (date(2026, 2, 10), 50_000.5)
    assert record.reference == "smartcar:s1:engine-oil"
    assert record.note == "Oil-Change, Wash the car"
    assert alerts_of(car) == [("engine-oil", "resolved", "overdue")]


def test_a_history_that_is_told_again_records_nothing_new(car: Vehicle) -> None:
    for hour in range(3):
        tell(car, done(), done(id="s2", time="2026-02-20T15:00:00Z"), at=NOW + hour * HOUR)
    assert car.services.count() == 2


def test_a_record_without_an_id_is_known_by_its_time(car: Vehicle) -> None:
    for hour in range(2):
        tell(car, done(id=None), at=NOW + hour * HOUR)
    assert car.services.get().reference == "smartcar:2026-02-10T15:00:00.000Z:engine-oil"


def test_the_same_service_under_another_id_is_the_same(car: Vehicle) -> None:
    tell(car, done(id=None), done(id=4711, time="2026-02-10T09:00:00Z"))
    assert car.services.count() == 1


def test_what_somebody_entered_of_that_day_stands(car: Vehicle) -> None:
    mine = make_service(vehicle=car, done_on=date(2026, 2, 10))
    tell(car, done())
    assert car.services.get() == mine


def test_what_was_deleted_here_does_not_come_back(car: Vehicle) -> None:
    tell(car, done())
    services.delete(car.services.get(), now=NOW)
    tell(car, done(), at=NOW + HOUR)
    assert not car.services.counting().exists()


def test_one_visit_is_a_record_for_each_topic(car: Vehicle) -> None:
    tell(car, done(tasks=["oil change", "Tire rotation", "OIL CHANGE"]))
    topics = car.services.order_by("topic").values_list("topic", flat=True)
    assert list(topics) == ["engine-oil", "tire-rotation"]


def test_a_record_answers_what_oil_life_proposed(car: Vehicle) -> None:
    say(car, NOW - 21 * DAY, oil=15)
    say(car, NOW - 20 * DAY, oil=100)
    assert ServiceRecord.objects.proposed().exists()
    tell(car, done())
    assert not ServiceRecord.objects.proposed().exists()


@pytest.mark.parametrize(
    ("odometer", "km"),
    [
        (50_000, 50_000),
        ("50000", None),
        (None, None),
        (-1, None),
        (0, None),
        (60_004, 60_004),
        (60_006, None),  # the car shows 60,000
        ({"value": 1000, "unit": "miles"}, 1609.344),
        ({"value": 1000, "unit": "furlongs"}, None),
        (float("1e400"), None),
        (True, None),
        ([1], None),
    ],
)
def test_an_odometer_is_distrusted(car: Vehicle, odometer: Any, km: float | None) -> None:
    say(car, NOW - HOUR, km=60_000)
    tell(car, done(odometer=odometer))
    assert car.services.get().odometer_km == (km if km is None else pytest.approx(km))


def test_a_unit_of_the_whole_body_counts(car: Vehicle) -> None:
    tell(car, body={"values": [done(odometer=1000)], "unit": "miles"})
    assert car.services.get().odometer_km == pytest.approx(1609.344)


def test_without_an_odometer_the_cars_own_readings_fill_it(car: Vehicle) -> None:
    at = NOW - 20 * DAY
    say(car, at, km=49_000)
    tell(car, done(odometer=None, time=at.isoformat()))
    assert car.services.get().odometer_km == 49_000


@pytest.mark.parametrize(
    "record",
    [
        None,
        "text",
        [],
        {},
        done(time=None),
        done(time="yesterday"),
        done(time="2026-03-03T15:00:00Z"),  # tomorrow
        done(time="1900-01-01T15:00:00Z"),
        done(time="9999-12-31T23:59:59Z"),
        done(tasks=[]),
        done(tasks=["", None, 5, {}]),
        done(tasks=["Something else"]),
        {**done(), "tasks": "oil change"},
        {**done(), "tasks": ["oil change"]},
    ],
)
def test_what_cannot_be_believed_records_nothing_and_breaks_nothing(
    car: Vehicle, record: Any
) -> None:
    tell(car, record, done(id="good"))
    car.refresh_from_db()
    assert car.evaluation_error == ""
    assert car.services.get().reference == "smartcar:good:engine-oil"


@pytest.mark.parametrize("body", [{"values": None, "x": 1}, {"values": "?"}, {"x": 1}])
def test_a_body_of_another_shape_records_nothing(car: Vehicle, body: Any) -> None:
    tell(car, body=body)
    car.refresh_from_db()
    assert (car.services.count(), car.evaluation_error) == (0, "")


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2026-02-10T03:00:00Z", date(2026, 2, 9)),
        ("2026-02-10T00:00:00.000Z", date(2026, 2, 10)),  # a bare day
        ("2026-02-10", date(2026, 2, 10)),
    ],
)
def test_the_day_is_the_fleets_own(car: Vehicle, settings: Settings, time: str, day: date) -> None:
    settings.TIME_ZONE = "America/Los_Angeles"
    tell(car, done(time=time))
    assert car.services.get().done_on == day


def test_a_long_id_fits(car: Vehicle) -> None:
    for hour in range(2):
        tell(car, done(id="x" * 500), at=NOW + hour * HOUR)
    assert len(car.services.get().reference) <= 120
