"""Connections that Smartcar itself reported to be broken, and that work again.

The reason on the connection says that a webhook found it: what a poll found is not undone here.
"""

from datetime import datetime

from integrations.models import Connection, Signal, Vehicle
from integrations.services import connection_status
from integrations.services.webhook_cars import Car

SIGN_IN_AGAIN = "AUTHENTICATION_FAILED"
_REASON = "Smartcar reports "


def lost(car: Car, pair: str, now: datetime) -> None:
    """The driver has to connect again, or only to sign in at the maker, for this car."""
    way = car.access if pair.endswith(f":{SIGN_IN_AGAIN}") else None
    connection_status.needs_reconnect(car.connection, reason=_REASON + pair, now=now, way=way)


def over(connection: Connection, pair: str, now: datetime) -> None:
    """Smartcar takes that error back."""
    if _lost_by(connection) == pair:
        reason = f"Smartcar says that {pair} is over"
        connection_status.mark_active(connection, now=now, reason=reason)


def was_read_since(connection: Connection, at: datetime) -> bool:
    """Whether one of its cars was read after that moment: then it worked."""
    return Signal.objects.filter(vehicle__connection=connection, fetched_at__gt=at).exists()


def read(connection: Connection, fetched_at: datetime | None, now: datetime) -> bool:
    """A car was read then: an account that was reported broken before works again. True if so."""
    pair = _lost_by(connection)
    if not pair or fetched_at is None:
        return False
    reports = Vehicle.objects.filter(accesses__connection=connection).values_list(
        "reported_errors", flat=True
    )
    times = [datetime.fromisoformat(known[pair]["at"]) for known in reports if pair in known]
    if fetched_at <= max(times, default=connection.status_changed_at):
        return False
    return connection_status.mark_active(connection, now=now, reason="its cars report again")


def _lost_by(connection: Connection) -> str:
    """The error for which a webhook found that the driver has to connect again."""
    reason = connection.status_reason
    is_lost = connection.status == Connection.Status.NEEDS_RECONNECT
    return reason.removeprefix(_REASON) if is_lost and reason.startswith(_REASON) else ""
