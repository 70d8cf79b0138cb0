"""Short ways to say what a car reported and which rule is judged."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from maintenance.engine import facts
from maintenance.engine.code_overrides import CodeBook, Override
from maintenance.engine.facts import (
    ConnectionFact,
    Consent,
    Facts,
    Reach,
    ServiceFact,
    SignalFact,
)
from maintenance.engine.findings import EpisodeView, Finding
from maintenance.engine.rules import (
    DEFAULT_CLEAR_READINGS,
    DEFAULT_HOLD,
    Condition,
    Connection,
    FuelLevel,
    Hold,
    Kind,
    OilLife,
    RuleSpec,
    ServiceInterval,
    Stage,
    StaleData,
    StateOfCharge,
    SystemStatus,
    TirePressure,
    TroubleCode,
    Verdict,
)

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
TODAY = date(2026, 3, 10)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MILE = 1.609344

_KINDS: dict[type[Condition], Kind] = {
    OilLife: Kind.OIL_LIFE,
    ServiceInterval: Kind.SERVICE_INTERVAL,
    TroubleCode: Kind.TROUBLE_CODE,
    SystemStatus: Kind.SYSTEM_STATUS,
    TirePressure: Kind.TIRE_PRESSURE,
    FuelLevel: Kind.FUEL_LEVEL,
    StateOfCharge: Kind.STATE_OF_CHARGE,
    StaleData: Kind.STALE_DATA,
    Connection: Kind.CONNECTION,
}


def make_spec(condition: Condition | None = None, **overrides: Any) -> RuleSpec:
    condition = condition or OilLife()
    kind = _KINDS[type(condition)]
    values: dict[str, Any] = {
        "id": 1,
        "kind": kind,
        "topic": "engine-oil",
        "condition": condition,
        "hold": DEFAULT_HOLD[kind],
        "clear_readings": DEFAULT_CLEAR_READINGS[kind],
    }
    return RuleSpec(**(values | overrides))


def make_signal(code: str, value: float | None = None, **overrides: Any) -> SignalFact:
    values: dict[str, Any] = {"code": code, "value": value, "data": None, "recorded_at": NOW}
    return SignalFact(**(values | overrides))


def make_facts(
    *signals: SignalFact, service: ServiceFact | None = None, overrides: tuple[Override, ...] = ()
) -> Facts:
    return Facts(
        signals={signal.code: signal for signal in signals},
        services={service.topic: service} if service else {},
        today=TODAY,
        codes=CodeBook(overrides),
    )


def oil(value: float | None, at: datetime = NOW) -> Facts:
    return make_facts(make_signal(facts.OIL_LIFE, value, recorded_at=at))


def codes(*names: str, at: datetime = NOW, overrides: tuple[Override, ...] = ()) -> Facts:
    data = {"values": [{"code": name, "timestamp": "2026-03-01T08:00:00Z"} for name in names]}
    signal = make_signal(facts.TROUBLE_CODES, data=data, recorded_at=at)
    return make_facts(signal, overrides=overrides)


WHEELS = {
    "front-left": (0, 0),
    "front-right": (0, 1),
    "rear-left": (1, 0),
    "rear-right": (1, 1),
}


def tires(at: datetime = NOW, **pressures: Any) -> Facts:
    """Wheels by name (front_left=165); those that are not named stand at 270 kPa."""
    values = []
    for name, (row, column) in WHEELS.items():
        pressure = pressures.get(name.replace("-", "_"), 270.0)
        values.append({"row": row, "column": column, "tirePressure": pressure})
    return make_facts(make_signal(facts.TIRES, data={"values": values}, recorded_at=at))


def reached(
    *,
    consent: Consent = Consent.ACTIVE,
    ends_on: date | None = None,
    last: datetime | None = NOW,
    since: datetime | None = NOW - 100 * DAY,
    habit: timedelta = HOUR,
) -> Facts:
    """A car with such a consent, that gave something at `last`."""
    connection = ConnectionFact(
        consent=consent,
        changed_at=NOW - DAY,
        ends_on=ends_on,
        driver="Maria Lopez",
        reason="why",
    )
    reach = Reach(habit=habit, last_recorded_at=last, since=since, connection=connection)
    return Facts(signals={}, services={}, today=TODAY, reach=reach)


def make_open(**overrides: Any) -> EpisodeView:
    values: dict[str, Any] = {
        "subject": "",
        "rule_id": 1,
        "is_open": True,
        "stage": Stage.DUE,
        "first_firing_at": NOW - DAY,
        "last_firing_at": NOW - HOUR,
    }
    return EpisodeView(**(values | overrides))


def make_resolved(**overrides: Any) -> EpisodeView:
    values: dict[str, Any] = {
        "is_open": False,
        "is_resolved": True,
        "last_firing_at": NOW - 2 * DAY,
        "resolved_at": NOW - DAY,
    }
    return make_open(**(values | overrides))


def firing(
    at: datetime | None = NOW, *, stage: Stage = Stage.DUE, rule_id: int = 1, **overrides: Any
) -> Finding:
    values: dict[str, Any] = {
        "rule_id": rule_id,
        "subject": "",
        "verdict": Verdict.FIRING,
        "stage": stage,
        "recorded_at": at,
    }
    return Finding(**(values | overrides))


def clear(at: datetime | None = NOW, *, rule_id: int = 1) -> Finding:
    return Finding(rule_id=rule_id, subject="", verdict=Verdict.CLEAR, recorded_at=at)


def unknown(at: datetime | None = NOW, *, rule_id: int = 1) -> Finding:
    return Finding(rule_id=rule_id, subject="", verdict=Verdict.UNKNOWN, recorded_at=at)


HELD_TWICE = Hold(readings=2)
