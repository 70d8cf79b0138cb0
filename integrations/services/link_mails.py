"""Mails that carry a portal link. The link is signed when the mail is sent, and kept nowhere."""

from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from integrations.models import (
    Connection,
    ConnectLink,
    OutboxEntry,
    PortalSettings,
    VehicleAccess,
)
from integrations.registry import Sent
from integrations.services import activity, connect_links, mail, outbox
from integrations.services.vehicles import reached_by

INVITE = "mail_connect_link"
RECONNECT = "mail_reconnect"
RENEW = "mail_renew"


@transaction.atomic
def send(link: ConnectLink, *, now: datetime, user: User | None = None) -> OutboxEntry:
    """Mail the link to its driver. Each call is one more mail, on a person's request."""
    number = outbox.count(about=link) + 1
    entry = outbox.enqueue(
        INVITE,
        dedupe_key=f"{INVITE}:{link.pk}:{number}",
        payload={"link": link.pk},
        about=link,
        now=now,
    )
    activity.record(
        f"Portal link to be mailed to {link.driver.email}", now=now, about=link, user=user
    )
    return entry


@transaction.atomic
def ask_to_reconnect(
    connection: Connection, *, now: datetime, way: VehicleAccess | None = None
) -> OutboxEntry | None:
    """Mail a fresh link to the driver, once for each time the connection was lost.

    With `way` the link leads to where the driver signs in at the maker again, for that car.
    """
    if not connection.driver.is_active:
        return None
    link = connect_links.create(
        connection.driver, group=connection.group, reauthenticates=way, now=now
    )
    return outbox.enqueue(
        RECONNECT,
        dedupe_key=_key(connection),
        payload={"link": link.pk, "connection": connection.pk},
        about=connection,
        now=now,
    )


@transaction.atomic
def ask_to_renew(
    connection: Connection, *, ends_on: date, stage: str, now: datetime
) -> OutboxEntry | None:
    """Mail a fresh link to the driver before the consent ends, once for each stage of that day."""
    key = f"{RENEW}:{connection.pk}:{connection.connected_at.isoformat()}:{ends_on}:{stage}"
    known = OutboxEntry.objects.filter(dedupe_key=key).first()
    if known or not connection.driver.is_active:
        return known
    link = connect_links.create(connection.driver, group=connection.group, now=now)
    return outbox.enqueue(
        RENEW,
        dedupe_key=key,
        payload={
            "link": link.pk,
            "connection": connection.pk,
            "connected_at": connection.connected_at.isoformat(),
            "ends_on": ends_on.isoformat(),
        },
        about=connection,
        now=now,
    )


def _key(connection: Connection) -> str:
    return f"{RECONNECT}:{connection.pk}:{connection.status_changed_at.isoformat()}"


def deliver_invite(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent:
    """Handler of an invitation."""
    return _deliver("integrations/emails/connect_link", entry, {}, now)


def deliver_reconnect(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent:
    """Handler of the mail that asks a driver to connect again."""
    connection = Connection.objects.filter(pk=entry.payload["connection"]).first()
    # It may have been good again and be lost once more since: that is another mail.
    lost = Connection.Status.NEEDS_RECONNECT
    if connection is None or connection.status != lost or entry.dedupe_key != _key(connection):
        return Sent("not sent: it is not needed any more")
    _keep_fresh(entry, now)
    cars = [str(vehicle) for vehicle in reached_by(connection)]
    return _deliver("integrations/emails/reconnect", entry, {"cars": cars}, now)


def deliver_renew(entry: OutboxEntry, *, unclear: bool, now: datetime) -> Sent:
    """Handler of the mail that asks a driver to renew a consent before it ends."""
    connection = Connection.objects.filter(pk=entry.payload["connection"]).first()
    active = Connection.Status.ACTIVE
    renewed = entry.payload["connected_at"]
    if (
        connection is None
        or connection.status != active
        or connection.connected_at.isoformat() != renewed
    ):
        return Sent("not sent: it is not needed any more")
    _keep_fresh(entry, now)
    extra = {
        "cars": [str(vehicle) for vehicle in reached_by(connection)],
        "ends_on": date.fromisoformat(entry.payload["ends_on"]),
    }
    return _deliver("integrations/emails/renew", entry, extra, now)


def _keep_fresh(entry: OutboxEntry, now: datetime) -> None:
    """Mail may have been down for longer than the link lasts; nobody has seen it yet."""
    fresh_until = now + timedelta(days=PortalSettings.load().link_days)
    never_sent = ConnectLink.objects.filter(pk=entry.payload["link"], sent_at__isnull=True)
    never_sent.update(expires_at=fresh_until)


def _deliver(template: str, entry: OutboxEntry, extra: dict[str, Any], now: datetime) -> Sent:
    link = ConnectLink.objects.select_related("driver").filter(pk=entry.payload["link"]).first()
    if link is None:
        return Sent("not sent: the link was deleted")
    if link.state(now) is not ConnectLink.State.VALID:
        return Sent(f"not sent: the link is {link.state(now).label.lower()}")
    mail.send(
        template,
        to=link.driver.email,
        message_key=entry.dedupe_key,
        context={
            "driver": link.driver,
            "portal": PortalSettings.load(),
            "link_url": mail.absolute(connect_links.path(link)),
            "driver_url": mail.absolute(connect_links.driver_path(link.driver)),
            "expires_at": link.expires_at,
            "signs_in_again": link.reauthenticates_id is not None,
            **extra,
        },
    )
    ConnectLink.objects.filter(pk=link.pk).update(sent_at=now)
    return Sent(link.driver.email)
