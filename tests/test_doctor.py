"""doctor: one line for each thing, what to do about it, and no secret in any of them."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.db.migrations.executor import MigrationExecutor
from pytest_django import Settings

from fleetportal import clock, diagnosis, diagnosis_smartcar
from integrations.clients.fleetio_webhooks import sign
from integrations.models import Heartbeat
from integrations.sandbox import FOREVER, Fault, Sandbox
from integrations.services import fleetio_inbox, gates
from tests.factories import make_connection, make_token
from tests.portal import sandbox_for

pytestmark = pytest.mark.django_db

SECRETS = (
    "sandbox-client-secret",
    "sandbox-fleetio-key",
    "hunter2",
    "secret-access-token",
    "secret-refresh-token",
)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    """A portal where everything is well."""
    with sandbox_for(settings, vehicles=1) as running:
        settings.SMARTCAR_V3_CLIENT_ID = settings.SMARTCAR_CLIENT_ID  # v3 is not prepared
        Heartbeat.objects.create(name="beat", at=clock.now())
        yield running


def doctor() -> tuple[int, dict[str, str], str]:
    """The exit code, the finding of each thing, the last line."""
    out, code = StringIO(), 0
    try:
        call_command("doctor", stdout=out, stderr=out)
    except SystemExit as exc:
        code = int(str(exc.code))
    text = out.getvalue()
    assert not any(secret in text for secret in SECRETS), text
    *lines, last = text.splitlines()
    found = {line[4:].partition(": ")[0]: line[:4] + line.partition(": ")[2] for line in lines}
    return code, found, last


def bad(what: str) -> str:
    code, found, last = doctor()
    assert (code, last) == (1, "1 to look at"), found
    assert found[what].startswith("BAD "), found
    return found[what][4:]


def test_everything_is_well(sandbox: Sandbox) -> None:
    make_token()
    code, found, last = doctor()

    assert (code, last) == (0, "Everything is well")
    assert found["broker"] == "ok  answers (embedded: use manage.py serve)"
    assert found["encryption key"] == "ok  opens all 1 stored tokens"
    assert found["Smartcar"] == "ok  accepts our credentials (v2)"
    assert found["clock"] == "ok  agrees with Smartcar's"
    assert found["Fleetio"] == "ok  account Sandbox Fleet"
    assert found["Fleetio's webhook"].startswith("ok  ")
    assert found["mail"] == "ok  the server answers"
    assert found["database"].startswith("ok  answers (")
    assert found["beat"].startswith("ok  ran ")


def test_smartcar_that_refuses_us_names_the_settings(sandbox: Sandbox, settings: Settings) -> None:
    settings.SMARTCAR_CLIENT_SECRET = "hunter2"
    assert "look at SMARTCAR_CLIENT_ID and SMARTCAR_CLIENT_SECRET" in bad("Smartcar")


def test_smartcar_that_is_gone(sandbox: Sandbox, settings: Settings) -> None:
    settings.SMARTCAR_AUTH_ORIGIN = "http://127.0.0.1:9/oauth/token"
    assert bad("Smartcar").startswith("cannot be reached")


def test_smartcar_that_is_not_set_up(sandbox: Sandbox, settings: Settings) -> None:
    settings.SMARTCAR_CLIENT_ID = ""
    assert bad("Smartcar").startswith("not set up; set SMARTCAR_CLIENT_ID")


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("FLEETIO_API_TOKEN", "hunter2", "look at FLEETIO_API_TOKEN"),
        ("FLEETIO_ACCOUNT_TOKEN", "hunter2", "FLEETIO_ACCOUNT_TOKEN; look at both"),
        ("FLEETIO_API_TOKEN", "", "not set up; set FLEETIO_API_TOKEN"),
        ("FLEETIO_BASE_URL", "http://127.0.0.1:9/api", "try again later"),
    ],
)
def test_fleetio_that_does_not_work_says_what_to_look_at(
    sandbox: Sandbox, settings: Settings, name: str, value: str, hint: str
) -> None:
    setattr(settings, name, value)
    assert hint in bad("Fleetio")


def test_fleetio_that_stumbles(sandbox: Sandbox) -> None:
    sandbox.fleetio.faults.add(Fault(status=503, times=FOREVER))
    assert bad("Fleetio").endswith("try again later")


@pytest.mark.parametrize("minutes", [-3, 3])
def test_a_clock_that_is_wrong(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + timedelta(minutes=minutes)

    monkeypatch.setattr(diagnosis_smartcar, "datetime", Wrong)
    assert "set up time service" in bad("clock")


def test_beat_that_never_ran_or_stopped(sandbox: Sandbox) -> None:
    beat = Heartbeat.objects.get()
    beat.at -= timedelta(minutes=5)
    beat.save()
    assert "are a worker and beat running?" in bad("beat")
    beat.delete()
    assert "never ran" in bad("beat")


def test_a_token_that_no_key_opens(sandbox: Sandbox, settings: Settings) -> None:
    make_token()
    settings.FIELD_ENCRYPTION_KEYS = [base64.urlsafe_b64encode(b"x" * 32).decode()]
    assert "FIELD_ENCRYPTION_KEYS" in bad("encryption key")


def test_a_key_that_is_none(sandbox: Sandbox, settings: Settings) -> None:
    make_token()
    settings.FIELD_ENCRYPTION_KEYS = ["hunter2"]
    assert "not a Fernet key" in bad("encryption key")


def test_a_mail_server_that_does_not_answer(sandbox: Sandbox, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "me", "hunter2"
    assert bad("mail") == "ConnectionRefusedError; look at EMAIL_URL"


def test_nobody_who_gets_the_mails(sandbox: Sandbox, settings: Settings) -> None:
    settings.MAINTENANCE_EMAILS = []
    assert "MAINTENANCE_EMAILS is empty" in bad("mail")


def test_a_broker_that_is_gone(sandbox: Sandbox, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "redis://:hunter2@127.0.0.1:9/0"
    assert bad("broker").endswith("look at CELERY_BROKER_URL")


def test_a_database_that_does_not_answer(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise DatabaseError("password=hunter2")

    monkeypatch.setattr(diagnosis, "MigrationExecutor", fail)
    text = bad("database")
    assert text == "does not answer (DatabaseError); look at DATABASE_URL"
    assert "beat" not in doctor()[1]


def test_a_database_that_is_behind(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = [("one", False), ("two", False)]
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *args: plan)
    assert bad("database") == "2 migrations missing; run manage.py migrate"


def test_connections_that_need_somebody_are_named(sandbox: Sandbox) -> None:
    make_connection(status="needs_reconnect")
    make_connection(vehicles_listed_at=None)

    text = bad("connections")

    assert "1 need their driver" in text
    assert "1 have no cars listed yet: run poll" in text


def test_credentials_that_are_good_again_end_a_pause(sandbox: Sandbox) -> None:
    now = clock.now()
    for name in ("smartcar", "fleetio"):
        gates.pause(name, until=now + timedelta(hours=1), reason="HTTP 401", now=now)

    code, found, _last = doctor()

    assert code == 0
    assert found["Smartcar"].endswith("calls were paused and go on now")
    assert found["Fleetio"].endswith("calls were paused and go on now")
    assert not gates.is_paused("fleetio", now=now)


def test_fleetios_webhook_says_why_nothing_comes(sandbox: Sandbox, settings: Settings) -> None:
    settings.FLEETIO_WEBHOOK_KEYS = []
    make_token()
    assert "FLEETIO_WEBHOOK_KEY" in doctor()[1]["Fleetio's webhook"]
    settings.FLEETIO_WEBHOOK_KEYS = ["a-key"]
    assert doctor()[1]["Fleetio's webhook"].endswith("/webhooks/fleetio/")
    now = clock.now()
    fleetio_inbox.receive(b"{}", signature="0" * 64, keys=["a-key"], now=now)
    assert "its signature does not match" in bad("Fleetio's webhook")
    body = b'{"id":1,"event":"issue_updated","payload":{"id":1}}'
    later = now + timedelta(seconds=1)
    assert (
        fleetio_inbox.receive(body, signature=sign("a-key", body), keys=["a-key"], now=later) == 200
    )
    assert doctor()[1]["Fleetio's webhook"].startswith("ok  last heard of ")
