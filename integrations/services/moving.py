"""A fleet moves to Smartcar's other generation: the cars of each consent are found there again.

No driver is asked. A car is found by its Smartcar id, else by its VIN; a consent that the other
generation does not list is left as it is, so that moving back finds everything in place.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.db.models import Q

from integrations.clients.errors import ClientError
from integrations.clients.readings import VIN, SignalReading
from integrations.clients.smartcar_types import ConnectionInfo
from integrations.models import Connection, Vehicle, VehicleAccess
from integrations.services import activity, connection_status, connections, leases, tokens, vehicles
from integrations.services.connections import ConnectClient
from integrations.services.reads import ReadClient

logger = logging.getLogger(__name__)

Status = Connection.Status
Listed = dict[str, list[ConnectionInfo]]  # by Smartcar user id


class MovingClient(ConnectClient, ReadClient, Protocol):
    def list_connections(
        self, access_token: str = "", *, user_id: str = "", vehicle_id: str = ""
    ) -> list[ConnectionInfo]: ...


@dataclass(frozen=True, slots=True)
class Lost:
    """A consent that would not be readable, and why."""

    connection: Connection
    why: str


def not_moved(*, client: MovingClient) -> list[Connection]:
    """The consents whose cars the generation in use has not listed yet."""
    rows = Connection.objects.filter(vehicles_listed_at__isnull=False)
    waiting = Q(status=Status.ACTIVE) & ~Q(listed_through=client.version)
    if client.has_application_token:  # it opens what a driver's own token does not any more
        waiting |= Q(status=Status.NEEDS_RECONNECT, status_reason__in=tokens.WORTH_NOTHING)
    rows = rows.filter(waiting)
    if not client.has_application_token:
        rows = rows.filter(token__isnull=False).exclude(token__refresh_token="")
    # The newest last: a car that two drivers share stays with the one who connected last.
    rows = rows.select_related("token", "driver", "group").prefetch_related("accesses")
    return list(rows.order_by("connected_at", "pk"))


def take_over(*, client: MovingClient, now: datetime) -> int:
    """List the cars of every consent through the generation in use; returns how many were found.

    Raises ClientError when there is no whole list.
    """
    waiting = not_moved(client=client)
    if not waiting:
        return 0
    listed = list_all(client=client, now=now) if client.has_application_token else None
    done, time_now = 0, leases.going_on(now)
    for connection in waiting:
        try:
            done += _take_over(connection, listed, client=client, now=time_now())
        except ClientError as exc:
            logger.warning("connection %s: not moved: %s", connection.pk, exc)
    return done


def list_all(*, client: MovingClient, now: datetime) -> Listed:
    """Every consent that v3 knows of. Raises ClientError."""
    token = tokens.of_application(now=now)
    return by_user(tokens.opening(token, client.list_connections, client=client, now=now))


def by_user(rows: Iterable[ConnectionInfo]) -> Listed:
    found: Listed = defaultdict(list)
    for one in rows:
        found[one.user_id].append(one)
    return found


def lost_under_v3(listed: Listed) -> list[Lost]:
    """The active consents that v3 would not read, with the reason; asks nobody."""
    rows = Connection.objects.active().select_related("driver").prefetch_related("accesses")
    return [Lost(row, why) for row in rows if (why := _why_lost(row, listed))]


def _why_lost(connection: Connection, listed: Listed) -> str:
    theirs = _shared_by(connection, listed)
    if not theirs:
        return "v3 lists no car of this driver: is it the same application?"
    ours = {way.smartcar_id for way in connection.accesses.all() if way.ended_at is None}
    missing = len(ours - {one.vehicle_id for one in theirs})
    if missing and len(theirs) < len(ours):
        return f"v3 does not list {missing} of its {len(ours)} cars"
    return ""


def _shared_by(connection: Connection, listed: Listed) -> list[ConnectionInfo]:
    """What v3 lists for the consent: by its user, else by a car of it under another user's id."""
    if connection.smartcar_user_id in listed:
        return listed[connection.smartcar_user_id]
    ours = {way.smartcar_id for way in connection.accesses.all()}
    users = {one.user_id for rows in listed.values() for one in rows if one.vehicle_id in ours}
    return listed[users.pop()] if len(users) == 1 else []


def _take_over(
    connection: Connection, listed: Listed | None, *, client: MovingClient, now: datetime
) -> bool:
    if listed is None:
        connections.list_vehicles(connection, client=client, now=now)
        return True
    shared = _shared_by(connection, listed)
    if not shared:
        return False
    user_id = shared[0].user_id
    if user_id != connection.smartcar_user_id:
        if Connection.objects.filter(smartcar_user_id=user_id).exists():
            return False
        Connection.objects.filter(pk=connection.pk).update(smartcar_user_id=user_id)
        connection.smartcar_user_id = user_id
    vehicles.attach(
        connection,
        [one.vehicle_id for one in shared],
        permissions={one.vehicle_id: one.permissions for one in shared},
        known_as=_known_by_vin(connection, shared, client=client, now=now),
        now=now,
    )
    Connection.objects.filter(pk=connection.pk).update(
        vehicles_listed_at=now,
        listed_through=client.version,
        listed_as=client.application,
    )
    what = f"Read through Smartcar {client.version} now"
    activity.record(what, now=now, about=connection)
    if connection.status == Status.NEEDS_RECONNECT:  # only its pair was worth nothing any more
        connection_status.mark_active(connection, reason=what, now=now)
    return True


def _known_by_vin(
    connection: Connection, shared: list[ConnectionInfo], *, client: MovingClient, now: datetime
) -> dict[str, Vehicle]:
    """The vehicles behind ids that were never seen; one call for each of those."""
    ids = {one.vehicle_id for one in shared}
    seen = VehicleAccess.objects.filter(smartcar_id__in=ids).values_list("smartcar_id", flat=True)
    found = {}
    for smartcar_id in sorted(ids - set(seen)):
        vin = _ask_vin(smartcar_id, connection.smartcar_user_id, client=client, now=now)
        vehicle = Vehicle.objects.filter(vin=vin).first() if vin else None
        if vehicle is not None:
            found[smartcar_id] = vehicle
    return found


def _ask_vin(smartcar_id: str, user_id: str, *, client: MovingClient, now: datetime) -> str:
    def ask(access: str) -> list[object]:
        return list(
            client.read(smartcar_id=smartcar_id, access_token=access, codes=[VIN], user_id=user_id)
        )

    try:
        results = tokens.opening(tokens.of_application(now=now), ask, client=client, now=now)
    except ClientError as exc:  # then the first poll finds out
        logger.info("car %s: its VIN is not known: %s", smartcar_id, exc)
        return ""
    for result in results:
        if isinstance(result, SignalReading) and result.code == VIN:
            return str(result.body.get("value") or "").strip().upper()
    return ""
