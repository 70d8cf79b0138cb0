"""Worker and beat as processes over a real Redis and PostgreSQL, and what they survive."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from integrations.sandbox import FOREVER, Sandbox
from integrations.sandbox.faults import slow
from tests import servers
from tests.processes import Running, environment, manage, started, wait_until

RESUMED = 15  # seconds after a worker, or Redis, is there again
AWAY = 10
THREADS = 2
CARS = 6  # more than threads: some wait in the worker when Redis goes away

# What the driver's pages do, without the pages: they have tests of their own.
INVITE = """
from fleetportal import clock
from integrations import conf
from integrations.services import connect_links, connections
driver = connect_links.invite(email="d@example.com", name="D", now=clock.now())
link = connect_links.create(driver, now=clock.now())
print(connections.connect_url(link, state="s", client=conf.get_smartcar_client()))
"""
FINISH = """
from fleetportal import clock
from integrations import conf
from integrations.models import ConnectLink
from integrations.services import connections
connections.finish(ConnectLink.objects.get(), code="{code}", client=conf.get_smartcar_client(),
                   mode="simulated", now=clock.now())
"""


class Installation:
    """PostgreSQL, Redis, stand-ins, and processes that come and go."""

    def __init__(self, folder: Path, *, database: str, broker: str, sandbox: Sandbox) -> None:
        self._folder, self._database, self.sandbox = folder, database, sandbox
        self._env = environment(
            folder,
            **sandbox.environment(),
            DATABASE_URL=database,
            CELERY_BROKER_URL=broker,
            SITE_URL="http://localhost:8000",
        )
        self._run("migrate", "--verbosity", "0")

    def _run(self, *args: str) -> str:
        done = manage(self._env, *args)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def connect_cars(self) -> None:
        """A driver shares all cars there are; they are due at once."""
        away = self._run("shell", "-v", "0", "-c", INVITE).splitlines()[-1]
        driver = self.sandbox.fleet.drivers[0].email
        back = self.sandbox.smartcar.connect.approve(away, driver=driver)
        code = back.partition("code=")[2].partition("&")[0]
        self._run("shell", "-v", "0", "-c", FINISH.format(code=code))

    def ask(self, sql: str) -> Any:
        with psycopg.connect(self._database, autocommit=True) as connection:
            row = connection.execute(sql.encode()).fetchone()
            return row and row[0]

    def mail_a_link(self) -> None:
        self._run("connect_link", "--email", "e@example.com", "--name", "E", "--send")

    def mails(self) -> int:
        return len(list((self._folder / "mails").glob("*.log")))

    def cars_being_read(self) -> int:
        return int(
            self.ask("SELECT count(*) FROM integrations_vehicle WHERE poll_lease_until IS NOT NULL")
        )

    def cars_read(self) -> int:
        return int(
            self.ask("SELECT count(*) FROM integrations_vehicle WHERE last_read_at IS NOT NULL")
        )

    @contextmanager
    def worker(self, pool: str = "threads") -> Iterator[Running]:
        command = ["-m", "celery", "-A", "fleetportal", "worker"]
        command += ["--concurrency", str(THREADS), "--loglevel", "INFO", "--pool", pool]
        with started(self._env, self._folder / "worker.log", *command) as running:
            yield running

    @contextmanager
    def beat(self) -> Iterator[Running]:
        command = ("-m", "celery", "-A", "fleetportal", "beat", "--pidfile=")
        with started(self._env, self._folder / "beat.log", *command) as running:
            yield running


@pytest.fixture
def installation(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[Installation]:
    with Sandbox(vehicles=CARS, drivers=1) as sandbox:
        yield Installation(tmp_path, database=postgres_url, broker=redis_url, sandbox=sandbox)


def test_what_a_killed_worker_left_is_done_by_a_new_one_within_seconds(
    installation: Installation,
) -> None:
    sandbox = installation.sandbox
    installation.connect_cars()
    sandbox.smartcar.faults.add(slow(60, pattern="/batch$", times=FOREVER))
    with installation.beat():
        with installation.worker() as worker:
            wait_until(lambda: installation.cars_being_read() == THREADS, why="not polled")
            worker.kill()
        assert installation.cars_read() == 0
        sandbox.smartcar.faults.clear()

        with installation.worker() as worker:
            wait_until(lambda: "ready." in worker.output, why="the new worker did not start")
            wait_until(
                lambda: installation.cars_read() and not installation.cars_being_read(),
                seconds=RESUMED,
                why="the work of a killed worker was not done",
            )
            assert worker.terminate() == 0
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_work_goes_on_within_seconds_after_redis_was_away_and_nothing_is_lost(
    installation: Installation, redis_server: servers.Server, pool: str
) -> None:
    sandbox = installation.sandbox
    installation.connect_cars()
    # The answer comes when Redis is back: what was begun is not given up.
    hang = sandbox.smartcar.faults.add(slow(AWAY + 4, pattern="/batch$", times=FOREVER))
    with installation.worker(pool) as worker, installation.beat():
        wait_until(lambda: sandbox.smartcar.faults.committed(hang), why="not polled")
        redis_server.stop()  # in the middle of a task
        sandbox.smartcar.faults.clear()
        installation.mail_a_link()
        time.sleep(AWAY)  # the worker asks for it less and less often
        assert installation.cars_read() == 0
        assert installation.mails() == 0
        redis_server.start()

        wait_until(
            lambda: installation.mails() and installation.cars_read() == CARS,
            seconds=RESUMED,
            why="work did not go on after Redis was back",
        )
        assert installation.mails() == 1
        assert sandbox.smartcar.requests.count("POST", pattern="/batch$") == CARS
        installation.mail_a_link()
        wait_until(lambda: installation.mails() == 2, why="the worker went away afterwards")
        assert worker.terminate() == 0
