"""What becomes of alerts by the clock alone: snoozes and holds end, reminders come round.

Each alert is looked at again under its lock, so two who tend at once do everything once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Upper

from integrations.models import Connection
from integrations.services import leases
from maintenance.engine import flapping
from maintenance.models import Alert, MaintenanceMode, Rule
from maintenance.services import acts, announcements, evaluation, modes, notifying
from maintenance.services.announcements import Event

Hold = Alert.Hold
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Tended:
    """How many alerts something was done about, and how many failed."""

    done: int = 0
    failed: int = 0


def tend(*, now: datetime) -> Tended:
    """Do all that is due by now. One alert's trouble does not stop the others.

    Of many each is told of as of its own moment.
    """
    result = Tended()
    time_now = leases.going_on(now)
    _end_modes(now, result)
    for due, act in (
        (_snoozes_over(now), _end_snooze),
        (_free(now), _release),
        (_flapping_settled(now), _settle),
        (_to_escalate(now), _escalate),
        (_to_remind(now), _remind),
    ):
        _each(due, act, time_now, result)
    return result


def _end_modes(now: datetime, result: Tended) -> None:
    for mode in MaintenanceMode.objects.over(now):
        try:
            result.done += modes.end(mode, now=now)
        except Exception:
            logger.exception("maintenance mode %s could not be ended", mode.pk)
            result.failed += 1


def _each(
    due: QuerySet[Alert],
    act: Callable[[Alert, datetime], bool],
    time_now: Callable[[], datetime],
    result: Tended,
) -> None:
    for alert in list(due.order_by("vehicle", "pk").only("pk", "vehicle")):
        try:
            with transaction.atomic():
                result.done += act(acts.locked(alert), time_now())
        except Exception:
            logger.exception("alert %s could not be tended", alert.pk)
            result.failed += 1


def _snoozes_over(now: datetime) -> QuerySet[Alert]:
    return Alert.objects.unresolved().filter(snoozed_until__lte=now)


def _free(now: datetime) -> QuerySet[Alert]:
    """Held by what is not so any more."""
    outages = Alert.objects.announced().filter(kind=Rule.Kind.STALE_DATA, vehicle=None)
    modes = MaintenanceMode.objects.in_force(now)
    in_the_shop = Q(vehicle__in=modes.exclude(vehicle=None).values("vehicle")) | Q(
        vehicle__group__in=modes.exclude(group=None).values("group")
    )
    return (
        Alert.objects.annotate(make=Upper("vehicle__make"))
        .exclude(held_because="")
        .exclude(in_the_shop)
        .exclude(
            ~Q(vehicle__connection__status=Connection.Status.ACTIVE),
            held_because=Hold.CONNECTION,
        )
        .exclude(held_because=Hold.OUTAGE, make__in=list(outages.values_list("subject", flat=True)))
    )


def _flapping_settled(now: datetime) -> QuerySet[Alert]:
    return Alert.objects.filter(
        flapping_since__isnull=False, resolved_at__lte=now - flapping.SETTLED_AFTER
    )


def _to_escalate(now: datetime) -> QuerySet[Alert]:
    return Alert.objects.unresolved().filter(escalate_at__lte=now)


def _to_remind(now: datetime) -> QuerySet[Alert]:
    return Alert.objects.unresolved().filter(remind_at__lte=now)


def _end_snooze(alert: Alert, now: datetime) -> bool:
    """It ends by itself and looks again: what has cleared is over, the rest is said once more."""
    if alert.snoozed_until is None or alert.snoozed_until > now:
        return False
    alert.snoozed_until = None
    alert.status = alert.settled_status(now)
    alert.save()
    if alert.vehicle_id:
        evaluation.evaluate_vehicle(alert.vehicle_id, now=now)
        alert = acts.locked(alert)
    if alert.resolved_at is None:
        announcements.announce(alert, Event.SNOOZE_OVER, now=now)
    return True


def _release(alert: Alert, now: datetime) -> bool:
    """Its mode was ended by whoever ended it, unless the vehicle left what the mode was for."""
    was_in_the_shop = alert.held_because == Hold.MAINTENANCE
    released = announcements.release(alert, now=now)
    if released and was_in_the_shop and alert.resolved_at:
        notifying.tell_held(None, [alert], now=now)
    return released


def _settle(alert: Alert, now: datetime) -> bool:
    if alert.flapping_since is None or not flapping.is_settled(alert.resolved_at, now):
        return False
    announcements.settle(alert, now=now)
    return True


def _escalate(alert: Alert, now: datetime) -> bool:
    if alert.escalate_at is None or alert.escalate_at > now or alert.resolved_at:
        return False
    announcements.escalate(alert, now=now)
    return True


def _remind(alert: Alert, now: datetime) -> bool:
    if alert.remind_at is None or alert.remind_at > now or alert.resolved_at:
        return False
    announcements.remind(alert, now=now)
    return True
