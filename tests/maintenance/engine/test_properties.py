"""What holds whatever the order, repetition and interleaving of readings."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance.engine.conditions import judge
from maintenance.engine.episodes import Action, combine
from maintenance.engine.facts import Facts
from maintenance.engine.findings import EpisodeView, Finding
from maintenance.engine.rules import Hold, RuleSpec, Stage, TroubleCode, Verdict
from tests.maintenance.engine.builders import (
    DAY,
    HOUR,
    NOW,
    clear,
    codes,
    firing,
    make_spec,
    oil,
    unknown,
)
from tests.maintenance.engine.ledger import Ledger

HOLDS = st.sampled_from(
    [
        Hold(),
        Hold(readings=2),
        Hold(readings=2, apart=12 * HOUR, zero_readings=3),
        Hold(readings=3, or_after=DAY),
        Hold(readings=3, apart=6 * HOUR, or_after=DAY, zero_readings=4),
    ]
)
SPECS = st.builds(
    lambda hold, clear_readings: make_spec(hold=hold, clear_readings=clear_readings),
    HOLDS,
    st.integers(1, 3),
)
TIMES = st.integers(0, 40).map(lambda n: NOW + n * 5 * HOUR) | st.none()
RULES = st.sampled_from([1, 1, 1, 2, 3])
FIRINGS = st.builds(
    lambda at, stage, value, rule_id, skip: firing(
        at, stage=stage, value=value, rule_id=rule_id, skip_hold=skip
    ),
    TIMES,
    st.sampled_from(Stage),
    st.sampled_from([0.0, 0.0, 3.0, 15.0, 25.0]),
    RULES,
    st.sampled_from([False, False, False, True]),
)
CLEARS = st.builds(lambda at, rule_id: clear(at, rule_id=rule_id), TIMES, RULES)
UNKNOWNS = st.builds(lambda at, rule_id: unknown(at, rule_id=rule_id), TIMES, RULES)
CLOSE = "a person closes it"
REOPEN = "a person reopens it"
Event = Finding | str
EVENTS = st.lists(
    st.one_of(FIRINGS, FIRINGS, CLEARS, UNKNOWNS, st.sampled_from([CLOSE, REOPEN])), max_size=40
)


def play(ledger: Ledger, event: Event, spec: RuleSpec, now: datetime) -> Action | None:
    if isinstance(event, str):
        ledger.close(now) if event == CLOSE else ledger.reopen(now)
        return None
    return ledger.apply(event, replace(spec, id=event.rule_id), now).action


def clock(n: int) -> datetime:
    """The portal's time moves on its own, whatever the readings say."""
    return NOW + n * 7 * HOUR


@settings(deadline=None)  # a busy machine is no failure
@given(EVENTS, SPECS)
def test_no_sequence_gives_two_unresolved_episodes(events: list[Event], spec: RuleSpec) -> None:
    ledger = Ledger()  # it asserts on every step
    for n, event in enumerate(events):
        play(ledger, event, spec, clock(n))


@settings(deadline=None)  # a busy machine is no failure
@given(EVENTS, SPECS)
def test_repeating_any_finding_changes_nothing(events: list[Event], spec: RuleSpec) -> None:
    ledger = Ledger()
    for n, event in enumerate(events):
        play(ledger, event, spec, clock(n))
        before = (ledger.unresolved, ledger.previous)
        assert play(ledger, event, spec, clock(n)) in {Action.NOTHING, None}
        assert (ledger.unresolved, ledger.previous) == before


@settings(deadline=None)  # a busy machine is no failure
@given(EVENTS, SPECS)
def test_unknown_findings_leave_no_trace(events: list[Event], spec: RuleSpec) -> None:
    everything, known = Ledger(), Ledger()
    for n, event in enumerate(events):
        play(everything, event, spec, clock(n))
        if isinstance(event, str) or event.verdict is not Verdict.UNKNOWN:
            play(known, event, spec, clock(n))
    assert (everything.unresolved, everything.previous) == (known.unresolved, known.previous)


@settings(deadline=None)  # a busy machine is no failure
@given(EVENTS, SPECS)
def test_the_stage_never_falls_while_an_episode_is_open(
    events: list[Event], spec: RuleSpec
) -> None:
    ledger, announced = Ledger(), None
    for n, event in enumerate(events):
        action = play(ledger, event, spec, clock(n))
        stage = ledger.unresolved.stage if ledger.unresolved else None
        if ledger.unresolved is None or not ledger.unresolved.is_open:
            announced = None
            continue
        assert stage is not None
        if announced is not None:
            assert stage >= announced
            assert (stage > announced) is (action is Action.WORSEN)
        announced = stage


@settings(deadline=None)  # a busy machine is no failure
@given(EVENTS, SPECS)
def test_what_a_person_reopens_is_ended_only_by_what_the_car_says_from_then_on(
    events: list[Event], spec: RuleSpec
) -> None:
    ledger = Ledger()
    for n, event in enumerate(events):
        since = ledger.unresolved.reopened_by_person_at if ledger.unresolved else None
        last_firing = ledger.unresolved.last_firing_at if ledger.unresolved else None
        action = play(ledger, event, spec, clock(n))
        if since is None or action is not Action.RESOLVE or isinstance(event, str):
            continue
        said_at = event.recorded_at or last_firing
        assert said_at is not None
        assert said_at > since


@settings(deadline=None)  # a busy machine is no failure
@given(EVENTS, SPECS)
def test_an_open_episode_was_held_by_distinct_readings(events: list[Event], spec: RuleSpec) -> None:
    ledger = Ledger()
    seen: list[tuple[int, datetime]] = []  # firing readings since nothing was unresolved
    for n, event in enumerate(events):
        if ledger.unresolved is None:
            seen = []
        if isinstance(event, Finding) and event.verdict is Verdict.FIRING:
            seen.append((event.rule_id, event.recorded_at or clock(n)))
        action = play(ledger, event, spec, clock(n))
        if action in {Action.OPEN, Action.REOPEN} and isinstance(event, Finding):
            assert event.skip_hold or is_held(event, seen, spec.hold)


def is_held(event: Finding, seen: list[tuple[int, datetime]], hold: Hold) -> bool:
    times = sorted({at for rule_id, at in seen if rule_id == event.rule_id})
    spaced: list[datetime] = []
    for at in times:
        if not spaced or at - spaced[-1] >= hold.apart:
            spaced.append(at)
    in_doubt = event.value == 0 and hold.zero_readings is not None
    needed = hold.zero_readings if in_doubt and hold.zero_readings else hold.readings
    waited = hold.or_after is not None and times[-1] - times[0] >= hold.or_after
    return len(spaced) >= needed or (waited and not in_doubt)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(
        st.one_of(FIRINGS, CLEARS, UNKNOWNS), min_size=1, max_size=5, unique_by=lambda f: f.rule_id
    ),
    st.none() | st.integers(1, 5),
    st.permutations(range(5)),
)
def test_the_order_of_findings_does_not_change_the_combined_verdict(
    findings: list[Finding], current: int | None, order: list[int]
) -> None:
    shuffled = [findings[n] for n in order if n < len(findings)]
    one, other = combine(findings, current), combine(shuffled, current)
    assert (one.verdict, one.stage, one.rule_id) == (other.verdict, other.stage, other.rule_id)


CODES = st.sets(st.sampled_from(["P0300", "P0301", "U0100"]))
POLLS = st.lists(st.tuples(st.integers(0, 20), CODES), max_size=20)


@settings(deadline=None)  # a busy machine is no failure
@given(POLLS, st.integers(1, 3))
def test_interleaved_codes_live_their_own_lives(
    polls: list[tuple[int, set[str]]], repeats: int
) -> None:
    """Together or one by one, once or repeatedly evaluated, each code ends the same."""
    together = run_codes(polls, repeats)
    for code in ("P0300", "P0301", "U0100"):
        alone = run_codes([(hour, found & {code}) for hour, found in polls], 1)
        assert together.get(code) == alone.get(code)


def run_codes(polls: list[tuple[int, set[str]]], repeats: int) -> dict[str, EpisodeView]:
    spec = make_spec(TroubleCode())
    ledgers: dict[str, Ledger] = {}
    at = NOW
    for hours, found in polls:
        at += timedelta(hours=hours)
        for _ in range(repeats):
            evaluate(spec, codes(*sorted(found), at=at), ledgers, at)
    return {code: view for code, ledger in ledgers.items() if (view := ledger.unresolved)}


def evaluate(spec: RuleSpec, known: Facts, ledgers: dict[str, Ledger], now: datetime) -> None:
    episodes = {
        subject: view
        for subject, ledger in ledgers.items()
        if (view := ledger.unresolved or ledger.previous)
    }
    for finding in judge(spec, known, episodes, now):
        ledgers.setdefault(finding.subject, Ledger()).apply(finding, spec, now)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), max_size=30))
def test_oil_life_alone_never_reports_more_than_its_readings_say(
    readings: list[tuple[int, int]],
) -> None:
    """End to end: an alert needs two readings, and hovering between 30 and 40 ends nothing."""
    ledgers: dict[str, Ledger] = {"": Ledger()}
    ledger, at = ledgers[""], NOW
    for hours, value in readings:
        at += timedelta(hours=hours)
        was_open = ledger.unresolved is not None and ledger.unresolved.is_open
        worst = ledger.unresolved.worst if ledger.unresolved else None
        evaluate(make_spec(), oil(float(value), at=at), ledgers, at)
        is_open = ledger.unresolved is not None and ledger.unresolved.is_open
        if was_open and not is_open:
            assert value >= 40 or (worst is not None and value - worst >= 30)
        if is_open and not was_open:
            assert value < 30
