"""Which cars report by themselves: each is subscribed to the webhook that the settings name.

v2 subscribes a car at once and has no list of them; v3 does it some time after it said yes, and
lists them: https://smartcar.com/docs/api-reference/create-subscription
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from django.db.models import F, Q, QuerySet

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.smartcar_types import Subscription
from integrations.models import Connection, VehicleAccess
from integrations.services import leases, tokens
from integrations.services.tokens import TokenClient

logger = logging.getLogger(__name__)

DAILY = timedelta(days=1)
SOON = timedelta(minutes=10)  # v3 has done by then what it was asked for
OF_ALL = {Outcome.WAIT_ALL, Outcome.STOP}
LATER = {Outcome.RETRY, Outcome.WAIT, Outcome.ASLEEP} | OF_ALL
State = VehicleAccess.Subscription


class SubscriptionClient(TokenClient, Protocol):
    def subscribe(
        self, *, smartcar_id: str, access_token: str, webhook_id: str, user_id: str = ""
    ) -> bool: ...

    def unsubscribe(
        self, *, smartcar_id: str, access_token: str, webhook_id: str, user_id: str = ""
    ) -> None: ...

    def list_subscriptions(
        self, access_token: str, *, webhook_id: str
    ) -> Sequence[Subscription] | None: ...


def shared_ways() -> QuerySet[VehicleAccess]:
    """Every way to a car through a consent that is good."""
    rows = VehicleAccess.objects.filter(
        ended_at__isnull=True, connection__status=Connection.Status.ACTIVE
    )
    return rows.select_related("connection__driver", "vehicle")


def missing(webhook_id: str) -> QuerySet[VehicleAccess]:
    """The cars that are shared and do not report, for people to see."""
    done = Q(subscription=State.SUBSCRIBED, subscribed_to=webhook_id)
    return shared_ways().exclude(done).order_by("pk")


def silent(webhook_id: str, *, now: datetime | None = None) -> QuerySet[VehicleAccess]:
    """The ways to each car that reports through none of them. With `now`, those that somebody
    should know of: Smartcar takes some minutes after it was asked.
    """
    reporting = shared_ways().filter(subscription=State.SUBSCRIBED, subscribed_to=webhook_id)
    rows = missing(webhook_id).exclude(vehicle__in=reporting.values("vehicle"))
    if now is None:
        return rows
    return rows.exclude(subscription=State.ASKED, subscription_at__gt=now - SOON)


def subscribe_missing(
    *,
    client: SubscriptionClient,
    webhook_id: str,
    now: datetime,
    connection: Connection | None = None,
) -> int:
    """Subscribe the cars that are not; one that was refused is tried again after a day, one that
    has to wait when it was told.

    One that fails comes last the next time: others must not wait for it.
    """
    if connection is None and client.has_application_token:
        _look_for_asked(client, webhook_id, now)
    waits = Q(subscribe_after__gt=now) & (Q(subscription="") | Q(subscribed_to=webhook_id))
    rows = missing(webhook_id).exclude(waits)
    if connection is not None:
        rows = rows.filter(connection=connection)
    done, time_now = 0, leases.going_on(now)
    for way in rows.order_by(F("subscription_at").asc(nulls_first=True), "pk"):
        try:
            _subscribe(way, client=client, webhook_id=webhook_id, now=time_now())
            done += 1
        except ClientError as exc:
            logger.warning("vehicle %s: not subscribed: %s", way.vehicle_id, exc)
            if exc.outcome in OF_ALL:
                break
            if exc.outcome not in LATER:
                _note(way, State.REFUSED, webhook_id, now, again=DAILY, error=str(exc))
                continue
            told = timedelta(seconds=min(exc.retry_after or 0, DAILY.total_seconds()))
            VehicleAccess.objects.filter(pk=way.pk).update(
                subscription_at=now,
                subscription_error=str(exc)[:255],
                subscribe_after=now + max(told, SOON),
            )
            if exc.outcome is Outcome.RETRY:  # a driver may be waiting
                break
    return done


def _look_for_asked(client: SubscriptionClient, webhook_id: str, now: datetime) -> None:
    """Those that v3 was asked for some time ago: its list says whether they are done."""
    asked = missing(webhook_id).filter(subscription=State.ASKED, subscribe_after__lte=now)
    if not asked.exists():
        return
    try:
        listed = _list(client, webhook_id, now)
    except ClientError as exc:
        logger.warning("subscriptions were not looked for: %s", exc)
    else:
        _compare(listed or [], client=client, webhook_id=webhook_id, now=now)


def _list(
    client: SubscriptionClient, webhook_id: str, now: datetime
) -> Sequence[Subscription] | None:
    return tokens.opening(
        tokens.of_application(now=now),
        lambda access: client.list_subscriptions(access, webhook_id=webhook_id),
        client=client,
        now=now,
    )


def reconcile(*, client: SubscriptionClient, webhook_id: str, now: datetime) -> int:
    """Compare with Smartcar's own list, and ask again for what is not there; returns how many.

    v2 has no list: a car that has not reported for a day is subscribed once more.
    """
    listed = _list(client, webhook_id, now) if client.has_application_token else None
    if listed is None:
        quiet = Q(vehicle__last_webhook_at__isnull=True)
        quiet |= Q(vehicle__last_webhook_at__lt=now - DAILY)
        forget(shared_ways().filter(quiet, subscribed_to=webhook_id))
    else:
        _compare(listed, client=client, webhook_id=webhook_id, now=now)
    return subscribe_missing(client=client, webhook_id=webhook_id, now=now)


def seen(way: VehicleAccess, *, webhook_id: str, now: datetime) -> None:
    """The car reports, so it is subscribed, whoever did it."""
    if webhook_id and (way.subscription, way.subscribed_to) != (State.SUBSCRIBED, webhook_id):
        _note(way, State.SUBSCRIBED, webhook_id, now)


def end(way: VehicleAccess, *, client: SubscriptionClient, access_token: str) -> None:
    """The car reports no more. Raises ClientError."""
    if not way.subscribed_to:
        return
    client.unsubscribe(
        smartcar_id=way.smartcar_id,
        access_token=access_token,
        webhook_id=way.subscribed_to,
        user_id=way.connection.smartcar_user_id,
    )
    forget(VehicleAccess.objects.filter(pk=way.pk))


def _subscribe(
    way: VehicleAccess, *, client: SubscriptionClient, webhook_id: str, now: datetime
) -> None:
    token = tokens.of(way.connection, client=client, now=now)
    if token is None:
        raise ClientError(tokens.NO_TOKEN, outcome=Outcome.RECONNECT)

    def ask(access: str) -> bool:
        is_done = client.subscribe(
            smartcar_id=way.smartcar_id,
            access_token=access,
            webhook_id=webhook_id,
            user_id=way.connection.smartcar_user_id,
        )
        if way.subscribed_to not in ("", webhook_id):
            _end_former(way, client=client, access_token=access)
        return is_done

    is_done = tokens.opening(token, ask, client=client, now=now)
    _note(way, State.SUBSCRIBED if is_done else State.ASKED, webhook_id, now, again=SOON)


def _end_former(way: VehicleAccess, *, client: SubscriptionClient, access_token: str) -> None:
    """The car reports to another webhook now; the one from before may be gone altogether."""
    try:
        end(way, client=client, access_token=access_token)
    except ClientError as exc:
        if exc.outcome is Outcome.REFRESH:
            raise
        logger.warning("vehicle %s: former webhook not ended: %s", way.vehicle_id, exc)


def _compare(
    listed: Sequence[Subscription], *, client: SubscriptionClient, webhook_id: str, now: datetime
) -> None:
    theirs = {(one.user_id, one.vehicle_id) for one in listed}
    for way in shared_ways():
        user = way.connection.smartcar_user_id
        if theirs & {(user, way.smartcar_id), ("", way.smartcar_id)}:
            seen(way, webhook_id=webhook_id, now=now)
        elif way.subscription == State.SUBSCRIBED:
            forget(VehicleAccess.objects.filter(pk=way.pk))
    ours = {(way.connection.smartcar_user_id, way.smartcar_id) for way in shared_ways()}
    over = VehicleAccess.objects.exclude(subscribed_to="").select_related("connection")
    for way in over.filter(subscribed_to=webhook_id):
        pair = (way.connection.smartcar_user_id, way.smartcar_id)
        if pair in theirs - ours and way.connection.status == Connection.Status.REVOKED:
            _end_quietly(way, client=client, now=now)


def _end_quietly(way: VehicleAccess, *, client: SubscriptionClient, now: datetime) -> None:
    try:
        access = tokens.get_access_token(tokens.of_application(now=now), client=client, now=now)
        end(way, client=client, access_token=access)
    except ClientError as exc:
        logger.warning("vehicle %s: not unsubscribed: %s", way.vehicle_id, exc)


def _note(
    way: VehicleAccess,
    state: State,
    webhook_id: str,
    now: datetime,
    *,
    again: timedelta = timedelta(),
    error: str = "",
) -> None:
    VehicleAccess.objects.filter(pk=way.pk).update(
        subscription=state,
        subscribed_to=webhook_id,
        subscription_error=error[:255],
        subscription_at=now,
        subscribe_after=now + again,
    )


def forget(ways: QuerySet[VehicleAccess]) -> None:
    """Nothing is known of their subscriptions any more: they are asked for anew."""
    ways.update(subscription="", subscribed_to="", subscription_error="", subscribe_after=None)
