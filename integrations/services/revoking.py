"""A consent ends: by its driver, by the fleet, or because its owner ended it at Smartcar."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.smartcar_types import ConnectionInfo
from integrations.models import Connection, VehicleAccess
from integrations.services import activity, connection_status, leases, subscriptions, tokens
from integrations.services.subscriptions import SubscriptionClient

logger = logging.getLogger(__name__)

LONGEST_ENDING = timedelta(minutes=5)  # from the end of a consent to the end of its tokens
DOWN = {Outcome.RETRY, Outcome.STOP, Outcome.WAIT_ALL}
NOT_TOLD = DOWN | {Outcome.WAIT, Outcome.REFRESH}


class RevokeClient(SubscriptionClient, Protocol):
    def disconnect(self, *, smartcar_id: str, access_token: str, user_id: str = "") -> None: ...

    def list_vehicles(self, access_token: str, user_id: str = "") -> list[ConnectionInfo]: ...


def revoke(
    connection: Connection,
    *,
    client: RevokeClient,
    reason: str,
    now: datetime,
    user: User | None = None,
    actor: str = "",
) -> bool:
    """End a consent: no more reading, tokens erased, Smartcar told as far as it listens."""
    with transaction.atomic():
        changed = connection_status.mark_revoked(
            connection, reason=reason, now=now, user=user, actor=actor
        )
        if changed:
            Connection.objects.filter(pk=connection.pk).update(is_ending=True)
    problem = _give_up(connection, client=client, now=now)
    if problem:
        activity.record(f"Smartcar could not be told: {problem}", now=now, about=connection)
    return changed


def finish_revoking(*, client: RevokeClient, now: datetime) -> int:
    """End what a killed process left half ended, and tell Smartcar what it did not hear."""
    done, time_now = 0, leases.going_on(now)
    ended = Connection.objects.filter(
        status=Connection.Status.REVOKED, status_changed_at__lte=now - LONGEST_ENDING
    )
    has_pair = Q(token__isnull=False) & ~Q(token__refresh_token="")
    for connection in ended.filter(has_pair | Q(is_ending=True)):
        _give_up(connection, client=client, now=time_now())
        done += 1
    return done


def _give_up(connection: Connection, *, client: RevokeClient, now: datetime) -> str:
    """Erase the pair of a consent that has ended, and tell Smartcar; returns what went wrong."""
    access = problem = ""
    try:
        token = tokens.of(connection, client=client, now=now)
        if token is not None and (token.refresh_token or client.has_application_token):
            access = tokens.get_access_token(token, client=client, now=now)
    except ClientError as exc:
        problem = str(exc)
    # Erased before Smartcar is told: telling may take long, and nothing must be left behind.
    tokens.erase(connection, now=now)
    if not _is_over(connection):
        return ""
    again = client.has_application_token and bool(problem)
    if access:
        problem, again = _disconnect_cars(connection, access, client=client, now=now)
    if problem:
        logger.warning("connection %s: not told to Smartcar: %s", connection.pk, problem)
    if not (again and client.has_application_token):  # v2's token is gone: it cannot be repeated
        Connection.objects.filter(pk=connection.pk).update(is_ending=False)
    return problem


def _disconnect_cars(
    connection: Connection, access: str, *, client: RevokeClient, now: datetime
) -> tuple[str, bool]:
    """Give up every car; returns the last problem, and whether to try again. One car's refusal
    says nothing of the next, nor does that to end its reports say anything of the consent.
    """
    problem, again = "", False
    for way in connection.accesses.filter(ended_at__isnull=True):
        if not _is_over(connection):
            return "", False
        for end in (subscriptions.end, _disconnect):
            is_down = False
            try:
                _tell(partial(end, way, client=client), access, client=client, now=now)
            except ClientError as exc:
                problem, is_down = str(exc), exc.outcome in DOWN
                again = again or exc.outcome in NOT_TOLD
        if is_down:
            return problem, again
    if client.has_application_token:
        problem, again = _disconnect_unlisted(connection, client, now) or (problem, again)
    return problem, again


def _is_over(connection: Connection) -> bool:
    """Whether the consent has not been given again meanwhile: telling may take long."""
    ended = Connection.objects.filter(pk=connection.pk, status=Connection.Status.REVOKED)
    return ended.exists()


def _disconnect_unlisted(
    connection: Connection, client: RevokeClient, now: datetime
) -> tuple[str, bool] | None:
    """Cars of the consent that we never heard of: v3 lists them some time after it was given."""
    user_id = connection.smartcar_user_id

    def end(access_token: str) -> None:
        for one in client.list_vehicles(access_token, user_id):
            client.disconnect(
                smartcar_id=one.vehicle_id, access_token=access_token, user_id=user_id
            )

    try:
        _tell(end, "", client=client, now=now)
    except ClientError as exc:
        return str(exc), exc.outcome in NOT_TOLD
    return None


def _disconnect(way: VehicleAccess, *, client: RevokeClient, access_token: str) -> None:
    client.disconnect(
        smartcar_id=way.smartcar_id,
        access_token=access_token,
        user_id=way.connection.smartcar_user_id,
    )


def _tell(end: Callable[..., None], access: str, *, client: RevokeClient, now: datetime) -> None:
    """Once more with a new token when v3's is refused; v2's pair is erased by now."""
    if not client.has_application_token:
        end(access_token=access)
        return
    token = tokens.of_application(now=now)
    tokens.opening(token, lambda fresh: end(access_token=fresh), client=client, now=now)
