"""The embedded size as people start it: one process, other commands beside it."""

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from integrations.sandbox import Sandbox
from tests.processes import ROOT, environment, free_port, manage, started, wait_until

CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Portal:
    """Where it is, what it is told, and what it wrote."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox, self.port = folder, sandbox, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Redirects of the portal's pages must come back to this process.
        self.env = environment(folder, SITE_URL=self.url, **sandbox.environment())

    def status(self, path: str) -> int:
        try:
            return requests.get(self.url + path, timeout=10, allow_redirects=False).status_code
        except requests.ConnectionError:
            return 0

    def count(self, table: str) -> int:
        uri = f"file:{self.folder / 'portal.sqlite3'}?mode=ro"
        database = sqlite3.connect(uri, uri=True)
        try:
            (found,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            return int(found)
        finally:
            database.close()

    def connect_driver(self) -> None:
        someone = self.sandbox.fleet.drivers[0]
        made = manage(self.env, "connect_link", "--email", someone.email, "--name", someone.name)
        link = made.stdout.splitlines()[-1]
        with requests.Session() as browser:
            field = CSRF.search(browser.get(link, timeout=30).text)
            assert field
            away = browser.post(
                link,
                data={"csrfmiddlewaretoken": field[1]},
                headers={"Referer": link},
                allow_redirects=False,
                timeout=30,
            )
            connect = self.sandbox.smartcar.connect
            back = connect.approve(away.headers["Location"], driver=someone.email)
            assert browser.get(back, timeout=60).status_code == 200


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    with Sandbox(vehicles=3, drivers=1) as sandbox:
        made = Portal(tmp_path, sandbox)
        assert manage(made.env, "migrate", "--verbosity", "0").returncode == 0
        yield made


def serve(portal: Portal) -> tuple[str, ...]:
    return ("manage.py", "serve", "--port", str(portal.port))


def test_serve_does_everything_by_itself_beside_other_commands(portal: Portal) -> None:
    log = portal.folder / "serve.log"
    with started(portal.env, log, *serve(portal)) as running:
        wait_until(lambda: portal.status("/healthz") == 200, why="healthz")
        wait_until(lambda: portal.status("/readyz") == 200, why="readyz: does beat run?")
        portal.connect_driver()
        assert portal.count("integrations_vehicle") == 3
        began = time.monotonic()
        assert running.terminate() == 0
        assert time.monotonic() - began < 15

    with started(portal.env, log, *serve(portal)) as running:
        wait_until(
            lambda: portal.count("integrations_reading") > 0, why="a connected car is not polled"
        )
        commands = [("poll", "--all"), ("deliver",), ("evaluate",), ("sync_fleetio",)] * 2
        beside = [
            subprocess.Popen(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=portal.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for command in commands
        ]
        printed = [process.communicate(timeout=60)[0] for process in beside]
        assert [process.returncode for process in beside] == [0] * len(commands), printed
        assert portal.status("/readyz") == 200
        assert running.terminate() == 0

    everything = running.output + "".join(printed)
    assert "locked" not in everything
    assert "Traceback" not in everything
    assert everything.count("Stopped") == 2


def test_serve_wants_a_migrated_database(tmp_path: Path) -> None:
    refused = manage(environment(tmp_path), "serve", "--port", str(free_port()))
    assert refused.returncode == 2
    assert "run manage.py migrate" in refused.stderr


def test_serve_says_when_its_port_is_taken(portal: Portal) -> None:
    port = portal.sandbox.smartcar.origin.rpartition(":")[2]
    refused = manage(portal.env, "serve", "--port", port)
    assert refused.returncode == 2
    assert f"Port {port} cannot be used" in refused.stderr


@pytest.mark.parametrize("port", ["0", "-1", "65536", "x"])
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_what_is_no_port_is_wrong_usage(command: str, port: str) -> None:
    with pytest.raises(CommandError, match="--port"):
        call_command(command, "--port", port)


def test_serve_behind_a_proxy_that_ends_tls_knows_that_it_is_https(portal: Portal) -> None:
    secure = {**portal.env, "SITE_URL": "https://fleet.example.com"}
    with started(secure, portal.folder / "serve.log", *serve(portal)):
        wait_until(lambda: portal.status("/healthz"), why="healthz")

        def ask(**headers: str) -> requests.Response:
            headers["Host"] = "fleet.example.com"
            url = portal.url + "/admin/login/"
            return requests.get(url, headers=headers, timeout=10, allow_redirects=False)

        assert ask(**{"X-Forwarded-Proto": "https"}).status_code == 200
        plain = ask()
        assert plain.status_code == 301
        assert plain.headers["Location"] == "https://fleet.example.com/admin/login/"
