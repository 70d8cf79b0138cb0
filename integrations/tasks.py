"""Celery's way in: ids come in, services do the work. What is due stands in the database, so a
task may run twice, late or never without harm.
"""

from celery import shared_task

from fleetportal import clock
from integrations import conf, registry
from integrations.models import Heartbeat
from integrations.services import connections, delivery, polling, tokens

POLLS_AT_ONCE = 500


@shared_task
def heartbeat() -> None:
    """Proof that beat reaches a worker: `/readyz` looks at its age."""
    Heartbeat.objects.update_or_create(name="beat", defaults={"at": clock.now()})


@shared_task
def finish_interrupted_refreshes() -> int:
    if not conf.has_smartcar():
        return 0
    client = conf.get_smartcar_client()
    return tokens.finish_interrupted(client=client, now=clock.now()).refreshed


@shared_task
def refresh_due_tokens() -> int:
    if not conf.has_smartcar():
        return 0
    client = conf.get_smartcar_client()
    return tokens.refresh_due(client=client, now=clock.now()).refreshed


@shared_task
def list_missing_vehicles() -> int:
    if not conf.has_smartcar():
        return 0
    return connections.list_missing(client=conf.get_smartcar_client(), now=clock.now())


@shared_task
def poll_due_vehicles() -> int:
    """Wake one task per car that is due; each claims its car before it reads."""
    if not conf.has_smartcar():
        return 0
    due = list(polling.due_vehicles(now=clock.now())[:POLLS_AT_ONCE])
    for vehicle_id in due:
        poll_vehicle.apply_async(args=(vehicle_id,), expires=300)
    return len(due)


@shared_task
def poll_vehicle(vehicle_id: int, scheduled: bool = True) -> None:
    polling.poll_vehicle(
        vehicle_id,
        client=conf.get_smartcar_client(),
        policy=conf.poll_policy(),
        now=clock.now(),
        scheduled=scheduled,
    )


@shared_task
def deliver_mail() -> int:
    return delivery.deliver_due(clock=clock.now, lanes=[registry.MAIL]).done


@shared_task
def deliver_fleetio() -> int:
    if not conf.has_fleetio():
        return 0
    return delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO]).done
