"""What a rule is: a condition, how sure one must be, and how long a reading counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from maintenance.engine import facts


class Kind(StrEnum):
    OIL_LIFE = "oil_life"
    SERVICE_INTERVAL = "service_interval"
    TROUBLE_CODE = "trouble_code"
    SYSTEM_STATUS = "system_status"


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
class OilLife:
    """Remaining oil life in percent; fires strictly below."""

    soon_below: float = 30
    due_below: float = 20
    overdue_below: float = 5
    clear_at: float = 40
    clear_jump: float = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceInterval:
    """Distance, days, or the first of both since the last service of the topic.

    Soon begins at the earliest of `soon_fraction`, `soon_km` before and `soon_days` before.
    804.672 km are 500 miles.
    """

    distance_km: float | None = None
    days: int | None = None
    soon_fraction: float = 0.9
    soon_km: float = 804.672
    soon_days: int = 14
    overdue_km: float = 804.672
    overdue_days: int = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleCode:
    """Active codes by shell pattern (`P03*`), whatever the case; `critical` ones are not held."""

    patterns: tuple[str, ...] = ("*",)
    ignored: tuple[str, ...] = ()
    critical: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatus:
    """Systems that say ALERT, by shell pattern on the system's name, whatever the case."""

    patterns: tuple[str, ...] = ("*",)
    ignored: tuple[str, ...] = ()


Condition = OilLife | ServiceInterval | TroubleCode | SystemStatus

_CONDITIONS: Mapping[Kind, type[Condition]] = MappingProxyType(
    {
        Kind.OIL_LIFE: OilLife,
        Kind.SERVICE_INTERVAL: ServiceInterval,
        Kind.TROUBLE_CODE: TroubleCode,
        Kind.SYSTEM_STATUS: SystemStatus,
    }
)

DEFAULT_HOLD: Mapping[Kind, Hold] = MappingProxyType(
    {
        Kind.OIL_LIFE: Hold(readings=2, apart=timedelta(hours=12), zero_readings=3),
        Kind.SERVICE_INTERVAL: Hold(),
        Kind.TROUBLE_CODE: Hold(readings=2, or_after=timedelta(hours=24)),
        Kind.SYSTEM_STATUS: Hold(readings=2),
    }
)

DEFAULT_CLEAR_READINGS: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.OIL_LIFE: 1,
        Kind.SERVICE_INTERVAL: 1,
        Kind.TROUBLE_CODE: 2,
        Kind.SYSTEM_STATUS: 2,
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
        if not isinstance(self.condition, _CONDITIONS[self.kind]):
            raise TypeError(f"{type(self.condition).__name__} is no condition of {self.kind}")


def signals_needed(spec: RuleSpec) -> tuple[str, ...]:
    """The signal codes the rule reads, as shell patterns."""
    match spec.condition:
        case OilLife():
            return (facts.OIL_LIFE,)
        case ServiceInterval(distance_km=distance_km):
            return (facts.ODOMETER,) if distance_km else ()
        case TroubleCode():
            return (facts.TROUBLE_CODES,)
        case SystemStatus(patterns=patterns):
            return tuple(facts.SYSTEM_PREFIX + pattern.lower() for pattern in patterns)
