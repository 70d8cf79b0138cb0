"""Code overrides out to a spreadsheet, and back."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.models import Activity, Vehicle
from maintenance.models import CodeOverride
from maintenance.services import code_csv
from tests.factories import NOW, make_override, make_vehicle

pytestmark = pytest.mark.django_db

HEADER = "pattern,severity,ignored,text,note\n"
TABS = "note\ttext\tignored\tseverity\tpattern\nwait\tKnown\tTRUE\thigh\tP0420\n\t\t\t\tP03*"
EXCEL = (
    "\ufeffPattern;Severity;Ignored;Text;Note;;\r\n"
    "P0420;HIGH;x;Known;wait;;\r\nP03*;;;;;;\r\n;;;;;;\r\n"
)
OLD_MAC = HEADER.replace("\n", "\r") + '"P0420","high","y","Known","wait"\rP03*,,,,\r'


def content() -> list[tuple[object, ...]]:
    columns = ("pattern", "severity", "is_ignored", "text", "note")
    return list(CodeOverride.objects.order_by("pattern").values_list(*columns))


def carry_out(text: str) -> code_csv.Plan:
    return code_csv.carry_out(text, now=NOW, user=None)


def problems(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.text) for problem in code_csv.plan(text).problems]


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "p0420,High,yes,Known,wait\nP03*,,no,,\n",
        EXCEL,
        "sep=;\r\n" + HEADER.replace(",", ";") + "P0420;high;1;Known;wait\r\n\r\nP03*\r\n",
        TABS,
        OLD_MAC,
    ],
    ids=["commas", "excel", "sep", "tabs", "old-mac"],
)
def test_what_spreadsheets_write_is_read(text: str) -> None:
    done = carry_out(text)
    assert done.problems == []
    assert (len(done.new), len(done.changed), done.same) == (2, 0, 0)
    assert content() == [("P03*", "", False, "", ""), ("P0420", "high", True, "Known", "wait")]


def test_only_what_differs_is_written_and_what_is_not_named_stays() -> None:
    car = make_vehicle()
    make_override(pattern="P0420", severity="low", text="Ours", note="Ask Jo")
    make_override(pattern="P0430")
    make_override(pattern="P0450")
    done = carry_out("pattern,ignored\nP0420,no\nP0430,yes\nP0440,yes\n")

    assert (len(done.new), len(done.changed), done.same) == (1, 1, 1)
    assert content() == [
        ("P0420", "low", False, "Ours", "Ask Jo"),
        ("P0430", "", True, "", ""),
        ("P0440", "", True, "", ""),
        ("P0450", "", True, "", ""),
    ]
    car.refresh_from_db()
    assert car.evaluation_due_at == NOW
    assert Activity.objects.get().what == "Code overrides imported: 2 written"


def test_the_same_file_again_changes_nothing() -> None:
    car = make_vehicle()
    text = HEADER + "P0420,high,yes,a,b\n"
    carry_out(text)
    Activity.objects.all().delete()
    Vehicle.objects.update(evaluation_due_at=None)
    before = list(CodeOverride.objects.values())
    again = carry_out(text)

    assert (len(again.new), len(again.changed), again.same) == (0, 0, 1)
    assert list(CodeOverride.objects.values()) == before
    assert not Activity.objects.exists()
    car.refresh_from_db()
    assert car.evaluation_due_at is None


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "no row"),
        (HEADER, 0, "no row"),
        ("P0420,high\n", 1, "first line must name"),
        ("pattern,severity,colour\nP0420,high,red\n", 1, "first line must name"),
        ("pattern,note,note\nP0420,a,b\n", 1, "first line must name"),
        (HEADER + "P0420,,,,\nP042,,,,\n", 3, "fits no code"),
        (HEADER + "P0420,,,,\n\n\n,low,,,\n", 5, "pattern: "),
        (HEADER + "P0420,urgent,,,\n", 2, "none of: low, medium, high, critical"),
        (HEADER + "P0420,,perhaps,,\n", 2, "write yes or no"),
        (HEADER + f"P0420,,,{'x' * 121},\n", 2, "text: "),
        (HEADER + f"P0420,,,,{'x' * 201}\n", 2, "note: "),
        (HEADER + "P0420,,,,\np0420,,,,\n", 3, "is on line 2 already"),
        (HEADER + "C0561-71,,,,\nc056171,,,,\n", 3, "is on line 2 already"),
        (HEADER + "P0420,,,a,b,c\n", 2, "more cells"),
        (HEADER + 'P0420,,,"two\nlines",\nP04,,,,\n', 4, "fits no code"),
        ("sep=,\n" + HEADER + "P04,,,,\n", 3, "fits no code"),
        (HEADER + 'P0420,,,"open,\n', 2, "quote"),
        (HEADER + "P0420,,,a\0b,\n", 0, "no text"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_nothing_is_written(
    text: str, line: int, words: str
) -> None:
    (found,) = problems(text)
    assert found[0] == line
    assert words in found[1]
    assert carry_out(text).problems
    assert not CodeOverride.objects.exists()


def test_every_wrong_line_is_told() -> None:
    found = problems(HEADER + "P04,urgent,,,\nP0420,,,,\nX,,maybe,,\n")
    assert [line for line, _text in found] == [2, 2, 4, 4]


def test_too_much_is_refused() -> None:
    rows = "".join(f"P{n:04X},,yes,,\n" for n in range(code_csv.MAX_ROWS + 1))
    assert problems(HEADER + rows) == [(2002, "There are more than 2000 rows.")]
    with pytest.raises(ValidationError, match="more than 256 kB"):
        code_csv.to_text(b"x" * (code_csv.MAX_BYTES + 1))


@pytest.mark.parametrize("data", [b"\xff\xfeP\x00", "P0420;Überdruck".encode("cp1252")])
def test_what_is_not_utf8_is_refused(data: bytes) -> None:
    with pytest.raises(ValidationError, match="CSV UTF-8"):
        code_csv.to_text(data)


def test_no_cell_is_a_formula() -> None:
    for n, text in enumerate(["=1+1", "+1", "-1", "@a", "'=1+1", "'", "plain"]):
        make_override(pattern=f"P000{n}", text=text, note=text)
    lines = code_csv.export().removeprefix("\ufeff").splitlines()
    assert lines[1] == '"P0000","","yes","\'=1+1","\'=1+1"'
    for line in lines[1:]:
        for cell in line.strip('"').split('","'):
            assert not cell.startswith(("=", "+", "-", "@"))


TRICKY = st.sampled_from(["=1", "'=1", "''x", "'", ";,\t", 'a"b', "\ufeff", "sep=;", "- a"])
WORDS = TRICKY | st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=40
)
SEVERITIES = st.sampled_from(["", *CodeOverride.Severity.values])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(SEVERITIES, st.booleans(), WORDS, WORDS), min_size=1, max_size=4))
def test_what_goes_out_comes_back_the_same(rows: list[tuple[str, bool, str, str]]) -> None:
    CodeOverride.objects.all().delete()
    for n, (severity, ignored, text, note) in enumerate(rows):
        make_override(
            pattern=f"P000{n}", severity=severity, is_ignored=ignored, text=text, note=note
        )
    before, exported = content(), code_csv.to_text(code_csv.export().encode())
    assert code_csv.plan(exported).same == len(rows)

    CodeOverride.objects.all().delete()
    assert carry_out(exported).problems == []
    assert content() == before
