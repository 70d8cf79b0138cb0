"""Which v2 path answers which signal, and its answers turned into the v3 shapes.

Paths, permissions and bodies: https://smartcar.com/docs/api-reference
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from integrations.clients import readings as r

Bodies = dict[str, dict[str, Any]]  # by signal code


class MissingError(Exception):
    """The answer is well formed and says nothing: null, or an empty object."""


class MalformedError(Exception):
    """The answer is not of the documented shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One v2 endpoint of a vehicle. `translate(body, imperial)` gives v3 bodies by code."""

    path: str
    permission: str
    translate: Callable[[Any, bool], Bodies]


def plan(codes: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Asked codes by path, in the order asked and each once; and those that v2 does not have."""
    wanted: dict[str, list[str]] = {}
    unknown: list[str] = []
    for code in dict.fromkeys(codes):
        path = path_of(code)
        if path is None:
            unknown.append(code)
        else:
            wanted.setdefault(path.path, []).append(code)
    return wanted, unknown


def path_of(code: str) -> Path | None:
    """The endpoint that answers a code. The list of diagnostic systems is open."""
    path = _CODES.get(code)
    if path is None and is_system(code):
        return PATHS["/diagnostics/system_status"]
    return None if path is None else PATHS[path]


def is_system(code: str) -> bool:
    """Whether it is the status of a diagnostic system."""
    return code.startswith(r.SYSTEM_PREFIX) and code not in _CODES and code not in _V3_ONLY


def permission_of(code: str) -> str:
    """The scope a code needs; empty when it needs none or there is no such scope."""
    path = path_of(code)
    return path.permission if path else ""


def permissions_for(codes: Iterable[str]) -> list[str]:
    """The scopes that codes need, sorted; both generations call them the same."""
    return sorted({permission_of(code) for code in codes} - {""})


def _odometer(body: Any, imperial: bool) -> Bodies:
    distance = _number(_object(body), "distance")
    return _found({r.ODOMETER: distance}, "miles" if imperial else "km")


def _oil(body: Any, imperial: bool) -> Bodies:
    return _found({r.OIL_LIFE: _percent(_object(body), "lifeRemaining")}, "percent")


def _battery(body: Any, imperial: bool) -> Bodies:
    return _found({r.STATE_OF_CHARGE: _percent(_object(body), "percentRemaining")}, "percent")


def _fuel(body: Any, imperial: bool) -> Bodies:
    """Either may be null, the amount for most cars outside the US: what is there is given."""
    fuel = _object(body)
    level, amount = _percent(fuel, "percentRemaining"), _number(fuel, "amountRemaining")
    if level is None and amount is None:
        raise MissingError
    bodies: Bodies = {}
    if level is not None:
        bodies |= _found({r.FUEL_LEVEL: level}, "percent")
    if amount is not None:
        bodies |= _found({r.FUEL_AMOUNT: amount}, "gallons" if imperial else "liters")
    return bodies


_WHEELS = {"frontLeft": (0, 0), "frontRight": (0, 1), "backLeft": (1, 0), "backRight": (1, 1)}


def _tires(body: Any, imperial: bool) -> Bodies:
    """Row 0 is the front, column 0 the left; a wheel without a value is left out."""
    pressures = {wheel: _number(_object(body), wheel) for wheel in _WHEELS}
    values = [
        {"row": row, "column": column, "tirePressure": pressures[wheel]}
        for wheel, (row, column) in _WHEELS.items()
        if pressures[wheel] is not None
    ]
    if not values:
        raise MissingError
    return {r.TIRES: {"values": values, "unit": "psi" if imperial else "kPa"}}


def _trouble_codes(body: Any, imperial: bool) -> Bodies:
    """One entry that cannot be read spoils the list: leaving it out would clear its code."""
    values = []
    for item in _list(_object(body).get("activeCodes")):
        code = _object(item).get("code")
        if not isinstance(code, str) or not code.strip():
            raise MalformedError
        values.append({"code": code.strip(), "timestamp": _text(item.get("timestamp"))})
    return {r.TROUBLE_CODES: {"values": values}}


def _system_status(body: Any, imperial: bool) -> Bodies:
    """A reading for each system named; prose and examples disagree on `systemId` or `systemID`."""
    bodies: Bodies = {}
    for item in _list(_object(body).get("systems")):
        system = _object(item)
        name = system.get("systemId") or system.get("systemID")
        status = system.get("status")
        if not isinstance(name, str) or not isinstance(status, str):
            raise MalformedError
        bare = name.lower().removeprefix("system_").replace("_", "")
        bodies[r.SYSTEM_PREFIX + bare] = {
            "status": status.upper(),
            "description": _text(system.get("description")),
        }
    if not bodies:
        raise MissingError
    return bodies


def _service_history(body: Any, imperial: bool) -> Bodies:
    """Records with v3's keys. One page of the docs shows a bare object, all else a list."""
    records = [body] if isinstance(body, dict) and body else _list(body)
    return {r.SERVICE_RECORDS: {"values": [_record(x) for x in records if isinstance(x, dict)]}}


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    tasks, details = record.get("serviceTasks"), record.get("serviceDetails")
    cost = record.get("serviceCost")
    cost = cost if isinstance(cost, dict) else {}
    return {
        "id": record.get("serviceId"),
        "time": _text(record.get("serviceDate")),
        "odometer": record.get("odometerDistance"),
        "tasks": [
            {"id": task.get("taskId"), "description": task.get("taskDescription")}
            for task in (tasks if isinstance(tasks, list) else [])
            if isinstance(task, dict)
        ],
        "details": details if isinstance(details, list) else [],
        "cost": {"amount": cost.get("totalCost"), "currency": cost.get("currency")},
    }


def _attributes(body: Any, imperial: bool) -> Bodies:
    car, year = _object(body), _object(body).get("year")
    if isinstance(year, str) and year.isdecimal() and len(year) == 4:
        year = int(year)
    found = {
        "make": _text(car.get("make")),
        "model": _text(car.get("model")),
        "year": year if isinstance(year, int) and not isinstance(year, bool) else None,
    }
    if not any(found.values()):
        raise MissingError
    return {r.ATTRIBUTES: found}


def _vin(body: Any, imperial: bool) -> Bodies:
    vin = _object(body).get("vin")
    if vin is None or vin == "":
        raise MissingError
    if not isinstance(vin, str):
        raise MalformedError
    return {r.VIN: {"value": vin}}


def _permissions(body: Any, imperial: bool) -> Bodies:
    names = _list(_object(body).get("permissions"))
    if not all(isinstance(name, str) for name in names):
        raise MalformedError
    return {r.PERMISSIONS: {"values": names}}


def _found(values: Mapping[str, float | None], unit: str) -> Bodies:
    if any(value is None for value in values.values()):
        raise MissingError
    return {code: {"value": value, "unit": unit} for code, value in values.items()}


def _object(body: Any) -> dict[str, Any]:
    if body is None:
        raise MissingError
    if not isinstance(body, dict):
        raise MalformedError
    return body


def _list(value: Any) -> list[Any]:
    if value is None:
        raise MissingError
    if not isinstance(value, list):
        raise MalformedError
    return value


def _number(body: Mapping[str, Any], key: str) -> float | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MalformedError
    try:
        number = float(value)
    except OverflowError:  # JSON knows integers that no float can hold
        raise MalformedError from None
    if not math.isfinite(number):
        raise MalformedError
    return number


def _percent(body: Mapping[str, Any], key: str) -> float | None:
    """v2 says 0.35 where v3 says 35. Rounded: 0.07 * 100 is 7.000000000000001."""
    value = _number(body, key)
    return None if value is None else round(value * 100, 6)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


PATHS = {
    path.path: path
    for path in (
        Path(path="/odometer", permission="read_odometer", translate=_odometer),
        Path(path="/engine/oil", permission="read_engine_oil", translate=_oil),
        Path(path="/fuel", permission="read_fuel", translate=_fuel),
        Path(path="/battery", permission="read_battery", translate=_battery),
        Path(path="/tires/pressure", permission="read_tires", translate=_tires),
        Path(path="/diagnostics/dtcs", permission="read_diagnostics", translate=_trouble_codes),
        Path(
            path="/diagnostics/system_status",
            permission="read_diagnostics",
            translate=_system_status,
        ),
        Path(
            path="/service/history", permission="read_service_history", translate=_service_history
        ),
        Path(path="/", permission="read_vehicle_info", translate=_attributes),
        Path(path="/vin", permission="read_vin", translate=_vin),
        Path(path="/permissions", permission="", translate=_permissions),
    )
}

_CODES = {
    r.ODOMETER: "/odometer",
    r.OIL_LIFE: "/engine/oil",
    r.FUEL_LEVEL: "/fuel",
    r.FUEL_AMOUNT: "/fuel",
    r.STATE_OF_CHARGE: "/battery",
    r.TIRES: "/tires/pressure",
    r.TROUBLE_CODES: "/diagnostics/dtcs",
    r.SERVICE_RECORDS: "/service/history",
    r.ATTRIBUTES: "/",
    r.VIN: "/vin",
    r.PERMISSIONS: "/permissions",
}

_V3_ONLY = frozenset({"diagnostics-dtccount"})  # begins like a system and is none
