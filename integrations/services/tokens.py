"""Access tokens that work. A refresh token works once, so one worker at a time may spend it.

A refresh is claimed by a lease on the row (a conditional update on its version), the exchange is
made with no transaction open, and the new pair is committed as the very first thing after the
answer. The lease is renewed while its process lives, so a worker that dies at any step is followed
within seconds by another one that repeats the exchange with the same refresh token: time for
several tries within the provider's grace window, should the next one die as well.

Under v3 the application has one token, in the row without a connection. It is renewed by the same
lease, early, by one worker for all; the pairs of v2 are kept alive beside it, as long as there are
credentials for them, so that a fleet can go back.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar, cast

from django.db import transaction
from django.db.models import F, Q

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.smartcar_types import TokenPair
from integrations.models import Connection, OAuthToken
from integrations.services import connection_status, gates, leases

logger = logging.getLogger(__name__)

EARLY = timedelta(minutes=5)
LAST_MINUTE = timedelta(minutes=1)  # until then an access token does while a new one is made
RETRY_SECONDS = (5, 10, 20)  # inside the grace window: the lost answer may hold the only pair
LATER = timedelta(minutes=15)
BUSY = "TOKEN_BUSY"  # the type of an error: somebody else exchanges, or did and failed
DECLINED = "Smartcar no longer accepts our token"  # why a connection needs its driver
NO_TOKEN = "No token for this connection"  # noqa: S105  a reason
WORTH_NOTHING = (DECLINED, NO_TOKEN)
PATIENCE = 20.0  # seconds to wait for somebody else's exchange


Answer = TypeVar("Answer")


class RefreshClient(Protocol):
    def refresh(self, refresh_token: str) -> TokenPair: ...


class ApplicationClient(Protocol):
    def request_token(self) -> TokenPair: ...


class TokenClient(Protocol):
    """Of either generation; what it can do besides depends on `has_application_token`."""

    has_application_token: bool
    version: str


def of(connection: Connection | None, *, client: TokenClient, now: datetime) -> OAuthToken | None:
    """The token that opens the cars of this consent; None when there is none any more."""
    if connection is None:
        return None
    if client.has_application_token:
        return of_application(now=now)
    return getattr(connection, "token", None)


def of_application(*, now: datetime) -> OAuthToken:
    """The application's one row, made by whoever asks first; without a token at first."""
    token = OAuthToken.objects.filter(connection__isnull=True).first()
    if token is None:
        empty = {"access_expires_at": now, "issued_at": now, "version": 0}
        token, _created = OAuthToken.objects.get_or_create(connection=None, defaults=empty)
    return token


def store(connection: Connection, pair: TokenPair, *, now: datetime) -> OAuthToken:
    """Keep the pair of a fresh consent, replacing what was there."""
    fields = _columns(pair, now)
    token, created = OAuthToken.objects.get_or_create(
        connection=connection, defaults={**fields, "version": 1}
    )
    if not created:
        # Counted in SQL: an exchange that ends just now must not share its version with this pair.
        OAuthToken.objects.filter(pk=token.pk).update(**fields, version=F("version") + 1)
        token.refresh_from_db()
    return token


@transaction.atomic
def erase(connection: Connection, *, now: datetime) -> bool:
    """Forget the pair of a consent that has ended; False when it was given again meanwhile.

    An exchange that ends just now finds another version and drops its own pair.
    """
    # A new consent holds this row until it is whole: only then its status can be believed. In one
    # statement PostgreSQL would judge by the status from before it waited.
    pair = lock(connection)
    ended = Connection.objects.filter(pk=connection.pk, status=Connection.Status.REVOKED)
    if pair is None or not ended.exists():
        return False
    OAuthToken.objects.filter(pk=pair.pk).update(
        access_token="",
        refresh_token="",
        access_expires_at=now,
        refresh_expires_at=None,
        version=F("version") + 1,
    )
    return True


def lock(connection: Connection) -> OAuthToken | None:
    """Hold the pair until the transaction ends. Who changes both takes it before the connection."""
    return OAuthToken.objects.select_for_update().filter(connection=connection).first()


def get_access_token(
    token: OAuthToken,
    *,
    client: TokenClient,
    now: datetime,
    refused: bool = False,
    asks_driver: bool = True,
) -> str:
    """An access token that is good for some minutes; exchanges first when it is not.

    `refused`: the provider did not accept the current access token, so exchange in any case.
    Without `asks_driver` a pair that is declined changes nothing of the connection.
    Raises ClientError when no working token can be had now.
    """
    left = token.access_expires_at - now
    if not refused and EARLY >= left > LAST_MINUTE:
        token = _renewed_early(token, client=client, now=now, asks_driver=asks_driver)
    elif refused or left <= EARLY:
        token = refresh(token, client=client, now=now, asks_driver=asks_driver)
    if not token.access_token:
        raise _erased()
    return str(token.access_token)


def opening(
    token: OAuthToken,
    call: Callable[[str], Answer],
    *,
    client: TokenClient,
    now: datetime,
    asks_driver: bool = True,
) -> Answer:
    """What `call` gives with a working access token; once more when it is refused."""
    access = partial(get_access_token, token, client=client, now=now, asks_driver=asks_driver)
    try:
        return call(access())
    except ClientError as exc:
        if exc.outcome is not Outcome.REFRESH:
            raise
    return call(access(refused=True))


def try_again_now() -> None:
    """The credentials are good: the application's token need not wait after failures."""
    rows = OAuthToken.objects.filter(connection__isnull=True)
    rows.update(next_attempt_at=None, failures=0, last_error="")


def _renewed_early(
    token: OAuthToken, *, client: TokenClient, now: datetime, asks_driver: bool
) -> OAuthToken:
    """One renews it, the others go on with what is still good; so does he when it fails."""
    try:
        return refresh(token, client=client, now=now, waits=False, asks_driver=asks_driver)
    except ClientError as exc:
        if exc.outcome not in {Outcome.RETRY, Outcome.WAIT_ALL}:
            raise
        return token


def refresh(
    token: OAuthToken,
    *,
    client: TokenClient,
    now: datetime,
    waits: bool = True,
    asks_driver: bool = True,
) -> OAuthToken:
    """Exchange the pair once, whoever else is trying; returns the row with the new pair.

    Without `waits` it raises at once while somebody else is trying.
    """
    if token.connection_id and not token.refresh_token:
        raise _erased()
    lease_until = token.lease_until
    if not _claim(token, now):
        return _wait_for_other(token, PATIENCE if waits else 0)
    mine = OAuthToken.objects.filter(pk=token.pk, version=token.version)
    with leases.kept(mine, "lease_until", until=now + leases.LEASE):
        try:
            pair = _exchange(token, client)
        except ClientError as exc:
            if exc.type == gates.OURS:  # nothing was called: as if nobody had tried
                mine.update(lease_until=lease_until)  # what a dead worker left stays visible
                raise
            return _failed(token, exc, now, asks_driver=asks_driver)
        stored = mine.update(**_columns(pair, now), version=token.version + 1)
    token.refresh_from_db()
    if not stored:
        logger.warning("token %s: a newer pair was there already", token.pk)
    return token


def _exchange(token: OAuthToken, client: TokenClient) -> TokenPair:
    if token.connection_id:
        return cast(RefreshClient, client).refresh(token.refresh_token)
    return cast(ApplicationClient, client).request_token()


def _erased() -> ClientError:
    return ClientError(
        "Smartcar token: erased, the consent has ended",
        outcome=Outcome.RECONNECT,
        type="TOKEN_ERASED",
    )


def _claim(token: OAuthToken, now: datetime) -> bool:
    return (
        OAuthToken.objects.filter(pk=token.pk, version=token.version)
        .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
        .filter(Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now))
        .update(lease_until=now + leases.LEASE)
        == 1
    )


def _wait_for_other(token: OAuthToken, seconds: float) -> OAuthToken:
    """Somebody else exchanges, or did: wait for the outcome instead of spending the token."""
    version = token.version
    deadline = time.monotonic() + seconds
    while True:
        token.refresh_from_db()
        if token.version != version:
            return token
        if token.lease_until is None or time.monotonic() >= deadline:
            raise ClientError(
                "Smartcar token: the last exchange failed or is under way",
                outcome=Outcome.RETRY,
                type=BUSY,
                retry_after=15,
            )
        time.sleep(0.1)


def _columns(pair: TokenPair, now: datetime) -> dict[str, object]:
    return {
        "access_token": pair.access_token,
        "access_expires_at": now + pair.expires_in,
        "refresh_token": pair.refresh_token,
        "refresh_expires_at": now + pair.refresh_expires_in if pair.refresh_expires_in else None,
        "issued_at": now,
        "lease_until": None,
        "next_attempt_at": None,
        "failures": 0,
        "last_error": "",
    }


def _failed(token: OAuthToken, exc: ClientError, now: datetime, *, asks_driver: bool) -> OAuthToken:
    """Write down why, and raise; unless the refusal only means that somebody was faster."""
    wait = _wait(token)
    with transaction.atomic():  # a new consent comes before this or after it
        # The update itself looks whether the pair is still the one that failed.
        unchanged = OAuthToken.objects.filter(pk=token.pk, version=token.version).update(
            lease_until=None,
            next_attempt_at=now + wait,
            failures=F("failures") + 1,
            last_error=str(exc)[:255],
        )
        declined = unchanged and exc.outcome is Outcome.RECONNECT
        if declined and asks_driver and token.connection:
            connection_status.needs_reconnect(token.connection, reason=DECLINED, now=now)
    if not unchanged:
        token.refresh_from_db()
        return token
    logger.warning("token %s: %s", token.pk, exc)
    raise exc


def _wait(token: OAuthToken) -> timedelta:
    """How long not to try again. All cars wait for the application's token: never for long."""
    if token.failures < len(RETRY_SECONDS):
        return timedelta(seconds=RETRY_SECONDS[token.failures])
    return LATER if token.connection_id else timedelta(seconds=RETRY_SECONDS[-1])
