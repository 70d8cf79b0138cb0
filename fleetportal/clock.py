"""The one clock. Entry points ask it; everything below them is handed `now`.

A simulation moves it with `set_source`, so that a simulated month drives the same services.
"""

from collections.abc import Callable
from datetime import UTC, datetime


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """The current time, aware, in UTC."""
    return _source()


def set_source(source: Callable[[], datetime] | None) -> None:
    """Let `source` say what time it is in this process; None goes back to the system's clock."""
    global _source  # noqa: PLW0603  one clock is the point
    _source = source or _system
