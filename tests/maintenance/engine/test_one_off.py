from datetime import date, timedelta

import pytest

from maintenance.engine import facts
from maintenance.engine.conditions import judge
from maintenance.engine.facts import Facts, ServiceFact
from maintenance.engine.findings import Finding, Reason
from maintenance.engine.rules import ServiceInterval, Stage, Verdict
from tests.maintenance.engine.builders import (
    HOUR,
    MILE,
    NOW,
    TODAY,
    make_facts,
    make_signal,
    make_spec,
)

LEAD = 500 * MILE
DUE_KM = 100_000 * MILE
AT = ServiceInterval(due_odometer_km=DUE_KM)


def on(days: int) -> ServiceInterval:
    return ServiceInterval(due_on=TODAY + timedelta(days=days))


def service(done_on: date = TODAY, km: float | None = None) -> ServiceFact:
    return ServiceFact(topic="engine-oil", done_on=done_on, odometer_km=km)


def judge_once(
    condition: ServiceInterval, km: float | None = None, done: ServiceFact | None = None
) -> Finding:
    signals = [make_signal(facts.ODOMETER, km)] if km is not None else []
    (finding,) = judge(make_spec(condition), make_facts(*signals, service=done), {}, NOW)
    return finding


@pytest.mark.parametrize(
    ("km", "stage"),
    [
        (DUE_KM - LEAD - 0.01, None),
        (DUE_KM - LEAD, Stage.SOON),
        (DUE_KM - 0.01, Stage.SOON),
        (DUE_KM, Stage.DUE),
        (DUE_KM + LEAD - 0.01, Stage.DUE),
        (DUE_KM + LEAD, Stage.OVERDUE),
    ],
)
def test_once_at_an_odometer(km: float, stage: Stage | None) -> None:
    finding = judge_once(AT, km)
    assert finding.stage == stage
    assert finding.verdict is (Verdict.FIRING if stage else Verdict.CLEAR)
    assert finding.recorded_at == NOW


@pytest.mark.parametrize(
    ("days", "stage"),
    [
        (15, None),
        (14, Stage.SOON),
        (1, Stage.SOON),
        (0, Stage.DUE),
        (-13, Stage.DUE),
        (-14, Stage.OVERDUE),
    ],
)
def test_once_on_a_day(days: int, stage: Stage | None) -> None:
    finding = judge_once(on(days))
    assert finding.stage == stage
    assert finding.recorded_at is None, "the calendar decides"


def test_the_first_of_day_and_odometer_speaks() -> None:
    both = ServiceInterval(due_odometer_km=DUE_KM, due_on=TODAY + timedelta(days=3))
    assert judge_once(both, DUE_KM + LEAD).evidence["part"] == "distance"
    assert judge_once(both, DUE_KM - 10 * LEAD).evidence["part"] == "time"
    assert judge_once(both).stage is Stage.SOON, "the day does not wait for an odometer"


@pytest.mark.parametrize(
    ("done", "is_done"),
    [
        (service(TODAY - timedelta(days=18)), False),
        (service(TODAY - timedelta(days=17)), True),
        (service(TODAY), True),
        (service(TODAY - timedelta(days=400), DUE_KM), False),
    ],
    ids=["before anybody was told", "on the first day it was told", "later", "of another time"],
)
def test_a_day_is_over_with_a_service_of_its_time(done: ServiceFact, is_done: bool) -> None:
    finding = judge_once(on(-3), done=done)
    assert finding.verdict is (Verdict.CLEAR if is_done else Verdict.FIRING)
    assert (finding.reason == Reason.SERVICE_DONE) is is_done


@pytest.mark.parametrize(
    ("km", "is_done"),
    [(DUE_KM - LEAD - 0.01, False), (DUE_KM - LEAD, True), (DUE_KM + 9, True), (None, False)],
)
def test_an_odometer_is_over_with_a_service_near_it(km: float | None, is_done: bool) -> None:
    finding = judge_once(AT, DUE_KM, done=service(km=km))
    assert finding.verdict is (Verdict.CLEAR if is_done else Verdict.FIRING)


def test_either_way_of_being_done_does() -> None:
    both = ServiceInterval(due_odometer_km=DUE_KM, due_on=TODAY)
    assert judge_once(both, DUE_KM, service(TODAY)).verdict is Verdict.CLEAR
    old = service(TODAY - timedelta(days=300), DUE_KM)
    assert judge_once(both, DUE_KM, old).verdict is Verdict.CLEAR


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (make_facts(), Reason.NO_READING),
        (make_facts(make_signal(facts.ODOMETER, None)), Reason.WRONG_SHAPE),
        (
            make_facts(make_signal(facts.ODOMETER, DUE_KM, recorded_at=NOW - 73 * HOUR)),
            Reason.STALE,
        ),
    ],
    ids=["missing", "no-number", "stale"],
)
def test_what_is_not_known_neither_fires_nor_clears(known: Facts, reason: Reason) -> None:
    (finding,) = judge(make_spec(AT), known, {}, NOW)
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, reason)
