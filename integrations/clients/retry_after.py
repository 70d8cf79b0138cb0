"""How long a provider asks us to wait.

https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
"""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


def parse_retry_after(value: Any, *, sent_at: Any = None) -> float | None:
    """Seconds to wait, from a number, its text or an HTTP date; None when it cannot be read.

    A date is measured from the answer's own Date, so that a wrong clock here does no harm.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _seconds(value)
    if not isinstance(value, str):
        return None
    try:
        return _seconds(float(value))
    except ValueError:
        pass
    until = _http_date(value)
    if until is None:
        return None
    return max(0.0, (until - (_http_date(sent_at) or datetime.now(UTC))).total_seconds())


def _seconds(value: float) -> float | None:
    try:
        seconds = float(value)
    except OverflowError:  # JSON knows integers that no float can hold
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _http_date(value: Any) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, AttributeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
