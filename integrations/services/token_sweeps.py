"""Tokens that are due, whoever asks: interrupted exchanges, and pairs that grow too old."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from integrations.clients.errors import ClientError, Outcome
from integrations.models import OAuthToken
from integrations.services import leases, tokens
from integrations.services.tokens import TokenClient

KEEP_YOUNGER_THAN = timedelta(days=30)


@dataclass(slots=True)
class RefreshCount:
    refreshed: int = 0
    failed: int = 0
    declined: int = 0  # of the failed: Smartcar answered, and the driver has to reconnect
    refused: bool = False


def renew_application(*, client: TokenClient, now: datetime, every: bool = False) -> RefreshCount:
    """Renew the application's token when it is about to run out, so that no car waits for it."""
    token = tokens.of_application(now=now)
    if not every and token.access_expires_at - now > tokens.EARLY * 2:
        return RefreshCount()
    rows = OAuthToken.objects.filter(pk=token.pk)
    return _refresh_all(rows, client, now, waits=every, asks_driver=False)


def refresh_due(
    *,
    client: TokenClient,
    now: datetime,
    every: bool = False,
    expired: bool = False,
    asks_driver: bool = True,
) -> RefreshCount:
    """Exchange the pairs that are due: interrupted ones, and refresh tokens older than 30 days.

    `expired` adds access tokens that have run out, `every` all of them.
    """
    due = Q(lease_until__lte=now) | Q(failures__gt=0, next_attempt_at__lte=now)
    due |= Q(issued_at__lte=now - KEEP_YOUNGER_THAN)
    if expired:
        due |= Q(access_expires_at__lte=now + tokens.EARLY)
    rows = _refreshable(now, asks_driver=asks_driver)
    return _refresh_all(
        rows if every else rows.filter(due),
        client,
        now,
        waits=every or expired,
        asks_driver=asks_driver,
    )


def _refreshable(now: datetime, *, asks_driver: bool) -> QuerySet[OAuthToken]:
    """One that is only kept for the way back is not tried for longer than it can live."""
    rows = OAuthToken.objects.refreshable().select_related("connection")
    return rows if asks_driver else rows.filter(refresh_expires_at__gt=now)


def finish_interrupted(
    *, client: TokenClient, now: datetime, asks_driver: bool = True
) -> RefreshCount:
    """Finish what a killed worker began or a lost answer left open, in time for the grace."""
    rows = _refreshable(now, asks_driver=asks_driver)
    due = Q(lease_until__lte=now) | Q(failures__gt=0, next_attempt_at__lte=now)
    return _refresh_all(rows.filter(due), client, now, waits=False, asks_driver=asks_driver)


def _refresh_all(
    rows: QuerySet[OAuthToken],
    client: TokenClient,
    now: datetime,
    *,
    waits: bool,
    asks_driver: bool,
) -> RefreshCount:
    """Sweeps come every few seconds and never wait for each other: while the provider hangs they
    would take every thread of every worker.
    """
    count, time_now = RefreshCount(), leases.going_on(now)
    for token in rows:
        try:
            tokens.refresh(
                token, client=client, now=time_now(), waits=waits, asks_driver=asks_driver
            )
            count.refreshed += 1
        except ClientError as exc:
            if exc.type == tokens.BUSY and not waits:
                continue
            count.failed += 1
            count.declined += exc.outcome is Outcome.RECONNECT
            if exc.outcome is Outcome.RECONNECT and not asks_driver:
                _give_up_going_back(token)
            if exc.outcome is Outcome.STOP:
                count.refused = True
                break
    return count


def _give_up_going_back(token: OAuthToken) -> None:
    """A pair of v2 that nobody needs under v3 was declined: it is not tried for ever."""
    OAuthToken.objects.filter(pk=token.pk, version=token.version).update(refresh_token="")


def encrypt_again() -> int:
    """Write every stored secret anew, under the newest key; returns how many.

    A pair that is exchanged meanwhile is under the newest key already and left alone. Raises
    DecryptionError when a stored secret cannot be opened; what was done before stays done.
    """
    done = 0
    for token in OAuthToken.objects.exclude(access_token="", refresh_token="").iterator():
        done += OAuthToken.objects.filter(pk=token.pk, version=token.version).update(
            access_token=token.access_token, refresh_token=token.refresh_token
        )
    return done
