"""One unit, one shape, nothing impossible."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.admin import words
from integrations.clients import readings as codes
from integrations.services import measures
from integrations.services.measures import ImpossibleError, measure

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("code", "body", "value"),
    [
        (codes.ODOMETER, {"value": 100, "unit": "km"}, 100.0),
        (codes.ODOMETER, {"value": 100}, 100.0),
        (codes.ODOMETER, {"value": 100, "unit": None}, 100.0),
        (codes.ODOMETER, {"value": 100, "unit": " Miles "}, 160.9344),
        (codes.ODOMETER, {"value": 100, "unit": "mi"}, 160.9344),
        (codes.ODOMETER, {"value": 0.1, "unit": "kilometers"}, 0.1),
        (codes.ODOMETER, {"value": 1_999_999}, 1_999_999),
        (codes.OIL_LIFE, {"value": 0, "unit": "percent"}, 0.0),
        (codes.OIL_LIFE, {"value": 100, "unit": "%"}, 100.0),
        (codes.STATE_OF_CHARGE, {"value": 55.5}, 55.5),
        (codes.FUEL_LEVEL, {"value": 7}, 7.0),
        (codes.FUEL_AMOUNT, {"value": 10, "unit": "gallons"}, 37.85411784),
        (codes.FUEL_AMOUNT, {"value": 0, "unit": "liters"}, 0.0),
    ],
)
def test_quantities_come_in_one_unit(code: str, body: dict[str, Any], value: float) -> None:
    found, rest = measure(code, body)
    assert found == pytest.approx(value)
    assert rest is None


@pytest.mark.parametrize(
    ("code", "body", "reason"),
    [
        pytest.param(codes.ODOMETER, {"value": 0}, "zero or less", id="odometer zero"),
        pytest.param(codes.ODOMETER, {"value": -1}, "zero or less", id="odometer negative"),
        pytest.param(codes.ODOMETER, {"value": 2_000_000}, "2 million", id="odometer overflown"),
        pytest.param(codes.ODOMETER, {"value": 4_294_967_295}, "2 million", id="2^32-1"),
        pytest.param(codes.ODOMETER, {"value": 16_777_215}, "2 million", id="2^24-1"),
        pytest.param(codes.ODOMETER, {"value": None}, "no number", id="null"),
        pytest.param(codes.ODOMETER, {}, "no number", id="nothing"),
        pytest.param(codes.ODOMETER, {"value": "100"}, "no number", id="text"),
        pytest.param(codes.ODOMETER, {"value": True}, "no number", id="a boolean"),
        pytest.param(codes.ODOMETER, {"value": INF}, "not a finite number", id="infinite"),
        pytest.param(codes.ODOMETER, {"value": NAN}, "not a finite number", id="not a number"),
        pytest.param(codes.ODOMETER, {"value": 10**400}, "not a finite number", id="too long"),
        pytest.param(codes.ODOMETER, {"value": 1, "unit": "furlong"}, "unit furlong", id="unit"),
        pytest.param(codes.ODOMETER, [1], "not an object", id="a list"),
        pytest.param(codes.OIL_LIFE, {"value": -0.1}, "between 0 and 100", id="below 0 %"),
        pytest.param(codes.OIL_LIFE, {"value": 100.1}, "between 0 and 100", id="above 100 %"),
        pytest.param(codes.OIL_LIFE, {"value": 255}, "between 0 and 100", id="255 %"),
        pytest.param(codes.FUEL_AMOUNT, {"value": 2001}, "impossible amount", id="a tanker"),
        pytest.param(codes.TIRES, {"values": []}, "no wheel", id="no wheels"),
        pytest.param(codes.TIRES, {"values": "all"}, "no list", id="no list of wheels"),
        pytest.param(codes.TROUBLE_CODES, {}, "no list", id="no list of codes"),
        pytest.param("diagnostics-abs", {"status": "MAYBE"}, "neither OK", id="odd status"),
        pytest.param(
            "diagnostics-new", {"status": None}, "neither OK", id="status of a new system"
        ),
        pytest.param("something-new", {}, "empty", id="empty"),
    ],
)
def test_what_is_impossible_says_why(code: str, body: Any, reason: str) -> None:
    with pytest.raises(ImpossibleError, match=reason):
        measure(code, body)


def wheel(pressure: Any, **where: Any) -> dict[str, Any]:
    return {"row": 0, "column": 0, "tirePressure": pressure, **where}


def test_tires_come_in_kilopascal_and_a_broken_sensor_hides_no_other_wheel() -> None:
    broken = [
        wheel(None),
        wheel(65_535),
        wheel(-1),
        wheel(200, row=None),
        wheel(200, row=INF),
        {"row": 1},
        "flat",
        None,
    ]
    _none, data = measure(
        codes.TIRES, {"values": [*broken, wheel(32, row=1, column=1)], "unit": "psi"}
    )

    assert data == {"values": [{"row": 1, "column": 1, "tirePressure": 220.6}]}


def test_a_flat_tire_has_a_pressure_of_zero() -> None:
    _none, data = measure(codes.TIRES, {"values": [wheel(0)], "unit": "kPa"})

    assert data["values"][0]["tirePressure"] == 0


@pytest.mark.parametrize(("unit", "kpa"), [("bar", 220.0), ("kilopascals", 2.2), (None, 15.2)])
def test_a_wheel_may_name_its_own_unit(unit: str | None, kpa: float) -> None:
    _none, data = measure(codes.TIRES, {"values": [wheel(2.2, unit=unit)], "unit": "psi"})

    assert data["values"][0]["tirePressure"] == kpa


def test_trouble_codes_are_sorted_cleaned_and_each_there_once() -> None:
    body = {
        "values": [
            {"code": " p0301 ", "timestamp": "2026-03-01T00:00:00Z"},
            "C1234:01",
            "P0301",
            {"code": None},
            {"code": "; DROP"},
            7,
            {"code": "X" * 21},
        ]
    }

    assert measure(codes.TROUBLE_CODES, body) == (
        None,
        {"values": [{"code": "C1234:01", "timestamp": None}, {"code": "P0301", "timestamp": None}]},
    )
    assert measure(codes.TROUBLE_CODES, {"values": []}) == (None, {"values": []})


def test_a_status_has_two_values_and_a_short_description() -> None:
    body = {"status": "alert", "description": "x" * 999, "other": 1}

    assert measure("diagnostics-abs", body) == (
        None,
        {"status": "ALERT", "description": "x" * 255},
    )
    assert measure("diagnostics-new", {"status": "OK"})[1]["description"] == ""


OTHER = "something-new"


@pytest.mark.parametrize(
    ("body", "value", "data"),
    [
        ({"value": 390, "unit": "km"}, 390.0, {"unit": "km"}),
        ({"value": 100, "unit": "Miles"}, 160.9344, {"unit": "km"}),
        ({"value": 2.5, "unit": "kilometre"}, 2.5, {"unit": "km"}),
        ({"value": 30, "unit": "psi"}, 206.84271, {"unit": "kPa"}),
        ({"value": 220, "unit": "kilopascals"}, 220.0, {"unit": "kPa"}),
        ({"value": 10, "unit": "gallon"}, 37.85411784, {"unit": "l"}),
        ({"value": 40, "unit": "Litre"}, 40.0, {"unit": "l"}),
        ({"value": 12.5, "unit": "percentage"}, 12.5, {"unit": "percent"}),
        ({"value": 80, "unit": "km/h"}, 80.0, {"unit": "km/h"}),
        ({"value": 2, "unit": "count"}, 2.0, {"unit": "count"}),
        ({"value": -7}, -7.0, None),
        ({"value": 1, "unit": ["km"]}, 1.0, {"unit": ["km"]}),
        (
            {"value": 390, "type": "DEFAULT", "additionalValues": [], "unit": "mile"},
            627.64416,
            {"type": "DEFAULT", "additionalValues": [], "unit": "km"},
        ),
    ],
)
def test_any_quantity_is_a_number_with_its_unit_beside_it(
    body: dict[str, Any], value: float, data: Any
) -> None:
    found, rest = measure(OTHER, body)

    assert found == pytest.approx(value)
    assert rest == data


@pytest.mark.parametrize(
    "body",
    [
        {"value": True},
        {"value": "CHARGING"},
        {"value": "12"},
        {"value": [1, 2], "unit": "km"},
        {"value": {"a": 1}},
        {"value": None},
        {"values": [1]},
        {"latitude": 52.1, "longitude": 4.9},
    ],
)
def test_what_is_no_quantity_is_kept_as_it_is(body: dict[str, Any]) -> None:
    assert measure(OTHER, body) == (None, body)


@pytest.mark.parametrize("value", [INF, -INF, NAN, 10**400])
def test_no_quantity_is_without_end(value: float) -> None:
    with pytest.raises(ImpossibleError, match="not a finite number"):
        measure(OTHER, {"value": value, "unit": "watts"})


def test_a_unit_of_something_else_is_not_converted() -> None:
    for unit in ("percent", "kPa", "liters"):
        with pytest.raises(ImpossibleError, match=f"unknown unit {unit.lower()}"):
            measure(codes.ODOMETER, {"value": 100, "unit": unit})


@pytest.mark.parametrize(
    ("body", "in_miles", "in_km"),
    [
        ({"value": 160.9344, "unit": "km"}, "100 mi", "161 km"),
        ({"value": 30, "unit": "psi"}, "30 psi", "207 kPa"),
        ({"value": 10, "unit": "gallons"}, "37.85 L", "37.85 L"),
        ({"value": 12.2, "unit": "%"}, "12 %", "12 %"),
        ({"value": 11_000_000, "unit": "watts"}, "11000000 watts", "11000000 watts"),
        ({"value": 2}, "2", "2"),
        ({"value": False}, "value: False", "value: False"),
    ],
)
def test_people_read_quantities_in_the_units_of_the_portal(
    body: dict[str, Any], in_miles: str, in_km: str
) -> None:
    value, data = measure(OTHER, body)

    assert words.signal_value(OTHER, value, data, "mi") == in_miles
    assert words.signal_value(OTHER, value, data, "km") == in_km


def test_what_no_database_stores_is_taken_out() -> None:
    body = {"a": "x\x00y", "b": [NAN, INF, 1, True, None], "c\x00": {"d": -INF}}

    assert measures.storable(body) == {
        "a": "xy",
        "b": [None, None, 1, True, None],
        "c": {"d": None},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["value", "unit", "values", "status", "description", "tirePressure", "row"])
EVERY_CODE = [
    codes.ODOMETER,
    codes.OIL_LIFE,
    codes.FUEL_AMOUNT,
    codes.TIRES,
    codes.TROUBLE_CODES,
    "diagnostics-abs",
    "something-new",
]


@given(st.sampled_from(EVERY_CODE), JSON | st.dictionaries(KEYS, JSON))
def test_nothing_that_json_can_say_does_more_than_be_impossible(code: str, body: Any) -> None:
    try:
        value, data = measure(code, measures.storable(body))
    except ImpossibleError:
        return
    assert value is None or math.isfinite(value)
    json.dumps(data, allow_nan=False)
