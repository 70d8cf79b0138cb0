"""Portal links: signed from their row when shown or mailed, stored nowhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core import signing
from django.db.models import Q
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from integrations.models import ConnectLink, Driver, PortalSettings, VehicleAccess, VehicleGroup
from integrations.services import activity, leases

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
    reauthenticates: VehicleAccess | None = None,
) -> ConnectLink:
    """Make a link for a driver; it expires after the days of the portal's settings."""
    link = ConnectLink(
        driver=driver,
        vin=vin.strip().upper(),
        make=make.strip().upper(),
        group=group,
        reauthenticates=reauthenticates,
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
    link = (
        ConnectLink.objects.select_related("driver", "group", "reauthenticates")
        .filter(pk=pk)
        .first()
    )
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


@contextmanager
def claimed(link: ConnectLink, *, now: datetime) -> Iterator[bool]:
    """Hold the link while its code is exchanged; `use` it inside, or it stays open.

    False when it was used, withdrawn or has expired meanwhile, or somebody else holds it.
    """
    if not _claim(link, now):
        yield False
        return
    mine = ConnectLink.objects.filter(pk=link.pk)
    with leases.kept(mine, "claimed_until", until=now + leases.LEASE) as lease:
        try:
            yield True
        finally:
            lease.give_back()


def use(link: ConnectLink, *, now: datetime) -> None:
    """The link has done its work and does no more."""
    ConnectLink.objects.filter(pk=link.pk).update(used_at=now)


def _claim(link: ConnectLink, now: datetime) -> bool:
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=now)
    return (
        ConnectLink.objects.filter(
            free,
            pk=link.pk,
            used_at__isnull=True,
            withdrawn_at__isnull=True,
            expires_at__gt=now,
            # Not `driver__is_active`: a join would let PostgreSQL check `used_at` on a row as it
            # was before somebody else's update.
            driver__in=Driver.objects.filter(is_active=True),
        ).update(claimed_until=now + leases.LEASE)
        == 1
    )


def withdraw(link: ConnectLink, *, now: datetime, user: User | None = None) -> bool:
    """Make an unused link useless."""
    changed = ConnectLink.objects.filter(
        pk=link.pk, used_at__isnull=True, withdrawn_at__isnull=True
    ).update(withdrawn_at=now)
    if changed:
        activity.record("Portal link withdrawn", now=now, about=link, user=user)
    return changed == 1
