"""Trouble codes in words."""

import pytest

from maintenance.engine.trouble_codes import Advice, Area, Severity, System, dictionary
from maintenance.services import code_words


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("P0301", "P0301: misfire in cylinder 1"),
        ("p0301-11", "P0301-11: misfire in cylinder 1"),
        ("C0020", "C0020: ABS pump motor: fault in its control circuit"),
        ("P0A94", "P0A94: DC/DC converter: works poorly"),
        ("P1234", "P1234: code of the manufacturer, fuel and air"),
        ("P3012", "P3012: code of the manufacturer, powertrain"),
        ("C1234", "C1234: code of the manufacturer, chassis"),
        ("B3001", "B3001: standard code, body"),
        ("P0FFF", "P0FFF: standard code, hybrid and electric drive"),
        ("48 0a", "Trouble code 48 0A"),
    ],
)
def test_one_line_names_a_code(code: str, text: str) -> None:
    assert code_words.name(code) == text


def test_the_fleets_own_meaning_stands_as_it_was_typed() -> None:
    assert code_words.name("P0301", "Known, wait") == "P0301: Known, wait"
    assert code_words.name("48 0a", "Tail lift") == "48 0A: Tail lift"


def test_a_line_never_outgrows_an_alert() -> None:
    assert max(len(code_words.name(code)) for code in dictionary()) <= 140
    assert len(code_words.name("?" * 500)) == 200
    assert len(code_words.name("P0301", "x" * 500)) == 200


def test_every_word_of_the_engine_has_words() -> None:
    said = [
        *map(code_words.area, Area),
        *map(code_words.system, System),
        *map(code_words.severity, Severity),
        *(str(code_words._ADVICE[each]) for each in Advice),
    ]
    assert all(said)
    assert len({str(code_words._ADVICE[each]) for each in Advice}) == len(Advice)
    assert code_words.severity("") == code_words.severity("unheard") == ""


@pytest.mark.parametrize(
    ("code", "severity", "words"),
    [
        ("P0524", "", "Stop where it is safe"),
        ("P0524", "critical", "Stop where it is safe"),
        ("P0524", "low", "Safe to drive; mention"),
        ("P0301", "critical", "Drive gently"),
        ("P0420", "critical", "Drive only as far"),
        ("P1234", "", "Safe to drive; have it looked at"),
        ("P1234", "unheard", "Safe to drive; have it looked at"),
    ],
)
def test_advice_follows_the_severity_that_counts(code: str, severity: str, words: str) -> None:
    assert code_words.advice(code, severity).startswith(words)
