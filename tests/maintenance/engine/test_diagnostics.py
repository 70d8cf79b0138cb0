import json
from typing import Any

import pytest

from maintenance.engine import facts
from maintenance.engine.code_overrides import Override
from maintenance.engine.conditions import judge
from maintenance.engine.facts import Facts, SignalFact
from maintenance.engine.findings import EpisodeView, Finding, Reason
from maintenance.engine.rules import RuleSpec, Stage, SystemStatus, TroubleCode, Verdict
from maintenance.engine.trouble_codes import Severity
from tests.maintenance.engine.builders import (
    HOUR,
    NOW,
    codes,
    make_facts,
    make_open,
    make_signal,
    make_spec,
)

STALE = NOW - 73 * HOUR
IGNORED = (Override(id=1, pattern="P04*", is_ignored=True),)


def known_episodes(*subjects: str) -> dict[str, EpisodeView]:
    return {subject: make_open(subject=subject) for subject in subjects}


def judge_all(
    spec: RuleSpec, known: Facts, episodes: dict[str, EpisodeView] | None = None
) -> dict[str, Finding]:
    findings = judge(spec, known, episodes or {}, NOW)
    by_subject = {finding.subject: finding for finding in findings}
    assert len(by_subject) == len(findings)
    json.dumps([finding.evidence for finding in findings])
    return by_subject


def code_list(data: Any) -> Facts:
    return make_facts(make_signal(facts.TROUBLE_CODES, data=data))


def system(name: str, status: Any = "ALERT", **overrides: Any) -> SignalFact:
    data = {"status": status, "description": "Brakes"}
    return make_signal(facts.SYSTEM_PREFIX + name, data=data, **overrides)


def test_each_active_code_is_a_finding_of_its_own() -> None:
    findings = judge_all(make_spec(TroubleCode()), codes("p0300", "C1234", "P0300"))
    assert list(findings) == ["C1234", "P0300"]
    finding = findings["P0300"]
    assert (finding.verdict, finding.stage) == (Verdict.FIRING, Stage.DUE)
    assert finding.recorded_at == NOW
    assert not finding.skip_hold
    assert finding.evidence["timestamp"] == "2026-03-01T08:00:00Z"


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        (TroubleCode(patterns=("p03*",)), {"P0300", "P0301"}),
        (TroubleCode(patterns=("P030[01]", "u*")), {"P0300", "P0301", "U0100"}),
        (TroubleCode(patterns=()), set()),
        (TroubleCode(ignored=("u0100",)), {"P0300", "P0301"}),
        (TroubleCode(patterns=("P*",), ignored=("P03*",)), set()),
    ],
    ids=["prefix", "class", "none", "ignored", "ignored-wins"],
)
def test_codes_are_chosen_by_pattern_whatever_the_case(
    condition: TroubleCode, fires: set[str]
) -> None:
    assert set(judge_all(make_spec(condition), codes("P0300", "P0301", "U0100"))) == fires


def test_a_critical_code_is_not_held() -> None:
    spec = make_spec(TroubleCode(critical=("p0217",)))
    findings = judge_all(spec, codes("P0217", "P0300"))
    assert findings["P0217"].skip_hold
    assert findings["P0217"].stage is Stage.DUE
    assert not findings["P0300"].skip_hold


@pytest.mark.parametrize(
    ("code", "overrides", "severity", "is_held"),
    [
        ("P0217", (), "critical", False),
        ("P0420", (), "medium", True),
        ("P1420", (), "medium", True),
        ("P1420", (Override(id=1, pattern="P14*", severity=Severity.CRITICAL),), "critical", False),
        ("P0217", (Override(id=1, pattern="P0217", severity=Severity.LOW),), "low", True),
        ("nonsense", (), "medium", True),
    ],
)
def test_how_serious_a_code_is_comes_from_the_book(
    code: str, overrides: tuple[Override, ...], severity: str, is_held: bool
) -> None:
    (finding,) = judge_all(make_spec(TroubleCode()), codes(code, overrides=overrides)).values()
    assert finding.evidence["severity"] == severity
    assert finding.skip_hold is not is_held
    assert finding.evidence["is_critical"] is not is_held


def test_a_rule_calls_critical_what_the_book_does_not() -> None:
    own = (Override(id=1, pattern="P0420", severity=Severity.LOW, text="Known fault"),)
    spec = make_spec(TroubleCode(critical=("P0420",)))
    finding = judge_all(spec, codes("P0420", overrides=own))["P0420"]
    assert finding.skip_hold
    assert finding.evidence["severity"] == "critical"
    assert finding.evidence["own_meaning"] == "Known fault"


@pytest.mark.parametrize(
    "known",
    [
        codes("P0420", overrides=IGNORED),
        codes("P0420", at=STALE, overrides=IGNORED),
        codes(overrides=IGNORED),
        make_facts(overrides=IGNORED),
    ],
    ids=["present", "stale", "absent", "never-read"],
)
def test_what_the_fleet_ignores_neither_fires_nor_stays(known: Facts) -> None:
    assert judge_all(make_spec(TroubleCode(critical=("P0420",))), known) == {}
    finding = judge_all(make_spec(TroubleCode()), known, known_episodes("P0420"))["P0420"]
    assert (finding.verdict, finding.reason) == (Verdict.CLEAR, Reason.IGNORED)
    assert finding.skip_hold


@pytest.mark.parametrize(
    ("condition", "known", "verdict", "reason"),
    [
        (TroubleCode(), codes(), Verdict.CLEAR, Reason.CODE_ABSENT),
        (TroubleCode(), codes("P0999"), Verdict.CLEAR, Reason.CODE_ABSENT),
        (TroubleCode(ignored=("P03*",)), codes("P0300"), Verdict.CLEAR, Reason.IGNORED),
        (TroubleCode(), make_facts(), Verdict.UNKNOWN, Reason.NO_READING),
        (TroubleCode(), codes(at=STALE), Verdict.UNKNOWN, Reason.STALE),
        (TroubleCode(), codes("P0300", at=STALE), Verdict.UNKNOWN, Reason.STALE),
        (TroubleCode(), code_list(None), Verdict.UNKNOWN, Reason.WRONG_SHAPE),
        (TroubleCode(), code_list({}), Verdict.UNKNOWN, Reason.WRONG_SHAPE),
        (TroubleCode(), code_list({"values": "P0300"}), Verdict.UNKNOWN, Reason.WRONG_SHAPE),
        (TroubleCode(), code_list({"values": [{}]}), Verdict.UNKNOWN, Reason.WRONG_SHAPE),
        (TroubleCode(), code_list({"values": ["P1"]}), Verdict.UNKNOWN, Reason.WRONG_SHAPE),
    ],
    ids=[
        "absent",
        "another",
        "ignored",
        "no-list",
        "stale-absent",
        "stale-present",
        "null",
        "no-values",
        "text",
        "entry-without-code",
        "entry-no-object",
    ],
)
def test_a_known_code_is_clear_only_when_a_fresh_list_lacks_it(
    condition: TroubleCode, known: Facts, verdict: Verdict, reason: Reason
) -> None:
    finding = judge_all(make_spec(condition), known, known_episodes("P0300"))["P0300"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_an_unreadable_entry_hides_absences_but_not_the_codes_beside_it() -> None:
    known = code_list({"values": [{"code": None}, {"code": "P0300"}]})
    findings = judge_all(make_spec(TroubleCode()), known, known_episodes("P0300", "U0100"))
    assert findings["P0300"].verdict is Verdict.FIRING
    assert findings["U0100"].verdict is Verdict.UNKNOWN


def test_without_episodes_a_stale_list_says_nothing() -> None:
    assert judge_all(make_spec(TroubleCode()), codes("P0300", at=STALE)) == {}


def test_only_systems_that_alert_are_found_when_nothing_is_open() -> None:
    known = make_facts(
        system("abs"),
        system("airbag", "OK"),
        system("mil", "PENDING"),
        make_signal(facts.TROUBLE_CODES, data={"status": "ALERT"}),
        make_signal(facts.ODOMETER, data={"status": "ALERT"}),
    )
    findings = judge_all(make_spec(SystemStatus()), known)
    assert list(findings) == ["abs"]
    assert findings["abs"].stage is Stage.DUE
    assert findings["abs"].evidence["description"] == "Brakes"


@pytest.mark.parametrize(
    ("signals", "verdict", "reason"),
    [
        ([system("abs")], Verdict.FIRING, Reason.SYSTEM_ALERT),
        ([system("abs", "OK")], Verdict.CLEAR, Reason.SYSTEM_OK),
        ([system("abs", "UNKNOWN")], Verdict.UNKNOWN, Reason.WRONG_SHAPE),
        ([system("abs", ["OK"])], Verdict.UNKNOWN, Reason.WRONG_SHAPE),
        ([make_signal("diagnostics-abs", 1.0)], Verdict.UNKNOWN, Reason.WRONG_SHAPE),
        ([system("abs", recorded_at=STALE)], Verdict.UNKNOWN, Reason.STALE),
        ([system("abs", "OK", recorded_at=STALE)], Verdict.UNKNOWN, Reason.STALE),
        ([], Verdict.UNKNOWN, Reason.NO_READING),
    ],
    ids=["alert", "ok", "other-word", "no-word", "no-data", "stale-alert", "stale-ok", "missing"],
)
def test_an_open_system_is_judged_by_its_own_signal(
    signals: list[SignalFact], verdict: Verdict, reason: Reason
) -> None:
    known = make_facts(*signals)
    finding = judge_all(make_spec(SystemStatus()), known, known_episodes("abs"))["abs"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_systems_are_chosen_by_pattern_and_ignored_ones_clear() -> None:
    known = make_facts(system("abs"), system("brakefluid"), system("washerfluid"))
    condition = SystemStatus(patterns=("ABS", "*fluid"), ignored=("washer*",))
    findings = judge_all(make_spec(condition), known, known_episodes("washerfluid"))
    assert {name: finding.verdict for name, finding in findings.items()} == {
        "abs": Verdict.FIRING,
        "brakefluid": Verdict.FIRING,
        "washerfluid": Verdict.CLEAR,
    }
