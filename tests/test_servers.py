"""The throwaway servers start, answer, forget, come back after a kill, and leave nothing."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from tests import servers

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


def test_postgres_answers_with_an_empty_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(TABLES).fetchone() == (0,)
        connection.execute("CREATE TABLE leftover (id integer)")


def test_postgres_is_empty_again_in_the_next_test(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(TABLES).fetchone() == (0,)
        connection.execute("CREATE TABLE leftover (id integer)")


def test_postgres_comes_back_with_its_data_after_a_stop(
    postgres_url: str, postgres_server: servers.Server
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept (id integer)")

    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url)
    postgres_server.start()

    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(TABLES).fetchone() == (1,)


def test_redis_answers_and_is_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("leftover", "1")


def test_redis_comes_back_empty_after_a_kill(redis_url: str, redis_server: servers.Server) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("lost", "1")

    redis_server.kill()
    redis_server.start()

    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.redis
def test_a_server_leaves_no_process_and_no_files() -> None:
    with servers.redis() as server:
        assert server.process is not None
        pid = server.process.pid
        directory = Path(f"/proc/{pid}/cwd").readlink()
        assert directory.is_dir()

    assert not Path(f"/proc/{pid}").exists()
    assert not directory.exists()


@pytest.mark.postgres
def test_a_command_runs_on_postgres_and_hands_back_its_exit_code() -> None:
    script = (
        "import os, sys, psycopg; psycopg.connect(os.environ['TEST_DATABASE_URL']); sys.exit(7)"
    )
    command = [
        sys.executable,
        "-m",
        "tests.servers",
        "postgres",
        "--",
        sys.executable,
        "-c",
        script,
    ]

    assert subprocess.run(command, check=False, timeout=60).returncode == 7


@pytest.mark.parametrize(("required", "code"), [("0", 0), ("1", 1)])
def test_a_missing_program_is_said_and_fails_only_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], required: str, code: int
) -> None:
    monkeypatch.setitem(servers.PROGRAMS, "postgres", ("no-such-program",))
    monkeypatch.setenv("FLEET_PORTAL_REQUIRE_SERVERS", required)

    assert servers.main(["postgres", "--", "true"]) == code
    assert "postgres is not installed (no no-such-program)" in capsys.readouterr().err


def test_a_browser_reads_the_live_server(page: Page, live_server: LiveServer) -> None:
    response = page.goto(f"{live_server.url}/admin/login/")

    assert response is not None
    assert response.status == 200
    assert page.context.cookies()[0]["name"] == "csrftoken"
