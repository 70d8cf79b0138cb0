"""Celery's way in: ids come in, services do the work. What is due stands in the database, so a
task may run twice, late or never without harm.
"""

import logging
from datetime import datetime

from celery import shared_task
from django.conf import settings

from fleetportal import clock
from integrations import conf, registry
from integrations.clients.errors import ClientError
from integrations.models import Heartbeat
from integrations.services import (
    connections,
    delivery,
    fleetio_events,
    moving,
    parcels,
    polling,
    reconcile,
    revoking,
    subscriptions,
    token_sweeps,
    webhooks,
)

logger = logging.getLogger(__name__)

POLLS_AT_ONCE = 500


@shared_task
def heartbeat() -> None:
    """Proof that beat reaches a worker: `/readyz` looks at its age."""
    Heartbeat.objects.update_or_create(name="beat", defaults={"at": clock.now()})


@shared_task
def finish_interrupted_refreshes() -> int:
    client = conf.get_pair_client()
    if client is None:
        return 0
    asks = not conf.is_v3()
    return token_sweeps.finish_interrupted(
        client=client, now=clock.now(), asks_driver=asks
    ).refreshed


@shared_task
def refresh_due_tokens() -> int:
    """Under v3 the application's token, early; and v2's pairs, so that there is a way back."""
    done, now = 0, clock.now()
    if conf.is_v3() and conf.has_smartcar():
        done += token_sweeps.renew_application(client=conf.get_smartcar_client(), now=now).refreshed
    if client := conf.get_pair_client():
        asks = not conf.is_v3()
        done += token_sweeps.refresh_due(client=client, now=now, asks_driver=asks).refreshed
    return done


@shared_task
def list_missing_vehicles() -> int:
    if not conf.has_smartcar():
        return 0
    client, now = conf.get_smartcar_client(), clock.now()
    found = connections.list_missing(client=client, now=now)
    try:
        return found + moving.take_over(client=client, now=now)
    except ClientError as exc:  # tried again in some minutes
        logger.warning("cars were not looked up: %s", exc)
        return found


@shared_task
def subscribe_vehicles() -> int:
    """The cars that do not report to the webhook yet."""
    webhook_id = settings.SMARTCAR_WEBHOOK_ID
    if not conf.has_smartcar() or not webhook_id:
        return 0
    client = conf.get_smartcar_client()
    return subscriptions.subscribe_missing(client=client, webhook_id=webhook_id, now=clock.now())


@shared_task
def reconcile_subscriptions() -> int:
    """Compare with Smartcar's list of subscriptions, and subscribe what is missing there."""
    webhook_id = settings.SMARTCAR_WEBHOOK_ID
    if not conf.has_smartcar() or not webhook_id:
        return 0
    client = conf.get_smartcar_client()
    try:
        return subscriptions.reconcile(client=client, webhook_id=webhook_id, now=clock.now())
    except ClientError as exc:
        logger.warning("subscriptions were not compared: %s", exc)
        return 0


@shared_task
def finish_revoking() -> int:
    if not conf.has_smartcar():
        return 0
    return revoking.finish_revoking(client=conf.get_smartcar_client(), now=clock.now())


@shared_task
def reconcile_connections() -> int:
    """Consents that ended at Smartcar; v2's list needs the management token."""
    can_list = conf.is_v3() or bool(settings.SMARTCAR_MANAGEMENT_TOKENS)
    if not conf.has_smartcar() or not can_list:
        return 0
    try:
        found = reconcile.reconcile(client=conf.get_smartcar_client(), now=clock.now())
    except ClientError as exc:  # tomorrow is another day; a refused token has told staff
        logger.warning("connections were not compared: %s", exc)
        return 0
    return found.ended


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
def resume_interrupted_polls() -> int:
    """The cars that a killed worker was reading."""
    if not conf.has_smartcar():
        return 0
    left = list(polling.interrupted(now=clock.now())[:POLLS_AT_ONCE])
    for vehicle_id in left:
        poll_vehicle.apply_async(args=(vehicle_id,), expires=10)
    return len(left)


@shared_task
def poll_vehicle(vehicle_id: int, asked_at: str | None = None) -> None:
    """`asked_at`: when a person asked for it, in ISO format; otherwise it has to be due."""
    polling.poll_vehicle(
        vehicle_id,
        client=conf.get_smartcar_client(),
        policy=conf.poll_policy(),
        now=clock.now(),
        asked_at=datetime.fromisoformat(asked_at) if asked_at else None,
    )


@shared_task
def deliver_mail() -> int:
    return _deliver(registry.MAIL)


@shared_task
def deliver_push() -> int:
    """Channels beside mail: one that does not answer keeps no mail waiting."""
    return _deliver(registry.PUSH)


@shared_task
def deliver_fleetio() -> int:
    if not conf.has_fleetio():
        return 0
    return _deliver(registry.FLEETIO)


def _deliver(lane: str) -> int:
    """What happens within a moment goes out together: somebody looks again in some seconds."""
    return delivery.deliver_due(clock=clock.now, lanes=[lane], gather=parcels.GATHER).done


@shared_task
def process_webhooks() -> int:
    """What Smartcar said by itself; nothing is woken while it waits for its answer."""
    return webhooks.process_due(now=clock.now()).processed


@shared_task
def process_fleetio_webhooks() -> int:
    """What Fleetio said by itself; apart, for its records have to be asked for."""
    if not conf.has_fleetio():
        return 0
    return fleetio_events.process_due(now=clock.now()).processed


@shared_task
def forget_old_webhooks() -> int:
    return webhooks.forget_old(now=clock.now())
