"""What machines ask: can this process serve, and does the whole portal work?"""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django import Settings

from fleetportal import clock, health
from integrations.models import Heartbeat
from tests.factories import NOW, make_connection, make_outbox_entry, make_vehicle

LATE = NOW - timedelta(minutes=16)


def ready(client: Client) -> tuple[int, dict[str, str]]:
    answer = client.get("/readyz")
    return answer.status_code, answer.json()


@pytest.fixture
def well(db: None) -> Heartbeat:
    """A portal where everything runs."""
    clock.set_source(lambda: NOW)
    return Heartbeat.objects.create(name="beat", at=NOW - timedelta(seconds=15))


def test_healthz_asks_nobody_else(client: Client) -> None:
    answer = client.get("/healthz")  # no database: pytest would refuse it
    assert (answer.status_code, answer.content) == (200, b"ok")
    assert "no-store" in answer["Cache-Control"]
    assert client.post("/healthz").status_code == 405


def test_a_machine_that_asks_beside_the_proxy_is_not_sent_to_it(
    client: Client, well: Heartbeat, settings: Settings
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert ready(client)[0] == 200
    assert client.get("/admin/login/").status_code == 301


def test_a_portal_that_is_well_is_ready(client: Client, well: Heartbeat) -> None:
    assert ready(client) == (
        200,
        {"database": "ok", "broker": "ok", "beat": "ok", "outbox": "ok", "polls": "ok"},
    )
    assert client.post("/readyz").status_code == 405


def test_without_beat_it_is_not_ready(client: Client, well: Heartbeat) -> None:
    well.at = NOW - timedelta(minutes=3)
    well.save()
    status, checks = ready(client)
    assert (status, checks["beat"]) == (503, "last ran 180 s ago")

    well.delete()
    status, checks = ready(client)
    assert (status, checks["beat"]) == (503, "never ran: start a worker and beat")


@pytest.mark.parametrize(
    ("columns", "is_late"),
    [
        ({"next_attempt_at": LATE}, True),
        ({"next_attempt_at": LATE, "state": "unknown"}, True),
        ({"next_attempt_at": LATE, "state": "sending", "lease_until": LATE}, True),
        ({"next_attempt_at": LATE, "lane": "fleetio"}, True),
        ({"next_attempt_at": NOW - timedelta(minutes=14)}, False),
        ({"next_attempt_at": LATE, "state": "done"}, False),
        ({"next_attempt_at": LATE, "state": "dead"}, False),
        ({"next_attempt_at": LATE, "state": "sending", "lease_until": NOW}, False),
    ],
)
def test_late_messages_make_it_unready(
    client: Client, well: Heartbeat, columns: dict[str, Any], *, is_late: bool
) -> None:
    make_outbox_entry(**columns)
    status, checks = ready(client)
    expected = (503, "1 messages are late") if is_late else (200, "ok")
    assert (status, checks["outbox"]) == expected


def test_without_a_fleetio_account_its_messages_are_not_late(
    client: Client, well: Heartbeat, settings: Settings
) -> None:
    settings.FLEETIO_API_TOKEN = ""
    make_outbox_entry(next_attempt_at=LATE, lane="fleetio")
    assert ready(client)[0] == 200

    make_outbox_entry(next_attempt_at=LATE)
    assert ready(client)[0] == 503


def test_late_polls_make_it_unready(client: Client, well: Heartbeat) -> None:
    make_vehicle(next_poll_at=NOW - timedelta(minutes=14))
    make_vehicle(next_poll_at=LATE, connection=make_connection(status="revoked"))
    make_vehicle(next_poll_at=LATE, not_before=NOW)
    assert ready(client)[1]["polls"] == "ok"

    make_vehicle(next_poll_at=LATE)
    status, checks = ready(client)
    assert (status, checks["polls"]) == (503, "1 vehicles are late")


def test_a_database_that_does_not_answer_is_told_without_details(
    client: Client, well: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def cursor(self) -> None:
            raise DatabaseError("password=hunter2")

    monkeypatch.setattr(health, "connection", Gone())
    status, checks = ready(client)
    assert (status, checks) == (503, {"database": "does not answer", "broker": "ok"})


def test_a_database_without_tables_is_not_ready(
    client: Client, well: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise DatabaseError("no such table")

    monkeypatch.setattr(health, "_beat", fail)
    status, checks = ready(client)
    assert (status, checks["database"]) == (503, "cannot be read: run manage.py migrate")


@pytest.mark.parametrize("url", ["redis://:hunter2@127.0.0.1:9/0", "amqp://me:hunter2@127.0.0.1:9"])
def test_a_broker_that_is_gone_is_told_without_its_password(
    client: Client,
    well: Heartbeat,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    url: str,
) -> None:
    settings.CELERY_BROKER_URL = url
    status, checks = ready(client)
    assert (status, checks["broker"]) == (503, "does not answer")
    assert "hunter2" not in caplog.text + str(checks)
