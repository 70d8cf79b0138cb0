"""A driver connects, and connects again."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, cast

from django.db import transaction

from integrations import registry
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import IDENTITY
from integrations.clients.smartcar_types import ConnectionInfo, TokenPair
from integrations.models import Connection, ConnectLink, PortalSettings, Vehicle
from integrations.services import (
    activity,
    connect_links,
    connection_status,
    leases,
    subscriptions,
    tokens,
    vehicles,
)
from integrations.services.subscriptions import SubscriptionClient
from integrations.signals import connection_changed

logger = logging.getLogger(__name__)

NEVER_LISTED = timedelta(days=1)  # v3 lists a consent's cars within minutes
JUST_NOW = timedelta(hours=1)  # so long may a driver take on Connect's pages


class ConnectClient(SubscriptionClient, Protocol):
    @property
    def application(self) -> str: ...

    def connect_url(
        self,
        *,
        scope: list[str],
        state: str,
        make: str = "",
        country: str = "",
        single_select_vin: str = "",
    ) -> str: ...

    def reauthenticate_url(self, *, smartcar_id: str, state: str) -> str: ...

    def permissions_for(self, codes: list[str]) -> list[str]: ...

    def list_vehicles(self, access_token: str, user_id: str = "") -> list[ConnectionInfo]: ...


class CodeClient(Protocol):
    """What v2 can besides."""

    def exchange_code(self, code: str) -> TokenPair: ...

    def get_user_id(self, access_token: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Connected:
    """How a consent ended: the connection and the cars it brought. `complete` is False when
    Smartcar did not list the cars yet; they follow by themselves.
    """

    connection: Connection
    vehicles: list[Vehicle]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Consent:
    """What Smartcar vouched for. `pair` is v2's, `shared` what v3 listed."""

    user_id: str
    pair: TokenPair | None = None
    shared: list[ConnectionInfo] | None = None


class LinkUsedError(Exception):
    """The link cannot be used any more: somebody was faster, or it expired meanwhile."""


class NotVouchedError(Exception):
    """The redirect names the consent of another driver, and Smartcar knows of no new one."""


def scope(client: ConnectClient) -> list[str]:
    """The permissions to ask for: what enabled rules, Fleetio and the admin's choice need."""
    needed = set(client.permissions_for([*IDENTITY, *registry.wanted_signals()]))
    extra = PortalSettings.load().extra_permissions
    return sorted(needed | {str(permission) for permission in extra})


def connect_url(link: ConnectLink, *, state: str, client: ConnectClient) -> str:
    """Where the driver goes: to consent, or only to sign in at the maker again."""
    if link.reauthenticates:
        smartcar_id = link.reauthenticates.smartcar_id
        return client.reauthenticate_url(smartcar_id=smartcar_id, state=state)
    return client.connect_url(
        scope=scope(client),
        state=state,
        make=link.make,
        country=PortalSettings.load().country,
        single_select_vin=link.vin,
    )


def finish(
    link: ConnectLink,
    *,
    code: str = "",
    user_id: str = "",
    client: ConnectClient,
    mode: str,
    now: datetime,
    webhook_id: str = "",
) -> Connected:
    """Write the connection, its tokens and all its cars, of the code (v2) or the user id (v3).

    With a webhook the cars are subscribed to it. Uses the link up in the transaction that writes
    the connection: when Smartcar gives us nothing, or we die before, the driver can try again
    with the same link. Connecting again updates. Raises LinkUsedError, NotVouchedError, or
    ClientError when Smartcar does not play along.
    """
    with connect_links.claimed(link, now=now) as is_ours:
        if not is_ours:
            raise LinkUsedError
        consent = _ask_smartcar(link, code=code, user_id=user_id, client=client, now=now)
        connection = _write(link, consent, asked=scope(client), mode=mode, client=client, now=now)
    try:
        found = list_vehicles(connection, client=client, now=now, shared=consent.shared)
    except ClientError as exc:
        logger.warning("connection %s: cars not listed: %s", connection.pk, exc)
        return Connected(connection, [], complete=False)
    if webhook_id:
        subscriptions.subscribe_missing(
            client=client, webhook_id=webhook_id, now=now, connection=connection
        )
    return Connected(connection, found, complete=bool(found) or consent.shared is None)


def _ask_smartcar(
    link: ConnectLink, *, code: str, user_id: str, client: ConnectClient, now: datetime
) -> _Consent:
    if not client.has_application_token:
        codes = cast(CodeClient, client)
        pair = codes.exchange_code(code)
        return _Consent(codes.get_user_id(pair.access_token), pair=pair)
    token = tokens.of_application(now=now)
    shared = tokens.opening(
        token, lambda access: client.list_vehicles(access, user_id), client=client, now=now
    )
    _check_owner(link, user_id, shared, now)
    return _Consent(user_id, shared=shared)


def _check_owner(
    link: ConnectLink, user_id: str, shared: list[ConnectionInfo], now: datetime
) -> None:
    """Under v3 the user id comes with the browser alone, so a driver could write another's there.
    It is believed about somebody else's consent when Smartcar saw a consent just now, and after
    the one that we know of.
    """
    others = Connection.objects.filter(smartcar_user_id=user_id).exclude(driver=link.driver)
    known = others.first()
    if known is None:
        return
    last = max((one.connected_at for one in shared if one.connected_at), default=None)
    if last is None or last < max(now - JUST_NOW, known.connected_at):
        logger.warning("connect link %s: the consent named is not this driver's", link.pk)
        raise NotVouchedError


@transaction.atomic
def _write(
    link: ConnectLink,
    consent: _Consent,
    *,
    asked: list[str],
    mode: str,
    client: ConnectClient,
    now: datetime,
) -> Connection:
    connect_links.use(link, now=now)
    fields = {
        "driver": link.driver,
        "scope": asked,
        "mode": mode,
        "connected_at": now,
        "vehicles_listed_at": None,
        "listed_through": client.version,
        "is_ending": False,
        "consent_ends_on": None,  # that was of the consent before
        "group": link.group,
    }
    connection, created = Connection.objects.get_or_create(
        smartcar_user_id=consent.user_id, defaults={**fields, "status_changed_at": now}
    )
    if consent.pair:
        tokens.store(connection, consent.pair, now=now)
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


@transaction.atomic
def signed_in_again(link: ConnectLink, *, smartcar_id: str, now: datetime) -> Connection | None:
    """The driver is back from the maker's page: the consent is good again, by Smartcar's word.

    The next poll will show. None when the redirect is about another car, or the consent was ended:
    signing in undoes no withdrawal. Raises LinkUsedError.
    """
    way = link.reauthenticates
    if way is None or way.smartcar_id != smartcar_id:
        return None
    with connect_links.claimed(link, now=now) as is_ours:
        if not is_ours:
            raise LinkUsedError
        connection = Connection.objects.select_for_update().get(pk=way.connection_id)
        if connection.status == Connection.Status.REVOKED:
            return None
        connect_links.use(link, now=now)
    what = f"{link.driver} signed in at the maker again"
    activity.record(what, now=now, about=connection, actor=str(link.driver))
    if not connection_status.mark_active(connection, reason=what, now=now):
        # What was said of the account before is out of date all the same.
        rows = Connection.objects.filter(pk=connection.pk)
        rows.update(status_reason=what[:255], status_changed_at=now)
    for vehicle in Vehicle.objects.select_for_update().filter(connection=connection).order_by("pk"):
        # What was said of single signals stays; of the account it is out of date.
        kept = {k: v for k, v in vehicle.reported_errors.items() if v.get("signals") is not None}
        Vehicle.objects.filter(pk=vehicle.pk).update(
            next_poll_at=now, not_before=None, reported_errors=kept, poll_failures=0
        )
    return connection


def list_vehicles(
    connection: Connection,
    *,
    client: ConnectClient,
    now: datetime,
    shared: list[ConnectionInfo] | None = None,
    asks_driver: bool = True,
) -> list[Vehicle]:
    """Ask which cars the consent covers, all pages, and write them. Raises ClientError.

    `shared`: asked already. Without `asks_driver` a token that is declined changes nothing.
    """
    if shared is None:
        token = tokens.of(connection, client=client, now=now)
        if token is None:
            raise ClientError(tokens.NO_TOKEN, outcome=Outcome.RECONNECT)
        user_id = connection.smartcar_user_id
        shared = tokens.opening(
            token,
            lambda access: client.list_vehicles(access, user_id),
            client=client,
            now=now,
            asks_driver=asks_driver,
        )
    if client.has_application_token and not shared:
        return []  # v3 lists a consent some time after it was given; that it ended shows elsewhere
    found = vehicles.attach(
        connection,
        [one.vehicle_id for one in shared],
        permissions={one.vehicle_id: one.permissions for one in shared},
        now=now,
    )
    Connection.objects.filter(pk=connection.pk).update(
        vehicles_listed_at=now,
        listed_through=client.version,
        listed_as=client.application,
    )
    return found


def list_missing(*, client: ConnectClient, now: datetime) -> int:
    """List the cars of connections for which that did not work at the callback."""
    done, time_now = 0, leases.going_on(now)
    rows = Connection.objects.active().filter(vehicles_listed_at__isnull=True)
    for connection in rows.select_related("token", "group", "driver"):
        try:
            found = list_vehicles(connection, client=client, now=time_now())
            done += bool(found)
            if not found and connection.connected_at < now - NEVER_LISTED:
                reason = "Smartcar lists no car of this consent"
                connection_status.needs_reconnect(connection, reason=reason, now=now)
        except ClientError as exc:
            logger.warning("connection %s: cars not listed: %s", connection.pk, exc)
            if exc.outcome in {Outcome.STOP, Outcome.WAIT_ALL}:
                break
    return done
