"""Celery's way in: services do the work, and may do it twice without harm."""

import logging

from celery import shared_task

from fleetportal import clock
from integrations import conf
from integrations.clients.errors import ClientError
from integrations.models import Vehicle
from integrations.services import fleetio_odometers, fleetio_vehicles
from maintenance.services import evaluation, fleetio_entries, fleetio_sync, outages, tending

logger = logging.getLogger(__name__)


@shared_task
def evaluate_due_vehicles() -> int:
    """Cars whose rules failed or changed."""
    now = clock.now()
    due = Vehicle.objects.filter(evaluation_due_at__lte=now).values_list("pk", flat=True)
    return evaluation.evaluate_all(now=now, vehicle_ids=due)[0]


@shared_task
def evaluate_all_vehicles() -> int:
    """The calendar moves on without any reading."""
    return evaluation.evaluate_all(now=clock.now())[0]


@shared_task
def tend_alerts() -> int:
    """Snoozes and holds end, reminders come round."""
    return tending.tend(now=clock.now()).done


@shared_task
def look_for_outages() -> int:
    """Vehicles of one make that went quiet together."""
    return outages.look(now=clock.now())


@shared_task
def sync_fleetio() -> int:
    if not conf.has_fleetio():
        return 0
    client, now = conf.get_fleetio_client(), clock.now()
    try:
        matched = fleetio_vehicles.match(client=client, now=now).matched
        fleetio_odometers.queue_odometers(now=now)
        fleetio_sync.bring_back(client=client, now=now)
        fleetio_entries.bring_back(client=client, now=now)
    except ClientError as exc:  # a limit or an outage: the next run looks again
        logger.warning("Fleetio was not synced: %s", exc)
        return 0
    return matched
