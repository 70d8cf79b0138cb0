"""A connection's status changes here and nowhere else."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from integrations.models import Connection, VehicleAccess
from integrations.services import activity, link_mails, vehicles
from integrations.signals import connection_changed


def needs_reconnect(
    connection: Connection, *, reason: str, now: datetime, way: VehicleAccess | None = None
) -> bool:
    """Only the driver can mend it. True when it was this call that found out.

    It is said of the consent that `connection` was loaded with, and of no newer one. With `way` the
    consent itself is good: the driver has to sign in at the maker again, for that car, and is
    mailed a link that leads there.
    """
    return _change(
        connection,
        Connection.Status.NEEDS_RECONNECT,
        only_from=[Connection.Status.ACTIVE],
        reason=reason,
        now=now,
        way=way,
    )


def mark_active(
    connection: Connection, *, now: datetime, user: User | None = None, reason: str = ""
) -> bool:
    """It can be read again; `reason` says why, where no new consent does."""
    return _change(
        connection,
        Connection.Status.ACTIVE,
        only_from=[Connection.Status.NEEDS_RECONNECT, Connection.Status.REVOKED],
        reason=reason,
        now=now,
        user=user,
    )


def mark_revoked(
    connection: Connection,
    *,
    reason: str,
    now: datetime,
    user: User | None = None,
    actor: str = "",
) -> bool:
    return _change(
        connection,
        Connection.Status.REVOKED,
        only_from=[Connection.Status.ACTIVE, Connection.Status.NEEDS_RECONNECT],
        reason=reason,
        now=now,
        user=user,
        actor=actor,
    )


@transaction.atomic
def _change(
    connection: Connection,
    status: Connection.Status,
    *,
    only_from: list[Connection.Status],
    reason: str,
    now: datetime,
    user: User | None = None,
    actor: str = "",
    way: VehicleAccess | None = None,
) -> bool:
    """One transaction with all that follows; whoever comes second changes nothing."""
    rows = Connection.objects.filter(pk=connection.pk, status__in=only_from)
    if status == Connection.Status.NEEDS_RECONNECT:
        rows = rows.filter(connected_at=connection.connected_at)
    changed = rows.update(status=status, status_reason=reason[:255], status_changed_at=now)
    connection.refresh_from_db()
    if not changed:
        return False
    what = f"Connection is now: {connection.get_status_display()}"
    activity.record(
        f"{what}. {reason}".strip(". "), now=now, about=connection, user=user, actor=actor
    )
    for vehicle in vehicles.reached_by(connection):
        vehicles.choose_access(vehicle, now=now)
    if status == Connection.Status.NEEDS_RECONNECT:
        link_mails.ask_to_reconnect(connection, way=way, now=now)
    connection_changed.send(sender=Connection, connection=connection, user=user, now=now)
    return True
