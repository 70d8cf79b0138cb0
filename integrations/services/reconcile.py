"""Compare with Smartcar's own list of connections: owners may end a consent without telling us."""

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from django.db import transaction
from django.db.models import Prefetch

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.smartcar_v2 import ConnectionInfo
from integrations.models import Connection, Vehicle, VehicleAccess
from integrations.services import connection_status, connections, leases, tokens
from integrations.services.connections import ConnectClient

logger = logging.getLogger(__name__)

REFUSED = {Outcome.REFRESH, Outcome.RECONNECT}


class ManagementClient(ConnectClient, Protocol):
    def list_connections(self) -> list[ConnectionInfo]: ...


@dataclass(slots=True)
class Reconciled:
    looked_at: int = 0
    ended: int = 0


def reconcile(*, client: ManagementClient, now: datetime) -> Reconciled:
    """End the consents that Smartcar no longer has, and take over cars that came or went.

    The list alone ends nothing, because it may be wrong or of another application: where it
    differs, the driver's own token is asked. Raises ClientError when there is no whole list.
    """
    listed: dict[str, set[str]] = defaultdict(set)
    for row in client.list_connections():
        listed[row.user_id].add(row.vehicle_id)
    result, time_now = Reconciled(), leases.going_on(now)
    for connection in _known():
        ours = {way.smartcar_id for way in connection.accesses.all()}
        theirs = listed.get(connection.smartcar_user_id, set())
        is_active = connection.status == Connection.Status.ACTIVE
        if theirs and (ours == theirs or not is_active):
            continue
        result.looked_at += 1
        result.ended += _look_again(
            connection, is_listed=bool(theirs), client=client, now=time_now()
        )
    return result


def _known() -> Iterable[Connection]:
    ways = VehicleAccess.objects.filter(ended_at__isnull=True)
    rows = Connection.objects.exclude(status=Connection.Status.REVOKED)
    return rows.select_related("driver", "group", "token").prefetch_related(
        Prefetch("accesses", ways)
    )


def _look_again(
    connection: Connection, *, is_listed: bool, client: ManagementClient, now: datetime
) -> bool:
    """Ask with the driver's own token. True when the consent turned out to be over."""
    try:
        found = _ask(connection, is_listed=is_listed, client=client, now=now)
    except ClientError as exc:
        if is_listed or exc.outcome not in REFUSED:
            logger.warning("connection %s: not compared: %s", connection.pk, exc)
            return False
        found = []
    if found or is_listed:
        return False
    return _end(connection, now)


def _ask(
    connection: Connection, *, is_listed: bool, client: ManagementClient, now: datetime
) -> list[Vehicle]:
    """The cars, asked for with a token that surely was good. Whose consent is over by Smartcar's
    list too is not asked to connect again: its owner ended it.
    """
    works = partial(
        tokens.get_access_token, connection.token, client=client, now=now, asks_driver=is_listed
    )
    works()
    try:
        return connections.list_vehicles(connection, client=client, now=now)
    except ClientError as exc:
        if exc.outcome is not Outcome.REFRESH:
            raise
    works(refused=True)
    return connections.list_vehicles(connection, client=client, now=now)


@transaction.atomic  # an ended consent is not looked at again: nothing may be left
def _end(connection: Connection, now: datetime) -> bool:
    """Unless the driver consented again while we asked."""
    judged = connection.token.version
    held = tokens.lock(connection)
    if held is None or held.version != judged:
        return False
    ended = connection_status.mark_revoked(connection, reason="Ended at Smartcar", now=now)
    tokens.erase(connection, now=now)
    return ended
