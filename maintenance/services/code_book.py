"""The book of codes as it stands: the dictionary with the fleet's own words."""

from collections.abc import Sequence
from typing import Any

from integrations.models.prepared import Prepared, Statement
from maintenance.engine.code_overrides import CodeBook, Override
from maintenance.engine.trouble_codes import Severity
from maintenance.models import CodeOverride

Rows = list[Sequence[Any]]
_OVERRIDES = Prepared(
    lambda: CodeOverride.objects.order_by("pk").values_list(
        "pk", "pattern", "severity", "is_ignored", "text"
    )
)
_made: tuple[Rows, CodeBook] = ([], CodeBook())


def statement() -> Statement[Rows]:
    """Asks for the rows that `made_of` wants; runs together with other statements."""
    return _OVERRIDES.values()


def made_of(rows: Rows) -> CodeBook:
    """The book; made anew only when a row is not what it was."""
    global _made  # noqa: PLW0603  what the database says is compared each time
    before, book = _made
    if rows != before:
        book = CodeBook(map(_override, rows))
        _made = rows, book
    return book


def now_in_force() -> CodeBook:
    return made_of(statement().run())


def _override(row: Sequence[Any]) -> Override:
    pk, pattern, severity, is_ignored, text = row
    return Override(
        id=pk,
        pattern=pattern,
        severity=Severity(severity) if severity else None,
        is_ignored=bool(is_ignored),
        text=text,
    )
