"""What Smartcar reported of whole accounts and has not taken back, and what follows from it.

Whether a connection is lost is derived from all that was reported of its cars, each time anew: so
it does not depend on the order of the events. The reason on the connection says that a webhook
found it: what a poll found is not undone here. Whoever calls holds the connection's row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from integrations.clients.errors import ClientError, Outcome
from integrations.models import Connection, Signal, Vehicle, VehicleAccess
from integrations.services import connection_status, poll_outcomes

ERROR, RESOLVED = "ERROR", "RESOLVED"
OVER = "Smartcar says that it is over"
READ = "its cars report again"
# Smartcar says when it happened, we when the driver consented; and some times have no fractions.
CLOCKS_DIFFER = timedelta(seconds=5)
TRUNCATED = timedelta(seconds=1)
_SIGN_IN_AGAIN = ":AUTHENTICATION_FAILED"
_SOLD = ":VEHICLE_MISSING"
_REASON = "Smartcar reports "


@dataclass(frozen=True, slots=True)
class _Lost:
    """An error for which the driver has to connect again, and the way that it was reported of."""

    pair: str
    at: datetime
    access: VehicleAccess

    @property
    def is_sign_in(self) -> bool:
        return self.pair.endswith(_SIGN_IN_AGAIN)


def settle(
    connection: Connection, *, why: str, now: datetime, heard_at: datetime | None = None
) -> bool:
    """Let the connection be what the errors that are left make of it. True if it changed.

    `why` is what brings it back, if it comes back. `heard_at`: its car was read then, although
    the car is read another way now.
    """
    lost = [one for one in _lost(connection) if heard_at is None or one.at >= heard_at]
    if not lost:
        return is_lost(connection) and connection_status.mark_active(
            connection, now=now, reason=why
        )
    # Who has to consent anew signs in as well.
    first = min(lost, key=lambda one: (one.is_sign_in, one.at, one.access.pk))
    return connection_status.needs_reconnect(
        connection,
        reason=_REASON + first.pair,
        way=first.access if first.is_sign_in else None,
        now=now,
    )


def is_lost(connection: Connection) -> bool:
    """Whether a webhook found that the driver has to connect again."""
    needs_driver = connection.status == Connection.Status.NEEDS_RECONNECT
    return needs_driver and connection.status_reason.startswith(_REASON)


def is_outdated(connection: Connection, at: datetime) -> bool:
    """Whether what was said of the account then is from before it was known to be good.

    That a webhook brought it back proves nothing of the kind: it was worked off at some moment,
    and errors of before may follow it.
    """
    is_known_good = connection.status == Connection.Status.ACTIVE and (
        connection.status_reason not in {OVER, READ}
    )
    before = at + CLOCKS_DIFFER
    return before <= connection.connected_at or (
        is_known_good and before <= connection.status_changed_at
    )


def was_read_since(connection: Connection, at: datetime) -> bool:
    """Whether one of its cars was read after that moment: then it worked."""
    since = at + TRUNCATED
    return Signal.objects.filter(vehicle__connection=connection, fetched_at__gt=since).exists()


def _lost(connection: Connection) -> Iterator[_Lost]:
    """Reported, not taken back, and nothing proves the contrary."""
    ways = connection.accesses.filter(ended_at__isnull=True).select_related("vehicle")
    for access in ways:
        for known in access.vehicle.reported_errors.values():
            one = _Lost(known.get("pair", ""), datetime.fromisoformat(known["at"]), access)
            if (
                _stands(known, access.smartcar_id)
                and outcome(known, access) is Outcome.RECONNECT
                and not is_outdated(connection, one.at)
                and not was_read_since(connection, one.at)
            ):
                yield one


def _stands(known: dict[str, Any], smartcar_id: str) -> bool:
    """Whether it is said of the whole account, by that way to the car, and not taken back."""
    is_of_account = known["state"] == ERROR and known["signals"] is None
    return is_of_account and known.get("way") == smartcar_id


def outcome(known: dict[str, Any], access: VehicleAccess) -> Outcome | None:
    """What the driver has to do. A car that was sold must not end the driver's other cars."""
    asks: str = known.get("asks", "")
    if asks != Outcome.RECONNECT or not known["pair"].endswith(_SOLD):
        return Outcome(asks) if asks else None
    others = VehicleAccess.objects.filter(connection=access.connection_id, ended_at__isnull=True)
    has_others = others.exclude(vehicle=access.vehicle_id).exists()
    return Outcome.DRIVER if has_others else Outcome.RECONNECT


# --- What the driver has to do for one car ----------------------------------------------------


def to_do(vehicle: Vehicle, reported: dict[str, Any]) -> ClientError | None:
    """The newest error of the car for which its driver has to act."""
    access = vehicle.accesses.filter(smartcar_id=vehicle.smartcar_id).first()
    left = [
        known
        for known in reported.values()
        if access is not None
        and _stands(known, access.smartcar_id)
        and outcome(known, access) is Outcome.DRIVER
        and not car_was_read_since(vehicle, datetime.fromisoformat(known["at"]))
    ]
    if not left:
        return None
    newest: str = max(left, key=lambda known: (known["at"], known["pair"]))["pair"]
    type_, _, code = newest.partition(":")
    return ClientError(newest, outcome=Outcome.DRIVER, type=type_, code=code)


def car_was_read_since(vehicle: Vehicle, at: datetime) -> bool:
    return vehicle.signals.filter(fetched_at__gt=at).exists()


def forget_done(vehicle: Vehicle, now: datetime) -> None:
    """The car was read: what its driver had to do before is done. What a poll found stays."""
    if vehicle.poll_outcome != Outcome.DRIVER:
        return
    of_poll = vehicle.last_polled_at if vehicle.last_polled_at != vehicle.last_read_at else None
    times = [
        datetime.fromisoformat(known["at"])
        for known in vehicle.reported_errors.values()
        if known["state"] == ERROR and known.get("pair") == vehicle.poll_error
    ]
    if not times or not car_was_read_since(vehicle, max(filter(None, [*times, of_poll]))):
        return
    left = to_do(vehicle, vehicle.reported_errors)
    shown = poll_outcomes.of_error(vehicle, left, now) if left else poll_outcomes.GOOD
    Vehicle.objects.filter(pk=vehicle.pk).update(**shown)
