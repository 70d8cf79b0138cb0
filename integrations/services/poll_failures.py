"""What a failed poll means for the car, its connection, and everybody else."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import SignalError
from integrations.models import Vehicle, VehicleAccess
from integrations.services import connection_status, gates, poll_outcomes, schedule

VEHICLE_WAIT = 120.0  # seen in the wild when Smartcar names no time
MAKER_WAIT = 4 * 3_600.0  # the maker counts what its own app asks as well
LONGEST_WAIT = 2 * 86_400.0
DAILY = timedelta(days=1)
ASLEEP_WAIT = timedelta(hours=2)
ASLEEP_WAITS = {
    "UNREACHABLE": timedelta(minutes=30),
    "IN_MOTION": timedelta(minutes=45),
    "IGNITION_ON": timedelta(minutes=45),
    "VEHICLE_OFFLINE_FOR_SERVICE": DAILY,
}
UNANSWERED = "UNANSWERED"  # the answer left it out: that says nothing
OF_THE_SIGNAL = {Outcome.NOT_CAPABLE, Outcome.NOT_GRANTED}


def worst(errors: Sequence[SignalError]) -> ClientError | None:
    """When the car gave nothing, the failure that says most about the car or the connection.

    That the driver has to connect again is believed only when all that could be read says so.
    """
    spoke = {error.outcome for error in errors if error.type != UNANSWERED} - OF_THE_SIGNAL
    order = [
        Outcome.QUOTA,
        Outcome.WAIT,
        Outcome.DRIVER,
        Outcome.ASLEEP,
        Outcome.RETRY,
        Outcome.REJECTED,
    ]
    for outcome in [Outcome.RECONNECT] if spoke == {Outcome.RECONNECT} else order:
        for error in errors:
            if error.outcome is outcome:
                return _raised(error)
    return None


def _raised(error: SignalError) -> ClientError:
    return ClientError(
        f"Smartcar: {error.type}:{error.error_code}".strip(":"),
        outcome=error.outcome,
        type=error.type,
        code=error.error_code,
        retry_after=error.retry_after,
    )


def hear_items(errors: Sequence[SignalError], now: datetime) -> None:
    """After a poll that brought something: an item may still speak to all of us."""
    for error in errors:
        gates.hear(gates.SMARTCAR, _raised(error), now=now)


def told_to_wait(errors: Sequence[SignalError], now: datetime) -> datetime | None:
    """Until when, after a poll that brought something: items may still say to wait."""
    ends = [_quota_ends(e.error_code, now) for e in errors if e.outcome is Outcome.QUOTA]
    ends += [now + _wait(e.type, e.retry_after) for e in errors if e.outcome is Outcome.WAIT]
    return max(ends, default=None)


def _quota_ends(code: str, now: datetime) -> datetime:
    """A month's calls come back with the month; room in the plan does when somebody buys it."""
    return now + DAILY if code == "VEHICLE_LIMIT" else schedule.next_month(now)


def _wait(type_: str, seconds: float | None) -> timedelta:
    default = MAKER_WAIT if type_ == "UPSTREAM" else VEHICLE_WAIT
    return timedelta(seconds=min(max(seconds or default, 1), LONGEST_WAIT))


def consequences(  # noqa: PLR0911  one return for each outcome
    vehicle: Vehicle, exc: ClientError, now: datetime
) -> dict[str, Any]:
    """Pause or change whom it concerns; returns what to write on the car."""
    if exc.type == gates.OURS:
        return {}
    exc = _of_this_car(vehicle, exc)
    columns = {"last_error": str(exc)[:255], **poll_outcomes.of_error(vehicle, exc, now)}
    failures = vehicle.poll_failures + 1
    match exc.outcome:
        case Outcome.WAIT:
            wait = _wait(exc.type, exc.retry_after)
            return columns | {"not_before": now + wait, "next_poll_at": now + wait}
        case Outcome.WAIT_ALL | Outcome.STOP:
            return columns  # every car waits: the car stays due
        case Outcome.QUOTA:
            ends = _quota_ends(exc.code, now)
            return columns | {"not_before": ends, "next_poll_at": ends}
        case Outcome.RECONNECT:
            if vehicle.connection:
                connection_status.needs_reconnect(
                    vehicle.connection, reason=str(exc), way=_sign_in_for(vehicle, exc), now=now
                )
            return columns
        case Outcome.DRIVER | Outcome.REJECTED | Outcome.NOT_GRANTED | Outcome.NOT_CAPABLE:
            return columns | {"next_poll_at": now + DAILY, "poll_failures": failures}
        case Outcome.ASLEEP:
            return columns | {"next_poll_at": now + ASLEEP_WAITS.get(exc.code, ASLEEP_WAIT)}
        case _:
            told = timedelta(seconds=min(exc.retry_after or 0, LONGEST_WAIT))
            again = now + max(schedule.backoff(failures), told)
            return columns | {
                "poll_failures": failures,
                "next_poll_at": again,
                "not_before": again,
            }


def _sign_in_for(vehicle: Vehicle, exc: ClientError) -> VehicleAccess | None:
    """Where it is enough that the driver signs in at the maker again: the way to this car.

    https://smartcar.com/docs/errors/api-errors/connected-services-account-errors
    """
    if exc.code != "AUTHENTICATION_FAILED":
        return None
    return vehicle.accesses.filter(smartcar_id=vehicle.smartcar_id, ended_at__isnull=True).first()


def _of_this_car(vehicle: Vehicle, exc: ClientError) -> ClientError:
    """A car that was sold must not end the reading of the driver's other cars."""
    if exc.code != "VEHICLE_MISSING" or vehicle.connection is None:
        return exc
    others = vehicle.connection.accesses.filter(ended_at__isnull=True).exclude(vehicle=vehicle)
    if not others.exists():
        return exc
    return ClientError(str(exc), outcome=Outcome.DRIVER, type=exc.type, code=exc.code)
