"""Portal links: signed from their row when shown or mailed, stored nowhere."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from integrations.models import ConnectLink, Driver, PortalSettings, VehicleGroup
from integrations.registry import Sent
from integrations.services import activity, mail, outbox

if TYPE_CHECKING:
    from integrations.models import OutboxEntry

KIND = "mail_connect_link"
_link_signer = signing.Signer(sep=".", salt="integrations.connect-link")
_driver_signer = signing.Signer(sep=".", salt="integrations.driver-page")


def create(
    driver: Driver,
    *,
    now: datetime,
    vin: str = "",
    make: str = "",
    group: VehicleGroup | None = None,
    user: User | None = None,
) -> ConnectLink:
    """Make a link for a driver; it expires after the days of the portal's settings."""
    link = ConnectLink(
        driver=driver,
        vin=vin.strip().upper(),
        make=make.strip().upper(),
        group=group,
        created_at=now,
        expires_at=now + timedelta(days=PortalSettings.load().link_days),
    )
    link.full_clean()
    link.save()
    activity.record("Portal link made", now=now, about=link, user=user)
    return link


def invite(*, email: str, name: str, now: datetime) -> Driver:
    """The driver with this address, made when there is none. A name that is known is kept."""
    email = email.strip().lower()
    driver = Driver.objects.filter(email__iexact=email).first()
    if driver is None:
        driver = Driver(email=email, name=name.strip(), created_at=now)
        driver.full_clean()
        driver.save()
        activity.record("Driver added", now=now, about=driver)
    return driver


def token(link: ConnectLink) -> str:
    return _link_signer.sign(f"{link.pk}-{link.nonce}")


def path(link: ConnectLink) -> str:
    return reverse("integrations:connect", args=[token(link)])


def find(text: str) -> ConnectLink | None:
    """The link that this token was signed from; None for anything else."""
    try:
        pk, _, nonce = _link_signer.unsign(text).partition("-")
    except signing.BadSignature:
        return None
    link = ConnectLink.objects.select_related("driver", "group").filter(pk=pk).first()
    return link if link and constant_time_compare(link.nonce, nonce) else None


def driver_path(driver: Driver) -> str:
    return reverse("integrations:driver", args=[_driver_signer.sign(f"{driver.pk}-{driver.nonce}")])


def find_driver(text: str) -> Driver | None:
    """The driver whose page this token opens; None for anything else."""
    try:
        pk, _, nonce = _driver_signer.unsign(text).partition("-")
    except signing.BadSignature:
        return None
    driver = Driver.objects.filter(pk=pk).first()
    return driver if driver and constant_time_compare(driver.nonce, nonce) else None


def claim(link: ConnectLink, *, now: datetime) -> bool:
    """Use the link up. False when it was used, withdrawn or has expired meanwhile."""
    return (
        ConnectLink.objects.filter(
            pk=link.pk,
            used_at__isnull=True,
            withdrawn_at__isnull=True,
            expires_at__gt=now,
            # Not `driver__is_active`: a join would let PostgreSQL check `used_at` on a row as it
            # was before somebody else's update.
            driver__in=Driver.objects.filter(is_active=True),
        ).update(used_at=now)
        == 1
    )


def give_back(link: ConnectLink) -> None:
    """Nothing came of it: let the driver try again with the same link."""
    ConnectLink.objects.filter(pk=link.pk).update(used_at=None)


def withdraw(link: ConnectLink, *, now: datetime, user: User | None = None) -> bool:
    """Make an unused link useless."""
    changed = ConnectLink.objects.filter(
        pk=link.pk, used_at__isnull=True, withdrawn_at__isnull=True
    ).update(withdrawn_at=now)
    if changed:
        activity.record("Portal link withdrawn", now=now, about=link, user=user)
    return changed == 1


@transaction.atomic
def send(link: ConnectLink, *, now: datetime, user: User | None = None) -> "OutboxEntry":
    """Mail the link to its driver. Each call is one more mail, on a person's request."""
    number = outbox.count(about=link) + 1
    entry = outbox.enqueue(
        KIND,
        dedupe_key=f"{KIND}:{link.pk}:{number}",
        payload={"link": link.pk},
        about=link,
        now=now,
    )
    activity.record(
        f"Portal link to be mailed to {link.driver.email}", now=now, about=link, user=user
    )
    return entry


def deliver(entry: "OutboxEntry", *, unclear: bool, now: datetime) -> Sent:
    """Handler of the mail that carries a link. The link is signed now, and kept nowhere."""
    link = ConnectLink.objects.select_related("driver").filter(pk=entry.payload["link"]).first()
    if link is None:
        return Sent("not sent: the link was deleted")
    if link.state(now) is not ConnectLink.State.VALID:
        return Sent(f"not sent: the link is {link.state(now).label.lower()}")
    portal = PortalSettings.load()
    mail.send(
        "integrations/emails/connect_link",
        to=link.driver.email,
        message_key=entry.dedupe_key,
        context={
            "driver": link.driver,
            "portal": portal,
            "link_url": mail.absolute(path(link)),
            "driver_url": mail.absolute(driver_path(link.driver)),
            "expires_at": link.expires_at,
        },
    )
    ConnectLink.objects.filter(pk=link.pk).update(sent_at=now)
    return Sent(link.driver.email)
