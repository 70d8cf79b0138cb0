"""A portal whose processes a test starts, kills and races, between its stand-ins."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests
from cryptography.fernet import Fernet

from integrations.sandbox import Driver, Sandbox
from tests.processes import ROOT, environment

MESSAGE_ID = re.compile(r"^Message-ID: (\S+)$", re.MULTILINE)
SECONDS = 60  # for one process; a test fails long before


@dataclass(frozen=True, slots=True)
class Ended:
    """How one process ended. `code` is negative when a signal ended it."""

    code: int | None
    output: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def died_at(self) -> str:
        return self.output.rpartition("killed at ")[2].strip()


@dataclass(frozen=True, slots=True)
class Actor:
    """One process at work."""

    pid: int
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class Portal:
    """Processes, their database, and one clock for them and for the providers."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        settings: Mapping[str, str] | None = None,
        **sandbox: Any,
    ) -> None:
        self.folder = folder
        self.database = database
        self._settings = dict(settings or {})
        self.later = 0.0  # seconds that everybody's clock is ahead of the real one
        self.sandbox = Sandbox(clock=self.clock, **sandbox)
        self.outputs: list[str] = []
        self._started = 0
        self._stage: subprocess.Popen[str]

    def clock(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.later)

    def pass_time(self, **length: float) -> None:
        self.later += timedelta(**length).total_seconds()

    @contextmanager
    def running(self) -> Iterator["Portal"]:
        with self.sandbox:
            self.env = environment(
                self.folder,
                **{
                    **self.sandbox.environment(),
                    "DATABASE_URL": self.database,
                    "DJANGO_SETTINGS_MODULE": "fleetportal.settings",
                    "FLEETIO_REQUESTS_PER_MINUTE": "1000000",
                    "SMARTCAR_BUCKET_SIZE": "1000000",
                    "SITE_URL": "http://localhost:8000",
                    **self._settings,
                },
            )
            with subprocess.Popen(
                [sys.executable, "-m", "tests.faults.stage"],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as self._stage:
                try:
                    assert self._stage.stdout
                    assert self._stage.stdout.readline() == "ready\n"
                    yield self
                finally:
                    os.killpg(self._stage.pid, signal.SIGKILL)  # and all that it forked

    # --- Processes ----------------------------------------------------------------------------

    def start(
        self, job: str, *args: Any, times: int = 1, dies_at: int | str | None = None
    ) -> list[Actor]:
        """Start `times` processes that do the same at the same moment."""
        logs = [self.folder / f"{self._started + n}.log" for n in range(times)]
        self._started += times
        what = {"job": job, "args": args, "later": self.later, "dies_at": dies_at}
        pids = self._tell({"do": "start", "logs": [str(log) for log in logs], "what": what})
        return [Actor(pid, log) for pid, log in zip(pids, logs, strict=True)]

    def wait(self, actors: Sequence[Actor], *, seconds: float = SECONDS) -> list[Ended]:
        codes = self._tell(
            {"do": "wait", "what": {"pids": [a.pid for a in actors], "seconds": seconds}}
        )
        ended = [Ended(code, actor.output) for code, actor in zip(codes, actors, strict=True)]
        self.outputs += [one.output for one in ended]
        assert None not in codes, f"still running after {seconds:.0f} s: {ended}"
        return ended

    def race(self, job: str, *args: Any, times: int) -> list[Ended]:
        return self.wait(self.start(job, *args, times=times))

    def run(self, job: str, *args: Any, dies_at: int | str | None = None) -> Ended:
        """Run one process to its end, whatever that is."""
        (ended,) = self.wait(self.start(job, *args, dies_at=dies_at))
        return ended

    def do(self, job: str, *args: Any) -> str:
        """Run one process that has to succeed; returns the last line it printed."""
        ended = self.run(job, *args)
        assert ended.code == 0, ended.output
        return ended.output.strip().rpartition("\n")[2]

    def _tell(self, order: dict[str, Any]) -> Any:
        assert self._stage.stdin
        assert self._stage.stdout
        self._stage.stdin.write(json.dumps(order) + "\n")
        self._stage.stdin.flush()
        answer = self._stage.stdout.readline()
        assert answer, "the stage is gone"
        return json.loads(answer)

    # --- What is stored -----------------------------------------------------------------------

    def rows(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        if self.database.startswith("sqlite"):
            database = sqlite3.connect(self.database.removeprefix("sqlite:///"), timeout=30)
            try:
                return database.execute(sql.replace("%s", "?"), values).fetchall()
            finally:
                database.close()
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(sql.encode(), values or None).fetchall()

    def ask(self, sql: str) -> Any:
        """The one value that the query finds."""
        ((value,),) = self.rows(sql)
        return value

    def mails(self) -> list[str]:
        """The Message-ID of each mail that was sent; a file may hold several mails."""
        files = (self.folder / "mails").glob("*.log")
        return [found for file in files for found in MESSAGE_ID.findall(file.read_text())]

    # --- A driver -----------------------------------------------------------------------------

    def consent(self, driver: Driver, *, job: str = "invite") -> str:
        """Let the driver follow a link and allow everything; returns Connect's code."""
        back = self.sandbox.smartcar.connect.approve(self.do(job), driver=driver.email)
        return back.partition("code=")[2].partition("&")[0]

    def connect(self) -> None:
        self.do("finish", self.consent(self.sandbox.fleet.drivers[0]))

    def assert_connected(self, driver: Driver | None = None) -> None:
        """The connection is active, and Smartcar accepts just what is stored."""
        driver = driver or self.sandbox.fleet.drivers[0]
        ((status, stored),) = self.rows(
            "SELECT driven.status, token.access_token FROM integrations_connection AS driven"
            " JOIN integrations_oauthtoken AS token ON token.connection_id = driven.id"
            " WHERE driven.smartcar_user_id = %s",
            driver.user_id,
        )
        assert status == "active"
        access = Fernet(self.env["FIELD_ENCRYPTION_KEYS"]).decrypt(stored.encode()).decode()
        answer = requests.get(
            f"{self.sandbox.smartcar.origin}/v2.0/vehicles",
            headers={"Authorization": f"Bearer {access}"},
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["vehicles"]) == len(self.sandbox.fleet.cars_of(driver))

    @property
    def exchanges(self) -> int:
        """How many pairs the provider gave out."""
        return self.sandbox.smartcar.tokens.exchanges
