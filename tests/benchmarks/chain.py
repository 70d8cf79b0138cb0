"""What the whole chain costs: CPU beside the bare calls, and speed beside the latency's ideal.

    python -m tests.benchmarks.chain [--vehicles N] [--only sqlite|postgres]

The providers, the portal and its worker are processes of their own. The yardstick is a bare loop
of the same calls through the same pooled client, their readings thrown away. The chain is what the
worker's task does: claim the car, read it, store readings, decide by ten rules, write alerts and
what is to be sent. The rounds alternate and the median counts, so trust the ratios: milliseconds
are those of this machine and moment.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests import servers
from tests.processes import ROOT, environment, started

MOST_RATIO = 4.0
LEAST_OF_IDEAL = 0.85
MOST_MEMORY_MB = 150
MOST_DRIVERS = 4
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
PATIENCE = 80  # seconds for one database


class FailedError(Exception):
    """What a process printed that did not do its part."""


console = Console(width=96, highlight=False)


@contextmanager
def providers(vehicles: int) -> Iterator[dict[str, str]]:
    """Stand-ins for as many cars; gives the settings that point a portal at them."""
    drivers = min(MOST_DRIVERS, vehicles)  # a driver without a car cannot connect
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.providers", str(vehicles), str(drivers)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def measure(database: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one database."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-portal-bench-"))
        )
        settings = stack.enter_context(providers(options.vehicles))
        settings |= {
            "SMARTCAR_BUCKET_SIZE": "1000000",
            "SMARTCAR_CALLS_PER_VEHICLE_MONTH": "1000000",
        }
        if database == "postgres":
            server = stack.enter_context(servers.postgres())
            settings["DATABASE_URL"] = stack.enter_context(servers.empty_database(server))
        if not servers.missing("redis"):
            settings["CELERY_BROKER_URL"] = stack.enter_context(servers.redis()).url
        env = environment(folder, **settings) | {"DJANGO_SETTINGS_MODULE": "fleetportal.settings"}
        command = ["-m", "tests.benchmarks.portal"]
        for name in ("rounds", "seconds", "latency", "threads"):
            command += [f"--{name}", str(getattr(options, name))]
        log = folder / "log"
        with started(env, log, *command) as portal:
            code = portal.process.wait(PATIENCE)
        if code != 0:
            raise FailedError(portal.output)
        figures: dict[str, Any] = json.loads(portal.output.splitlines()[-1])
        return figures


def show_cpu(found: dict[str, dict[str, Any]]) -> None:
    table = Table(title="CPU of the portal for one vehicle", title_justify="left")
    table.add_column("Database")
    for title in ("Bare call", "Whole chain", "Ratio", "At most", "Reached"):
        table.add_column(title, justify="right")
    for database, figures in found.items():
        ratio = figures["chain_ms"] / figures["bare_ms"]
        table.add_row(
            NAMES[database],
            f"{figures['bare_ms']:.2f} ms",
            f"{figures['chain_ms']:.2f} ms",
            f"{ratio:.1f}",
            f"{MOST_RATIO:.1f}",
            _yes(ratio <= MOST_RATIO),
        )
    console.print(table)


def show_latency(found: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    title = f"A worker of {options.threads} threads, answers {options.latency * 1000:.0f} ms late"
    table = Table(title=title, title_justify="left")
    table.add_column("Database")
    for title in ("Vehicles/s", "Ideal", "Share", "At least", "Memory", "At most", "Reached"):
        table.add_column(title, justify="right")
    for database, figures in found.items():
        share, memory = figures["rate"] / figures["ideal"], figures["memory_mb"]
        table.add_row(
            NAMES[database],
            f"{figures['rate']:.1f}",
            f"{figures['ideal']:.1f}",
            f"{share:.0%}",
            f"{LEAST_OF_IDEAL:.0%}",
            "unknown" if memory is None else f"{memory:.0f} MB",
            f"{MOST_MEMORY_MB} MB",
            _yes(share >= LEAST_OF_IDEAL and (memory or 0) <= MOST_MEMORY_MB),
        )
    console.print(table)


def _yes(reached: bool) -> str:
    return "yes" if reached else "NO"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.chain")
    parser.add_argument("--vehicles", type=int, default=200)
    parser.add_argument("--only", choices=list(NAMES), help="one database")
    parser.add_argument("--rounds", type=int, default=9, help="of both, by turns")
    parser.add_argument("--seconds", type=float, default=8, help="of the worker's speed")
    parser.add_argument("--latency", type=float, default=0.3, help="of the providers, in seconds")
    parser.add_argument("--threads", type=int, default=32)
    options = parser.parse_args(argv)
    if options.vehicles < 1:
        parser.error("--vehicles must be at least 1")
    # Without this, TERM would end us before what we started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if reason := servers.missing("redis"):
        console.print(f"{reason}: the worker's threads run without Celery")
    found = {}
    for database in [options.only] if options.only else NAMES:
        if database == "postgres" and (reason := servers.missing("postgres")):
            console.print(f"{reason}: left out")
            continue
        try:
            found[database] = measure(database, options)
        except (FailedError, subprocess.TimeoutExpired) as exc:
            console.print(f"{NAMES[database]}: {exc}", markup=False)
            return 1
    for figures in found.values():
        text = "{vehicles} vehicles, {rules} rules, {readings:.1f} new readings each time"
        console.print(f"{text}, {{alerts}} alerts opened".format(**figures))
        break
    show_cpu(found)
    show_latency(found, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
