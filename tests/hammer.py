"""The portal under load while its processes are killed at random; afterwards everything is right.

    python -m tests.hammer --seconds 300

Site (gunicorn), workers and beat run on a throwaway PostgreSQL and Redis against the stand-ins.
Cars drive, codes appear and disappear, tokens run out, Fleetio loses answers; four times a second
a random process of ours is ended with SIGKILL and started again. Then the storm ends, and within
two minutes: no connection is lost, every car with a code has its alert, every alert one issue,
every issue one alert, and Fleetio's odometers are the cars'.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import requests

from integrations.sandbox import FOREVER, Sandbox
from integrations.sandbox.cars import only
from integrations.sandbox.faults import dropped_after, slow
from tests import servers
from tests.processes import ROOT, environment, free_port, manage

CALM = 240  # seconds to come to rest after the storm
UNFINISHED = "state IN ('pending', 'sending', 'unknown')"
SET_UP = """
from fleetportal import clock
from integrations import conf
from integrations.services import connect_links, connections
for email in {emails}:
    driver = connect_links.invite(email=email, name=email.partition("@")[0], now=clock.now())
    link = connect_links.create(driver, now=clock.now())
    print(connections.connect_url(link, state=str(link.pk), client=conf.get_smartcar_client()))
"""
FINISH = """
from fleetportal import clock
from integrations import conf
from integrations.models import ConnectLink
from integrations.services import connections
from maintenance.models import Rule
Rule.objects.filter(kind="trouble_code").update(critical="*")
for pk, code in {codes}:
    connections.finish(ConnectLink.objects.get(pk=pk), code=code, mode="simulated",
                       client=conf.get_smartcar_client(), now=clock.now())
"""


@dataclass
class Program:
    """One of our programs; started again whenever it is found dead."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def is_alive(self) -> bool:
        """Looked at without taking notice of its end: its number must not be given away before
        what is left of its group is ended.
        """
        if self.process is None:
            return False
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, look) is None

    def keep_running(self, env: dict[str, str], log: Path) -> None:
        if self.is_alive:
            return
        self.stop()  # children of a killed parent
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=ROOT,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1

    def stop(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def kill_one(self, dice: random.Random) -> bool:
        """End the program, or one of the processes that it started itself."""
        if self.process is None:
            return False
        pid = dice.choice([self.process.pid, *self._children()])
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def _children(self) -> list[int]:
        pid = self.process.pid if self.process else 0
        with suppress(OSError):
            return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
        return []


@dataclass
class Hammer:
    folder: Path
    database: str
    env: dict[str, str]
    sandbox: Sandbox
    port: int
    dice: random.Random
    programs: list[Program] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    changing: threading.Lock = field(default_factory=threading.Lock)
    is_calm: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def set_up(self) -> None:
        self._manage("migrate", "--verbosity", "0")
        emails = [driver.email for driver in self.sandbox.fleet.drivers]
        urls = self._manage("shell", "-v", "0", "-c", SET_UP.format(emails=emails)).split()
        codes = []
        for url, email in zip(urls, emails, strict=True):
            back = self.sandbox.smartcar.connect.approve(url, driver=email)
            state = back.partition("state=")[2].partition("&")[0]
            codes.append((int(state), back.partition("code=")[2].partition("&")[0]))
        self._manage("shell", "-v", "0", "-c", FINISH.format(codes=codes))
        self._manage("poll", "--all")  # the VINs, so that the cars can be matched
        self._manage("sync_fleetio")
        worker = ["-m", "celery", "-A", "fleetportal", "worker", "--pool", "threads", "-c", "8"]
        site = ["-m", "gunicorn", "fleetportal.wsgi", "--threads", "4", "--workers", "2"]
        self.programs = [
            Program("site", [*site, "--bind", f"127.0.0.1:{self.port}"]),
            Program("worker 1", [*worker, "-n", "one@%h"]),
            Program("worker 2", [*worker, "-n", "two@%h"]),
            Program("beat", ["-m", "celery", "-A", "fleetportal", "beat", "--pidfile="]),
        ]

    def _manage(self, *args: str) -> str:
        done = manage(self.env, *args)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            done = connection.execute(sql.encode())
            return done.fetchall() if done.description else []

    def storm(self, seconds: float, kills_per_second: float) -> None:
        for work in (self._keep_running, self._drive, self._visit):
            threading.Thread(target=work, daemon=True).start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(1 / kills_per_second if kills_per_second else 1)
            if kills_per_second:
                self._kill_one()
        self.is_calm.set()
        self.sandbox.smartcar.faults.clear()
        self.sandbox.fleetio.faults.clear()

    def _kill_one(self) -> None:
        with self.changing:
            running = [program for program in self.programs if program.is_alive]
            if running:
                program = self.dice.choice(running)
                self.kills[program.name] += program.kill_one(self.dice)

    def _keep_running(self) -> None:
        while not self.over.wait(0.1):
            with self.changing:
                for program in [] if self.over.is_set() else self.programs:
                    program.keep_running(self.env, self.folder / "programs.log")

    def _drive(self) -> None:
        """Every second: cars drive and report, codes come and go, tokens run out, cars are due."""
        cars = self.sandbox.fleet.cars
        while not self.over.wait(1):
            for car in cars:
                car.report(datetime.now(UTC), odometer_km=round(car.odometer_km + 0.3, 1))
            self.ask("UPDATE integrations_vehicle SET next_poll_at = now(), not_before = NULL")
            expire = "UPDATE integrations_oauthtoken SET access_expires_at = now()"
            self.ask(f"{expire} WHERE random() < 0.5")
            if self.dice.random() < 0.2 and not self.is_calm.is_set():
                car = self.dice.choice(only(cars, "/diagnostics/dtcs"))
                code = f"P0{self.dice.randrange(300, 330)}"
                if code not in car.trouble_codes:
                    car.trouble_codes.append(code)

    def _visit(self) -> None:
        """Drivers and load balancers keep asking the site."""
        while not self.over.wait(0.05):
            try:
                answer = requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5)
                self.answers[str(answer.status_code)] += 1
            except requests.RequestException:
                self.answers["no answer"] += 1

    def calm_down(self) -> bool:
        """Wait until nothing is left to do; True when that came about in time."""
        ends = time.monotonic() + CALM
        while time.monotonic() < ends:
            time.sleep(2)
            if not self.troubles():
                return True
        return False

    def finish(self) -> None:
        self.over.set()
        with self.changing:
            for program in self.programs:
                program.stop()

    def troubles(self) -> list[str]:
        """What is not right, in words; empty when everything is."""
        checks: list[Callable[[], list[str]]] = [
            self._connections,
            self._alerts,
            self._issues,
            self._odometers,
            self._outbox,
        ]
        return [trouble for check in checks for trouble in check()]

    def _connections(self) -> list[str]:
        rows = self.ask("SELECT id, status, status_reason FROM integrations_connection")
        return [f"connection {pk}: {s} {why}" for pk, s, why in rows if s != "active"]

    def _alerts(self) -> list[str]:
        rows = self.ask(
            "SELECT v.vin, a.subject, count(*) FROM maintenance_alert a"
            " JOIN integrations_vehicle v ON v.id = a.vehicle_id"
            " WHERE a.status = 'open' AND a.kind = 'trouble_code' GROUP BY v.vin, a.subject"
        )
        have = {(vin, subject): count for vin, subject, count in rows}
        want = {(car.vin, code) for car in self.sandbox.fleet.cars for code in car.trouble_codes}
        missing = [f"no alert: {pair}" for pair in want - have.keys()]
        extra = [f"alert without a code: {pair}" for pair in have.keys() - want]
        return missing + extra + [f"twin alert: {pair}" for pair, n in have.items() if n > 1]

    def _issues(self) -> list[str]:
        rows = self.ask(
            "SELECT a.id, i.fleetio_id FROM maintenance_alert a"
            " JOIN integrations_vehicle v ON v.id = a.vehicle_id AND v.fleetio_id IS NOT NULL"
            " LEFT JOIN maintenance_fleetioissue i ON i.alert_id = a.id WHERE a.status = 'open'"
        )
        there = {issue["id"] for issue in self.sandbox.fleetio.issues()}
        here = {fleetio_id for _pk, fleetio_id in rows}
        without = [f"alert {pk} has no issue" for pk, fleetio_id in rows if fleetio_id is None]
        return without + [f"twin issue {number}" for number in there - here]

    def _odometers(self) -> list[str]:
        rows = self.ask("SELECT fleetio_id, vin FROM integrations_vehicle")
        troubles = []
        for fleetio_id, vin in rows:
            entries = self.sandbox.fleetio.meter_entries(vin or "") if fleetio_id else []
            seen = Counter((entry["value"], entry["date"]) for entry in entries)
            troubles += [f"twin odometer {vin}: {pair}" for pair, n in seen.items() if n > 1]
        return troubles

    def _outbox(self) -> list[str]:
        rows = self.ask(
            "SELECT o.id, o.kind, o.state, o.last_error FROM integrations_outboxentry o"  # noqa: S608
            " JOIN integrations_vehicle v ON v.id = o.vehicle_id AND v.fleetio_id IS NOT NULL"
            f" WHERE o.kind = 'fleetio_issue' AND ({UNFINISHED} OR o.state = 'dead')"
        )
        return [f"outgoing {kind} {pk}: {state} {why}" for pk, kind, state, why in rows]


def run(seconds: float, kills_per_second: float, seed: int, vehicles: int = 12) -> list[str]:
    """Storm, calm, and look; returns what is not right."""
    with (
        tempfile.TemporaryDirectory(prefix="fleet-portal-hammer-") as name,
        servers.postgres() as database_server,
        servers.redis() as redis,
        servers.empty_database(database_server) as database,
        Sandbox(vehicles=vehicles, drivers=4, seed=seed) as sandbox,
    ):
        sandbox.smartcar.faults.add(slow(0.2, path="/oauth/token", times=FOREVER))
        sandbox.smartcar.faults.add(slow(0.2, pattern="/batch$", times=FOREVER))
        sandbox.fleetio.faults.add(dropped_after(method="POST", skip=3, times=3))
        sandbox.fleetio.faults.add(slow(0.1, method="POST", times=FOREVER))
        port = free_port()
        env = environment(
            Path(name),
            **sandbox.environment(),
            DATABASE_URL=database,
            CELERY_BROKER_URL=redis.url,
            SITE_URL=f"http://127.0.0.1:{port}",
            SMARTCAR_CALLS_PER_VEHICLE_MONTH="100000000",
            SMARTCAR_BUCKET_SIZE="1000000",
            FLEETIO_REQUESTS_PER_MINUTE="6000",
        )
        hammer = Hammer(Path(name), database, env, sandbox, port, random.Random(seed))  # noqa: S311
        hammer.set_up()
        try:
            hammer.storm(seconds, kills_per_second)
            began = time.monotonic()
            is_calm = hammer.calm_down()
            _report(hammer, time.monotonic() - began)
            return [] if is_calm else hammer.troubles() or ["it did not come to rest"]
        finally:
            hammer.finish()


def _report(hammer: Hammer, calm: float) -> None:
    readings = hammer.ask("SELECT count(*) FROM integrations_reading")[0][0]
    alerts = hammer.ask("SELECT count(*) FROM maintenance_alert")[0][0]
    versions = hammer.ask("SELECT sum(version) FROM integrations_oauthtoken")[0][0]
    starts = {program.name: program.starts for program in hammer.programs}
    for line in (
        f"kills {hammer.kills.total()} {dict(hammer.kills)}, starts {starts}",
        f"readings {readings}, alerts {alerts}, token exchanges stored {versions},"
        f" made {hammer.sandbox.smartcar.tokens.exchanges}",
        f"answers of the site {dict(hammer.answers)}",
        f"came to rest after {calm:.0f} s",
    ):
        sys.stdout.write(line + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hammer", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--kills", type=float, default=4, help="kills a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    troubles = run(options.seconds, options.kills, options.seed)
    for trouble in troubles[:30]:
        sys.stdout.write(trouble + "\n")
    sys.stdout.write("everything is right\n" if not troubles else "NOT RIGHT\n")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
