"""What a rule is: a condition, how sure one must be, and how long a reading counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

from maintenance.engine import facts


class Kind(StrEnum):
    OIL_LIFE = "oil_life"
    SERVICE_INTERVAL = "service_interval"
    TROUBLE_CODE = "trouble_code"
    SYSTEM_STATUS = "system_status"
    TIRE_PRESSURE = "tire_pressure"
    FUEL_LEVEL = "fuel_level"
    STATE_OF_CHARGE = "state_of_charge"
    STALE_DATA = "stale_data"
    CONNECTION = "connection"

    @property
    def has_history(self) -> bool:
        """Whether it rests on readings, which may come late; not on what is true at this moment."""
        return self not in {Kind.STALE_DATA, Kind.CONNECTION}


class Stage(StrEnum):
    """How pressing it is. Ordered by urgency (soon < due < overdue), not by spelling."""

    SOON = "soon"
    DUE = "due"
    OVERDUE = "overdue"

    @property
    def rank(self) -> int:
        return list(Stage).index(self)

    def __lt__(self, other: str) -> bool:
        return self.rank < Stage(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Stage(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Stage(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Stage(other).rank


class Verdict(StrEnum):
    FIRING = "firing"
    CLEAR = "clear"
    UNKNOWN = "unknown"  # missing, stale or unreadable: neither opens nor closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What it takes before an episode opens, measured between the readings' own timestamps.

    `readings` agreeing readings, each at least `apart` after the one counted before it; or
    `or_after` between the first and the latest. A value of exactly 0 always needs
    `zero_readings`, because cars report 0 when they do not know.
    """

    readings: int = 1
    apart: timedelta = timedelta(0)
    or_after: timedelta | None = None
    zero_readings: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What runs low, in percent: fires strictly below, and clears at `clear_at` or above.

    A stage without a threshold is never reached. A jump up of `clear_jump` clears anywhere.
    """

    signal: ClassVar[str]

    soon_below: float | None = None
    due_below: float = 10
    overdue_below: float | None = None
    clear_at: float = 20
    clear_jump: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OilLife(Level):
    """Remaining oil life. A jump means that the oil was changed, at whatever it stands now."""

    signal: ClassVar[str] = facts.OIL_LIFE

    soon_below: float | None = 30
    due_below: float = 20
    overdue_below: float | None = 5
    clear_at: float = 40
    clear_jump: float | None = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FuelLevel(Level):
    """Fuel in the tank."""

    signal: ClassVar[str] = facts.FUEL_LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class StateOfCharge(Level):
    """Charge of the traction battery."""

    signal: ClassVar[str] = facts.STATE_OF_CHARGE


@dataclass(frozen=True, slots=True, kw_only=True)
class TirePressure:
    """Pressure of each wheel in kPa, by what the car's placard asks for where that is known.

    Low at 80 % of the placard or below, else at `low_kpa`; high at 125 % or above, and at
    `high_kpa`. The rear's placard is also that of the axles behind it.
    """

    placard_front_kpa: float | None = None
    placard_rear_kpa: float | None = None
    low_kpa: float = 193
    high_kpa: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleData:
    """Nothing fresh for longer than the rule's freshness, and than so many times the habit of
    the make.
    """

    habits: float = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The consent is lost, or ends within so many days. The last day is day 0."""

    soon_days: int = 14
    due_days: int = 7
    overdue_days: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInterval:
    """Distance, days, or the first of both since the last service of the topic; or else once, at
    `due_odometer_km`, on `due_on`, or the first of both.

    Soon begins at the earliest of `soon_fraction` (of an interval), `soon_km` before and
    `soon_days` before. 804.672 km are 500 miles.
    """

    distance_km: float | None = None
    days: int | None = None
    due_odometer_km: float | None = None
    due_on: date | None = None
    soon_fraction: float = 0.9
    soon_km: float = 804.672
    soon_days: int = 14
    overdue_km: float = 804.672
    overdue_days: int = 14

    @property
    def is_once(self) -> bool:
        """Whether it is due a single time; an interval beside that does not count."""
        return bool(self.due_odometer_km) or self.due_on is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleCode:
    """Active codes by shell pattern (`P03*`), whatever the case.

    `critical` ones are not held, nor those that the book of codes (Facts) calls critical.
    """

    patterns: tuple[str, ...] = ("*",)
    ignored: tuple[str, ...] = ()
    critical: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """Systems that say ALERT, by shell pattern on the system's name, whatever the case."""

    patterns: tuple[str, ...] = ("*",)
    ignored: tuple[str, ...] = ()


Condition = (
    OilLife
    | ServiceInterval
    | TroubleCode
    | SystemStatus
    | TirePressure
    | FuelLevel
    | StateOfCharge
    | StaleData
    | Connection
)

CONDITIONS: Mapping[Kind, type[Condition]] = MappingProxyType(
    {
        Kind.OIL_LIFE: OilLife,
        Kind.SERVICE_INTERVAL: ServiceInterval,
        Kind.TROUBLE_CODE: TroubleCode,
        Kind.SYSTEM_STATUS: SystemStatus,
        Kind.TIRE_PRESSURE: TirePressure,
        Kind.FUEL_LEVEL: FuelLevel,
        Kind.STATE_OF_CHARGE: StateOfCharge,
        Kind.STALE_DATA: StaleData,
        Kind.CONNECTION: Connection,
    }
)

DEFAULT_HOLD: Mapping[Kind, Hold] = MappingProxyType(
    {
        Kind.OIL_LIFE: Hold(readings=2, apart=timedelta(hours=12), zero_readings=3),
        Kind.SERVICE_INTERVAL: Hold(),
        Kind.TROUBLE_CODE: Hold(readings=2, or_after=timedelta(hours=24)),
        Kind.SYSTEM_STATUS: Hold(readings=2),
        Kind.TIRE_PRESSURE: Hold(readings=2, apart=timedelta(hours=6), zero_readings=3),
        Kind.FUEL_LEVEL: Hold(readings=2),
        Kind.STATE_OF_CHARGE: Hold(readings=2),
        Kind.STALE_DATA: Hold(),
        Kind.CONNECTION: Hold(),
    }
)

DEFAULT_CLEAR_READINGS: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.OIL_LIFE: 1,
        Kind.SERVICE_INTERVAL: 1,
        Kind.TROUBLE_CODE: 2,
        Kind.SYSTEM_STATUS: 2,
        Kind.TIRE_PRESSURE: 1,
        Kind.FUEL_LEVEL: 1,
        Kind.STATE_OF_CHARGE: 1,
        Kind.STALE_DATA: 1,
        Kind.CONNECTION: 1,
    }
)

# How often an open episode is told of again; None: never. A consent that ends has its own days.
DEFAULT_REPEAT: Mapping[Kind, timedelta | None] = MappingProxyType(
    {
        **dict.fromkeys(Kind, timedelta(days=7)),
        Kind.TIRE_PRESSURE: timedelta(days=3),
        Kind.CONNECTION: None,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """One rule as the engine sees it. Raises TypeError when kind and condition disagree."""

    id: int
    kind: Kind
    topic: str
    condition: Condition
    hold: Hold
    clear_readings: int
    freshness: timedelta = timedelta(hours=72)
    reopen_window: timedelta = timedelta(days=14)
    repeat: timedelta | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.condition, CONDITIONS[self.kind]):
            raise TypeError(f"{type(self.condition).__name__} is no condition of {self.kind}")


def signals_needed(spec: RuleSpec) -> tuple[str, ...]:
    """The signal codes the rule reads, as shell patterns."""
    match spec.condition:
        case Level(signal=signal):
            return (signal,)
        case ServiceInterval() as condition:
            return (facts.ODOMETER,) if _by_odometer(condition) else ()
        case TroubleCode():
            return (facts.TROUBLE_CODES,)
        case SystemStatus(patterns=patterns):
            return tuple(facts.SYSTEM_PREFIX + pattern.lower() for pattern in patterns)
        case TirePressure():
            return (facts.TIRES,)
        case StaleData() | Connection():
            return ()  # whatever the car gives


def _by_odometer(condition: ServiceInterval) -> bool:
    return bool(condition.due_odometer_km if condition.is_once else condition.distance_km)
