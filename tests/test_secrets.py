"""No secret in clear anywhere that people, logs, backups or brokers see."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery.signals import before_task_publish
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from integrations import tasks as integrations_tasks
from integrations.models import Activity, Driver, OAuthToken, OutboxEntry, Vehicle
from integrations.sandbox import Fault, Sandbox
from integrations.services import connect_links
from maintenance.models import Alert
from tests.factories import make_user
from tests.maintenance.cars import add_default_rules
from tests.portal import HOURS, connect_driver, run, sandbox_for

pytestmark = pytest.mark.django_db


class Seen:
    """Every record that was logged, formatted as it would be written, with its arguments."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        handler = logging.Handler(logging.DEBUG)
        formatter = logging.Formatter()
        handler.emit = lambda record: self.lines.append(  # type: ignore[method-assign]
            f"{formatter.format(record)} {record.args!r} {record.__dict__!r}"
        )
        self.handler = handler


@pytest.fixture
def logged() -> Iterator[Seen]:
    """All loggers, also those that do not pass on, at DEBUG."""
    seen = Seen()
    names = [None, *logging.Logger.manager.loggerDict]
    before = {}
    for name in names:
        logger = logging.getLogger(name)
        before[name] = logger.level
        logger.setLevel(logging.DEBUG)
        if name is None or not logger.propagate:
            logger.addHandler(seen.handler)
    yield seen
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).removeHandler(seen.handler)


@pytest.fixture
def published() -> Iterator[list[Any]]:
    """What would travel through the broker."""
    messages: list[Any] = []

    def keep(body: Any, headers: Any, **kwargs: Any) -> None:
        messages.append((body, headers))

    before_task_publish.connect(keep)
    yield messages
    before_task_publish.disconnect(keep)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    add_default_rules()
    with sandbox_for(settings, vehicles=4) as running:
        yield running


def everything_stored() -> str:
    """Every value of every column of every table, as the database itself gives it."""
    parts: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            parts += [f"{table}: {row!r}" for row in cursor.fetchall()]
    return "\n".join(parts)


def live(sandbox: Sandbox) -> dict[str, str]:
    """Each secret that is in use now, by what it is."""
    from django.conf import settings as portal

    found = {
        "client secret": portal.SMARTCAR_CLIENT_SECRET,
        "Fleetio key": portal.FLEETIO_API_TOKEN,
        "Fleetio account token": portal.FLEETIO_ACCOUNT_TOKEN,
        "management token": portal.SMARTCAR_MANAGEMENT_TOKENS[0],
        "secret key": portal.SECRET_KEY,
        "encryption key": portal.FIELD_ENCRYPTION_KEYS[0],
    }
    for token in OAuthToken.objects.all():
        found[f"access token {token.version}"] = str(token.access_token)
        found[f"refresh token {token.version}"] = str(token.refresh_token)
    assert all(len(secret) > 8 for secret in found.values()), found
    return found


def assert_hidden(secrets: dict[str, str], **places: str) -> None:
    shown = [
        f"{what} in {place}"
        for place, text in places.items()
        for what, secret in secrets.items()
        if secret in text
    ]
    assert shown == []


def play(sandbox: Sandbox, secrets: dict[str, str]) -> None:
    """The whole chain, with tokens that are renewed and providers that stumble."""
    secrets |= live(sandbox)
    connect_driver(sandbox)
    secrets |= live(sandbox)
    twin = sandbox.fleet.cars[0]
    start = datetime.now(UTC) - 25 * HOURS
    for step in range(3):
        for car in sandbox.fleet.cars:
            car.report(start + step * 12 * HOURS, odometer_km=car.odometer_km + 10)
        twin.oil_life = 0.14
        Vehicle.objects.update(next_poll_at=datetime.now(UTC))
        run("poll", "--all")
    run("refresh_tokens", "--all")
    secrets |= live(sandbox)
    sandbox.smartcar.faults.add(Fault(path="/oauth/token", status=500, times=2))
    sandbox.smartcar.faults.add(Fault(pattern="/batch$", status=502))
    sandbox.fleetio.faults.add(Fault(path="/api/issues", status=422, body={"errors": {"a": ["b"]}}))
    for command in ("refresh_tokens --all", "poll --all", "evaluate", "sync_fleetio", "deliver"):
        try:
            run(*command.split())
        except SystemExit as exc:
            assert exc.code == 1  # noqa: PT017  a provider stumbled, as it was told to
    connect_links.send(
        connect_links.create(Driver.objects.get(), now=datetime.now(UTC)), now=datetime.now(UTC)
    )
    run("deliver")


def test_no_secret_is_stored_logged_or_shown_in_clear(
    sandbox: Sandbox, logged: Seen, published: list[Any], admin_client: Client
) -> None:
    secrets: dict[str, str] = {}
    play(sandbox, secrets)
    for task in (integrations_tasks.heartbeat, integrations_tasks.deliver_mail):
        task.delay()
    integrations_tasks.poll_due_vehicles()

    assert Alert.objects.filter(status="open").exists()
    assert OutboxEntry.objects.filter(state="dead").exists()
    assert len(secrets) == 6 + 4
    assert any("urllib3" in line and "/oauth/token" in line for line in logged.lines)
    assert published
    assert_hidden(
        secrets,
        log="\n".join(logged.lines),
        database=everything_stored(),
        mails="\n".join(str(message.message()) for message in mail.outbox),
        activity=repr(list(Activity.objects.values_list("actor", "what", "about_text"))),
        outbox=repr(list(OutboxEntry.objects.values_list("payload", "last_error", "result"))),
        broker=repr(published),
        admin=shown_in_admin(admin_client),
    )


def shown_in_admin(browser: Client) -> str:
    """The list and the first change page of each model of ours."""
    from django.contrib import admin

    pages = []
    for model in admin.site._registry:
        if model._meta.app_label not in {"integrations", "maintenance"}:
            continue
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(browser.get(reverse(f"{base}_changelist"), secure=True, follow=True))
        first = model._default_manager.first()
        if first is not None:
            address = reverse(f"{base}_change", args=[first.pk])
            pages.append(browser.get(address, secure=True, follow=True))
    assert len(pages) > 10
    assert all(page.status_code in {200, 403} for page in pages)
    return "\n".join(page.content.decode() for page in pages)


def test_a_link_reaches_the_driver_and_is_kept_nowhere(sandbox: Sandbox, logged: Seen) -> None:
    now = datetime.now(UTC)
    driver = connect_links.invite(email="d@example.com", name="D", now=now)
    link = connect_links.create(driver, now=now, user=make_user())
    connect_links.send(link, now=now)
    run("deliver")
    path = urlsplit(connect_links.path(link)).path
    token = path.strip("/").split("/")[-1]

    assert path in str(mail.outbox[0].body)
    Client().get(path, secure=True)
    signature = token.rpartition(".")[2]
    hidden = {"link": token, "signature": signature}
    stored = everything_stored()
    assert driver.nonce in stored  # the row it is signed from is there, so we do look
    assert_hidden(
        hidden,
        database=stored,
        activity=repr(list(Activity.objects.values_list("actor", "what", "about_text"))),
        admin_log=repr(list(LogEntry.objects.values_list())),
    )
    assert_hidden(hidden, log="\n".join(logged.lines))


def test_tokens_are_stored_encrypted_and_open_again(sandbox: Sandbox) -> None:
    connect_driver(sandbox)
    token = OAuthToken.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token, refresh_token FROM integrations_oauthtoken")
        (access, refresh) = cursor.fetchone()

    assert access.startswith("gAAAA")
    assert refresh.startswith("gAAAA")
    assert access != token.access_token
    assert repr(token).count(str(token.access_token)) == 0
