"""What comes and goes: said once, then left quiet until it has settled. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

RETURNS = 3  # within the reopen window
SETTLED_AFTER = timedelta(hours=24)


def returned(
    before: Sequence[datetime], *, now: datetime, window: timedelta
) -> tuple[datetime, ...]:
    """The returns that still count, with the one of now."""
    return (*(at for at in before if now - at <= window), now)


def is_flapping(returns: Sequence[datetime]) -> bool:
    return len(returns) >= RETURNS


def is_settled(resolved_at: datetime | None, now: datetime) -> bool:
    """Whether what came and went has stayed away long enough to be called over."""
    return resolved_at is not None and now - resolved_at >= SETTLED_AFTER
