"""The application's bucket is one for all workers: real processes against one database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.sandbox import Sandbox
from tests import processes

SIZE = 6
# A worker that asks without end, until it is killed. What it asks does not matter.
WORKER = """
import pathlib
import time
import django

django.setup()

from integrations import conf
from integrations.clients.errors import ClientError

print("ready", flush=True)
while not pathlib.Path("{go}").exists():
    time.sleep(0.01)
while True:
    try:
        conf.get_smartcar_client().get_user_id("no-token")
    except ClientError as exc:
        print("refused:" if exc.retry_after else "asked:", exc, flush=True)
    time.sleep(0.1)
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(vehicles=1, drivers=1) as running:
        yield running


def assert_shared_and_kept(sandbox: Sandbox, folder: Path, **values: str) -> None:
    """Two workers at once, both killed, and a third one: together they get one bucket."""
    env = processes.environment(
        folder,
        **sandbox.environment(),
        DJANGO_SETTINGS_MODULE="fleetportal.settings",
        SMARTCAR_BUCKET_SIZE=str(SIZE),
        SMARTCAR_BUCKET_REFILL_PER_MINUTE="0.01",
        **values,
    )
    made = processes.manage(env, "migrate")
    assert made.returncode == 0, made.stderr
    go = folder / "go"
    worker = ("-c", WORKER.format(go=go))
    with (
        processes.started(env, folder / "first.log", *worker) as first,
        processes.started(env, folder / "second.log", *worker) as second,
    ):
        processes.wait_until(lambda: "ready" in first.output and "ready" in second.output)
        go.touch()
        processes.wait_until(lambda: "refused:" in first.output and "refused:" in second.output)
        assert "asked:" in first.output
        assert "asked:" in second.output
        assert len(sandbox.smartcar.requests) == SIZE
        first.kill()
        second.kill()
    with processes.started(env, folder / "third.log", *worker) as third:
        processes.wait_until(lambda: third.output.count("refused:") >= 3)
        assert "our own rate limit is reached" in third.output
        assert "asked:" not in third.output
    assert len(sandbox.smartcar.requests) == SIZE


def test_the_bucket_is_shared_by_processes_and_survives_them(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    assert_shared_and_kept(sandbox, tmp_path)


def test_the_bucket_is_shared_by_processes_and_survives_them_on_postgres(
    sandbox: Sandbox, tmp_path: Path, postgres_url: str
) -> None:
    assert_shared_and_kept(sandbox, tmp_path, DATABASE_URL=postgres_url)
