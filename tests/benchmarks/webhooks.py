"""How many webhook deliveries a second the endpoint takes, beside a bare view, and how long each.

    python -m tests.benchmarks.webhooks [--seconds S] [--rounds N] [--clients N]

Both are served by gunicorn on one throwaway PostgreSQL and take turns, so that a noisy machine is
noisy for both; the best round of each counts. The bare view (`bare_webhook`) is a Django with no
middleware that verifies the signature and commits one insert. Trust the ratio: the rest is of this
machine and moment. Every delivery is a new genuine event of about 4 KB.
"""

import argparse
import http.client
import json
import secrets
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from integrations.clients.smartcar_webhooks import sign
from tests import servers
from tests.processes import environment, manage, started

LEAST_SHARE = 0.7
TOKEN = "a-management-token-of-the-benchmark"
WORKERS, THREADS = "2", "4"
PATH = "/webhooks/smartcar/"

console = Console(width=96, highlight=False)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to: deliveries a second, and the 99th percentile in milliseconds."""

    rate: float
    p99: float


class FailedError(Exception):
    """The endpoint did not take what it was sent."""


def event(number: int) -> bytes:
    """A genuine state of one car, with as many signals as real ones have."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    times = {"oemUpdatedAt": now, "retrievedAt": now}
    signals = [
        {
            "code": f"diagnostics-system{n}",
            "name": f"System{n}",
            "group": "Diagnostics",
            "body": {"status": "OK", "description": None},
            "meta": times,
            "status": {"value": "SUCCESS"},
        }
        for n in range(20)
    ]
    message: dict[str, Any] = {
        "eventId": f"{secrets.token_hex(12)}-{number}",
        "eventType": "VEHICLE_STATE",
        "data": {"user": {"id": "u"}, "vehicle": {"id": f"car-{number % 500}"}, "signals": signals},
        "triggers": [],
        "meta": {"version": "4.0", "deliveredAt": now, "mode": "LIVE"},
    }
    return json.dumps(message, separators=(",", ":")).encode()


class Client(threading.Thread):
    """Sends one delivery after the other over one kept connection."""

    def __init__(self, port: int, until: float) -> None:
        super().__init__(daemon=True)
        self._port, self._until = port, until
        self.times: list[float] = []
        self.refused = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.monotonic() < self._until:
            body = event(len(self.times))
            headers = {"SC-Signature": sign(TOKEN, body), "Content-Type": "application/json"}
            begun = time.perf_counter()
            connection.request("POST", PATH, body, headers)
            answer = connection.getresponse()
            answer.read()
            self.times.append(time.perf_counter() - begun)
            self.refused += answer.status != 200
        connection.close()


def measure(port: int, *, clients: int, seconds: float) -> Round:
    """Let all clients send for so long."""
    begun = time.monotonic()
    threads = [Client(port, begun + seconds) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 60)
    took = time.monotonic() - begun
    times = [one for thread in threads for one in thread.times]
    if not times or any(thread.refused for thread in threads):
        raise FailedError("deliveries were refused")
    return Round(len(times) / took, statistics.quantiles(times, n=100)[98] * 1000)


@contextmanager
def gunicorn(env: dict[str, str], folder: Path, application: str) -> Iterator[int]:
    """Serve an application on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = ["-m", "gunicorn", application, "--bind", f"127.0.0.1:{port}", "--workers", WORKERS]
    command += ["--threads", THREADS, "--log-level", "warning"]
    log = folder / application.partition(":")[0]
    with started(env, log, *command) as running:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            raise FailedError(running.output)
        yield port


def show(bare: list[Round], portal: list[Round], clients: int) -> None:
    title = f"Webhook deliveries under gunicorn ({WORKERS} x {THREADS}), {clients} clients"
    table = Table(title=f"{title}, PostgreSQL", title_justify="left")
    for name in ("", "Deliveries/s", "p99", "Share", "At least", "Reached"):
        table.add_column(name, justify="right")
    best = {name: max(rounds, key=lambda one: one.rate) for name, rounds in
            (("Bare view", bare), ("Portal", portal))}  # fmt: skip
    share = best["Portal"].rate / best["Bare view"].rate
    for name, one in best.items():
        judged = ("", "", "")
        if name == "Portal":
            judged = (f"{share:.0%}", f"{LEAST_SHARE:.0%}", "yes" if share >= LEAST_SHARE else "NO")
        table.add_row(name, f"{one.rate:.0f}", f"{one.p99:.0f} ms", *judged)
    console.print(table)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.webhooks")
    parser.add_argument("--seconds", type=float, default=4, help="of each round")
    parser.add_argument("--rounds", type=int, default=4, help="of each, by turns")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args(argv)
    # Without this, TERM would end us before what we started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if reason := servers.missing("postgres"):
        console.print(f"{reason}: webhooks left out")
        return 0
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(prefix="fleet-portal-bench-")))
        url = enter(servers.empty_database(enter(servers.postgres())))
        env = environment(folder, DATABASE_URL=url, SMARTCAR_MANAGEMENT_TOKEN=TOKEN)
        env["SITE_URL"] = "http://localhost:8000"
        migrated = manage(env, "migrate", "--verbosity", "0")
        if migrated.returncode:
            console.print(migrated.stderr, markup=False)
            return 1
        ports = {
            "bare": enter(gunicorn(env, folder, "tests.benchmarks.bare_webhook:application")),
            "portal": enter(gunicorn(env, folder, "fleetportal.wsgi:application")),
        }
        found: dict[str, list[Round]] = {"bare": [], "portal": []}
        try:
            for _ in range(options.rounds):
                for name, port in ports.items():
                    how = {"clients": options.clients, "seconds": options.seconds}
                    found[name].append(measure(port, **how))
        except FailedError as exc:
            console.print(str(exc), markup=False)
            return 1
    show(found["bare"], found["portal"], options.clients)
    return 0


if __name__ == "__main__":
    sys.exit(main())
