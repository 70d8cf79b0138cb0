"""The portal's side of the benchmark, one process for one database; prints figures as JSON.

    python -m tests.benchmarks.portal --rounds N --seconds S --latency S --threads N

`chain` starts it with the environment of a portal and providers that are running already.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
import requests

django.setup()

from django.conf import settings  # noqa: E402  models can be imported only now
from django.core.management import call_command  # noqa: E402

from fleetportal import clock  # noqa: E402
from integrations import conf, tasks  # noqa: E402
from integrations.clients.readings import ODOMETER  # noqa: E402
from integrations.clients.smartcar_v2 import SmartcarV2  # noqa: E402
from integrations.models import Reading, Signal, Vehicle  # noqa: E402
from integrations.services import connect_links, connections  # noqa: E402
from maintenance.models import Alert, Rule, ServiceRecord  # noqa: E402
from maintenance.services import wanted  # noqa: E402

SETTLING = 2.0  # seconds before the worker's rate counts

# With the five that every installation starts with there are ten, and each car has all of them.
MORE_RULES: tuple[dict[str, Any], ...] = (
    {"kind": "service_interval", "topic": "air-filter", "distance_km": 24_000},
    {"kind": "service_interval", "topic": "inspection", "days": 365},
)
TOPICS = ("engine-oil", "tire-rotation", "air-filter", "inspection")


class FailedError(Exception):
    """The chain did not do what is to be measured."""


def tell(word: str, **what: Any) -> Any:
    """Ask something of the stand-in providers."""
    url = f"{settings.SMARTCAR_API_ORIGIN}/benchmark/{word}"
    answer = requests.post(url, json=what, timeout=30)
    answer.raise_for_status()
    return answer.json()


# --- A portal with ten rules and connected cars that were read before ---------------------------


def set_up() -> None:
    call_command("migrate", verbosity=0)
    for columns in MORE_RULES:
        Rule.objects.create(name=columns["topic"], **columns)
    for email in tell("drivers"):
        _connect(email)
    for _ in range(2):  # what a car is; then what it cannot give is known too
        tell("drive")
        poll_all()
    _record_services()
    wanted.rules_changed(now=clock.now())


def _connect(email: str) -> None:
    client = conf.get_smartcar_client()
    driver = connect_links.invite(email=email, name=email, now=clock.now())
    link = connect_links.create(driver, now=clock.now())
    back = tell(
        "approve", url=connections.connect_url(link, state="s", client=client), driver=email
    )
    code = back.partition("code=")[2].partition("&")[0]
    connections.finish(link, code=code, client=client, mode="simulated", now=clock.now())


def _record_services() -> None:
    """The fleet's memory; some cars come due while they are measured."""
    now = clock.now()
    odometers = Reading.objects.filter(code=ODOMETER).values_list("vehicle", "value")
    ServiceRecord.objects.bulk_create(
        ServiceRecord(
            vehicle_id=vehicle_id,
            topic=topic,
            odometer_km=max((km or 0) - 37 * place % 7_200, 1),
            done_on=(now - timedelta(days=30 + place)).date(),
            created_at=now,
        )
        for place, (vehicle_id, km) in enumerate(dict(odometers).items())
        for topic in TOPICS
    )


# --- CPU: the whole chain beside the bare calls -------------------------------------------------


def poll_all() -> None:
    """What a worker does for every car."""
    for vehicle_id in _all_due():
        tasks.poll_vehicle(vehicle_id)


def _all_due() -> list[int]:
    Vehicle.objects.update(next_poll_at=clock.now())
    return list(Vehicle.objects.values_list("pk", flat=True))


class BareCalls:
    """The same calls as the portal's polls make, by the same pooled client, and nothing else."""

    def __init__(self) -> None:
        # A client of its own has no gate, so it asks no database.
        self._client = SmartcarV2(conf.smartcar_config())
        asked: dict[int, list[str]] = {}
        known = Signal.objects.filter(is_wanted=True, recheck_at__isnull=True)
        for vehicle_id, code in known.values_list("vehicle", "code"):
            asked.setdefault(vehicle_id, []).append(code)
        cars = Vehicle.objects.select_related("connection__token").filter(pk__in=asked)
        self._calls = [
            {
                "smartcar_id": car.smartcar_id,
                "access_token": car.connection.token.access_token,
                "codes": asked[car.pk],
            }
            for car in cars
            if car.connection
        ]

    def __call__(self) -> None:
        for call in self._calls:
            self._client.read(**call)


def cpu(work: Callable[[], None]) -> float:
    """Seconds of CPU that this process spends on it, in all of its threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def measure_cpu(rounds: int) -> dict[str, Any]:
    """Milliseconds of CPU per vehicle, by turns so that a noisy machine is noisy for both."""
    vehicles, bare_calls = Vehicle.objects.count(), BareCalls()
    bare, chain = [], []
    bare_calls()
    readings, alerts = Reading.objects.count(), Alert.objects.announced().count()
    for _ in range(rounds):
        tell("drive")
        bare.append(cpu(bare_calls))
        chain.append(cpu(poll_all))
    _check(vehicles * rounds, since=readings)
    return {
        "vehicles": vehicles,
        "rules": Rule.objects.enabled().count(),
        "readings": (Reading.objects.count() - readings) / vehicles / rounds,
        "alerts": Alert.objects.exclude(opened_at=None).count() - alerts,
        "bare_ms": statistics.median(bare) / vehicles * 1000,
        "chain_ms": statistics.median(chain) / vehicles * 1000,
    }


def _check(polls: int, *, since: int) -> None:
    """Every poll must have brought new readings: a poll that fails is fast."""
    troubled = Vehicle.objects.exclude(last_error="", evaluation_error="").first()
    if troubled is not None:
        raise FailedError(troubled.last_error or troubled.evaluation_error)
    stored = Reading.objects.count() - since
    if stored < polls:  # an electric car tells its odometer alone
        raise FailedError(f"{polls} polls stored {stored} readings")


# --- Latency: a worker with many threads --------------------------------------------------------


@contextmanager
def worker(threads: int) -> Iterator[tuple[Callable[[int], object], int]]:
    """How to let a car be polled by the worker's threads, and the worker's process id."""
    if settings.CELERY_BROKER_URL.startswith("memory:"):
        with ThreadPoolExecutor(threads) as executor:
            yield lambda vehicle_id: executor.submit(tasks.poll_vehicle, vehicle_id), os.getpid()
        return
    command = ["-m", "celery", "-A", "fleetportal", "worker", "--pool", "threads"]
    command += ["--concurrency", str(threads), "--loglevel", "WARNING"]
    # In this process's own group: whoever ends us ends it too.
    process = subprocess.Popen([sys.executable, *command])
    try:
        yield tasks.poll_vehicle.delay, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def measure_latency(seconds: float, latency: float, threads: int) -> dict[str, Any]:
    """Vehicles a second when every answer is late, and the most memory the worker had."""
    tell("slow", seconds=latency)
    readings = Reading.objects.count()
    with worker(threads) as (poll, pid):
        for vehicle_id in _all_due():
            poll(vehicle_id)
        _go_on(poll, until=_first_poll() + SETTLING)
        begun = time.monotonic()
        polled = _go_on(poll, until=begun + seconds)
        rate = polled / (time.monotonic() - begun)
        memory = _peak_memory(pid)
    _check(polled, since=readings)
    return {"rate": rate, "ideal": threads / latency, "memory_mb": memory}


def _first_poll() -> float:
    """Wait until the worker works."""
    deadline = time.monotonic() + 30
    while not Vehicle.objects.filter(next_poll_at__gt=clock.now()).exists():
        if time.monotonic() > deadline:
            raise FailedError("the worker does not work")
        time.sleep(0.05)
    return time.monotonic()


def _go_on(poll: Callable[[int], object], *, until: float) -> int:
    """Let every car that was read be due again at once; returns how many were read."""
    polled, drives_at = 0, 0.0
    while time.monotonic() < until:
        if time.monotonic() > drives_at:
            tell("drive")
            drives_at = time.monotonic() + 1
        read = Vehicle.objects.filter(next_poll_at__gt=clock.now())
        ids = list(read.values_list("pk", flat=True))
        Vehicle.objects.filter(pk__in=ids).update(next_poll_at=clock.now())
        for vehicle_id in ids:
            poll(vehicle_id)
        polled += len(ids)
        time.sleep(0.1)
    return polled


def _peak_memory(pid: int) -> float | None:
    """In MB; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.portal")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--latency", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    set_up()
    figures = measure_cpu(options.rounds)
    figures |= measure_latency(options.seconds, options.latency, options.threads)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
