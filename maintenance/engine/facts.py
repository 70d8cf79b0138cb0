"""What is known about one vehicle when its rules are judged.

Units: kilometres, percent 0-100, kPa. Datetimes are aware; `today` is the fleet's local day.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from maintenance.engine.code_overrides import CodeBook

ODOMETER = "odometer-traveleddistance"
OIL_LIFE = "internalcombustionengine-oillife"
FUEL_LEVEL = "internalcombustionengine-fuellevel"
STATE_OF_CHARGE = "tractionbattery-stateofcharge"
TIRES = "wheel-tires"
TROUBLE_CODES = "diagnostics-dtclist"
SYSTEM_PREFIX = "diagnostics-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFact:
    """The latest clean state of one signal: `value` of a quantity, `data` of everything else."""

    code: str
    value: float | None
    data: Any
    recorded_at: datetime

    def is_fresh(self, now: datetime, freshness: timedelta) -> bool:
        """Whether it still says something about now; a reading from the future does."""
        return now - self.recorded_at <= freshness

    @property
    def number(self) -> float | None:
        """`value` when it is a number one can compare, else None."""
        return self.value if self.value is not None and math.isfinite(self.value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFact:
    """The latest service of a topic."""

    topic: str
    done_on: date
    odometer_km: float | None


class Consent(StrEnum):
    """Whether a car may be read."""

    ACTIVE = "active"
    NEEDS_RECONNECT = "needs_reconnect"
    REVOKED = "revoked"  # by the driver, or at Smartcar
    ENDED_BY_STAFF = "ended_by_staff"
    NOT_SHARED = "not_shared"  # the consent lives, and this car is no longer part of it


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFact:
    """The consent a car is read through, or was last: `driver` gave it, `reason` is why it stands
    as it does, `ends_on` the local day on which it is known to end.
    """

    consent: Consent
    changed_at: datetime
    ends_on: date | None = None
    driver: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How well a car can be read: `habit` is how often its make refreshes what it gives.

    `last_recorded_at` is the newest moment that any signal is of, `since` when the consent that is
    in force came into force.
    """

    habit: timedelta
    last_recorded_at: datetime | None = None
    since: datetime | None = None
    connection: ConnectionFact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the engine may look at: signals by code, services by topic, what codes mean.

    `reach` is None where it was not asked for, and for a moment of the past: nobody wrote down what
    it was then.
    """

    signals: Mapping[str, SignalFact]
    services: Mapping[str, ServiceFact]
    today: date
    reach: Reach | None = None
    codes: CodeBook = field(default_factory=CodeBook)


def system_name(code: str) -> str | None:
    """The diagnostic system a signal speaks of, or None when it is no system's status."""
    if code == TROUBLE_CODES or not code.startswith(SYSTEM_PREFIX):
        return None
    return code.removeprefix(SYSTEM_PREFIX) or None
