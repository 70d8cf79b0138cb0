"""Which decision of the fleet counts for a code."""

from itertools import permutations

import pytest

from maintenance.engine.code_overrides import CodeBook, Override, normal
from maintenance.engine.trouble_codes import Severity


def made(*patterns: str) -> list[Override]:
    return [Override(id=n, pattern=pattern) for n, pattern in enumerate(patterns, start=1)]


@pytest.mark.parametrize(
    ("patterns", "code", "wins"),
    [
        (["P0420"], "P0420", "P0420"),
        (["P0420"], "p0420", "P0420"),
        (["P0420"], "P0430", None),
        (["*", "P*", "P04*", "P042?"], "P0420", "P042?"),
        (["P04*", "P0420", "P042*"], "P0420", "P0420"),
        (["*20", "P*"], "P0420", "P*"),
        (["P04[23]0", "P0*"], "P0430", "P04[23]0"),
        (["P04?0", "P04*"], "P0420", "P04?0"),
        (["P04*", "P04?0"], "P0420", "P04*"),
        (["C0561"], "C056171", "C0561"),
        (["C0561", "C0561-71"], "C0561-71", "C0561-71"),
        (["C0561-7*", "C0561"], "C056171", "C0561"),
        (["C0561-71"], "C0561-72", None),
        (["ODD*"], "odd text", "ODD*"),
    ],
)
def test_the_most_specific_wins(patterns: list[str], code: str, wins: str | None) -> None:
    found = CodeBook(made(*patterns)).choose(code)
    assert (found.pattern if found else None) == wins


def test_the_order_of_the_rows_is_irrelevant() -> None:
    overrides = made("P0*", "P04*", "P0420", "P04?0", "P04?*")
    for code, wins in (("P0420", 3), ("P0430", 2), ("P0300", 1)):
        for order in permutations(overrides):
            found = CodeBook(order).choose(code)
            assert found is not None
            assert found.id == wins


def test_without_overrides_the_dictionary_counts() -> None:
    book = CodeBook()
    assert book.judge("P0524").severity is Severity.CRITICAL
    assert book.judge("P0524").is_critical
    assert not book.judge("P0420").is_ignored
    assert book.judge("P1524").severity is Severity.MEDIUM


def test_an_override_says_how_serious_it_is_here() -> None:
    book = CodeBook(
        (
            Override(id=1, pattern="P0524", severity=Severity.LOW),
            Override(id=2, pattern="P1*", severity=Severity.CRITICAL, text="Tail lift"),
            Override(id=3, pattern="P0217", text="Hot"),
            Override(id=4, pattern="P04*", is_ignored=True),
            Override(id=5, pattern="P0420"),
        )
    )
    assert not book.judge("P0524").is_critical
    assert book.judge("P1524").is_critical
    assert book.judge("P1524").own_meaning == "Tail lift"
    assert book.judge("P0217").is_critical, "an empty severity leaves the dictionary's"
    assert book.judge("P0430").is_ignored
    assert not book.judge("P0420").is_ignored, "only the most specific counts"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" p0420 ", "P0420"),
        ("c056171", "C0561-71"),
        ("C0561:71", "C0561-71"),
        ("p04*", "P04*"),
        ("U0?00", "U0?00"),
        ("P04[23]0", "P04[23]0"),
        ("P04[!0-3]0", "P04[!0-3]0"),
        ("C0561-*", "C0561-*"),
    ],
)
def test_a_pattern_is_kept_in_one_form(typed: str, kept: str) -> None:
    assert normal(typed) == kept


@pytest.mark.parametrize(
    "typed", ["", "*", "P", "P04", "04*", "X0*", "P0420, P0430", "P04[", "P04[]*", "P0G*", "=P0*"]
)
def test_what_fits_no_code_is_no_pattern(typed: str) -> None:
    assert normal(typed) is None


def test_a_thousand_patterns_cost_a_code_nothing_the_second_time() -> None:
    patterns = (f"P0{n:X}*" for n in range(0x100, 0x500))
    book = CodeBook(Override(id=n, pattern=pattern) for n, pattern in enumerate(patterns))
    assert book.judge("P0420") is book.judge("P0420")


def test_what_cars_make_up_does_not_pile_up() -> None:
    book = CodeBook()
    for n in range(25_000):
        book.judge(f"made-up-{n}")
    assert len(book._judged) <= 10_000
    assert book.judge("P0524").is_critical
