"""How a car's last poll went, kept on the car for people to read, and told once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import SignalError
from integrations.models import Activity, Vehicle
from integrations.services import activity, schedule

USED_UP = "BILLING:VEHICLE_REQUEST_LIMIT"
GOOD: dict[str, Any] = {"poll_outcome": "", "poll_error": "", "poll_outcome_since": None}


def pair(type_: str, code: str) -> str:
    """An error as it is stored and looked up: the type and code as Smartcar writes them."""
    return ":".join(filter(None, (type_, code)))


def of_error(vehicle: Vehicle, exc: ClientError, now: datetime) -> dict[str, Any]:
    """Columns for a poll that brought nothing."""
    return _columns(vehicle, exc.outcome, pair(exc.type, exc.code), now)


def of_items(vehicle: Vehicle, errors: Sequence[SignalError], now: datetime) -> dict[str, Any]:
    """Columns for a poll that brought something: an item may hold the next one back."""
    for outcome in (Outcome.QUOTA, Outcome.WAIT):
        for error in errors:
            if error.outcome is outcome:
                return _columns(vehicle, outcome, pair(error.type, error.error_code), now)
    return dict(GOOD)


def of_nothing_wanted() -> dict[str, Any]:
    """Columns for a car that is not asked, because no rule wants what it can give."""
    return GOOD | {"poll_error": "NOTHING_WANTED"}


def of_own_count(vehicle: Vehicle, now: datetime) -> dict[str, Any]:
    """Columns for a car that is not asked: by our own count this month's calls are used up."""
    return _columns(vehicle, Outcome.QUOTA, USED_UP, now)


def _columns(vehicle: Vehicle, outcome: Outcome, error: str, now: datetime) -> dict[str, Any]:
    _tell_once(vehicle, outcome, error, now)
    same = vehicle.poll_outcome_since and vehicle.poll_outcome == outcome
    return {
        "poll_outcome": outcome.value,
        "poll_error": error,
        "poll_outcome_since": vehicle.poll_outcome_since if same else now,
    }


def _tell_once(vehicle: Vehicle, outcome: Outcome, error: str, now: datetime) -> None:
    """Write down what a person has to know: once a month, or once between two good polls.

    Told first and looked up, not remembered: who dies in between leaves it told, not lost.
    """
    if outcome is Outcome.QUOTA:
        used_up = "Not read before next month: its calls are used up"
        text = used_up if error == USED_UP else f"Not read: {error}"
        since = schedule.month_of(now)
    elif outcome is Outcome.DRIVER:
        text, since = f"The driver has to act: {error}", vehicle.last_read_at or vehicle.created_at
    elif outcome is Outcome.REJECTED:
        text, since = f"Smartcar refuses: {error}", vehicle.last_read_at or vehicle.created_at
    else:
        return
    if not Activity.objects.filter(vehicle=vehicle, what=text, at__gte=since).exists():
        activity.record(text, now=now, about=vehicle)
