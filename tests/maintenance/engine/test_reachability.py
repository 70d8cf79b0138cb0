from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance.engine.conditions import judge
from maintenance.engine.facts import Consent, Facts, Reach
from maintenance.engine.findings import Finding, Reason
from maintenance.engine.rules import Connection, Stage, StaleData, Verdict
from tests.maintenance.engine.builders import (
    DAY,
    HOUR,
    NOW,
    TODAY,
    make_facts,
    make_open,
    make_spec,
    reached,
)

SECOND = timedelta(seconds=1)
LOST = [consent for consent in Consent if consent is not Consent.ACTIVE]


def judge_silence(known: Facts, *, is_open: bool = False, now: datetime = NOW) -> Finding:
    episodes = {"": make_open()} if is_open else {}
    (finding,) = judge(make_spec(StaleData()), known, episodes, now)
    assert (finding.subject, finding.recorded_at, finding.value) == ("", None, None)
    return finding


def judge_connection(known: Facts) -> Finding:
    (finding,) = judge(make_spec(Connection()), known, {}, NOW)
    assert (finding.subject, finding.recorded_at, finding.value) == ("", None, None)
    return finding


@pytest.mark.parametrize(
    ("habit", "ago", "verdict"),
    [
        (HOUR, 72 * HOUR, Verdict.CLEAR),
        (HOUR, 72 * HOUR + SECOND, Verdict.FIRING),
        (24 * HOUR, 72 * HOUR + SECOND, Verdict.FIRING),
        (30 * HOUR, 90 * HOUR, Verdict.CLEAR),
        (30 * HOUR, 90 * HOUR + SECOND, Verdict.FIRING),
        (HOUR, -5 * SECOND, Verdict.CLEAR),
    ],
)
def test_a_car_is_quiet_after_three_days_or_three_times_its_makes_habit(
    habit: timedelta, ago: timedelta, verdict: Verdict
) -> None:
    finding = judge_silence(reached(habit=habit, last=NOW - ago))
    assert finding.verdict is verdict
    assert finding.stage == (Stage.DUE if verdict is Verdict.FIRING else None)


def test_an_admin_who_lets_readings_count_longer_is_told_later() -> None:
    spec = make_spec(StaleData(), freshness=7 * DAY)
    (finding,) = judge(spec, reached(last=NOW - 6 * DAY), {}, NOW)
    assert finding.verdict is Verdict.CLEAR
    assert finding.evidence["limit_hours"] == 168


@pytest.mark.parametrize(
    ("since", "verdict"),
    [(NOW - 72 * HOUR - SECOND, Verdict.FIRING), (NOW - 72 * HOUR, Verdict.UNKNOWN)],
)
def test_a_car_that_never_gave_anything_counts_from_its_connection(
    since: datetime, verdict: Verdict
) -> None:
    assert judge_silence(reached(last=None, since=since)).verdict is verdict


def test_a_new_consent_gives_a_quiet_car_time_and_clears_nothing() -> None:
    known = reached(last=NOW - 30 * DAY, since=NOW - HOUR)
    for is_open in (False, True):
        assert judge_silence(known, is_open=is_open).verdict is Verdict.UNKNOWN
    assert judge_silence(reached(last=NOW - HOUR), is_open=True).verdict is Verdict.CLEAR


@pytest.mark.parametrize("consent", LOST)
@pytest.mark.parametrize("last", [NOW, NOW - 30 * DAY], ids=["fresh", "quiet"])
def test_a_car_whose_connection_is_lost_is_neither_quiet_nor_heard(
    consent: Consent, last: datetime
) -> None:
    for is_open in (False, True):
        finding = judge_silence(reached(consent=consent, last=last), is_open=is_open)
        assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.NOT_CONNECTED)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 400), st.integers(0, 400), st.integers(1, 200))
def test_silence_opens_only_after_its_limit_and_ends_only_with_a_fresh_reading(
    last: int, since: int, habit: int
) -> None:
    known = reached(last=NOW - last * HOUR, since=NOW - since * HOUR, habit=habit * HOUR)
    limit = max(72, 3 * habit)
    finding = judge_silence(known)
    assert (finding.verdict is Verdict.CLEAR) is (last <= limit)
    assert (finding.verdict is Verdict.FIRING) is (min(last, since) > limit)


@pytest.mark.parametrize("kind", [StaleData, Connection])
@pytest.mark.parametrize(
    "known",
    [make_facts(), Facts(signals={}, services={}, today=TODAY, reach=Reach(habit=HOUR))],
    ids=["of the past", "never connected"],
)
def test_nothing_is_said_of_a_car_without_a_connection(
    kind: type[StaleData] | type[Connection], known: Facts
) -> None:
    (finding,) = judge(make_spec(kind()), known, {}, NOW)
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.NOT_CONNECTED)


@pytest.mark.parametrize(
    ("consent", "reason"),
    [
        (Consent.NEEDS_RECONNECT, Reason.NEEDS_RECONNECT),
        (Consent.REVOKED, Reason.REVOKED),
        (Consent.NOT_SHARED, Reason.NOT_SHARED),
    ],
)
def test_a_lost_connection_is_overdue_at_once(consent: Consent, reason: Reason) -> None:
    finding = judge_connection(reached(consent=consent))
    assert (finding.verdict, finding.stage, finding.reason) == (
        Verdict.FIRING,
        Stage.OVERDUE,
        reason,
    )


def test_what_staff_ended_themselves_is_no_news_to_them() -> None:
    finding = judge_connection(reached(consent=Consent.ENDED_BY_STAFF))
    assert (finding.verdict, finding.reason) == (Verdict.CLEAR, Reason.ENDED_BY_STAFF)


@pytest.mark.parametrize(
    ("days", "stage"),
    [
        (15, None),
        (14, Stage.SOON),
        (8, Stage.SOON),
        (7, Stage.DUE),
        (2, Stage.DUE),
        (1, Stage.OVERDUE),
        (0, Stage.OVERDUE),
        (-30, Stage.OVERDUE),
    ],
)
def test_a_consent_that_ends_is_told_fourteen_seven_and_one_days_before(
    days: int, stage: Stage | None
) -> None:
    finding = judge_connection(reached(ends_on=TODAY + timedelta(days=days)))
    assert finding.stage == stage
    assert finding.verdict is (Verdict.FIRING if stage else Verdict.CLEAR)
    assert finding.evidence["days_left"] == days


def test_a_consent_without_an_end_is_well() -> None:
    finding = judge_connection(reached())
    assert (finding.verdict, finding.reason) == (Verdict.CLEAR, Reason.CONNECTED)


def test_evidence_says_since_when_and_why() -> None:
    known = reached(consent=Consent.NEEDS_RECONNECT, ends_on=date(2026, 3, 20))
    assert judge_connection(known).evidence == {
        "consent": "needs_reconnect",
        "driver": "Maria Lopez",
        "since": (NOW - DAY).isoformat(),
        "why": "why",
        "ends_on": "2026-03-20",
        "days_left": 10,
        "today": "2026-03-10",
    }
