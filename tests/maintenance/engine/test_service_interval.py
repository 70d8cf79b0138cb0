import json
from datetime import date, timedelta

import pytest

from maintenance.engine import facts
from maintenance.engine.conditions import judge
from maintenance.engine.facts import ServiceFact, SignalFact
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

START_KM = 10_000.0
OIL_5000_MI = ServiceInterval(distance_km=5000 * MILE)
TIRES_7500_MI = ServiceInterval(distance_km=7500 * MILE)
HALF_YEAR = ServiceInterval(days=180)
EITHER = ServiceInterval(distance_km=8000.0, days=180)


def service(days_ago: int = 30, odometer_km: float | None = START_KM) -> ServiceFact:
    done_on = TODAY - timedelta(days=days_ago)
    return ServiceFact(topic="engine-oil", done_on=done_on, odometer_km=odometer_km)


def odometer(km: float | None) -> SignalFact:
    return make_signal(facts.ODOMETER, km)


def judge_interval(
    condition: ServiceInterval, last: ServiceFact | None, *signals: SignalFact
) -> Finding:
    (finding,) = judge(make_spec(condition), make_facts(*signals, service=last), {}, NOW)
    json.dumps(finding.evidence)
    return finding


@pytest.mark.parametrize(
    ("condition", "driven_mi", "stage"),
    [
        (OIL_5000_MI, 4499.9, None),
        (OIL_5000_MI, 4500, Stage.SOON),
        (OIL_5000_MI, 4999.9, Stage.SOON),
        (OIL_5000_MI, 5000, Stage.DUE),
        (OIL_5000_MI, 5499.9, Stage.DUE),
        (OIL_5000_MI, 5500, Stage.OVERDUE),
        (TIRES_7500_MI, 6749.9, None),
        (TIRES_7500_MI, 6750, Stage.SOON),
        (TIRES_7500_MI, 7500, Stage.DUE),
        (TIRES_7500_MI, 8000, Stage.OVERDUE),
        (ServiceInterval(distance_km=3000 * MILE), 2499.9, None),
        (ServiceInterval(distance_km=3000 * MILE), 2500, Stage.SOON),
        (ServiceInterval(distance_km=400 * MILE), 1, None),
        (ServiceInterval(distance_km=400 * MILE), 360, Stage.SOON),
    ],
)
def test_distance_fires_at_each_stage(
    condition: ServiceInterval, driven_mi: float, stage: Stage | None
) -> None:
    finding = judge_interval(condition, service(), odometer(START_KM + driven_mi * MILE))
    assert finding.stage is stage
    assert finding.verdict is (Verdict.FIRING if stage else Verdict.CLEAR)
    assert finding.recorded_at == NOW


@pytest.mark.parametrize(
    ("days", "ago", "stage"),
    [
        (180, 161, None),
        (180, 162, Stage.SOON),
        (180, 179, Stage.SOON),
        (180, 180, Stage.DUE),
        (180, 193, Stage.DUE),
        (180, 194, Stage.OVERDUE),
        (90, 75, None),
        (90, 76, Stage.SOON),
        (14, 0, None),
        (14, 13, Stage.SOON),
        (180, -3, None),
    ],
)
def test_time_fires_at_each_stage(days: int, ago: int, stage: Stage | None) -> None:
    finding = judge_interval(ServiceInterval(days=days), service(ago))
    assert finding.stage is stage
    assert finding.verdict is (Verdict.FIRING if stage else Verdict.CLEAR)
    assert finding.recorded_at is None


@pytest.mark.parametrize(
    ("driven_km", "days_ago", "stage", "part"),
    [
        (8000, 10, Stage.DUE, "distance"),
        (100, 180, Stage.DUE, "time"),
        (8000, 165, Stage.DUE, "distance"),
        (7300, 200, Stage.OVERDUE, "time"),
        (100, 10, None, "time"),
    ],
)
def test_the_first_of_both_counts(
    driven_km: float, days_ago: int, stage: Stage | None, part: str
) -> None:
    finding = judge_interval(EITHER, service(days_ago), odometer(START_KM + driven_km))
    assert finding.stage is stage
    assert finding.evidence["part"] == part


def test_without_a_service_nothing_is_counted() -> None:
    finding = judge_interval(EITHER, None, odometer(900_000))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.NO_SERVICE)


def test_a_service_of_another_topic_is_not_counted() -> None:
    other = ServiceFact(topic="tire-rotation", done_on=date(2020, 1, 1), odometer_km=0)
    assert judge_interval(EITHER, other, odometer(900_000)).reason == Reason.NO_SERVICE


STALE = make_signal(facts.ODOMETER, 99_000.0, recorded_at=NOW - 73 * HOUR)


@pytest.mark.parametrize(
    ("last", "signals", "reason"),
    [
        (service(), (), Reason.NO_READING),
        (service(), (STALE,), Reason.STALE),
        (service(), (odometer(None),), Reason.WRONG_SHAPE),
        (service(odometer_km=None), (odometer(99_000),), Reason.NO_SERVICE_ODOMETER),
        (service(days_ago=2), (odometer(START_KM - 6),), Reason.ODOMETER_BEHIND_SERVICE),
    ],
    ids=["no-odometer", "stale", "no-number", "service-without-odometer", "odometer-behind"],
)
@pytest.mark.parametrize("condition", [OIL_5000_MI, EITHER], ids=["distance", "both"])
def test_an_unknown_distance_is_never_clear(
    condition: ServiceInterval, last: ServiceFact, signals: tuple[SignalFact, ...], reason: Reason
) -> None:
    finding = judge_interval(condition, last, *signals)
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, reason)


def test_time_fires_though_the_distance_is_unknown() -> None:
    finding = judge_interval(EITHER, service(181, odometer_km=None))
    assert (finding.stage, finding.evidence["part"]) == (Stage.DUE, "time")


@pytest.mark.parametrize(
    ("days_ago", "km"),
    [(1, START_KM - 50), (30, START_KM - 5)],
    ids=["reading-of-the-day-before", "rounded-entry"],
)
def test_an_odometer_a_little_behind_the_service_is_clear(days_ago: int, km: float) -> None:
    assert judge_interval(OIL_5000_MI, service(days_ago), odometer(km)).verdict is Verdict.CLEAR


def test_an_interval_of_nothing_is_unknown() -> None:
    finding = judge_interval(ServiceInterval(), service(), odometer(99_000))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.NO_INTERVAL)


def test_evidence_says_how_much_is_left_and_when_it_is_due() -> None:
    evidence = judge_interval(EITHER, service(170), odometer(START_KM + 8100)).evidence
    assert evidence["part"] == "distance"
    assert evidence["left_km"] == -100
    assert evidence["due_odometer_km"] == START_KM + 8000
    assert evidence["left_days"] == 10
    assert evidence["due_on"] == (TODAY + timedelta(days=10)).isoformat()
    assert evidence["recorded_at"] == NOW.isoformat()
