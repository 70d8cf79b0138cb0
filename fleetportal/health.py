"""Two questions for machines: can this process serve, and does the whole portal work?"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from kombu import Connection as BrokerConnection
from kombu.exceptions import KombuError

from fleetportal import clock
from integrations import conf, registry
from integrations.models import Heartbeat, OutboxEntry, Vehicle

logger = logging.getLogger(__name__)

BEAT_AGE = timedelta(minutes=2)
QUEUE_LAG = timedelta(minutes=15)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while this process can serve; asks nobody else."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Database, broker, age of the last beat and queue lag; 503 when one is bad."""
    checks = {"database": _database(), "broker": _broker()}
    if checks["database"] == "ok":
        try:
            checks |= {"beat": _beat(), "outbox": _outbox(), "polls": _polls()}
        except DatabaseError:
            logger.exception("the database cannot be read")
            checks["database"] = "cannot be read: run manage.py migrate"
    good = all(state == "ok" for state in checks.values())
    return JsonResponse(checks, status=200 if good else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        logger.exception("the database does not answer")
        return "does not answer"
    return "ok"


def _broker() -> str:
    try:
        with BrokerConnection(settings.CELERY_BROKER_URL, connect_timeout=2) as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
    except (OSError, KombuError) as exc:
        # The broker's address may hold a password: only the kind of failure is told.
        logger.warning("the broker does not answer: %s", type(exc).__name__)
        return "does not answer"
    return "ok"


def _beat() -> str:
    last = Heartbeat.objects.filter(name="beat").first()
    if last is None:
        return "never ran: start a worker and beat"
    age = clock.now() - last.at
    return "ok" if age <= BEAT_AGE else f"last ran {int(age.total_seconds())} s ago"


def _outbox() -> str:
    rows = OutboxEntry.objects.due(clock.now() - QUEUE_LAG)
    if not conf.has_fleetio():
        rows = rows.exclude(lane=registry.FLEETIO)  # they wait for an account, not for a worker
    late = rows.count()
    return "ok" if not late else f"{late} messages are late"


def _polls() -> str:
    late = Vehicle.objects.due(clock.now() - QUEUE_LAG).count()
    return "ok" if not late else f"{late} vehicles are late"
