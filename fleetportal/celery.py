"""The Celery application and its schedule.

Every entry only wakes something whose due times stand in the database: running it twice, late
or not at all does no harm. Messages that nobody took in time expire, so an outage of the broker
does not end in a flood.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun
from django.db import close_old_connections
from kombu import Connection
from kombu.transport import redis

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetportal.settings")


class Channel(redis.Channel):
    """A worker that loses Redis in the middle of a task would die of the message that it cannot
    give back or confirm any more. What is due stands in the database and is found there, so a
    message of a connection that is gone is let go.
    """

    do_restore = False

    def basic_ack(self, *args: Any, **options: Any) -> None:
        if self.connection is not None:
            super().basic_ack(*args, **options)

    def basic_reject(self, *args: Any, **options: Any) -> None:
        if self.connection is not None:
            super().basic_reject(*args, **options)


redis.Transport.Channel = Channel


class Broker(Connection):
    """Looks for a lost broker every few seconds; Celery would wait longer and longer, to 30 s."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        soon = {"interval_start": 1, "interval_step": 1, "interval_max": 3}
        return super().ensure_connection(*args, **{**soon, **options})


app = Celery("fleetportal")
app.amqp.Connection = Broker
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def _every(seconds: float, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 10)}}


app.conf.beat_schedule = {
    # First, and often: a spent refresh token can be repeated within a minute only.
    "finish-interrupted-refreshes": _every(3, "integrations.tasks.finish_interrupted_refreshes"),
    "resume-interrupted-polls": _every(3, "integrations.tasks.resume_interrupted_polls"),
    "heartbeat": _every(15, "integrations.tasks.heartbeat"),
    "refresh-due-tokens": _every(300, "integrations.tasks.refresh_due_tokens"),
    "list-missing-vehicles": _every(300, "integrations.tasks.list_missing_vehicles"),
    "finish-revoking": _every(300, "integrations.tasks.finish_revoking"),
    "subscribe-vehicles": _every(60, "integrations.tasks.subscribe_vehicles"),
    "reconcile-subscriptions": _every(86_400, "integrations.tasks.reconcile_subscriptions"),
    "reconcile-connections": _every(86_400, "integrations.tasks.reconcile_connections"),
    "poll-due-vehicles": _every(60, "integrations.tasks.poll_due_vehicles"),
    "process-webhooks": _every(2, "integrations.tasks.process_webhooks"),
    "process-fleetio-webhooks": _every(5, "integrations.tasks.process_fleetio_webhooks"),
    "forget-old-webhooks": _every(86_400, "integrations.tasks.forget_old_webhooks"),
    "deliver-mail": _every(10, "integrations.tasks.deliver_mail"),
    "deliver-push": _every(10, "integrations.tasks.deliver_push"),
    "deliver-fleetio": _every(10, "integrations.tasks.deliver_fleetio"),
    "sync-fleetio": _every(900, "maintenance.tasks.sync_fleetio"),
    "evaluate-due-vehicles": _every(60, "maintenance.tasks.evaluate_due_vehicles"),
    "evaluate-all-vehicles": _every(3600, "maintenance.tasks.evaluate_all_vehicles"),
    "tend-alerts": _every(60, "maintenance.tasks.tend_alerts"),
    # Hours before the first vehicle counts as quiet by itself.
    "look-for-outages": _every(600, "maintenance.tasks.look_for_outages"),
}


@task_prerun.connect
@task_postrun.connect
def _close_old_connections(sender: Any, **_: Any) -> None:
    """As around a request: a database connection is kept, and one that broke is replaced."""
    if not sender.request.is_eager:
        close_old_connections()
