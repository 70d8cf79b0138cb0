"""A storm of webhooks on a real portal, beside the same events once and in order.

    python -m tests.faults.webhook_storm [--events N] [--cars N] [--kills PER_SECOND] [--seed N]

Two databases get the same genuine events. One gets each once, in the order of the cars' clocks.
The other gets each up to four times, shuffled, from eight clients through gunicorn, while workers
that work the inbox off are ended with SIGKILL. In the end both must hold the same signals and the
same unresolved alerts. On a throwaway PostgreSQL; loopback only; ends by itself.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests

from integrations.clients.smartcar_webhooks import sign
from tests import servers
from tests.processes import Running, environment, free_port, manage, started, wait_until

TOKEN = "a-management-token-of-the-storm"
PATH = "/webhooks/smartcar/"
CLIENTS, WORKERS = 8, 3
OIL, ODOMETER = "internalcombustionengine-oillife", "odometer-traveleddistance"
CODES = ("P0301", "P0420", "P0171")
PATIENCE = 240  # seconds until all is worked off

SIGNALS = """SELECT car.smartcar_id, s.code, s.value, s.data::text, s.recorded_at
    FROM integrations_signal s JOIN integrations_vehicle car ON car.id = s.vehicle_id
    WHERE s.recorded_at IS NOT NULL ORDER BY 1, 2"""
ALERTS = """SELECT car.smartcar_id, a.topic, a.subject, a.status, a.stage
    FROM maintenance_alert a JOIN integrations_vehicle car ON car.id = a.vehicle_id
    WHERE a.status <> 'resolved' ORDER BY 1, 2, 3"""
TWINS = """SELECT vehicle_id, topic, subject FROM maintenance_alert WHERE status <> 'resolved'
    GROUP BY 1, 2, 3 HAVING count(*) > 1"""
FLEET = """
from datetime import datetime, UTC
from integrations.models import Connection, Driver, Vehicle, VehicleAccess
now = datetime.now(UTC)
driver = Driver.objects.create(email="d@example.com", name="D", created_at=now)
connection = Connection.objects.create(
    driver=driver, smartcar_user_id="user", status_changed_at=now, connected_at=now,
    vehicles_listed_at=now, listed_through="v3")
for n in range({cars}):
    car = Vehicle.objects.create(
        connection=connection, smartcar_id=f"car-{{n}}", vin=f"1FTBW2CM0KK{{n:06d}}",
        make="FORD", model="Transit", year=2021, created_at=now, identified_at=now)
    VehicleAccess.objects.create(
        vehicle=car, connection=connection, smartcar_id=f"car-{{n}}", connected_at=now)
"""
WORKER = """
import time, django
django.setup()
from fleetportal import clock
from integrations.services import webhooks
while True:
    if not webhooks.process_due(now=clock.now(), limit=50).processed:
        time.sleep(0.2)
"""


# --- What the cars say ---------------------------------------------------------------------------


def make_events(count: int, cars: int, seed: int) -> list[dict[str, Any]]:
    """In the order of the cars' clocks, over the last two days: holds and hysteresis matter."""
    chance = random.Random(seed)  # noqa: S311  a story, not a secret
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=47)
    step = timedelta(hours=46) / max(count, 1)
    state = [_Car(chance) for _ in range(cars)]
    events = []
    for number in range(count):
        car = number % cars
        state[car].drive()
        events.append(_event(f"car-{car}", state[car].signals(), began + step * number, chance))
    return events


class _Car:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.km = chance.uniform(20_000, 90_000)
        self.oil = chance.uniform(15, 50)
        self.codes: set[str] = set()
        self.systems = {"mil": "OK", "abs": "OK"}

    def drive(self) -> None:
        chance = self._chance
        self.km += chance.uniform(0, 40)
        self.oil = min(100.0, max(1.0, self.oil + chance.choice((-6, -3, -1, 0, 2, 35))))
        if chance.random() < 0.3:
            self.codes ^= {chance.choice(CODES)}
        if chance.random() < 0.3:
            name = chance.choice(list(self.systems))
            self.systems[name] = "OK" if self.systems[name] == "ALERT" else "ALERT"

    def signals(self) -> dict[str, Any]:
        values = [{"code": code, "timestamp": None} for code in sorted(self.codes)]
        systems = {
            f"diagnostics-{name}": {"status": status, "description": None}
            for name, status in self.systems.items()
        }
        return {
            ODOMETER: {"value": round(self.km, 1), "unit": "km"},
            OIL: {"value": round(self.oil), "unit": "percent"},
            "diagnostics-dtclist": {"values": values},
            **systems,
        }


def _event(
    car: str, signals: dict[str, Any], at: datetime, chance: random.Random
) -> dict[str, Any]:
    millis = int(at.timestamp() * 1000)
    times = {"oemUpdatedAt": millis, "retrievedAt": millis + 4000}
    said = [
        {"code": code, "body": body, "meta": times, "status": {"value": "SUCCESS"}}
        for code, body in signals.items()
        if chance.random() < 0.9
    ]
    return {
        "eventId": str(uuid.UUID(int=chance.getrandbits(128))),
        "eventType": "VEHICLE_STATE",
        "data": {"user": {"id": "user"}, "vehicle": {"id": car}, "signals": said},
        "triggers": [],
        "meta": {"version": "4.0", "deliveredAt": millis + 5000, "mode": "LIVE"},
    }


# --- How they are delivered ----------------------------------------------------------------------


def post(port: int, messages: Sequence[dict[str, Any]]) -> None:
    """One after the other over one connection; what was not taken is sent again."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for message in messages:
        body = json.dumps(message, separators=(",", ":")).encode()
        for _attempt in range(4):
            if _post(connection, body):
                break
        else:
            raise AssertionError("a genuine event was not taken")
    connection.close()


def _post(connection: http.client.HTTPConnection, body: bytes) -> bool:
    headers = {"SC-Signature": sign(TOKEN, body), "Content-Type": "application/json"}
    try:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):  # gunicorn closes connections now and then
        connection.close()
        return False
    return answer.status == 200


def storm(port: int, events: list[dict[str, Any]], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  a story, not a secret
    sent = [one for one in events for _ in range(chance.randint(1, 4))]
    chance.shuffle(sent)
    clients = [threading.Thread(target=post, args=(port, sent[n::CLIENTS])) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(PATIENCE)


@contextmanager
def site(env: dict[str, str], folder: Path) -> Iterator[int]:
    port = free_port()
    command = ["-m", "gunicorn", "fleetportal.wsgi", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", "2", "--threads", "4", "--log-level", "warning"]
    with started(env, folder / "site.log", *command):
        wait_until(lambda: _answers(port), why="the site")
        yield port


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://localhost:{port}/healthz", timeout=2).ok
    except requests.RequestException:  # not there yet, or slow on a busy machine
        return False


class Workers:
    """Processes that work the inbox off; each that is killed is followed by another one."""

    def __init__(self, env: dict[str, str], folder: Path, stack: ExitStack) -> None:
        self._env, self._folder, self._stack = env, folder, stack
        self.killed = 0
        self._running = [self._start() for _ in range(WORKERS)]

    def _start(self) -> Running:
        log = self._folder / "workers.log"
        return self._stack.enter_context(started(self._env, log, "-c", WORKER))

    def kill_one(self, chance: random.Random) -> None:
        place = chance.randrange(len(self._running))
        if self._running[place].process.poll() is None:
            self._running[place].kill()
            self.killed += 1
        self._running[place] = self._start()


# --- The two runs --------------------------------------------------------------------------------


def look(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def prepare(url: str, folder: Path, cars: int) -> dict[str, str]:
    env = environment(folder, DATABASE_URL=url, SMARTCAR_MANAGEMENT_TOKEN=TOKEN)
    env |= {"SITE_URL": "http://localhost:8000", "DJANGO_SETTINGS_MODULE": "fleetportal.settings"}
    for command in (("migrate", "--verbosity", "0"), ("shell", "-c", FLEET.format(cars=cars))):
        done = manage(env, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    return env


def run_in_order(env: dict[str, str], folder: Path, events: list[dict[str, Any]]) -> None:
    with site(env, folder) as port:
        post(port, events)
    done = manage(env, "process_webhooks")
    assert done.returncode == 0, done.stdout + done.stderr


def run_storm(
    env: dict[str, str], folder: Path, events: list[dict[str, Any]], *, seed: int, kills: float
) -> int:
    """Returns how many workers were killed."""
    chance, url = random.Random(seed), env["DATABASE_URL"]  # noqa: S311
    waiting = "SELECT count(*) FROM integrations_webhookevent WHERE state = 'received'"
    with ExitStack() as stack:
        port = stack.enter_context(site(env, folder))
        workers = Workers(env, folder, stack)
        sender = threading.Thread(target=storm, args=(port, events, seed))
        sender.start()
        deadline, next_kill = time.monotonic() + PATIENCE, time.monotonic() + 3
        while sender.is_alive() or look(url, waiting)[0][0]:
            assert time.monotonic() < deadline, "not worked off in time"
            if kills and time.monotonic() > next_kill:
                workers.kill_one(chance)
                next_kill = time.monotonic() + 1 / kills
            time.sleep(0.05)
        return workers.killed


def compare(ordered: str, stormed: str, count: int) -> list[str]:
    """What is different; nothing, when all is well."""
    found = []
    for name, query in (("signals", SIGNALS), ("alerts", ALERTS)):
        one, other = set(look(ordered, query)), set(look(stormed, query))
        found += [f"{name}, only in order: {row}" for row in sorted(map(str, one - other))]
        found += [f"{name}, only in the storm: {row}" for row in sorted(map(str, other - one))]
    states = dict(look(stormed, "SELECT state, count(*) FROM integrations_webhookevent GROUP BY 1"))
    if states != {"processed": count}:
        found.append(f"events: {states}")
    return found + [f"twins: {row}" for row in look(stormed, TWINS)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.webhook_storm")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--cars", type=int, default=40)
    parser.add_argument("--kills", type=float, default=0.5, help="each second")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    events = make_events(options.events, options.cars, options.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-storm-")))
        server = stack.enter_context(servers.postgres())
        urls = [stack.enter_context(servers.empty_database(server)) for _ in range(2)]
        ordered, stormed = (prepare(url, folder, options.cars) for url in urls)
        run_in_order(ordered, folder, events)
        began = time.monotonic()
        killed = run_storm(stormed, folder, events, seed=options.seed, kills=options.kills)
        took = time.monotonic() - began
        found = compare(urls[0], urls[1], options.events)
        alerts = len(look(urls[0], ALERTS))
    text = f"{options.events} events, {took:.0f} s, {killed} workers killed, {alerts} alerts: "
    sys.stdout.write(
        "\n".join([text + (f"{len(found)} differences" if found else "right"), *found])
    )
    sys.stdout.write("\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
