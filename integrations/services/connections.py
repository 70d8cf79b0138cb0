"""A driver connects, reconnects and withdraws."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.contrib.auth.models import User
from django.db import transaction

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import IDENTITY
from integrations.clients.smartcar_v2 import TokenPair
from integrations.models import Connection, ConnectLink, OAuthToken, PortalSettings, Vehicle
from integrations.services import (
    activity,
    connect_links,
    connection_status,
    leases,
    tokens,
    vehicles,
)
from integrations.services.tokens import TokenClient
from integrations.signals import connection_changed

logger = logging.getLogger(__name__)

LONGEST_ENDING = timedelta(minutes=5)  # from the end of a consent to the end of its tokens


class ConnectClient(TokenClient, Protocol):
    def connect_url(
        self,
        *,
        scope: list[str],
        state: str,
        make: str = "",
        country: str = "",
        single_select_vin: str = "",
    ) -> str: ...

    def permissions_for(self, codes: list[str]) -> list[str]: ...

    def exchange_code(self, code: str) -> TokenPair: ...

    def get_user_id(self, access_token: str) -> str: ...

    def list_vehicles(self, access_token: str) -> list[str]: ...

    def disconnect(self, *, smartcar_id: str, access_token: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Connected:
    """How a consent ended: the connection and the cars it brought. `complete` is False when
    Smartcar did not list the cars yet; they follow by themselves.
    """

    connection: Connection
    vehicles: list[Vehicle]
    complete: bool = True


class LinkUsedError(Exception):
    """The link cannot be used any more: somebody was faster, or it expired meanwhile."""


def scope(client: ConnectClient) -> list[str]:
    """The permissions to ask for: what enabled rules, Fleetio and the admin's choice need."""
    needed = set(client.permissions_for([*IDENTITY, *registry.wanted_signals()]))
    extra = PortalSettings.load().extra_permissions
    return sorted(needed | {str(permission) for permission in extra})


def connect_url(link: ConnectLink, *, state: str, client: ConnectClient) -> str:
    """Where the driver goes to consent."""
    return client.connect_url(
        scope=scope(client),
        state=state,
        make=link.make,
        country=PortalSettings.load().country,
        single_select_vin=link.vin,
    )


def finish(
    link: ConnectLink, *, code: str, client: ConnectClient, mode: str, now: datetime
) -> Connected:
    """Exchange the code and write the connection, its tokens and all its cars.

    Uses the link up in the transaction that writes the connection: when Smartcar gives us
    nothing, or we die before, the driver can try again with the same link. Connecting again
    updates. Raises LinkUsedError, or ClientError when Smartcar does not play along.
    """
    with connect_links.claimed(link, now=now) as is_ours:
        if not is_ours:
            raise LinkUsedError
        pair = client.exchange_code(code)
        user_id = client.get_user_id(pair.access_token)
        connection = _write(link, user_id, pair, asked=scope(client), mode=mode, now=now)
    try:
        found = list_vehicles(connection, client=client, now=now)
    except ClientError as exc:
        logger.warning("connection %s: cars not listed: %s", connection.pk, exc)
        return Connected(connection, [], complete=False)
    return Connected(connection, found)


@transaction.atomic
def _write(
    link: ConnectLink, user_id: str, pair: TokenPair, *, asked: list[str], mode: str, now: datetime
) -> Connection:
    connect_links.use(link, now=now)
    fields = {
        "driver": link.driver,
        "scope": asked,
        "mode": mode,
        "connected_at": now,
        "vehicles_listed_at": None,
        "group": link.group,
    }
    connection, created = Connection.objects.get_or_create(
        smartcar_user_id=user_id, defaults={**fields, "status_changed_at": now}
    )
    tokens.store(connection, pair, now=now)
    if created:
        activity.record(f"Connected by {link.driver}", now=now, about=connection)
        connection_changed.send(sender=Connection, connection=connection, user=None, now=now)
        return connection
    if connection.driver_id != link.driver_id:
        activity.record(f"Now belongs to {link.driver}", now=now, about=connection)
    Connection.objects.filter(pk=connection.pk).update(**fields)
    connection.refresh_from_db()
    activity.record(f"Connected again by {link.driver}", now=now, about=connection)
    connection_status.mark_active(connection, now=now)
    return connection


def list_vehicles(connection: Connection, *, client: ConnectClient, now: datetime) -> list[Vehicle]:
    """Ask which cars the consent covers, all pages, and write them. Raises ClientError."""
    access = tokens.get_access_token(connection.token, client=client, now=now)
    found = vehicles.attach(connection, client.list_vehicles(access), now=now)
    Connection.objects.filter(pk=connection.pk).update(vehicles_listed_at=now)
    return found


def list_missing(*, client: ConnectClient, now: datetime) -> int:
    """List the cars of connections for which that did not work at the callback."""
    done, time_now = 0, leases.going_on(now)
    rows = Connection.objects.active().filter(vehicles_listed_at__isnull=True)
    for connection in rows.select_related("token", "group", "driver"):
        try:
            list_vehicles(connection, client=client, now=time_now())
            done += 1
        except ClientError as exc:
            logger.warning("connection %s: cars not listed: %s", connection.pk, exc)
            if exc.outcome in {Outcome.STOP, Outcome.WAIT_ALL}:
                break
    return done


def revoke(
    connection: Connection,
    *,
    client: ConnectClient,
    reason: str,
    now: datetime,
    user: User | None = None,
    actor: str = "",
) -> bool:
    """End a consent: no more reading, tokens erased, Smartcar told as far as it listens."""
    changed = connection_status.mark_revoked(
        connection, reason=reason, now=now, user=user, actor=actor
    )
    _give_up(connection, client=client, now=now)
    return changed


def finish_revoking(*, client: ConnectClient, now: datetime) -> int:
    """End what a killed process left half ended: its consent is over, but its tokens are there."""
    done, time_now = 0, leases.going_on(now)
    ended = Connection.objects.filter(
        status=Connection.Status.REVOKED, status_changed_at__lte=now - LONGEST_ENDING
    )
    for connection in ended.filter(token__isnull=False).exclude(token__refresh_token=""):
        _give_up(connection, client=client, now=time_now())
        done += 1
    return done


def _give_up(connection: Connection, *, client: ConnectClient, now: datetime) -> None:
    """Erase the tokens of a consent that has ended, and tell Smartcar."""
    token = OAuthToken.objects.filter(connection=connection).exclude(refresh_token="").first()
    if token is None:
        return
    access = problem = ""
    try:
        access = tokens.get_access_token(token, client=client, now=now)
    except ClientError as exc:
        problem = str(exc)
    # Erased before Smartcar is told: telling may take long, and nothing must be left behind.
    if not tokens.erase(connection, now=now):
        return
    if access:
        problem = _disconnect_cars(connection, access, client)
    if problem:
        logger.warning("connection %s: not told to Smartcar: %s", connection.pk, problem)
        activity.record(f"Smartcar could not be told: {problem}", now=now, about=connection)


def _disconnect_cars(connection: Connection, access: str, client: ConnectClient) -> str:
    """Give up every car; returns the last problem. One car's refusal says nothing of the next."""
    problem = ""
    for way in connection.accesses.filter(ended_at__isnull=True):
        try:
            client.disconnect(smartcar_id=way.smartcar_id, access_token=access)
        except ClientError as exc:
            problem = str(exc)
            if exc.outcome in {Outcome.RETRY, Outcome.STOP, Outcome.WAIT_ALL}:
                break
    return problem
