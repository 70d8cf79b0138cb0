"""What a diagnostic trouble code (DTC) says: by its form, and by the bundled dictionary. Pure.

The form is that of SAE J2012 and ISO 15031-6: a letter for the area, a digit 0 to 3, and three
hexadecimal digits; two more may follow, the failure type (`C0561-71`).
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

DICTIONARY = Path(__file__).parent / "data" / "trouble_codes.csv"
_FORM = re.compile(r"([PBCU][0-3][0-9A-F]{3})(?:[-:_ ]?([0-9A-F]{2}))?", re.ASCII)


class Area(StrEnum):
    """What the letter says."""

    POWERTRAIN = "powertrain"
    BODY = "body"
    CHASSIS = "chassis"
    NETWORK = "network"


class System(StrEnum):
    """The part of the car that a code is about."""

    FUEL_AIR = "fuel_air"
    IGNITION = "ignition"
    EMISSIONS = "emissions"
    SPEED_IDLE = "speed_idle"
    COMPUTER = "computer"
    TRANSMISSION = "transmission"
    HYBRID = "hybrid"
    ENGINE = "engine"
    RESTRAINTS = "restraints"
    BRAKES = "brakes"
    STEERING = "steering"
    CHASSIS = "chassis"
    BODY = "body"
    NETWORK = "network"


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"  # cannot wait for a second reading


class Advice(StrEnum):
    """What the driver should do."""

    DRIVE_ON = "drive_on"
    BOOK_SOON = "book_soon"
    BOOK_NOW = "book_now"
    AVOID_LOAD = "avoid_load"
    STOP_SAFELY = "stop_safely"
    CHARGE_CAUTION = "charge_caution"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What the form alone says. `failure_type` is "" when none is appended."""

    code: str
    failure_type: str
    area: Area
    is_standard: bool
    system: System | None

    @property
    def is_manufacturer(self) -> bool:
        return not self.is_standard


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What the dictionary says of a standard code."""

    code: str
    system: System
    meaning: str
    severity: Severity
    advice: Advice


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """All that is known of whatever a car reported as a code.

    `code` is in capitals, without its failure type; of what is not readable as a code it is the
    text as it came, `area` is None, and it is neither standard nor a manufacturer's. `meaning` is
    "" when it is not known, and then the severity is medium: critical is never guessed.
    """

    code: str
    failure_type: str = ""
    is_readable: bool = True
    is_standard: bool = False
    is_manufacturer: bool = False
    area: Area | None = None
    system: System | None = None
    meaning: str = ""
    severity: Severity = Severity.MEDIUM
    advice: Advice = Advice.BOOK_SOON


_AREAS = {"P": Area.POWERTRAIN, "B": Area.BODY, "C": Area.CHASSIS, "U": Area.NETWORK}
# The third character of P0, P1 and P2 codes.
_GROUPS = {
    "0": System.FUEL_AIR,
    "1": System.FUEL_AIR,
    "2": System.FUEL_AIR,
    "3": System.IGNITION,
    "4": System.EMISSIONS,
    "5": System.SPEED_IDLE,
    "6": System.COMPUTER,
    "7": System.TRANSMISSION,
    "8": System.TRANSMISSION,
    "9": System.TRANSMISSION,
}
_HYBRID = frozenset("ABCDEF")
_USUAL = {
    Severity.LOW: Advice.DRIVE_ON,
    Severity.MEDIUM: Advice.BOOK_SOON,
    Severity.HIGH: Advice.BOOK_NOW,
    Severity.CRITICAL: Advice.BOOK_NOW,
}


def decode(code: str) -> Decoded | None:
    """Take a well-formed code apart, whatever its case; None when it is none."""
    form = _FORM.fullmatch(code.strip().upper())
    if form is None:
        return None
    base, failure_type = form.group(1), form.group(2) or ""
    return Decoded(
        code=base,
        failure_type=failure_type,
        area=_AREAS[base[0]],
        is_standard=_is_standard(base),
        system=_system(base),
    )


def _is_standard(base: str) -> bool:
    """P0, P2 and P34 to P3F, B0, C0, U0 and the reserved B3, C3, U3; the rest is the maker's."""
    if base[0] != "P":
        return base[1] in "03"
    return base[1] in "02" or (base[1] == "3" and base[2] >= "4")


def _system(base: str) -> System | None:
    """What the digits say; of many codes they say nothing."""
    if base[0] == "U":
        return System.NETWORK
    if base[0] != "P":
        return None
    if base[1] == "3":
        return System.ENGINE if base[2] == "4" else None  # cylinder deactivation
    if base[1] == "0" and base[2] in _HYBRID:
        return System.HYBRID
    return _GROUPS.get(base[2])


def look_up(code: str) -> Knowledge | None:
    """What the dictionary says, whatever the failure type; None when it does not know the code."""
    decoded = decode(code)
    return dictionary().get(decoded.code) if decoded else None


@lru_cache(maxsize=4096)
def explain(code: str) -> Explained:
    """All that is known of a code. Never raises, whatever the text."""
    decoded = decode(code)
    if decoded is None:
        return Explained(code=code.strip().upper(), is_readable=False)
    known = dictionary().get(decoded.code)
    if known is None:
        return Explained(
            code=decoded.code,
            failure_type=decoded.failure_type,
            is_standard=decoded.is_standard,
            is_manufacturer=decoded.is_manufacturer,
            area=decoded.area,
            system=decoded.system,
        )
    return Explained(
        code=decoded.code,
        failure_type=decoded.failure_type,
        is_standard=True,
        area=decoded.area,
        system=known.system,
        meaning=known.meaning,
        severity=known.severity,
        advice=known.advice,
    )


def advice_for(known: Explained, severity: Severity) -> Advice:
    """What the driver should do when a code is as serious as this, whatever the dictionary says.

    The dictionary's advice stands for its own severity, and for a serious code called critical.
    """
    is_raised = (known.severity, severity) == (Severity.HIGH, Severity.CRITICAL)
    return known.advice if severity is known.severity or is_raised else _USUAL[severity]


@cache
def dictionary() -> Mapping[str, Knowledge]:
    """The bundled dictionary by code, read once. Raises when the file is not as it should be."""
    with DICTIONARY.open(encoding="utf-8", newline="") as file:
        rows = [
            Knowledge(
                code=row["code"],
                system=System(row["system"]),
                meaning=row["meaning"],
                severity=Severity(row["severity"]),
                advice=Advice(row["advice"]),
            )
            for row in csv.DictReader(file)
        ]
    return MappingProxyType({row.code: row for row in rows})
