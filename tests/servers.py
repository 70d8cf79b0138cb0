"""Throwaway PostgreSQL and Redis for tests, from the programs that are installed.

Nothing has to run beforehand: data is in a temporary directory, the port is a free one on the
loopback, and both are gone when the `with` block ends. As a command it runs another command with
`TEST_DATABASE_URL` set, which is how the whole suite runs on PostgreSQL:

    python -m tests.servers postgres -- python -m pytest
"""

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mirakuru
import psycopg
import redis as redis_client
from psycopg import sql

HOST = "127.0.0.1"
START_SECONDS = 30

PROGRAMS = {
    "postgres": ("postgres", "initdb"),
    "redis": ("redis-server",),
    "chromium": ("chromium",),
}


def are_required() -> bool:
    """Whether a missing program is a failure (as in CI) and not only a skipped test."""
    return os.environ.get("FLEET_PORTAL_REQUIRE_SERVERS") == "1"


def find_program(name: str) -> str | None:
    # Debian keeps PostgreSQL's server programs out of PATH, one directory for each version.
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
        reverse=True,
    )
    return shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, versions)])
    )


def missing(kind: str) -> str:
    """Why tests of this kind cannot run here; empty when they can."""
    absent = [name for name in PROGRAMS[kind] if find_program(name) is None]
    return f"{kind} is not installed (no {absent[0]})" if absent else ""


class Server(mirakuru.TCPExecutor):
    """One server process; `stop`, `kill` and `start` again keep its port and its data."""

    def __init__(
        self,
        command: list[str],
        *,
        url: str,
        port: int,
        directory: Path,
        ping: Callable[[str], None],
        owner: pwd.struct_passwd | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.url = url
        self._ping = ping
        self._log = (directory / "log").open("a")  # a pipe that nobody reads would fill up
        super().__init__(
            [*_end_with_parent(), *command],
            host=HOST,
            port=port,
            timeout=START_SECONDS,
            sleep=0.02,
            stop_signal=stop_signal,
            cwd=str(directory),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            popen_kwargs=_as_user(owner),
        )

    def after_start_check(self) -> bool:
        """Whether it answers: an open port is not enough while PostgreSQL recovers."""
        try:
            self._ping(self.url)
        except (psycopg.OperationalError, redis_client.ConnectionError):
            return False
        return True

    def close(self) -> None:
        self.stop()
        self._log.close()


def _end_with_parent() -> list[str]:
    # A test process that is killed outright cannot clean up; the kernel then ends its servers.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT", "--"] if setpriv else []


def _as_user(owner: pwd.struct_passwd | None) -> dict[str, Any]:
    if owner is None:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs PostgreSQL, which refuses to run as root; None for the user we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _program(kind: str, name: str) -> str:
    path = find_program(name)
    if path is None:
        raise RuntimeError(missing(kind))
    return path


def _ping_postgres(url: str) -> None:
    psycopg.connect(url, connect_timeout=5).close()


def _ping_redis(url: str) -> None:
    with redis_client.Redis.from_url(url, socket_timeout=5) as client:
        client.ping()


@contextlib.contextmanager
def postgres() -> Iterator[Server]:
    """A PostgreSQL that forgets everything; `url` is its maintenance database."""
    owner = _unprivileged_user()
    with tempfile.TemporaryDirectory(
        prefix="fleet-portal-postgres-", ignore_cleanup_errors=True
    ) as name:
        directory = Path(name)
        if owner is not None:
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        data = directory / "data"
        initdb = [_program("postgres", "initdb"), "--pgdata", str(data), "--username", "postgres"]
        initdb += ["--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        created = subprocess.run(
            initdb, cwd=directory, capture_output=True, text=True, check=False, **_as_user(owner)
        )
        if created.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{created.stdout}{created.stderr}")
        port = _free_port()
        command = [_program("postgres", "postgres"), "-D", str(data), "-p", str(port)]
        for setting in (
            f"listen_addresses={HOST}",
            "unix_socket_directories=",
            "max_connections=200",
            "fsync=off",  # what is thrown away need not survive a power cut
            "full_page_writes=off",
            "synchronous_commit=off",
        ):
            command += ["-c", setting]
        server = Server(
            command,
            url=f"postgres://postgres@{HOST}:{port}/postgres",
            port=port,
            directory=directory,
            ping=_ping_postgres,
            owner=owner,
            stop_signal=signal.SIGINT,  # TERM would wait for clients to leave by themselves
        )
        yield from _running(server)


@contextlib.contextmanager
def redis() -> Iterator[Server]:
    """A Redis that keeps nothing on disk."""
    with tempfile.TemporaryDirectory(prefix="fleet-portal-redis-") as name:
        port = _free_port()
        command = [_program("redis", "redis-server"), "--bind", HOST, "--port", str(port)]
        command += ["--save", "", "--appendonly", "no", "--dir", name]
        server = Server(
            command,
            url=f"redis://{HOST}:{port}/0",
            port=port,
            directory=Path(name),
            ping=_ping_redis,
        )
        yield from _running(server)


def _running(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.close()


@contextlib.contextmanager
def empty_database(server: Server) -> Iterator[str]:
    """The URL of a database of its own on a PostgreSQL of ours, dropped at the end."""
    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield server.url.removesuffix("postgres") + name
    finally:
        if not server.running():  # a test may have killed it
            server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))


def empty_redis(server: Server) -> None:
    with redis_client.Redis.from_url(server.url) as client:
        client.flushall()


def main(argv: list[str] | None = None) -> int:
    """Run a command with a throwaway PostgreSQL in `TEST_DATABASE_URL`."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=main.__doc__)
    parser.add_argument("server", choices=["postgres"])
    parser.add_argument("command", nargs="+", metavar="-- command")
    options = parser.parse_args(argv)
    if reason := missing(options.server):
        sys.stderr.write(f"{reason}: skipped `{' '.join(options.command)}`\n")
        return 1 if are_required() else 0
    # Without this, TERM would end us before the server and its files are gone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with postgres() as server:
        environment = {**os.environ, "TEST_DATABASE_URL": server.url}
        try:
            return subprocess.run(options.command, env=environment, check=False).returncode
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
