"""Readings come in, and alerts open, worsen, resolve and come back."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from django.db import connection

from integrations.clients.readings import OIL_LIFE, SYSTEM_PREFIX, SignalReading
from integrations.models import Activity, OutboxEntry, Reading, Signal, Vehicle
from integrations.services import leases
from integrations.services.ingest import ingest
from maintenance.engine.conditions import judge
from maintenance.models import Alert, Rule
from maintenance.services import evaluation, services, wanted
from tests.factories import NOW, make_group, make_rule, make_service, make_signal, make_vehicle
from tests.maintenance.cars import (
    DAY,
    HOUR,
    MILE,
    add_default_rules,
    alerts_of,
    open_alert,
    rule_of,
    say,
    states,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("transactional_db" if "threads" in request.node.name else "db")
    add_default_rules()


@pytest.fixture
def car(rules: None) -> Vehicle:
    return make_vehicle(make="CHEVROLET", model="Silverado", year=2022)


# --- oil life -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "status"), [(11.9 * HOUR, "pending"), (12 * HOUR, "open")], ids=["11.9 h", "12 h"]
)
def test_worn_oil_needs_two_readings_twelve_hours_apart(
    car: Vehicle, later: timedelta, status: str
) -> None:
    say(car, NOW, oil=14)
    assert alerts_of(car) == [("engine-oil", "pending", "due")]
    assert not OutboxEntry.objects.exists()

    say(car, NOW + later, oil=14)

    assert alerts_of(car) == [("engine-oil", status, "due")]


def test_the_hold_is_measured_by_the_cars_clock_not_by_ours(car: Vehicle) -> None:
    say(car, NOW, oil=14, now=NOW)
    say(car, NOW + HOUR, oil=14, now=NOW + 20 * HOUR)

    assert alerts_of(car) == [("engine-oil", "pending", "due")]


def test_oil_of_zero_percent_needs_three_readings(car: Vehicle) -> None:
    for number, status in enumerate(["pending", "pending", "open"]):
        say(car, NOW + number * 12 * HOUR, oil=0)
        assert alerts_of(car) == [("engine-oil", status, "overdue")]


def test_a_good_reading_ends_the_wait(car: Vehicle) -> None:
    say(car, NOW, oil=14)
    say(car, NOW + HOUR, oil=90)

    assert alerts_of(car) == []
    assert not OutboxEntry.objects.exists()


@pytest.mark.parametrize(
    ("oil", "stage"),
    [(30, None), (29.9, "soon"), (20, "soon"), (19.9, "due"), (5, "due"), (4.9, "overdue")],
)
def test_stage_follows_the_default_thresholds(car: Vehicle, oil: float, stage: str | None) -> None:
    say(car, NOW - 12 * HOUR, oil=oil)
    say(car, NOW, oil=oil)

    assert alerts_of(car) == ([("engine-oil", "open", stage)] if stage else [])


@pytest.mark.parametrize(("oil", "status"), [(39.9, "open"), (40, "resolved")])
def test_oil_clears_at_forty_percent(car: Vehicle, oil: float, status: str) -> None:
    open_alert(car, oil=14)
    say(car, NOW + HOUR, oil=oil)

    assert alerts_of(car) == [("engine-oil", status, "due")]


@pytest.mark.parametrize(("oil", "status"), [(33.9, "open"), (34, "resolved")])
def test_a_jump_of_thirty_points_clears_below_the_clear_threshold(
    car: Vehicle, oil: float, status: str
) -> None:
    open_alert(car, oil=4)
    say(car, NOW + HOUR, oil=oil)

    assert alerts_of(car) == [("engine-oil", status, "overdue")]


def test_an_alert_gets_worse_and_never_better_before_it_clears(car: Vehicle) -> None:
    open_alert(car, oil=28)
    seen = []
    for hour, oil in enumerate([19, 25, 4, 12], start=1):
        say(car, NOW + hour * HOUR, oil=oil)
        seen.append(Alert.objects.get().stage)

    assert seen == ["due", "due", "overdue", "overdue"]


def test_evidence_keeps_the_readings_and_the_rule_as_it_was(car: Vehicle) -> None:
    alert = open_alert(car, oil=14)
    Rule.objects.filter(kind=alert.kind).update(due_below=10, soon_below=12, name="Other name")
    say(car, NOW + HOUR, oil=14)

    alert.refresh_from_db()
    assert alert.evidence["value"] == 14
    assert alert.evidence["recorded_at"] == NOW.isoformat()
    assert alert.evidence["rule"]["name"] == "Engine oil life low"
    assert alert.evidence["rule"]["due_below"] == 20
    assert alert.reported_at == NOW
    assert alert.summary == "Engine oil life 14 %"


# --- trouble codes and systems ------------------------------------------------------------------


def test_a_code_needs_two_readings_and_two_to_clear(car: Vehicle) -> None:
    said = [["P0301"], ["P0301"], [], ["P0301"], [], []]
    seen = []
    for hour, codes in enumerate(said):
        say(car, NOW + hour * HOUR, codes=codes)
        seen.append(Alert.objects.get().status)

    assert seen == ["pending", "open", "open", "open", "open", "resolved"]
    assert Alert.objects.get().resolution == Alert.Resolution.CLEARED


def test_a_critical_code_opens_at_once(car: Vehicle) -> None:
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="P03*")
    say(car, codes=["P0301", "P0420"])

    assert alerts_of(car) == [("P0301", "open", "due"), ("P0420", "pending", "due")]


def test_each_code_has_its_own_alert(car: Vehicle) -> None:
    for hour in (0, 1):
        say(car, NOW + hour * HOUR, codes=["P0301", "P0420"])
    for hour in (2, 3):
        say(car, NOW + hour * HOUR, codes=["P0420"])

    assert alerts_of(car) == [("P0301", "resolved", "due"), ("P0420", "open", "due")]


def test_a_system_needs_two_alerts_and_two_ok(car: Vehicle) -> None:
    said = ["ALERT", "ALERT", "OK", "ALERT", "OK", "OK"]
    seen = []
    for hour, status in enumerate(said):
        say(car, NOW + hour * HOUR, systems={"oilpressure": status})
        seen.append(Alert.objects.get().status)

    assert seen == ["pending", "open", "open", "open", "open", "resolved"]


# --- unknown changes nothing --------------------------------------------------------------------


@pytest.mark.parametrize("was", ["pending", "open"])
def test_stale_readings_change_nothing(car: Vehicle, was: str) -> None:
    if was == "open":
        open_alert(car)
    else:
        say(car, NOW, oil=14)
    later = NOW + timedelta(days=30)
    # Something else comes in, so the rules run; the oil reading is a month old.
    say(car, later, codes=[])
    evaluation.evaluate_vehicle(car.pk, now=later)

    assert alerts_of(car) == [("engine-oil", was, "due")]


@pytest.mark.parametrize(("age", "counts"), [(72 * HOUR, True), (72.1 * HOUR, False)])
def test_what_arrives_after_three_days_neither_opens_nor_closes(
    car: Vehicle, age: timedelta, *, counts: bool
) -> None:
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="*")
    say(car, NOW, codes=["P0301"], now=NOW + age)
    assert alerts_of(car) == ([("P0301", "open", "due")] if counts else [])

    other = make_vehicle()
    open_alert(other)
    say(other, NOW + HOUR, oil=95, now=NOW + HOUR + age)
    assert alerts_of(other) == [("engine-oil", "resolved" if counts else "open", "due")]


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (OIL_LIFE, {"value": 101, "unit": "percent"}),
        (OIL_LIFE, {"value": "90", "unit": "percent"}),
        (OIL_LIFE, {}),
        (SYSTEM_PREFIX + "mil", {"status": "PERHAPS"}),
    ],
)
def test_what_cannot_be_read_neither_opens_nor_closes(
    car: Vehicle, code: str, body: dict[str, Any]
) -> None:
    open_alert(car)
    for hour in (0, 1):
        say(car, NOW + hour * HOUR, systems={"mil": "ALERT"})
    before = alerts_of(car)
    for hour in (3, 16, 29):
        at = NOW + hour * HOUR
        reading = SignalReading(code=code, body=body, recorded_at=at, fetched_at=at)
        ingest(car, [reading], source=Reading.Source.POLL, now=at)
        evaluation.evaluate_vehicle(car.pk, now=at)

    assert alerts_of(car) == before
    assert {status for _, status, _ in before} == {"open"}


def test_a_doubtful_odometer_reaches_no_rule_until_a_second_one_agrees(car: Vehicle) -> None:
    make_service(vehicle=car, odometer_km=50_000, done_on=NOW.date())
    say(car, NOW, km=50_100)
    say(car, NOW + HOUR, km=60_000)
    evaluation.evaluate_vehicle(car.pk, now=NOW + HOUR)
    assert alerts_of(car) == []

    say(car, NOW + 3 * HOUR, km=60_001)
    assert alerts_of(car) == [("engine-oil", "open", "overdue")]


def test_a_reading_from_the_future_opens_nothing(car: Vehicle) -> None:
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="*")
    say(car, NOW + HOUR, codes=["P0301"], now=NOW)

    assert alerts_of(car) == []


# --- order and repetition -----------------------------------------------------------------------


def test_repeated_readings_and_late_ones_that_confirm_change_nothing(car: Vehicle) -> None:
    open_alert(car)
    before = (alerts_of(car), states("mail_alert"), states("fleetio_issue"))
    for at, oil in ((NOW, 14), (NOW - 12 * HOUR, 14), (NOW - HOUR, 13), (NOW, 14)):
        say(car, at, oil=oil, now=NOW + HOUR)
    assert evaluation.evaluate_vehicle(car.pk, now=NOW + HOUR) == []

    assert (alerts_of(car), states("mail_alert"), states("fleetio_issue")) == before


def test_whatever_the_order_of_readings_the_same_alerts_remain(car: Vehicle) -> None:
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="*", clear_readings=1)
    said = [(0, ["P0301"]), (1, []), (2, ["P0420"]), (3, ["P0420", "P0171"])]
    seen = set()
    for order in permutations(said):
        one = make_vehicle()
        for hour, codes in order:
            say(one, NOW + hour * HOUR, codes=codes, now=NOW + 4 * HOUR)
        signal = one.signals.get(code="diagnostics-dtclist")
        unresolved = one.alerts.unresolved().order_by("subject")
        seen.add((str(signal.data), tuple(unresolved.values_list("subject", "status"))))

    assert len(seen) == 1
    assert seen.pop()[1] == (("P0171", "open"), ("P0420", "open"))


def test_evaluating_again_with_a_newer_equal_reading_counts_as_no_change(car: Vehicle) -> None:
    open_alert(car)
    say(car, NOW + HOUR, oil=14)

    assert evaluation.evaluate_all(now=NOW + HOUR) == (0, 0)
    assert evaluation.dry_run(car, now=NOW + HOUR) == []


# --- rules that fail ----------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Rules that raise; the result mends them."""

    def fail(*args: Any) -> Any:
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(evaluation, "judge", fail)
    return monkeypatch.undo


def test_a_rule_that_raises_leaves_the_readings_and_marks_the_vehicle(
    car: Vehicle, broken: Callable[[], None]
) -> None:
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="*")
    say(car, codes=["P0301"])

    car.refresh_from_db()
    assert Reading.objects.filter(vehicle=car).count() == 1
    assert car.signals.get(code="diagnostics-dtclist").recorded_at == NOW
    assert (car.evaluation_due_at, car.evaluation_error) == (
        NOW,
        "ZeroDivisionError: no such thing",
    )
    assert alerts_of(car) == []

    broken()
    evaluation.evaluate_all(now=NOW, vehicle_ids=[car.pk])
    car.refresh_from_db()
    assert alerts_of(car) == [("P0301", "open", "due")]
    assert (car.evaluation_due_at, car.evaluation_error) == (None, "")


def test_a_rule_that_raises_halfway_leaves_no_half_alert(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="*")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("maintenance.services.notifying.outbox.enqueue", fail)
    say(car, codes=["P0301"])

    assert Reading.objects.filter(vehicle=car).count() == 1
    assert not Alert.objects.exists()
    assert not Activity.objects.filter(what__startswith="Alert").exists()


def test_a_large_fleet_is_judged_each_car_at_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gathers what comes within seconds must see that more is coming."""
    for _ in range(3):
        make_signal(vehicle=make_vehicle())
    later = NOW + 4 * DAY
    moments = iter([later + n * HOUR for n in range(9)])
    monkeypatch.setattr(leases, "going_on", lambda now: lambda: next(moments))

    assert evaluation.evaluate_all(now=later) == (3, 0)

    opened = Alert.objects.exclude(vehicle=None).order_by("pk").values_list("opened_at", flat=True)
    assert list(opened) == [later, later + HOUR, later + 2 * HOUR]


def test_one_cars_trouble_does_not_stop_the_others(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_vehicle()

    def fail_for_the_first(spec: Any, facts: Any, episodes: Any, now: datetime) -> Any:
        if OIL_LIFE in facts.signals:
            raise ZeroDivisionError
        return judge(spec, facts, episodes, now)

    say(car, oil=90)
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="*")
    Signal.objects.create(
        vehicle=other,
        code="diagnostics-dtclist",
        data={"values": [{"code": "P0301"}]},
        recorded_at=NOW,
    )
    monkeypatch.setattr(evaluation, "judge", fail_for_the_first)

    assert evaluation.evaluate_all(now=NOW) == (1, 1)
    assert alerts_of(other) == [("P0301", "open", "due")]
    car.refresh_from_db()
    assert car.evaluation_due_at == NOW + evaluation.AGAIN


def test_a_car_that_is_gone_is_not_evaluated(car: Vehicle) -> None:
    assert evaluation.evaluate_vehicle(car.pk + 1, now=NOW) == []


# --- which rule applies -------------------------------------------------------------------------


def test_the_most_specific_rule_of_a_kind_and_topic_wins(car: Vehicle) -> None:
    car.group = make_group()
    car.save()
    kind, topic = Rule.Kind.OIL_LIFE, "engine-oil"
    rules = [
        rule_of("oil_life"),
        make_rule(kind=kind, topic=topic, distance_km=None, make="chevrolet", year_from=2020),
        make_rule(kind=kind, topic=topic, distance_km=None, group=car.group),
        make_rule(kind=kind, topic=topic, distance_km=None, vehicle=car),
    ]
    for winner in reversed(rules):
        inside = [rule.pk for rule, _spec in evaluation.applicable(car) if rule.kind == kind]
        assert inside == [winner.pk]
        Rule.objects.filter(pk=winner.pk).update(is_enabled=False)

    stranger = make_vehicle(make="FORD")
    Rule.objects.filter(pk__in=[rule.pk for rule in rules]).update(is_enabled=True)
    inside = [rule.pk for rule, _spec in evaluation.applicable(stranger) if rule.kind == kind]
    assert inside == [rules[0].pk]


def test_an_override_takes_over_the_open_alert(car: Vehicle) -> None:
    alert = open_alert(car, oil=14)
    override = make_rule(
        kind=Rule.Kind.OIL_LIFE, topic="engine-oil", distance_km=None, vehicle=car, clear_at=90
    )
    evaluation.evaluate_vehicle(car.pk, now=NOW + HOUR)
    say(car, NOW + 2 * HOUR, oil=43)

    alert.refresh_from_db()
    assert (alert.rule, alert.status) == (override, "open")
    assert states("mail_alert") == ["pending"]


def test_a_disabled_rule_ends_its_alerts_with_that_reason(car: Vehicle) -> None:
    for hour in (0, 1):
        say(car, NOW + hour * HOUR, codes=["P0301"])
    say(car, NOW + 2 * HOUR, codes=["P0301", "P0420"])
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(is_enabled=False)
    wanted.rules_changed(now=NOW + 2 * HOUR)
    evaluation.evaluate_all(now=NOW + 3 * HOUR)

    alert = Alert.objects.get()  # the pending one is gone
    assert (alert.status, alert.resolution) == ("resolved", Alert.Resolution.RULE)


def test_a_deleted_rule_ends_its_alerts_too(car: Vehicle) -> None:
    for hour in (0, 1):
        say(car, NOW + hour * HOUR, codes=["P0301"])
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).delete()
    evaluation.evaluate_vehicle(car.pk, now=NOW + 3 * HOUR)

    assert Alert.objects.get().resolution == Alert.Resolution.RULE


def test_without_any_rule_nothing_opens(car: Vehicle) -> None:
    Rule.objects.update(is_enabled=False)
    for hour in (0, 12):
        say(car, NOW + hour * HOUR, oil=3, codes=["P0301"])

    assert alerts_of(car) == []


# --- engine oil, by percent and by distance -----------------------------------------------------


def test_worn_oil_and_a_due_interval_are_one_alert(car: Vehicle) -> None:
    make_service(vehicle=car, odometer_km=50_000, done_on=NOW.date())
    say(car, NOW, km=50_000 + 4600 * MILE)
    assert alerts_of(car) == [("engine-oil", "open", "soon")]

    for hour in (12, 24):
        say(car, NOW + hour * HOUR, oil=12, km=50_000 + 4650 * MILE)

    assert alerts_of(car) == [("engine-oil", "open", "due")]
    assert Alert.objects.get().kind == Rule.Kind.OIL_LIFE
    assert states("fleetio_issue") == ["pending"]


def test_an_interval_never_fires_without_a_service_record(car: Vehicle) -> None:
    for day in range(0, 200, 50):
        say(car, NOW + day * DAY, km=100_000 + day * 300)
        evaluation.evaluate_vehicle(car.pk, now=NOW + day * DAY)

    assert alerts_of(car) == []


@pytest.mark.parametrize(
    ("miles", "stage"),
    [(4499, None), (4500, "soon"), (4999, "soon"), (5000, "due"), (5499, "due"), (5500, "overdue")],
)
def test_interval_stages_by_distance(car: Vehicle, miles: int, stage: str | None) -> None:
    make_service(vehicle=car, odometer_km=50_000, done_on=NOW.date())
    say(car, NOW, km=50_000 + miles * MILE)

    assert alerts_of(car) == ([("engine-oil", "open", stage)] if stage else [])


def test_an_interval_in_days_fires_by_the_calendar_alone(car: Vehicle) -> None:
    Rule.objects.filter(kind=Rule.Kind.STALE_DATA).delete()
    make_rule(topic="inspection", distance_km=None, days=365)
    make_service(vehicle=car, topic="inspection", done_on=NOW.date())
    seen = {}
    for day in (350, 351, 364, 365, 378, 379):
        evaluation.evaluate_all(now=NOW + day * DAY)
        seen[day] = [stage for _, _, stage in alerts_of(car)]

    # A tenth of the interval is 36 days, more than the 14 days of lead.
    assert seen == {
        350: ["soon"],
        351: ["soon"],
        364: ["soon"],
        365: ["due"],
        378: ["due"],
        379: ["overdue"],
    }


# --- dry run ------------------------------------------------------------------------------------


def everything() -> str:
    rows = [
        Alert.objects.order_by("pk").values_list("pk", "status", "rule", "firing_count"),
        OutboxEntry.objects.order_by("pk").values_list("pk", "state"),
        Activity.objects.order_by("pk").values_list("pk", "what"),
        Vehicle.objects.order_by("pk").values_list("pk", "evaluation_due_at", "evaluation_error"),
    ]
    return repr([list(each) for each in rows])


def test_a_dry_run_tells_what_would_happen_and_writes_nothing(car: Vehicle) -> None:
    other = make_vehicle()
    open_alert(car)
    for hour in (0, 1):
        say(other, NOW + hour * HOUR, codes=["P0301"])
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(is_enabled=False)
    make_rule(topic="tire-rotation", vehicle=other, distance_km=1000)
    make_service(vehicle=other, topic="tire-rotation", odometer_km=10_000, done_on=NOW.date())
    Signal.objects.filter(vehicle=other, code="odometer-traveleddistance").delete()
    Signal.objects.create(
        vehicle=other, code="odometer-traveleddistance", value=11_500, recorded_at=NOW
    )
    before = everything()

    lines = evaluation.dry_run(other, now=NOW + 2 * HOUR)

    assert everything() == before
    assert len(lines) == 2
    assert lines[0] == "end: P0301: misfire in cylinder 1"
    assert lines[1].startswith("open: Rule")


# --- concurrency --------------------------------------------------------------------------------


def at_once(count: int, work: Callable[[int], object]) -> None:
    """Run `work(0..count-1)` in threads that start together; what one raises is raised here."""
    barrier, errors = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as exc:  # noqa: BLE001  handed to the test's own thread
            errors.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if errors:
        raise errors[0]


@pytest.mark.django_db(transaction=True)
def test_eight_threads_make_one_alert_one_issue_and_one_mail(car: Vehicle) -> None:
    say(car, NOW - 12 * HOUR, oil=14)

    def work(number: int) -> None:
        vehicle = Vehicle.objects.get(pk=car.pk)
        say(vehicle, NOW, oil=14)
        evaluation.evaluate_vehicle(car.pk, now=NOW + number * HOUR / 60)
        say(vehicle, NOW + number * HOUR, oil=14)

    at_once(8, work)

    assert alerts_of(car) == [("engine-oil", "open", "due")]
    assert states("fleetio_issue") == ["pending"]
    assert states("mail_alert") == ["pending"]
    assert Alert.objects.get().times_opened == 1
    car.refresh_from_db()
    assert car.evaluation_error == ""


@pytest.mark.django_db(transaction=True)
def test_threads_that_bring_different_codes_make_one_alert_for_each(car: Vehicle) -> None:
    Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE).update(critical="*", clear_readings=5)
    names = ["P0301", "P0420", "P0171", "P0442"]
    at_once(
        8,
        lambda number: say(
            Vehicle.objects.get(pk=car.pk), NOW + number * HOUR, codes=names[: number // 2 + 1]
        ),
    )

    opened = list(car.alerts.values_list("subject", "status"))
    assert sorted(opened) == sorted((name, "open") for name in names)
    assert len(states("mail_alert")) == len(states("fleetio_issue")) == 4


@pytest.mark.django_db(transaction=True)
def test_threads_that_read_and_threads_that_change_rules_do_not_block_each_other(
    car: Vehicle,
) -> None:
    cars = [car, *(make_vehicle() for _ in range(5))]
    for one in cars:
        say(one, NOW, oil=90, km=10_000, codes=[])

    def work(number: int) -> None:
        for step in range(1, 13):
            if number % 2:
                rule = Rule.objects.filter(kind=Rule.Kind.TROUBLE_CODE)
                rule.update(is_enabled=step % 2 == 0)
                wanted.rules_changed(now=NOW)
            else:
                one = Vehicle.objects.get(pk=cars[(number + step) % len(cars)].pk)
                at = NOW + (number * 20 + step) * HOUR
                say(one, at, oil=90, km=10_000 + step, codes=[], systems={"mil": "OK"})

    at_once(4, work)

    assert not Vehicle.objects.exclude(evaluation_error="").exists()


@pytest.mark.django_db(transaction=True)
def test_two_threads_that_mark_an_alert_serviced_record_one_service(car: Vehicle) -> None:
    alert = open_alert(car)
    at_once(
        4, lambda number: services.mark_serviced(Alert.objects.get(pk=alert.pk), now=NOW + HOUR)
    )

    assert car.services.count() == 1
