"""Code overrides as CSV: out for a spreadsheet, and back in.

Columns: pattern, severity, ignored, text, note. Nothing is written unless every line is right;
what is not in the file stays as it is. UTF-8 with or without a byte order mark; commas, semicolons
or tabs; any line ends, as spreadsheets write them.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from maintenance.models import CodeOverride
from maintenance.services import code_overrides

MAX_BYTES = 256 * 1024
MAX_ROWS = 2_000
COLUMNS = ("pattern", "severity", "ignored", "text", "note")
_YES = {"yes", "y", "true", "1", "x"}
_NO = {"", "no", "n", "false", "0"}
# A spreadsheet takes what begins so for a formula; the quote is ours, and is taken off again.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line of the file, in words; line 0 is the file as a whole."""

    line: int
    text: str


@dataclass(slots=True)
class Plan:
    """What an import would write: nothing as long as there are problems."""

    new: list[CodeOverride] = field(default_factory=list)
    changed: list[CodeOverride] = field(default_factory=list)
    same: int = 0
    problems: list[Problem] = field(default_factory=list)


class _NotCsvError(Exception):
    """The rest of the file cannot be read; the problem says why."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(line, text)


def export() -> str:
    """All overrides, in an order that stays, with a byte order mark for spreadsheets."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in CodeOverride.objects.order_by("pattern"):
        ignored = "yes" if row.is_ignored else "no"
        values = (row.pattern, row.severity, ignored, row.text, row.note)
        writer.writerow([_shielded(value) for value in values])
    return "\ufeff" + out.getvalue()


def to_text(data: bytes) -> str:
    """The file as text; raises ValidationError when it is none, or too much of it."""
    if len(data) > MAX_BYTES:
        limit = {"limit": MAX_BYTES // 1024}
        raise ValidationError(_("The file has more than %(limit)d kB."), params=limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ValidationError(_("This is not UTF-8. Save it as “CSV UTF-8”.")) from exc


def plan(text: str) -> Plan:
    """What an import of the file would do. Reads the database, writes nothing."""
    found = Plan()
    known = {row.pattern: row for row in CodeOverride.objects.all()}
    lines: dict[str, int] = {}
    try:
        for line, cells in _rows(text):
            _take(found, known, lines, line, cells)
    except _NotCsvError as exc:
        found.problems.append(exc.problem)
    if not lines and not found.problems:
        found.problems.append(Problem(0, _("There is no row in the file.")))
    return found


def carry_out(text: str, *, now: datetime, user: User | None) -> Plan:
    """Import the file and say what was done; with a problem nothing is written. Safe to repeat."""
    found = plan(text)
    if not found.problems:
        code_overrides.write_all([*found.new, *found.changed], now=now, user=user)
    return found


def _take(
    found: Plan,
    known: dict[str, CodeOverride],
    lines: dict[str, int],
    line: int,
    cells: dict[str, str],
) -> None:
    """Bring one row to where it belongs."""
    row = CodeOverride(pattern=cells["pattern"])
    row.tidy()
    before = known.get(row.pattern)
    if before is not None:
        row = copy(before)
    problems = _fill(row, cells)
    if row.pattern in lines:
        text = _("%(pattern)s is on line %(line)d already.")
        problems.append(text % {"pattern": row.pattern, "line": lines[row.pattern]})
    lines.setdefault(row.pattern, line)
    if problems:
        found.problems += [Problem(line, text) for text in problems]
    elif before is None:
        found.new.append(row)
    elif _content(row) == _content(before):
        found.same += 1
    else:
        found.changed.append(row)


def _fill(row: CodeOverride, cells: dict[str, str]) -> list[str]:
    """Write the cells onto the row; what is wrong with them. A missing column changes nothing."""
    problems = []
    row.text, row.note = cells.get("text", row.text), cells.get("note", row.note)
    row.severity = cells.get("severity", row.severity).lower()
    if row.severity and row.severity not in CodeOverride.Severity.values:
        choices = ", ".join(CodeOverride.Severity.values)
        text = _("Severity “%(value)s” is none of: %(choices)s, or nothing.")
        problems.append(text % {"value": row.severity, "choices": choices})
        row.severity = ""
    ignored = cells.get("ignored", "yes" if row.is_ignored else "no").lower()
    if ignored not in _YES | _NO:
        problems.append(_("Ignored is “%(value)s”: write yes or no.") % {"value": ignored})
    row.is_ignored = ignored in _YES
    try:
        row.clean_fields(exclude=["id"])
    except ValidationError as exc:
        for name, texts in exc.message_dict.items():
            problems += [f"{name}: {text}" for text in texts]
    return problems


def _content(row: CodeOverride) -> tuple[str, bool, str, str]:
    return row.severity, row.is_ignored, row.text, row.note


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each row's first line, and its cells by column."""
    if "\0" in text:
        raise _NotCsvError(0, _("This is no text."))
    text = text.removeprefix("\ufeff")
    first, _end, rest = text.partition("\n")
    skipped = 0
    if first.lower().startswith("sep="):  # a line that only says which sign parts the cells
        text, skipped = rest, 1
        first = rest.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first), strict=True)
    names: list[str] | None = None
    count, line = 0, skipped + 1
    try:
        for values in reader:
            cells = [_unshielded(value.strip()) for value in values]
            if names is None:
                names = _header(cells, line)
            elif any(cells):
                count += 1
                if count > MAX_ROWS:
                    limit = {"limit": MAX_ROWS}
                    raise _NotCsvError(line, _("There are more than %(limit)d rows.") % limit)
                yield line, _cells(names, cells, line)
            line = reader.line_num + skipped + 1
    except csv.Error as exc:
        raise _NotCsvError(line, _("This line is no CSV: a quote is not closed.")) from exc


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _header(cells: Sequence[str], line: int) -> list[str]:
    names = [cell.strip('"').lower() for cell in cells]
    named = [name for name in names if name]  # spreadsheets append columns without any
    if "pattern" not in named or not set(named) <= set(COLUMNS) or len(set(named)) < len(named):
        columns = {"columns": ", ".join(COLUMNS)}
        text = _("The first line must name the columns: %(columns)s. Only pattern is needed.")
        raise _NotCsvError(line, text % columns)
    return names


def _cells(names: Sequence[str], cells: Sequence[str], line: int) -> dict[str, str]:
    if len(cells) > len(names) and any(cells[len(names) :]):
        raise _NotCsvError(line, _("This line has more cells than the first one."))
    padded = [*cells, *[""] * (len(names) - len(cells))]
    return dict(zip(names, padded, strict=False))


def _shielded(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _unshielded(value: str) -> str:
    return value[1:] if value.startswith("'") and value[1:].startswith(_FORMULA) else value
