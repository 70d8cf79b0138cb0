"""Compare with Smartcar's own list of connections: owners may end a consent without telling us."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.db import transaction
from django.db.models import Prefetch

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import VIN, SignalError
from integrations.clients.smartcar_types import ConnectionInfo
from integrations.clients.smartcar_v3 import NO_SIGNALS
from integrations.models import Connection, Vehicle, VehicleAccess
from integrations.services import connection_status, connections, leases, tokens, vehicles
from integrations.services.connections import ConnectClient
from integrations.services.reads import ReadClient

logger = logging.getLogger(__name__)

REFUSED = {Outcome.REFRESH, Outcome.RECONNECT}
NO_ACCESS = {Outcome.REFRESH, Outcome.NOT_GRANTED, Outcome.REJECTED, Outcome.RECONNECT}


class ManagementClient(ConnectClient, ReadClient, Protocol):
    def list_connections(
        self, access_token: str = "", *, user_id: str = "", vehicle_id: str = ""
    ) -> list[ConnectionInfo]: ...


@dataclass(slots=True)
class Reconciled:
    looked_at: int = 0
    ended: int = 0


def reconcile(*, client: ManagementClient, now: datetime) -> Reconciled:
    """End the consents that Smartcar no longer has, and take over cars that came or went.

    The list alone ends nothing, because it may be wrong or of another application: where it
    differs, it is asked about this driver alone. Raises ClientError when there is no whole list.
    """
    listed: dict[str, set[str]] = defaultdict(set)
    for row in _list(client, now):
        listed[row.user_id].add(row.vehicle_id)
    result, time_now = Reconciled(), leases.going_on(now)
    known = list(_known(client))
    mine = [connection.pk for connection in known if connection.smartcar_user_id in listed]
    Connection.objects.filter(pk__in=mine).update(listed_as=client.application)
    holders = _holders()
    for connection in known:
        is_listed = connection.smartcar_user_id in listed
        ours = {way.smartcar_id for way in connection.accesses.all()}
        theirs = {
            smartcar_id
            for smartcar_id in listed.get(connection.smartcar_user_id, ())
            if holders.get(smartcar_id, connection.pk) == connection.pk
        }
        is_active = connection.status == Connection.Status.ACTIVE
        if is_listed and (ours == theirs or not is_active):
            continue
        result.looked_at += 1
        result.ended += _look_again(connection, is_listed=is_listed, client=client, now=time_now())
    return result


def _holders() -> dict[str, int]:
    """Whose consent each car is read through. A car that two drivers share is one of them's."""
    ways = VehicleAccess.objects.filter(
        ended_at__isnull=True, connection__status=Connection.Status.ACTIVE
    )
    return dict(ways.values_list("smartcar_id", "connection_id"))


def _list(client: ManagementClient, now: datetime) -> list[ConnectionInfo]:
    if not client.has_application_token:
        return client.list_connections()
    token = tokens.of_application(now=now)
    return tokens.opening(token, client.list_connections, client=client, now=now)


def _known(client: ManagementClient) -> Iterable[Connection]:
    """The consents that this generation has listed: what it never knew did not end there."""
    ways = VehicleAccess.objects.filter(ended_at__isnull=True)
    rows = Connection.objects.exclude(status=Connection.Status.REVOKED)
    rows = rows.filter(listed_through=client.version)
    if client.has_application_token:  # it lists a consent some time after it was given
        rows = rows.filter(vehicles_listed_at__isnull=False)
    return rows.select_related("driver", "group", "token").prefetch_related(
        Prefetch("accesses", ways)
    )


def _look_again(
    connection: Connection, *, is_listed: bool, client: ManagementClient, now: datetime
) -> bool:
    """Ask about this driver alone. True when the consent turned out to be over."""
    try:
        found = _ask(connection, is_listed=is_listed, client=client, now=now)
    except ClientError as exc:
        if is_listed or exc.outcome not in REFUSED:
            logger.warning("connection %s: not compared: %s", connection.pk, exc)
            return False
        found = []
    if found or is_listed or not _is_refused(connection, client=client, now=now):
        return False
    return _end(connection, now)


def _is_refused(connection: Connection, *, client: ManagementClient, now: datetime) -> bool:
    """Whether the cars say so too. Under v2 the driver's own token was refused; v3's belongs to
    the application and opens its lists, so a car of this driver is asked.
    """
    if not client.has_application_token:
        return True
    if connection.listed_as != client.application:
        logger.warning("connection %s: not listed; is it the same application?", connection.pk)
        return False
    way = connection.accesses.first()
    if way is None:
        return True

    def ask(access: str) -> bool:
        results = client.read(
            smartcar_id=way.smartcar_id,
            access_token=access,
            codes=[VIN],
            user_id=connection.smartcar_user_id,
        )
        return all(
            isinstance(one, SignalError) and one.outcome is Outcome.NOT_GRANTED for one in results
        )

    try:
        return tokens.opening(tokens.of_application(now=now), ask, client=client, now=now)
    except ClientError as exc:
        return exc.outcome in NO_ACCESS or exc.type == NO_SIGNALS


def _ask(
    connection: Connection, *, is_listed: bool, client: ManagementClient, now: datetime
) -> list[Vehicle]:
    """The cars, asked for with a token that surely was good. Whose consent is over by Smartcar's
    list too is not asked to connect again: its owner ended it.
    """
    return connections.list_vehicles(connection, client=client, now=now, asks_driver=is_listed)


@transaction.atomic  # an ended consent is not looked at again: nothing may be left
def _end(connection: Connection, now: datetime) -> bool:
    """Unless the driver consented again while we asked."""
    judged = getattr(connection, "token", None)
    held = tokens.lock(connection)
    if (held and held.version) != (judged and judged.version):
        return False
    same = Connection.objects.select_for_update().filter(
        pk=connection.pk, connected_at=connection.connected_at
    )
    if not same.exists():
        return False
    vehicles.attach(connection, [], now=now)
    ended = connection_status.mark_revoked(connection, reason="Ended at Smartcar", now=now)
    tokens.erase(connection, now=now)
    return ended
