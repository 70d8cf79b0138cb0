"""The scheduler wakes everything after a stop, and after the broker was away."""

from typing import Any

import pytest
from kombu.exceptions import OperationalError

from fleetportal.beat import Scheduler
from fleetportal.celery import app


class Sending:
    """What reaches the broker, while it is there."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.is_away = False

    def __call__(self, task: Any, *args: Any, **options: Any) -> None:
        if self.is_away:
            raise OperationalError("redis://:password@host/0 is away")
        self.names.append(task.name)


@pytest.fixture
def sending(monkeypatch: pytest.MonkeyPatch) -> Sending:
    sending = Sending()
    app.loader.import_default_modules()
    for name in {entry["task"] for entry in app.conf.beat_schedule.values()}:
        task = app.tasks[name]
        monkeypatch.setattr(task, "apply_async", lambda *a, t=task, **o: sending(t, *a, **o))
    return sending


@pytest.fixture
def everything() -> set[str]:
    return {entry["task"] for entry in app.conf.beat_schedule.values()}


def run_on(scheduler: Scheduler, ticks: int = 60) -> None:
    for _ in range(ticks):
        scheduler.tick()


def test_at_its_start_everything_is_woken_once(sending: Sending, everything: set[str]) -> None:
    run_on(Scheduler(app))

    assert sorted(sending.names) == sorted(everything)


def test_what_could_not_be_sent_is_woken_as_soon_as_the_broker_is_back(
    sending: Sending, everything: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(app)
    sending.is_away = True
    run_on(scheduler)
    assert sending.names == []
    assert "password" not in caplog.text
    assert "could not be sent: OperationalError" in caplog.text
    sending.is_away = False
    for entry in scheduler.schedule.values():  # the shortest interval is over
        if entry.name == "heartbeat":
            entry.last_run_at = app.now().replace(year=2000)
    scheduler._heap = None

    run_on(scheduler)

    assert set(sending.names) == everything
