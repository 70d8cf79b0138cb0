"""Turn a signal's body into what we keep: one unit, one shape, nothing impossible.

Smartcar's units vary by surface and version (`km`, `kilometers`, `miles`, `psi`, `kPa`, percent):
https://smartcar.com/docs/api-reference/signals
"""

import math
import re
from collections.abc import Callable
from typing import Any

from integrations.clients import readings as codes

KM_PER_MILE = 1.609344
KPA_PER_PSI = 6.894757
LITRES_PER_GALLON = 3.785411784

# A car of 2 million kilometres is not impossible; counters that overflow start far above.
MAX_ODOMETER_KM = 2_000_000
MAX_TIRE_KPA = 1_500

TROUBLE_CODE = re.compile(r"^[A-Z0-9][A-Z0-9:_-]{2,19}$")

Measure = tuple[float | None, Any]  # (value of a quantity, JSON of the rest)


class ImpossibleError(ValueError):
    """The body is not a reading of this signal: a sentinel, out of range, or the wrong shape."""


# How providers write a unit: the unit at rest, and how many of it one is.
_UNITS: dict[str, tuple[str, float]] = {
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), ("km", 1.0)),
    **dict.fromkeys(("mi", "mile", "miles"), ("km", KM_PER_MILE)),
    **dict.fromkeys(("%", "percent", "percentage"), ("percent", 1.0)),
    **dict.fromkeys(("kpa", "kilopascal", "kilopascals"), ("kPa", 1.0)),
    "psi": ("kPa", KPA_PER_PSI),
    "bar": ("kPa", 100.0),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), ("l", 1.0)),
    **dict.fromkeys(("gal", "gallon", "gallons"), ("l", LITRES_PER_GALLON)),
}


def storable(body: Any) -> Any:
    """The same without what JSON can say and PostgreSQL does not keep: NaN, infinity, NUL."""
    if isinstance(body, dict):
        return {storable(str(key)): storable(value) for key, value in body.items()}
    if isinstance(body, list):
        return [storable(value) for value in body]
    if isinstance(body, str):
        return body.encode(errors="ignore").decode().replace("\x00", "")
    return None if isinstance(body, float) and not math.isfinite(body) else body


def measure(code: str, body: dict[str, Any]) -> Measure:
    """Parse the v3 body of one signal. Raises ImpossibleError with the reason in plain words."""
    if not isinstance(body, dict):
        raise ImpossibleError("not an object")
    parse = _PARSERS.get(code)
    if parse is not None:
        return parse(body)
    if "status" in body:
        return _status(body)
    return _anything(body)


def _number(body: dict[str, Any], at_rest: str) -> float:
    """The value in the unit at rest, which is also what a body without a unit means."""
    if not _is_number(body.get("value")):
        raise ImpossibleError("no number")
    unit = str(body.get("unit") or at_rest).strip().lower()
    kind, factor = _UNITS.get(unit, ("", 0.0))
    if kind != at_rest:
        raise ImpossibleError(f"unknown unit {unit[:20]}")
    return _scaled(body["value"], factor)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scaled(value: float, factor: float) -> float:
    try:
        number = float(value) * factor
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ImpossibleError("not a finite number")
    return number


def _odometer(body: dict[str, Any]) -> Measure:
    km = _number(body, "km")
    if km <= 0:
        raise ImpossibleError("an odometer of zero or less")
    if km >= MAX_ODOMETER_KM:
        raise ImpossibleError("an odometer beyond 2 million km")
    return km, None


def _percent(body: dict[str, Any]) -> Measure:
    value = _number(body, "percent")
    if not 0 <= value <= 100:
        raise ImpossibleError("not between 0 and 100 percent")
    return value, None


def _litres(body: dict[str, Any]) -> Measure:
    value = _number(body, "l")
    if not 0 <= value <= 2_000:
        raise ImpossibleError("an impossible amount")
    return value, None


def _tires(body: dict[str, Any]) -> Measure:
    unit = body.get("unit") or "kPa"
    wheels = []
    for wheel in _values(body):
        try:
            kpa = _number(
                {"value": wheel["tirePressure"], "unit": wheel.get("unit") or unit}, "kPa"
            )
            place = {"row": int(wheel["row"]), "column": int(wheel["column"])}
        except (
            ImpossibleError,
            LookupError,
            ArithmeticError,
            TypeError,
            ValueError,
            AttributeError,
        ):
            continue  # one broken sensor does not make the other wheels unknown
        if 0 <= kpa <= MAX_TIRE_KPA:  # a flat tire has 0; whether it is believed, rules decide
            wheels.append({**place, "tirePressure": round(kpa, 1)})
    if not wheels:
        raise ImpossibleError("no wheel with a possible pressure")
    return None, {"values": wheels}


def _trouble_codes(body: dict[str, Any]) -> Measure:
    found: dict[str, dict[str, Any]] = {}
    for item in _values(body):
        code = item.get("code") if isinstance(item, dict) else item
        text = str(code or "").strip().upper()
        if TROUBLE_CODE.match(text):
            timestamp = item.get("timestamp") if isinstance(item, dict) else None
            found[text] = {"code": text, "timestamp": timestamp}
    return None, {"values": [found[code] for code in sorted(found)]}


def _status(body: dict[str, Any]) -> Measure:
    status = str(body.get("status") or "").upper()
    if status not in {"OK", "ALERT"}:
        raise ImpossibleError("a status that is neither OK nor ALERT")
    return None, {"status": status, "description": str(body.get("description") or "")[:255]}


def _anything(body: dict[str, Any]) -> Measure:
    """A quantity with its unit beside it, whatever it measures; all else is kept as it is."""
    if not body:
        raise ImpossibleError("empty")
    if not _is_number(body.get("value")):
        return None, body
    rest = {key: value for key, value in body.items() if key != "value"}
    at_rest, factor = _UNITS.get(str(rest.get("unit")).strip().lower(), ("", 1.0))
    if at_rest:
        rest["unit"] = at_rest
    return _scaled(body["value"], factor), rest or None


def _values(body: dict[str, Any]) -> list[Any]:
    values = body.get("values")
    if not isinstance(values, list):
        raise ImpossibleError("no list of values")
    return values


_PARSERS: dict[str, Callable[[dict[str, Any]], Measure]] = {
    codes.ODOMETER: _odometer,
    codes.OIL_LIFE: _percent,
    codes.FUEL_LEVEL: _percent,
    codes.STATE_OF_CHARGE: _percent,
    codes.FUEL_AMOUNT: _litres,
    codes.TIRES: _tires,
    codes.TROUBLE_CODES: _trouble_codes,
    **dict.fromkeys(codes.SYSTEM_STATUS, _status),
}
