"""Who is told of an alert."""

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Lower

from integrations.models import Driver
from integrations.services import activity, mail
from maintenance.engine.delivery_times import Delivery, Preferences
from maintenance.models import Alert, Recipient, Rule
from maintenance.models.rules import split


def of(alert: Alert) -> list[Recipient]:
    """The recipients of the alert's rule; MAINTENANCE_EMAILS when the rule names nobody."""
    rule = alert.rule
    if rule is None:
        return []
    wanted: dict[str, User | Driver | None] = {}
    for user in _staff(rule):
        wanted.setdefault(user.email.lower(), user)
    for address in split(rule.extra_addresses):
        wanted.setdefault(address.lower(), None)
    if not wanted:
        wanted = {address.lower(): None for address in settings.MAINTENANCE_EMAILS}
    connection = alert.vehicle.connection if alert.vehicle else None
    if rule.notify_driver and connection and connection.driver.is_active:
        wanted.setdefault(connection.driver.email.lower(), connection.driver)
    return _recipients(wanted)


def of_escalation(alert: Alert) -> list[Recipient]:
    """Who is told when nobody takes care of it."""
    addresses = split(alert.rule.escalate_to) if alert.rule else ()
    return _recipients(dict.fromkeys(map(str.lower, addresses)))


def preferences(recipient: Recipient) -> Preferences:
    """When this recipient wants to hear of something, by their own clock."""
    return Preferences(
        zone=mail.zone(recipient.time_zone),
        delivery=Delivery(recipient.delivery),
        digest_hour=recipient.digest_hour,
        digest_weekday=recipient.digest_weekday,
        quiet_from=recipient.quiet_from,
        quiet_until=recipient.quiet_until,
    )


def only_drives(recipient: Recipient) -> bool:
    """A driver has no place in the admin: a link there would only ask for a password."""
    return recipient.driver_id is not None and recipient.user_id is None


@transaction.atomic
def unsubscribe(recipient: Recipient, *, now: datetime) -> bool:
    """No alert goes to them any more. False when they had unsubscribed already."""
    changed = Recipient.objects.filter(pk=recipient.pk, unsubscribed_at=None)
    if not changed.update(unsubscribed_at=now):
        return False
    activity.record("Unsubscribed", now=now, about=recipient, actor=recipient.email)
    return True


@transaction.atomic
def subscribe(recipient: Recipient, *, now: datetime) -> bool:
    """They want alerts again. False when they never stopped."""
    changed = Recipient.objects.filter(pk=recipient.pk, unsubscribed_at__isnull=False)
    if not changed.update(unsubscribed_at=None):
        return False
    activity.record("Subscribed again", now=now, about=recipient, actor=recipient.email)
    return True


def staff() -> list[Recipient]:
    """Who hears of the portal's own troubles: MAINTENANCE_EMAILS, each once."""
    return _recipients(dict.fromkeys(map(str.lower, settings.MAINTENANCE_EMAILS)))


def _staff(rule: Rule) -> list[User]:
    chosen = Q(pk__in=rule.staff.values("pk")) | Q(groups__in=rule.staff_groups.all())
    users = get_user_model().objects.filter(chosen, is_active=True)
    return list(users.exclude(email="").order_by("pk").distinct())


def _recipients(wanted: Mapping[str, User | Driver | None]) -> list[Recipient]:
    """The rows of these addresses, in lower case, asked for at once: a storm asks a thousand times.

    A row appears when its address is first needed.
    """
    rows = Recipient.objects.annotate(lower=Lower("email")).filter(lower__in=list(wanted))
    known = {row.email.lower(): row for row in rows.order_by("-pk")}  # of twins the first
    return [known.get(email) or _new(email, person) for email, person in wanted.items()]


def _new(email: str, person: User | Driver | None) -> Recipient:
    recipient, _created = Recipient.objects.get_or_create(
        email=email,
        defaults={
            "user": person if isinstance(person, User) else None,
            "driver": person if isinstance(person, Driver) else None,
        },
    )
    return recipient
