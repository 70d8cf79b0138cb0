"""What people do with an alert: take it, end it, bring it back."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from integrations.services import activity
from maintenance.models import Alert
from maintenance.services import announcements
from maintenance.services.alerts import acknowledge, locked, resolve
from maintenance.services.issues import IssueEvent

__all__ = ["acknowledge", "locked", "reopen", "resolve"]


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
    alert.reopened_by_person_at = now
    alert.clear_count = 0
    alert.note = note or alert.note
    alert.times_opened += 1
    alert.returns = [*alert.returns, now.isoformat()]
    alert.resolved_at = alert.resolved_by = None
    alert.resolution = ""
    alert.cleared_since_resolved = False
    alert.status = alert.settled_status(now)
    alert.save()
    activity.record(
        f"Alert reopened: {alert.summary}",
        now=now,
        about=alert,
        vehicle=alert.vehicle,
        user=user,
        actor=name,
    )
    announcements.announce(alert, IssueEvent.RETURNED, now=now)
    return True
