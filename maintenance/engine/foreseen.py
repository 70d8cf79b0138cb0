"""What a forecast is made of, and what it says. Kilometres, percent, local days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from maintenance.engine.facts import ServiceFact
from maintenance.engine.usage import Said


class Basis(StrEnum):
    """What a forecast is based on."""

    TIME = "time"
    DISTANCE = "distance"
    OIL_LIFE = "oil_life"


class Why(StrEnum):
    """Why a forecast, or the part of it that is driven, is not known."""

    NO_SERVICE = "no_service"
    NO_SERVICE_ODOMETER = "no_service_odometer"
    NO_ODOMETER = "no_odometer"
    FEW_ODOMETERS = "few_odometers"
    NOT_DRIVEN = "not_driven"  # or so little that it is years away
    NO_OIL_LIFE = "no_oil_life"
    FEW_OIL_LIVES = "few_oil_lives"
    NOT_FALLING = "not_falling"
    DONE = "done"  # it was due just once


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A car's clean readings of the last 90 days in the order of time, and its last services.

    `odometer` and `oil_life` are the latest states, however old; they may be newer or older than
    the rows.
    """

    odometers: Sequence[Said]
    oil_lives: Sequence[Said]
    odometer: Said | None
    oil_life: Said | None
    services: dict[str, ServiceFact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When one rule will call something due: typically on `due_on`, between `early` and `late`.

    `late` is None when it may never be. `due_km` is what the odometer then shows, `left_km` what
    is left of it as last read; negative when it is past. A `due_on` before today only tells since
    when it is due.
    """

    rule_id: int
    topic: str
    is_due: bool = False
    due_on: date | None = None
    early: date | None = None
    late: date | None = None
    due_km: float | None = None
    left_km: float | None = None
    based_on: Basis | None = None
    why: Why | None = None
