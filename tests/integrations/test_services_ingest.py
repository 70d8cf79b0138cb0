"""The one way in: judged once, kept once, and the same in the end whatever the order."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.clients.errors import Outcome
from integrations.clients.readings import (
    ATTRIBUTES,
    ODOMETER,
    OIL_LIFE,
    TIRES,
    TROUBLE_CODES,
    VIN,
    SignalError,
    SignalReading,
)
from integrations.models import Activity, Reading, Signal, TroubleCode, Vehicle
from integrations.services.ingest import Ingested, ingest
from integrations.signals import readings_recorded
from tests.factories import NOW, make_signal, make_trouble_code, make_vehicle
from tests.integrations.world import without_rules

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    without_rules(monkeypatch)


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


@contextmanager
def listening(listen: Any) -> Iterator[None]:
    readings_recorded.connect(listen)
    try:
        yield
    finally:
        readings_recorded.disconnect(listen)


def said(
    body: Any, at: datetime | None = NOW, *, code: str = OIL_LIFE, fetched: datetime | None = None
) -> SignalReading:
    if not isinstance(body, dict):
        body = {"value": body}
    return SignalReading(code=code, body=body, recorded_at=at, fetched_at=fetched or at)


def drove(km: float, at: datetime) -> SignalReading:
    return said(km, at, code=ODOMETER)


def put(car: Vehicle, *results: SignalReading | SignalError, **given: Any) -> Ingested:
    """Everything arrives when its newest reading was made, unless the test says otherwise."""
    times = [r.recorded_at for r in results if isinstance(r, SignalReading) and r.recorded_at]
    values: dict[str, Any] = {"source": "poll", "now": max([NOW, *times])} | given
    return ingest(car, results, **values)


def signal(code: str = OIL_LIFE) -> Signal:
    return Signal.objects.get(code=code)


# --- What is kept -----------------------------------------------------------------------------


def test_a_reading_becomes_history_and_state_in_one_unit(car: Vehicle) -> None:
    reading = SignalReading(
        code=ODOMETER,
        body={"value": 100, "unit": "miles"},
        recorded_at=NOW - HOUR,
        fetched_at=NOW,
        request_id="r" * 99,
    )

    result = put(car, reading, event_id="event")

    assert (result.readings, result.doubtful, result.rejected) == (1, 0, 0)
    assert result.codes == {ODOMETER}
    row, state = Reading.objects.get(), signal(ODOMETER)
    assert row.value == state.value == pytest.approx(160.9344)
    assert row.recorded_at == state.recorded_at == NOW - HOUR
    assert row.fetched_at == state.fetched_at == NOW
    assert row.event_id == state.event_id == "event"
    assert (row.quality, row.source, row.request_id) == ("clean", "poll", "r" * 64)
    assert (state.support, state.source) == ("ok", "poll")


def test_without_a_time_of_its_own_a_reading_is_dated_when_it_was_fetched(car: Vehicle) -> None:
    put(car, SignalReading(code=OIL_LIFE, body={"value": 5}, recorded_at=None, fetched_at=NOW))
    assert signal().recorded_at == NOW

    put(car, SignalReading(code=TIRES, body={}, recorded_at=None), now=NOW + HOUR)
    assert Reading.objects.get(code=TIRES).recorded_at == NOW + HOUR


def test_what_a_car_is_is_no_reading(car: Vehicle) -> None:
    put(car, said({"make": "FORD"}, code=ATTRIBUTES), said("x", code=VIN))

    assert not Signal.objects.exists()
    assert not Reading.objects.exists()


@pytest.mark.parametrize("value", [0, -5, 16_777_215, 4_294_967_295, "12", None, True])
def test_sentinels_are_rejected_and_seen_in_the_history_only(car: Vehicle, value: object) -> None:
    put(car, drove(500, NOW))

    result = put(car, said({"value": value}, NOW + DAY, code=ODOMETER))

    assert (result.rejected, result.codes) == (1, set())
    assert signal(ODOMETER).value == 500
    row = Reading.objects.get(quality="rejected")
    assert row.reason
    assert row.value is None
    assert row.data == {"value": value}


def test_what_no_database_stores_is_kept_without_it(car: Vehicle) -> None:
    odd = {"value": 1, "unit": "x\x00\ud800", "more": float("nan")}

    put(car, said(odd, code="something-new"), said(odd, code=ODOMETER))

    assert [row.data for row in Reading.objects.order_by("code")] == [
        {"value": 1, "unit": "x", "more": None},
        {"unit": "x", "more": None},
    ]


def test_one_impossible_signal_does_not_spoil_the_others(car: Vehicle) -> None:
    result = put(car, said(300), drove(500, NOW))

    assert (result.readings, result.rejected) == (1, 1)
    assert signal(ODOMETER).value == 500
    assert not Signal.objects.filter(code=OIL_LIFE).exists()


# --- Newer, older, the same -------------------------------------------------------------------


def test_a_newer_reading_of_the_same_value_is_stored_and_announced(car: Vehicle) -> None:
    put(car, said(50))

    result = put(car, said(50, NOW + HOUR))

    assert result.codes == {OIL_LIFE}
    assert Reading.objects.count() == 2
    assert signal().recorded_at == NOW + HOUR


@pytest.mark.parametrize(
    "late", [said(10, NOW - HOUR), said(50, NOW - HOUR)], ids=["another value", "the same value"]
)
def test_what_comes_late_is_kept_and_named_and_changes_no_state(
    car: Vehicle, late: SignalReading
) -> None:
    put(car, said(50))
    heard: list[Any] = []

    with listening(heard_by(heard)):
        result = put(car, late, now=NOW + HOUR)
        again = put(car, late, now=NOW + 2 * HOUR, event_id="another delivery")

    assert (result.codes, result.late, result.readings) == (set(), {OIL_LIFE}, 0)
    assert again == Ingested()
    assert [(given["codes"], given["late"]) for given in heard] == [(set(), {OIL_LIFE})]
    assert (signal().value, signal().recorded_at) == (50, NOW)
    rows = Reading.objects.values_list("recorded_at", "value", "quality")
    expected = late.body["value"]
    assert list(rows) == [(NOW, 50, "clean"), (NOW - HOUR, expected, "clean")]


@pytest.mark.parametrize(("age", "is_kept"), [(30 * DAY, True), (30 * DAY + HOUR, False)])
def test_what_comes_a_month_late_is_nobodys_news(
    car: Vehicle, age: timedelta, *, is_kept: bool
) -> None:
    put(car, said(50), drove(500, NOW))

    result = put(car, said(10, NOW - age), drove(400, NOW - age))

    assert result.late == ({OIL_LIFE, ODOMETER} if is_kept else set())
    assert Reading.objects.count() == (4 if is_kept else 2)


def test_the_latest_word_on_a_past_instant_counts(car: Vehicle) -> None:
    put(car, said(50))
    at = NOW - HOUR
    for minutes, value in ((5, 40), (3, 41), (9, 42), (7, 43)):
        put(car, said(value, at, fetched=at + timedelta(minutes=minutes)))

    kept = Reading.objects.filter(recorded_at=at).order_by("fetched_at")
    assert list(kept.values_list("value", flat=True)) == [40, 42]


def test_another_word_on_the_present_instant_is_named_as_late_too(car: Vehicle) -> None:
    put(car, said(50), event_id="a")

    result = put(car, said(60), event_id="b")

    assert (result.codes, result.late) == ({OIL_LIFE}, {OIL_LIFE})
    assert signal().value == 60


def test_of_several_new_ones_the_earlier_are_named_as_late(car: Vehicle) -> None:
    result = put(car, said(50), said(40, NOW + HOUR), drove(500, NOW + HOUR))

    assert (result.codes, result.late) == ({OIL_LIFE, ODOMETER}, {OIL_LIFE})
    assert (signal().value, Reading.objects.count()) == (40, 3)


def test_new_and_late_readings_may_come_together(car: Vehicle) -> None:
    put(car, said(50))

    result = put(car, said(40, NOW + 2 * HOUR), said(45, NOW + HOUR))

    assert (result.codes, result.late) == ({OIL_LIFE}, {OIL_LIFE})
    assert (signal().value, signal().recorded_at) == (40, NOW + 2 * HOUR)
    assert Reading.objects.count() == 3


@pytest.mark.parametrize("how", ["newer", "repeated"])
def test_what_is_not_late_costs_no_look_at_the_history(car: Vehicle, how: str) -> None:
    put(car, said(50), drove(500, NOW))
    at = NOW + HOUR if how == "newer" else NOW

    with CaptureQueriesContext(connection) as captured:
        put(car, said(50, at), drove(500, at))

    asked = [q["sql"] for q in captured if "integrations_reading" in q["sql"]]
    assert not [sql for sql in asked if sql.startswith("SELECT")]


def heard_by(heard: list[Any]) -> Any:
    def listen(**given: Any) -> None:
        heard.append(given)

    return listen


def test_the_very_same_again_changes_nothing(car: Vehicle) -> None:
    put(car, said(50), event_id="e")
    before = list(Signal.objects.values())

    assert put(car, said(50), event_id="e").codes == set()

    assert list(Signal.objects.values()) == before
    assert Reading.objects.count() == 1


@pytest.mark.parametrize(
    ("second", "wins"),
    [
        (((NOW + HOUR), ""), True),
        (((NOW - HOUR), "z"), False),
        ((NOW, "f"), True),
        ((NOW, "d"), False),
    ],
    ids=["fetched later", "fetched earlier", "later event", "earlier event"],
)
def test_ties_are_broken_by_when_it_was_fetched_and_then_by_the_event(
    car: Vehicle, second: tuple[datetime, str], wins: bool
) -> None:
    fetched, event = second
    put(car, said(50), event_id="e")

    put(car, said(60, fetched=fetched), event_id=event, now=NOW + HOUR)

    assert signal().value == (60 if wins else 50)


def test_a_repetition_that_was_fetched_later_still_wins_over_what_came_between(
    car: Vehicle,
) -> None:
    put(car, said(50, fetched=NOW))
    put(car, said(50, fetched=NOW + 2 * HOUR), now=NOW + 3 * HOUR)

    put(car, said(60, fetched=NOW + HOUR), now=NOW + 3 * HOUR)

    assert signal().value == 50
    assert Reading.objects.count() == 1


# Clean readings: oil life as it comes, an odometer that only grows, within what a car can drive.
OILS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from("ab"), st.integers(0, 2)),
    min_size=1,
    max_size=6,
)
ODOMETERS = st.lists(st.integers(0, 40), min_size=1, max_size=6)
Event = tuple[SignalReading, str]


def _events(oils: list[tuple[int, int, str, int]], hours: list[int]) -> list[Event]:
    events: list[Event] = []
    values: dict[tuple[int, int, str], int] = {}
    for recorded, fetched, event, value in oils:
        # One event says one thing.
        value = values.setdefault((recorded, fetched, event), value)  # noqa: PLW2901
        at = NOW - DAY + recorded * HOUR
        events.append((said(value * 10, at, fetched=at + fetched * HOUR), event))
    events += [(drove(1_000 + hour * 80, NOW - 2 * DAY + hour * HOUR), "o") for hour in hours]
    return events


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(OILS, ODOMETERS, st.randoms(use_true_random=False), st.integers(1, 3))
def test_any_order_and_repetition_of_clean_readings_leaves_the_same_state(
    oils: list[tuple[int, int, str, int]],
    hours: list[int],
    chance: random.Random,
    times: int,
) -> None:
    events = _events(oils, hours)
    shuffled = events * times
    chance.shuffle(shuffled)

    states = []
    for order in (events, sorted(events, key=lambda e: e[0].recorded_at or NOW), shuffled):
        with transaction.atomic():
            one = make_vehicle()
            for reading, event in order:
                ingest(one, [reading], source="webhook", now=NOW, event_id=event)
            columns = ("code", "value", "data", "recorded_at", "fetched_at", "event_id")
            states.append(sorted(one.signals.values_list(*columns)))
            assert not one.readings.exclude(quality="clean").exists()
            transaction.set_rollback(True)

    assert states[0] == states[1] == states[2]


# --- Doubt ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("km", "reason"),
    [(900, "the odometer went back"), (50_000, "the odometer jumped")],
)
def test_a_doubtful_odometer_is_kept_aside_until_a_second_one_agrees(
    car: Vehicle, km: float, reason: str
) -> None:
    put(car, drove(1_000, NOW))

    result = put(car, drove(km, NOW + HOUR))
    assert (result.doubtful, result.codes) == (1, set())
    assert signal(ODOMETER).value == 1_000
    assert Reading.objects.get(quality="doubtful").reason == reason

    # The same glitch often comes twice within minutes.
    put(car, drove(km, NOW + HOUR + timedelta(minutes=59)))
    assert signal(ODOMETER).value == 1_000

    result = put(car, drove(km + 10, NOW + 2 * HOUR))
    assert result.codes == {ODOMETER}
    assert (signal(ODOMETER).value, signal(ODOMETER).recorded_at) == (km + 10, NOW + 2 * HOUR)
    assert Reading.objects.filter(quality="clean").count() == 2
    assert Activity.objects.filter(vehicle=car, what__startswith="Odometer starts again").exists()


def test_a_car_that_is_read_every_quarter_of_an_hour_confirms_as_well(car: Vehicle) -> None:
    put(car, drove(100_000, NOW))

    for quarter in range(1, 6):
        put(car, drove(5_000 + quarter, NOW + quarter * HOUR / 4))

    assert signal(ODOMETER).value == 5_005


def test_a_believable_odometer_ends_the_doubt(car: Vehicle) -> None:
    put(car, drove(1_000, NOW))
    put(car, drove(900_000, NOW + HOUR))
    put(car, drove(1_010, NOW + 2 * HOUR))

    result = put(car, drove(900_000, NOW + 4 * HOUR))

    assert result.doubtful == 1
    assert signal(ODOMETER).value == 1_010


def test_two_glitches_that_disagree_confirm_nothing(car: Vehicle) -> None:
    put(car, drove(1_000, NOW))
    for hours, km in ((1, 900_000), (3, 700_000), (5, 300_000)):
        put(car, drove(km, NOW + hours * HOUR))

    assert signal(ODOMETER).value == 1_000
    assert Reading.objects.filter(quality="doubtful").count() == 3


def test_the_future_is_doubted_until_it_is_past(car: Vehicle) -> None:
    ahead = said(50, NOW + timedelta(minutes=6), fetched=NOW)

    assert put(car, ahead, now=NOW).doubtful == 1
    assert signal().recorded_at is None
    assert signal().value is None
    again = said(50, NOW + timedelta(minutes=6), fetched=NOW + HOUR)
    assert put(car, again, now=NOW + HOUR).codes == {OIL_LIFE}


def test_five_minutes_of_a_wrong_clock_are_forgiven(car: Vehicle) -> None:
    assert put(car, said(50, NOW + timedelta(minutes=5)), now=NOW).readings == 1


def odometers() -> list[tuple[float | None, str]]:
    rows = Reading.objects.filter(code=ODOMETER).order_by("recorded_at", "fetched_at", "event_id")
    return list(rows.values_list("value", "quality"))


def test_a_glitch_that_came_first_is_taken_back_when_older_ones_disprove_it(car: Vehicle) -> None:
    put(car, drove(900_000, NOW))
    assert signal(ODOMETER).value == 900_000
    heard: list[Any] = []

    with listening(heard_by(heard)):
        result = put(car, drove(1_000, NOW - HOUR))

    assert (result.codes, result.late) == ({ODOMETER}, {ODOMETER})
    assert [s.value for s in heard[0]["signals"]] == [1_000]
    assert odometers() == [(1_000, "clean"), (900_000, "doubtful")]
    state = signal(ODOMETER)
    assert (state.value, state.recorded_at) == (1_000, NOW - HOUR)
    assert (state.candidate_value, state.candidate_recorded_at) == (900_000, NOW)

    put(car, drove(1_010, NOW + HOUR))
    assert signal(ODOMETER).value == 1_010
    assert signal(ODOMETER).candidate_value is None


def test_a_late_odometer_confirms_what_was_in_doubt(car: Vehicle) -> None:
    put(car, drove(1_000, NOW))
    put(car, drove(90_010, NOW + 3 * HOUR))
    assert signal(ODOMETER).value == 1_000

    result = put(car, drove(90_000, NOW + HOUR), now=NOW + 4 * HOUR)

    assert result.codes == {ODOMETER}
    assert (signal(ODOMETER).value, signal(ODOMETER).recorded_at) == (90_010, NOW + 3 * HOUR)
    assert odometers() == [(1_000, "clean"), (90_000, "doubtful"), (90_010, "clean")]
    assert Activity.objects.filter(what__startswith="Odometer starts again").count() == 1


def test_a_late_odometer_that_is_believed_ends_no_doubt_about_a_newer_one(car: Vehicle) -> None:
    put(car, drove(1_000, NOW))
    put(car, drove(90_000, NOW + 3 * HOUR))

    put(car, drove(1_010, NOW + HOUR), now=NOW + 3 * HOUR)
    assert signal(ODOMETER).candidate_value == 90_000

    put(car, drove(90_010, NOW + 5 * HOUR))
    assert signal(ODOMETER).value == 90_010


def test_a_late_glitch_is_doubtful_and_nobody_hears_of_it(car: Vehicle) -> None:
    put(car, drove(1_000, NOW))
    put(car, drove(1_010, NOW + 2 * HOUR))
    heard: list[Any] = []

    with listening(heard_by(heard)):
        result = put(car, drove(900_000, NOW + HOUR), now=NOW + 3 * HOUR)
        put(car, drove(900_000, NOW + HOUR), now=NOW + 3 * HOUR)

    assert (result.doubtful, heard) == (1, [])
    assert odometers() == [(1_000, "clean"), (900_000, "doubtful"), (1_010, "clean")]


def test_a_doubtful_odometer_that_is_said_again_is_kept_once(car: Vehicle) -> None:
    put(car, drove(1_000, NOW))
    for minutes in range(5):
        at = NOW + HOUR
        again = said(900_000, at, code=ODOMETER, fetched=at + timedelta(minutes=minutes))
        put(car, again)

    assert odometers() == [(1_000, "clean"), (900_000, "doubtful")]


def test_the_same_instant_in_another_unit_is_a_correction_and_no_way_back(car: Vehicle) -> None:
    put(car, drove(1_000.4, NOW), event_id="a")

    put(car, drove(1_000.2, NOW), event_id="b")

    assert signal(ODOMETER).value == 1_000.2
    assert odometers() == [(1_000.4, "doubtful"), (1_000.2, "clean")]
    assert Reading.objects.get(value=1_000.4).reason == "the car corrected it"


def test_a_state_whose_reading_was_not_kept_counts_all_the_same(car: Vehicle) -> None:
    make_signal(vehicle=car, code=ODOMETER, value=1_000, recorded_at=NOW)

    put(car, drove(900_000, NOW + HOUR))
    put(car, drove(990, NOW - HOUR))

    assert signal(ODOMETER).value == 1_000
    assert odometers() == [(990, "clean"), (900_000, "doubtful")]


KMS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([1_000, 1_010, 1_020, 50, 60, 90_000, 90_010])),
    min_size=1,
    max_size=7,
    unique_by=lambda said: said[0],
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(KMS, st.randoms(use_true_random=False), st.integers(1, 3))
def test_any_order_of_odometers_leaves_the_same_belief_and_doubt(
    kms: list[tuple[int, int]], chance: random.Random, times: int
) -> None:
    events = [drove(km, NOW - 3 * DAY + number * HOUR / 2) for number, km in sorted(kms)]
    many = events * times
    chance.shuffle(many)

    ends = []
    for order in (events, many):
        with transaction.atomic():
            one = make_vehicle()
            for reading in order:
                ingest(one, [reading], source="webhook", now=NOW)
            columns = ("value", "recorded_at", "candidate_value", "candidate_recorded_at")
            ends.append((list(one.signals.values_list(*columns)), odometers()))
            transaction.set_rollback(True)

    assert ends[0] == ends[1]


def test_nobody_hears_of_doubtful_or_rejected_readings(car: Vehicle) -> None:
    put(car, drove(1_000, NOW))
    heard: list[Any] = []

    with listening(heard_by(heard)):
        put(car, drove(10, NOW + HOUR), said(300, NOW + HOUR))

    assert heard == []


# --- Trouble codes ----------------------------------------------------------------------------


def codes_at(car: Vehicle, at: datetime, *found: str) -> None:
    body = {"values": [{"code": code, "timestamp": None} for code in found]}
    put(car, said(body, at, code=TROUBLE_CODES))


def test_trouble_codes_are_followed_from_first_seen_to_cleared_and_back(car: Vehicle) -> None:
    codes_at(car, NOW, "P0301", "P0420")
    codes_at(car, NOW + HOUR, "P0301")
    codes_at(car, NOW + 2 * HOUR)
    codes_at(car, NOW + 3 * HOUR, "P0301")
    codes_at(car, NOW + 3 * HOUR, "P0301")
    codes_at(car, NOW + 2 * HOUR, "P9999")  # late: it was gone by then

    rows = TroubleCode.objects.order_by("code", "first_seen_at")
    assert [(r.code, r.first_seen_at, r.last_seen_at, r.cleared_at) for r in rows] == [
        ("P0301", NOW, NOW + HOUR, NOW + 2 * HOUR),
        ("P0301", NOW + 3 * HOUR, NOW + 3 * HOUR, None),
        ("P0420", NOW, NOW, NOW + HOUR),
    ]


def code_rows(car: Vehicle) -> list[tuple[Any, ...]]:
    """Code, first and last seen, cleared (hours after NOW), and the how manieth time."""
    rows = TroubleCode.objects.filter(vehicle=car).order_by("code", "first_seen_at")

    def hours(at: datetime | None) -> float | None:
        return (at - NOW) / HOUR if at else None

    return [
        (r.code, hours(r.first_seen_at), hours(r.last_seen_at), hours(r.cleared_at), r.count)
        for r in rows
    ]


def test_a_code_that_comes_back_is_counted_and_one_that_stays_is_not(car: Vehicle) -> None:
    for hour, found in enumerate([["P0301"], ["P0301"], [], ["P0301"], ["P0301"], [], ["P0301"]]):
        codes_at(car, NOW + hour * HOUR, *found)
        codes_at(car, NOW + hour * HOUR, *found)

    assert code_rows(car) == [
        ("P0301", 0, 1, 2, 1),
        ("P0301", 3, 4, 5, 2),
        ("P0301", 6, 6, None, 3),
    ]


def test_rows_from_before_codes_were_counted_count_once_each(car: Vehicle) -> None:
    for days in (9, 6, 3):
        at = NOW - days * DAY
        make_trouble_code(
            vehicle=car, code="P0301", first_seen_at=at, last_seen_at=at, cleared_at=at + DAY
        )
    codes_at(car, NOW, "P0301")

    assert TroubleCode.objects.get(vehicle=car, cleared_at=None).count == 4


@pytest.mark.parametrize("seed", range(12))
def test_lists_of_codes_leave_the_same_history_in_any_order(car: Vehicle, seed: int) -> None:
    lists = [
        (0, "P0301", "P0420"),
        (1, "P0301"),
        (2,),
        (3, "P0301", "P0442"),
        (4, "P0301"),
        (5, "P0420"),
        (6, "P0420", "P0442"),
    ]
    lists = [*lists, *lists[2:4]]
    random.Random(seed).shuffle(lists)  # noqa: S311  an order, no secret

    for hour, *found in lists:
        codes_at(car, NOW + int(hour) * HOUR, *map(str, found))

    assert code_rows(car) == [
        ("P0301", 0, 1, 2, 1),
        ("P0301", 3, 4, 5, 2),
        ("P0420", 0, 0, 1, 1),
        ("P0420", 5, 6, None, 2),
        ("P0442", 3, 3, 4, 1),
        ("P0442", 6, 6, None, 2),
    ]


def test_a_corrected_list_counts_as_if_it_had_been_right_at_once(car: Vehicle) -> None:
    codes_at(car, NOW, "P0301")
    codes_at(car, NOW + HOUR, "P0301", "P0420")
    for minutes, found in ((1, []), (2, [{"code": "P0301", "timestamp": None}])):
        fetched = NOW + HOUR + timedelta(minutes=minutes)
        put(car, said({"values": found}, NOW + HOUR, code=TROUBLE_CODES, fetched=fetched))

    assert code_rows(car) == [("P0301", 0, 1, None, 1)]


def test_a_late_list_leaves_alone_what_was_over_before(car: Vehicle) -> None:
    old = NOW - 20 * DAY
    make_trouble_code(
        vehicle=car,
        code="P0301",
        first_seen_at=old,
        last_seen_at=old,
        cleared_at=old + DAY,
        count=7,
    )
    codes_at(car, NOW - 2 * HOUR, "P0301")
    codes_at(car, NOW, "P0301")
    codes_at(car, NOW - HOUR)

    assert code_rows(car) == [
        ("P0301", -480, -480, -456, 7),
        ("P0301", -2, -2, -1, 8),
        ("P0301", 0, 0, None, 9),
    ]


def test_codes_of_another_car_are_left_alone(car: Vehicle) -> None:
    other = make_vehicle()
    codes_at(other, NOW, "P0301")
    codes_at(car, NOW, "P0301")
    codes_at(car, NOW + HOUR)

    assert TroubleCode.objects.get(vehicle=other).cleared_at is None


# --- Errors -----------------------------------------------------------------------------------


def refused(outcome: Outcome, code: str = OIL_LIFE) -> SignalError:
    return SignalError(code=code, outcome=outcome, type="TYPE", error_code="CODE")


@pytest.mark.parametrize(
    ("outcome", "support"),
    [(Outcome.NOT_CAPABLE, "not_capable"), (Outcome.NOT_GRANTED, "not_granted")],
)
def test_what_cannot_be_had_is_remembered_for_30_days_and_keeps_its_last_value(
    car: Vehicle, outcome: Outcome, support: str
) -> None:
    put(car, said(50))

    put(car, refused(outcome))

    state = signal()
    assert (state.support, state.recheck_at) == (support, NOW + timedelta(days=30))
    assert (state.last_error, state.value) == ("TYPE:CODE", 50)

    put(car, said(49, NOW + HOUR))
    state = signal()
    assert (state.support, state.recheck_at, state.last_error) == ("ok", None, "")


def test_an_old_reading_also_proves_that_a_signal_can_be_read(car: Vehicle) -> None:
    put(car, said(50))
    put(car, refused(Outcome.NOT_CAPABLE))

    put(car, said(50))

    assert signal().support == "ok"


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.ASLEEP, Outcome.WAIT, Outcome.DRIVER])
def test_a_passing_error_is_shown_and_the_signal_is_asked_again(
    car: Vehicle, outcome: Outcome
) -> None:
    make_signal(vehicle=car, code=OIL_LIFE, is_wanted=True, urgency=7)

    put(car, refused(outcome))

    state = signal()
    assert (state.support, state.recheck_at, state.last_error) == ("ok", None, "TYPE:CODE")
    assert (state.is_wanted, state.urgency) == (True, 7)


# --- The rules are told -----------------------------------------------------------------------


def test_listeners_get_the_whole_state_inside_the_transaction(car: Vehicle) -> None:
    make_signal(vehicle=car, code=TIRES, value=None)
    heard: list[Any] = []

    with listening(heard_by(heard)):
        put(car, said(50), drove(500, NOW))

    (given,) = heard
    assert given["vehicle"] == car
    assert given["codes"] == {OIL_LIFE, ODOMETER}
    assert {s.code for s in given["signals"]} == {OIL_LIFE, ODOMETER, TIRES}
    assert given["now"] == NOW


def test_rules_that_fail_lose_their_own_work_and_no_reading(car: Vehicle) -> None:
    def broken(vehicle: Vehicle, **_: Any) -> None:
        make_vehicle(vin="1FTBW2CM0KKA99999")
        raise RuntimeError("a rule " + "x" * 999)

    with listening(broken):
        result = put(car, said(50))

    assert (result.codes, result.readings) == ({OIL_LIFE}, 1)
    assert signal().value == 50
    assert Reading.objects.count() == 1
    car.refresh_from_db()
    assert car.evaluation_due_at == NOW
    assert car.evaluation_error.startswith("RuntimeError: a rule x")
    assert Vehicle.objects.count() == 1


def test_a_broken_transaction_of_the_rules_does_not_break_ours(car: Vehicle) -> None:
    def broken(vehicle: Vehicle, **_: Any) -> None:
        Vehicle.objects.create(vin=vehicle.vin, created_at=NOW)

    with listening(broken):
        put(car, said(50))

    car.refresh_from_db()
    assert car.evaluation_error.startswith(IntegrityError.__name__)
    assert Reading.objects.count() == 1


# --- The car itself ---------------------------------------------------------------------------


def test_a_car_that_was_merged_away_meanwhile_takes_its_readings_with_it(car: Vehicle) -> None:
    Vehicle.objects.filter(pk=car.pk).delete()

    result = put(car, said(50), columns={"last_polled_at": NOW})

    assert result == Ingested()
    assert not Reading.objects.exists()


def test_columns_of_the_car_are_written_in_the_same_transaction(car: Vehicle) -> None:
    with transaction.atomic():
        put(car, said(50), columns={"last_polled_at": NOW})
        transaction.set_rollback(True)

    car.refresh_from_db()
    assert car.last_polled_at is None
    assert not Reading.objects.exists()


def test_a_stale_object_does_not_turn_the_car_back_to_another_way_of_reading(car: Vehicle) -> None:
    Vehicle.objects.update(smartcar_id="the way in use now")

    put(car, said(50))

    assert Vehicle.objects.get().smartcar_id == "the way in use now"


def test_a_name_that_no_column_holds_is_nobodys_signal(car: Vehicle) -> None:
    status = {"status": "ALERT", "description": ""}

    put(car, said(status, code="diagnostics-" + "x" * 100), said(40))

    assert [row.code for row in Signal.objects.all()] == [OIL_LIFE]
