"""Oil life that goes up proposes an oil change: once, whatever the order of the readings."""

import random
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from integrations.models import Reading, Vehicle
from maintenance.models import Rule, ServiceRecord
from maintenance.services import proposals, services
from tests.factories import NOW, make_reading, make_rule, make_service, make_vehicle
from tests.maintenance.cars import DAY, HOUR, add_default_rules, alerts_of, say

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def told(car: Vehicle, *readings: tuple[float, float], now: Any = NOW) -> None:
    """(days ago, percent), all brought in now, in this order."""
    for days_ago, oil in readings:
        say(car, NOW - days_ago * DAY, oil=oil, now=now)


def proposed(car: Vehicle) -> list[float]:
    """How many days ago, of each proposal."""
    references = car.services.proposed().order_by("reference").values_list("reference", flat=True)
    times = [type(NOW).fromisoformat(text.removeprefix("oil-life:")) for text in references]
    return [(NOW - at) / DAY for at in times]


def test_a_jump_proposes_a_service_with_its_day_and_odometer(car: Vehicle) -> None:
    say(car, NOW - 2 * DAY, oil=12, km=50_000)
    say(car, NOW - DAY, oil=100, km=50_100)

    entry = car.services.get()
    assert (entry.topic, entry.source, entry.is_proposed) == ("engine-oil", "oil_life", True)
    assert (entry.done_on, entry.odometer_km) == ((NOW - DAY).date(), 50_100)
    assert entry.reference == "oil-life:2026-03-01T12:00:00+00:00"
    assert "12 %" in entry.note
    assert "100 %" in entry.note


def test_the_day_is_the_fleets_own(car: Vehicle, settings: Any) -> None:
    settings.TIME_ZONE = "America/Los_Angeles"
    say(car, NOW - DAY, oil=12)
    say(car, NOW - 8 * HOUR, oil=100)  # 04:00 UTC, still the evening of the day before
    assert car.services.get().done_on.isoformat() == "2026-03-01"


@pytest.mark.parametrize(
    "readings",
    [
        [(2, 80), (1, 100)],
        [(2, 0), (1, 100)],
        [(3, 60), (2, 0), (1, 59)],
        [(40, 10), (1, 100)],
    ],
)
def test_what_is_no_jump_proposes_nothing(
    car: Vehicle, readings: list[tuple[float, float]]
) -> None:
    for days_ago, oil in readings:
        say(car, NOW - days_ago * DAY, oil=oil)
    assert not car.services.exists()


def test_a_doubtful_reading_is_no_witness(car: Vehicle) -> None:
    make_reading(
        vehicle=car,
        code="internalcombustionengine-oillife",
        value=10,
        recorded_at=NOW - 3 * DAY,
        quality=Reading.Quality.DOUBTFUL,
    )
    told(car, (2, 90), (1, 95))
    assert not car.services.exists()


def test_readings_after_the_jump_do_not_propose_it_again(car: Vehicle) -> None:
    told(car, (20, 12), (19, 100), (18, 99), (10, 95), (9, 96), (1, 90))
    assert proposed(car) == [19]


def test_a_late_reading_dates_the_jump_earlier(car: Vehicle) -> None:
    told(car, (20, 12), (2, 90))
    assert proposed(car) == [2]
    told(car, (15, 95))
    assert proposed(car) == [15]


def test_a_late_low_reading_shows_the_jump(car: Vehicle) -> None:
    told(car, (2, 95), (1, 94))
    assert proposed(car) == []
    told(car, (5, 20))
    assert proposed(car) == [2]


def test_the_odometer_is_filled_when_it_comes_later(car: Vehicle) -> None:
    told(car, (3, 12), (2, 90))
    say(car, NOW - 2 * DAY + HOUR, km=50_000)
    proposals.confirm(car.services.get(), now=NOW)
    assert car.services.get().odometer_km == 50_000


@pytest.mark.parametrize("decide", [proposals.confirm, proposals.dismiss, services.delete])
def test_what_was_decided_is_not_asked_again(car: Vehicle, decide: Any) -> None:
    told(car, (20, 12), (2, 90))
    decide(car.services.get(), now=NOW)
    told(car, (15, 95), (1, 89), (16, 96))

    assert car.services.count() == 1
    assert proposed(car) == []


@pytest.mark.parametrize(("days", "count"), [(-7, 0), (7, 0), (0, 0), (-8, 1), (8, 1)])
def test_nothing_is_proposed_within_a_week_of_a_record(car: Vehicle, days: int, count: int) -> None:
    make_service(vehicle=car, done_on=(NOW - (10 + days) * DAY).date())
    told(car, (11, 12), (10, 90))
    assert len(proposed(car)) == count


def test_only_rules_in_force_have_topics(car: Vehicle) -> None:
    make_rule(kind="oil_life", topic="other", distance_km=None, make="TESLA")
    make_rule(kind="oil_life", topic="mine", distance_km=None, vehicle=car)
    Rule.objects.filter(kind="oil_life", topic="engine-oil").update(is_enabled=False)
    told(car, (11, 12), (10, 90))

    assert car.services.get().topic == "mine"


def test_a_proposal_ends_no_interval_before_it_is_confirmed(car: Vehicle) -> None:
    make_service(vehicle=car, odometer_km=50_000, done_on=(NOW - 90 * DAY).date())
    say(car, NOW - DAY, oil=40, km=59_000)
    say(car, NOW, oil=100, km=59_000)
    assert alerts_of(car) == [("engine-oil", "open", "overdue")]

    proposals.confirm(ServiceRecord.objects.proposed().get(), now=NOW)
    assert alerts_of(car) == [("engine-oil", "resolved", "overdue")]


@pytest.mark.parametrize("said", [{"km": 50_000, "codes": []}, {"oil": 99}])
def test_what_cannot_be_a_jump_costs_no_query(car: Vehicle, said: dict[str, Any]) -> None:
    told(car, (20, 12), (19, 100))
    with CaptureQueriesContext(connection) as queries:
        say(car, NOW, **said)
    asked = [q["sql"] for q in queries if q["sql"].startswith("SELECT")]
    assert not [sql for sql in asked if "integrations_reading" in sql]


class AnyOrder(TestCase):
    """All within thirty days: what is older is not taken in any more."""

    @settings(max_examples=40, deadline=None)
    @given(
        values=st.lists(
            st.sampled_from([0, 5, 12, 20, 45, 60, 80, 95, 100]), min_size=2, max_size=9
        ),
        hours=st.lists(st.integers(1, 29 * 24), min_size=9, max_size=9, unique=True),
        seed=st.integers(0, 2**32),
    )
    def test_any_order_and_repetition_makes_the_same_proposals(
        self, values: list[float], hours: list[int], seed: int
    ) -> None:
        add_default_rules()
        chance = random.Random(seed)  # noqa: S311
        times = sorted(hours, reverse=True)
        events = [(h / 24, oil) for h, oil in zip(times, values, strict=False)]
        many = [event for event in events for _ in range(chance.randint(1, 3))]
        chance.shuffle(many)
        tidy, messy = make_vehicle(), make_vehicle()
        told(tidy, *events)
        told(messy, *many)

        assert proposed(messy) == proposed(tidy)
