"""What people do with an alert: take it, put it off, say it stays so, end it, bring it back.

Each act takes the vehicle's lock, so it never meets an evaluation half way. `user` is who is signed
in; `name` is who it was when nobody is, such as the address that a mail went to.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db import transaction

from integrations.models import Vehicle
from integrations.services import activity
from maintenance.models import Alert
from maintenance.services import alerts, announcements


def locked(alert: Alert) -> Alert:
    """The alert as it stands now, locked against evaluation and against other people."""
    if alert.vehicle_id:
        Vehicle.objects.select_for_update().filter(pk=alert.vehicle_id).first()
    Alert.objects.select_for_update().filter(pk=alert.pk).first()
    return Alert.objects.select_related("rule", "vehicle").get(pk=alert.pk)


@transaction.atomic
def acknowledge(
    alert: Alert, *, now: datetime, user: User | None = None, name: str = "", note: str = ""
) -> bool:
    """A person takes care of it: no more reminders. False when there is nothing to acknowledge."""
    alert = locked(alert)
    if not _is_open(alert) or alert.acknowledged_at:
        return False

    def take() -> None:
        alert.acknowledged_at = now
        alert.acknowledged_by = user
        alert.acknowledged_name = _who(user, name)

    _act(alert, "Acknowledged", take, now=now, user=user, name=name, note=note)
    return True


@transaction.atomic
def snooze(
    alert: Alert,
    *,
    until: datetime,
    now: datetime,
    user: User | None = None,
    name: str = "",
    note: str = "",
) -> bool:
    """Nobody hears of it until then; it ends by itself, and then the car is looked at again."""
    alert = locked(alert)
    if not _is_open(alert) or until <= now:
        return False

    def put_off() -> None:
        alert.snoozed_until = until

    what = f"Snoozed until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    _act(alert, what, put_off, now=now, user=user, name=name, note=note)
    return True


@transaction.atomic
def waive(
    alert: Alert, *, now: datetime, user: User | None = None, name: str = "", note: str = ""
) -> bool:
    """It will not be fixed: nobody hears of it again until it has cleared."""
    alert = locked(alert)
    if not _is_open(alert) or alert.waived_at:
        return False

    def set_aside() -> None:
        alert.waived_at = now
        alert.waived_name = _who(user, name)
        alert.snoozed_until = None

    _act(alert, "Will not be fixed", set_aside, now=now, user=user, name=name, note=note)
    announcements.waived(alert, now=now)
    return True


@transaction.atomic
def resolve(
    alert: Alert,
    *,
    now: datetime,
    user: User | None = None,
    how: Alert.Resolution = Alert.Resolution.PERSON,
    note: str = "",
) -> bool:
    """End it by decision. It stays ended while the car goes on reporting the same, until the
    reopen window is over. False when it was over already.
    """
    alert = locked(alert)
    if alert.resolved_at:
        return False
    alerts.end(alert, how, now=now, user=user, note=note)
    return True


@transaction.atomic
def reopen(
    alert: Alert, *, now: datetime, user: User | None = None, name: str = "", note: str = ""
) -> bool:
    """A person says it is not over: only what the car says from now on can end it again.

    False when it is open, or when the same has come back as another alert meanwhile.
    """
    alert = locked(alert)
    twins = Alert.objects.unresolved().filter(
        vehicle=alert.vehicle, topic=alert.topic, subject=alert.subject
    )
    if not alert.resolved_at or twins.exists():
        return False
    alerts.reopen(alert, now=now, user=user, name=name, note=note)
    return True


def _is_open(alert: Alert) -> bool:
    return alert.resolved_at is None and alert.opened_at is not None


def _who(user: User | None, name: str) -> str:
    return name or (user.get_username() if user else "")


def _act(
    alert: Alert,
    what: str,
    change: Callable[[], None],
    *,
    now: datetime,
    user: User | None,
    name: str,
    note: str,
) -> None:
    change()
    alert.note = note or alert.note
    # Somebody has it in hand: no reminder, and nobody else is called.
    alert.remind_at = alert.escalate_at = None
    alert.status = alert.settled_status(now)
    alert.save()
    activity.record(
        f"{what}: {alert.summary}",
        now=now,
        about=alert,
        vehicle=alert.vehicle,
        user=user,
        actor=name,
    )
