"""What `doctor` looks at: one finding for each thing, with what to do about it."""

from collections.abc import Callable, Iterator
from smtplib import SMTPException

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import get_connection
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from kombu import Connection as BrokerConnection
from kombu.exceptions import KombuError

from fleetportal import clock, diagnosis_smartcar
from fleetportal.findings import Found
from integrations import conf
from integrations.clients.errors import ClientError, Outcome
from integrations.models import (
    Connection,
    Heartbeat,
    OAuthToken,
    WebhookEndpoint,
    WebhookEvent,
    WebhookProvider,
)
from integrations.models.encryption import DecryptionError
from integrations.services import gates

MAX_BEAT_AGE = 120


def examine() -> Iterator[Found]:
    """Look at one thing after the other; without a database the rest is pointless."""
    database = _database()
    yield database
    yield _broker()
    if database.is_good:
        checks: list[Callable[[], Found]] = [_keys, _beat, _connections, diagnosis_smartcar.webhook]
        for check in checks:
            yield check()
    yield from diagnosis_smartcar.credentials()
    if database.is_good:
        yield from diagnosis_smartcar.generation()
        yield from diagnosis_smartcar.subscribed()
    yield from _fleetio()
    if database.is_good and conf.has_fleetio():
        yield _fleetio_webhook()
    yield _mail()


def _database() -> Found:
    try:
        executor = MigrationExecutor(connections["default"])
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as exc:
        reason = type(exc).__name__
        return Found("database", False, f"does not answer ({reason}); look at DATABASE_URL")
    if plan:
        return Found("database", False, f"{len(plan)} migrations missing; run manage.py migrate")
    return Found("database", True, f"answers ({connections['default'].vendor})")


def _broker() -> Found:
    try:
        with BrokerConnection(settings.CELERY_BROKER_URL, connect_timeout=3) as broker:
            broker.ensure_connection(max_retries=1, timeout=3)
            transport = str(broker.transport_cls)
    except (OSError, KombuError) as exc:
        reason = type(exc).__name__
        return Found("broker", False, f"does not answer ({reason}); look at CELERY_BROKER_URL")
    embedded = " (embedded: use manage.py serve)" if transport == "memory" else ""
    return Found("broker", True, f"answers{embedded}")


def _keys() -> Found:
    try:
        count = sum(1 for _token in OAuthToken.objects.iterator())
    except (DecryptionError, ImproperlyConfigured) as exc:
        return Found("encryption key", False, str(exc))
    return Found("encryption key", True, f"opens all {count} stored tokens")


def _beat() -> Found:
    last = Heartbeat.objects.filter(name="beat").first()
    if last is None:
        return Found("beat", False, "never ran; start serve, or a worker and beat")
    age = int((clock.now() - last.at).total_seconds())
    if age > MAX_BEAT_AGE:
        return Found("beat", False, f"last ran {age} s ago; are a worker and beat running?")
    return Found("beat", True, f"ran {age} s ago")


def _connections() -> Found:
    lost = Connection.objects.filter(status=Connection.Status.NEEDS_RECONNECT).count()
    empty = Connection.objects.active().filter(vehicles_listed_at__isnull=True).count()
    problems = []
    if lost:
        problems.append(f"{lost} need their driver: mail a portal link")
    if empty:
        problems.append(f"{empty} have no cars listed yet: run poll")
    active = Connection.objects.active().count()
    return Found("connections", not problems, "; ".join(problems) or f"{active} active")


def _fleetio() -> Iterator[Found]:
    if not conf.has_fleetio():
        hint = "not set up; set FLEETIO_API_TOKEN and FLEETIO_ACCOUNT_TOKEN"
        yield Found("Fleetio", False, hint)
        return
    try:
        name = conf.get_fleetio_client(someone_waits=True).check_account()
    except ClientError as exc:
        hint = "look at FLEETIO_API_TOKEN" if exc.outcome is Outcome.STOP else "try again later"
        yield Found("Fleetio", False, f"{exc}; {hint}")
        return
    if name is None:
        hint = "no account of this key has the FLEETIO_ACCOUNT_TOKEN; look at both"
        yield Found("Fleetio", False, hint)
    else:
        yield Found("Fleetio", True, f"account {name}{diagnosis_smartcar.resume(gates.FLEETIO)}")


def _fleetio_webhook() -> Found:
    """Without it nothing is lost: what people do in Fleetio is heard of at the next sync."""
    what = "Fleetio's webhook"
    if not settings.FLEETIO_WEBHOOK_KEYS:
        hint = "not used: every 15 minutes is looked what changed; set FLEETIO_WEBHOOK_KEY for more"
        return Found(what, True, hint)
    row = WebhookEndpoint.objects.filter(provider=WebhookProvider.FLEETIO).first()
    events = WebhookEvent.objects.filter(provider=WebhookProvider.FLEETIO)
    newest = events.order_by("-received_at").values_list("received_at", flat=True).first()
    if row and row.refused_at and (newest is None or newest < row.refused_at):
        hint = f"the last delivery was refused: {row.refused_why}; look at FLEETIO_WEBHOOK_KEY"
        return Found(what, False, hint)
    if newest is None:
        address = f"{settings.SITE_URL}/webhooks/fleetio/"
        return Found(what, True, f"nothing came yet; its address in Fleetio is {address}")
    return Found(what, True, f"last heard of {newest:%Y-%m-%d %H:%M} UTC")


def _mail() -> Found:
    backend = get_connection()
    try:
        backend.open()
        backend.close()
    except (SMTPException, OSError) as exc:
        return Found("mail", False, f"{type(exc).__name__}; look at EMAIL_URL")
    if not settings.MAINTENANCE_EMAILS:
        hint = "works, but MAINTENANCE_EMAILS is empty: rules that name nobody mail nobody"
        return Found("mail", False, hint)
    return Found("mail", True, "the server answers")
