"""What a failed poll means for the car, its connection, and everybody else."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import SignalError
from integrations.models import Vehicle
from integrations.services import connection_status, gates, poll_outcomes, schedule

VEHICLE_WAIT = 120.0  # seen in the wild when Smartcar names no time
LONGEST_WAIT = 2 * 86_400.0
ASLEEP_WAIT = timedelta(hours=2)
DAILY = timedelta(days=1)


def worst(errors: Sequence[SignalError]) -> ClientError | None:
    """When no item succeeded, the failure that says most about the car or the connection."""
    order = [
        Outcome.RECONNECT,
        Outcome.QUOTA,
        Outcome.WAIT,
        Outcome.DRIVER,
        Outcome.ASLEEP,
        Outcome.RETRY,
        Outcome.REFRESH,
        Outcome.REJECTED,
    ]
    for outcome in order:
        for error in errors:
            if error.outcome is outcome:
                text = f"Smartcar: {error.type}:{error.error_code}".strip(":")
                return ClientError(
                    text,
                    outcome=outcome,
                    type=error.type,
                    code=error.error_code,
                    retry_after=error.retry_after,
                )
    return None


def told_to_wait(errors: Sequence[SignalError], now: datetime) -> datetime | None:
    """Until when, after a poll that brought something: items may still say to wait."""
    if any(error.outcome is Outcome.QUOTA for error in errors):
        return schedule.next_month(now)
    waits = [error for error in errors if error.outcome is Outcome.WAIT]
    return now + max(_wait(e.retry_after, VEHICLE_WAIT) for e in waits) if waits else None


def _wait(seconds: float | None, default: float) -> timedelta:
    return timedelta(seconds=min(max(seconds or default, 1), LONGEST_WAIT))


def consequences(  # noqa: PLR0911  one return for each outcome
    vehicle: Vehicle, exc: ClientError, now: datetime
) -> dict[str, Any]:
    """Pause or change whom it concerns; returns what to write on the car."""
    if exc.type == gates.OURS:
        return {}
    columns = {"last_error": str(exc)[:255], **poll_outcomes.of_error(vehicle, exc, now)}
    failures = vehicle.poll_failures + 1
    match exc.outcome:
        case Outcome.WAIT:
            wait = _wait(exc.retry_after, VEHICLE_WAIT)
            return columns | {"not_before": now + wait, "next_poll_at": now + wait}
        case Outcome.WAIT_ALL | Outcome.STOP:
            return columns  # every car waits: the car stays due
        case Outcome.QUOTA:
            return columns | {
                "not_before": schedule.next_month(now),
                "next_poll_at": schedule.next_month(now),
            }
        case Outcome.RECONNECT:
            if vehicle.connection:
                connection_status.needs_reconnect(vehicle.connection, reason=str(exc), now=now)
            return columns
        case Outcome.DRIVER:
            return columns | {"next_poll_at": now + DAILY, "poll_failures": failures}
        case Outcome.ASLEEP:
            return columns | {"next_poll_at": now + ASLEEP_WAIT}
        case _:
            again = now + schedule.backoff(failures)
            return columns | {
                "poll_failures": failures,
                "next_poll_at": again,
                "not_before": again,
            }
