"""What codes mean: their form, and the bundled dictionary."""

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance.engine.trouble_codes import (
    DICTIONARY,
    Advice,
    Area,
    Severity,
    System,
    decode,
    dictionary,
    explain,
    look_up,
)


@pytest.mark.parametrize(
    ("text", "area", "is_standard", "system"),
    [
        ("P0301", Area.POWERTRAIN, True, System.IGNITION),
        ("p0171", Area.POWERTRAIN, True, System.FUEL_AIR),
        ("P0420", Area.POWERTRAIN, True, System.EMISSIONS),
        ("P0500", Area.POWERTRAIN, True, System.SPEED_IDLE),
        ("P0606", Area.POWERTRAIN, True, System.COMPUTER),
        ("P0700", Area.POWERTRAIN, True, System.TRANSMISSION),
        ("P0A80", Area.POWERTRAIN, True, System.HYBRID),
        ("P0D01", Area.POWERTRAIN, True, System.HYBRID),
        ("P1234", Area.POWERTRAIN, False, System.FUEL_AIR),
        ("P1A10", Area.POWERTRAIN, False, None),
        ("P2463", Area.POWERTRAIN, True, System.EMISSIONS),
        ("P2BA7", Area.POWERTRAIN, True, None),
        ("P3000", Area.POWERTRAIN, False, None),
        ("P33FF", Area.POWERTRAIN, False, None),
        ("P3400", Area.POWERTRAIN, True, System.ENGINE),
        ("P3500", Area.POWERTRAIN, True, None),
        ("P3FFF", Area.POWERTRAIN, True, None),
        ("B0001", Area.BODY, True, None),
        ("B1000", Area.BODY, False, None),
        ("B2FFF", Area.BODY, False, None),
        ("B3000", Area.BODY, True, None),
        ("C0034", Area.CHASSIS, True, None),
        ("C1234", Area.CHASSIS, False, None),
        ("C2AAA", Area.CHASSIS, False, None),
        ("U0100", Area.NETWORK, True, System.NETWORK),
        ("U1000", Area.NETWORK, False, System.NETWORK),
        ("U2000", Area.NETWORK, False, System.NETWORK),
        ("U3003", Area.NETWORK, True, System.NETWORK),
    ],
)
def test_the_form_says_area_owner_and_system(
    text: str, area: Area, is_standard: bool, system: System | None
) -> None:
    decoded = decode(text)
    assert decoded is not None
    assert decoded.code == text.upper()
    assert (decoded.area, decoded.is_standard, decoded.system) == (area, is_standard, system)
    assert decoded.is_manufacturer is not is_standard


@pytest.mark.parametrize("text", ["C0561-71", "c056171", "C0561:71", " C0561 71 "])
def test_a_failure_type_is_kept_apart(text: str) -> None:
    decoded = decode(text)
    assert decoded is not None
    assert (decoded.code, decoded.failure_type) == ("C0561", "71")


@pytest.mark.parametrize(
    "text",
    ["", " ", "P", "P03", "P03011", "P0301-1", "P0301-711", "X0301", "P4301", "P03G1", "1234",
     "P0301 P0302", "P03\n01", "\uff300301", "P\u0660301"],
)  # fmt: skip
def test_what_is_no_code_is_called_unreadable(text: str) -> None:
    explained = explain(text)
    assert decode(text) is None
    assert look_up(text) is None
    assert not explained.is_readable
    assert not explained.is_standard
    assert not explained.is_manufacturer
    assert (explained.area, explained.meaning) == (None, "")
    assert explained.severity is Severity.MEDIUM


@given(st.text(max_size=12) | st.from_regex(r"[PBCUpbcu][0-3][0-9A-Fa-f]{3}", fullmatch=True))
def test_every_text_gets_an_answer(text: str) -> None:
    explained = explain(text)
    assert explained.is_readable is (explained.is_standard or explained.is_manufacturer)
    assert explained.is_readable is (explained.area is not None)
    if not explained.meaning:
        assert explained.severity is Severity.MEDIUM
    if explained.is_manufacturer:
        assert explained.meaning == ""


def test_what_is_known_holds_with_any_failure_type() -> None:
    explained = explain("p0301-11")
    assert (explained.code, explained.failure_type) == ("P0301", "11")
    assert explained.is_standard
    assert explained.meaning == "Misfire in cylinder 1"
    assert explained.severity is Severity.HIGH
    assert explained.advice is Advice.AVOID_LOAD
    assert explain("P0171-2F").meaning == explain("P0171").meaning


def test_a_standard_code_that_is_not_known_gets_no_meaning() -> None:
    explained = explain("P0FFF")
    assert explained.is_standard
    assert explained.meaning == ""
    assert explained.system is System.HYBRID
    assert explained.advice is Advice.BOOK_SOON


# --- The dictionary ---------------------------------------------------------------------------


def rows() -> list[dict[str, str]]:
    with DICTIONARY.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_file_is_sorted_and_every_code_is_in_it_once() -> None:
    codes = [row["code"] for row in rows()]
    assert codes == sorted(set(codes))
    assert len(codes) > 2000
    assert len(dictionary()) == len(codes)
    assert b"\r" not in DICTIONARY.read_bytes()


def test_every_row_is_a_standard_code_and_says_something() -> None:
    for row in rows():
        decoded = decode(row["code"])
        assert decoded is not None, row
        assert decoded.code == row["code"], row
        assert decoded.is_standard, row
        assert row["meaning"] == row["meaning"].strip(), row
        assert 0 < len(row["meaning"]) <= 120, row
        assert re.fullmatch(r"[A-Z][ -~]*[^.]", row["meaning"]), row


def test_every_row_has_words_of_the_closed_sets() -> None:
    known = dictionary().values()
    assert {row.severity for row in known} == set(Severity)
    assert {row.advice for row in known} == set(Advice)
    assert {row.system for row in known} == set(System)


def test_advice_fits_the_severity() -> None:
    for row in dictionary().values():
        if row.advice is Advice.STOP_SAFELY:
            assert row.severity is Severity.CRITICAL, row
        if row.severity is Severity.CRITICAL:
            assert row.advice in {Advice.STOP_SAFELY, Advice.BOOK_NOW}, row
        if row.advice is Advice.DRIVE_ON:
            assert row.severity is Severity.LOW, row


def test_areas_and_systems_agree() -> None:
    only = {
        "U": {System.NETWORK},
        "B": {System.RESTRAINTS},
        "C": {System.BRAKES, System.STEERING, System.CHASSIS},
    }
    for row in dictionary().values():
        letter, group = row.code[0], row.code[:3]
        assert row.system in only.get(letter, set(System) - {System.NETWORK}), row
        assert (row.system is System.HYBRID) is (group in {"P0A", "P0B", "P0C"}), row
        if group in {"P07", "P08", "P09", "P27", "P28"}:
            assert row.system is System.TRANSMISSION, row


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("P0016", "crankshaft camshaft agree"),
        ("P0087", "pressure rail too low"),
        ("P0101", "air flow implausible"),
        ("P0113", "intake air temperature high"),
        ("P0128", "thermostat"),
        ("P0135", "oxygen bank 1, sensor 1 heater"),
        ("P0141", "oxygen bank 1, sensor 2 heater"),
        ("P0171", "lean bank 1"),
        ("P0175", "rich bank 2"),
        ("P0208", "injector cylinder 8"),
        ("P0217", "coolant too hot"),
        ("P0272", "cylinder 4 contributes"),
        ("P0296", "cylinder 12 contributes"),
        ("P0299", "turbocharger too low"),
        ("P0300", "misfires several"),
        ("P0308", "misfire cylinder 8"),
        ("P0335", "crankshaft position"),
        ("P0356", "ignition coil F"),
        ("P0401", "recirculation too little"),
        ("P0420", "catalytic converter bank 1"),
        ("P0442", "small leak"),
        ("P0456", "very small leak"),
        ("P0507", "idle too high"),
        ("P0524", "oil pressure too low"),
        ("P0562", "voltage too low"),
        ("P0606", "processor"),
        ("P0676", "glow plug cylinder 6"),
        ("P0720", "output speed"),
        ("P0741", "torque converter clutch off"),
        ("P0A80", "battery replaced"),
        ("P0AA6", "insulation"),
        ("P0B42", "voltage sensing B too low"),
        ("P0BEC", "motor A phase V too high"),
        ("P2096", "lean behind bank 1"),
        ("P2138", "D E agree"),
        ("P2187", "lean idle bank 1"),
        ("P2263", "turbocharger pressure"),
        ("P2309", "coil D primary low"),
        ("P2463", "soot"),
        ("P2510", "relay"),
        ("P3441", "cylinder 6 intake"),
        ("B0001", "driver front airbag"),
        ("C003A", "wheel speed right rear"),
        ("U0100", "communication engine computer"),
        ("U0121", "communication ABS"),
        ("U0401", "invalid data engine computer"),
    ],
)
def test_samples_that_every_workshop_knows(code: str, words: str) -> None:
    known = look_up(code)
    assert known is not None
    for word in words.split():
        assert word.casefold() in known.meaning.casefold()


@pytest.mark.parametrize("code", ["P0217", "P0298", "P0524", "P0AA6", "P0A7E", "C0049", "B0001"])
def test_what_cannot_wait_is_critical(code: str) -> None:
    assert explain(code).severity is Severity.CRITICAL


@pytest.mark.parametrize("code", ["P0420", "P0442", "P0300", "P0117", "P0520", "P0335", "U0100"])
def test_what_can_wait_for_a_second_reading_is_not(code: str) -> None:
    assert explain(code).severity is not Severity.CRITICAL
