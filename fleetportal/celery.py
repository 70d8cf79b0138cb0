"""The Celery application and its schedule.

Every entry only wakes something whose due times stand in the database: running it twice, late
or not at all does no harm. Messages that nobody took in time expire, so an outage of the broker
does not end in a flood.
"""

import os
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.signals import beat_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetportal.settings")

app = Celery("fleetportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _every(seconds: float, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 10)}}


app.conf.beat_schedule = {
    "heartbeat": _every(15, "integrations.tasks.heartbeat"),
    # Two or three looks within the minute that a spent refresh token can be repeated in.
    "finish-interrupted-refreshes": _every(5, "integrations.tasks.finish_interrupted_refreshes"),
    "resume-interrupted-polls": _every(5, "integrations.tasks.resume_interrupted_polls"),
    "refresh-due-tokens": _every(300, "integrations.tasks.refresh_due_tokens"),
    "list-missing-vehicles": _every(300, "integrations.tasks.list_missing_vehicles"),
    "reconcile-connections": _every(86_400, "integrations.tasks.reconcile_connections"),
    "poll-due-vehicles": _every(60, "integrations.tasks.poll_due_vehicles"),
    "deliver-mail": _every(10, "integrations.tasks.deliver_mail"),
    "deliver-fleetio": _every(10, "integrations.tasks.deliver_fleetio"),
    "sync-fleetio": _every(900, "maintenance.tasks.sync_fleetio"),
    "evaluate-due-vehicles": _every(60, "maintenance.tasks.evaluate_due_vehicles"),
    "evaluate-all-vehicles": _every(3600, "maintenance.tasks.evaluate_all_vehicles"),
}


@beat_init.connect
def _begin_at_once(sender: Any, **_: Any) -> None:
    """After a stop everything may be due: wake it now, not when its first interval is over."""
    for entry in sender.scheduler.schedule.values():
        entry.last_run_at -= timedelta(days=1)
