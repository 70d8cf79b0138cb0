"""A migrated database for each test, on whichever database the suite runs."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.faults.portal import Portal
from tests.processes import environment, manage

SERVER = os.environ.get("TEST_DATABASE_URL", "")  # see tests.servers; else a file of SQLite

MakePortal = Callable[..., AbstractContextManager[Portal]]


def _migrate(folder: Path, url: str) -> None:
    done = manage(environment(folder, DATABASE_URL=url), "migrate", "--verbosity", "0")
    assert done.returncode == 0, done.stdout + done.stderr


def _database_url(name: str) -> str:
    return f"{SERVER.rpartition('/')[0]}/{name}"


def _on_server(statement: str, **names: str) -> None:
    with psycopg.connect(SERVER, autocommit=True) as connection:
        identifiers = {key: sql.Identifier(name) for key, name in names.items()}
        connection.execute(sql.SQL(statement).format(**identifiers))


@contextmanager
def _new_database(**origin: str) -> Iterator[str]:
    name = f"faults_{os.urandom(6).hex()}"
    copied = " TEMPLATE {template}" if origin else ""
    _on_server("CREATE DATABASE {name}" + copied, name=name, **origin)
    try:
        yield name
    finally:
        _on_server("DROP DATABASE {name} (FORCE)", name=name)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a new database is copied from: a file, or the name of a database."""
    folder = tmp_path_factory.mktemp("migrated")
    if not SERVER:
        _migrate(folder, f"sqlite:///{folder / 'portal.sqlite3'}")
        yield str(folder / "portal.sqlite3")
        return
    with _new_database() as name:
        _migrate(folder, _database_url(name))
        yield name


@pytest.fixture
def database(tmp_path: Path, migrated: str) -> Iterator[str]:
    if not SERVER:
        copy = tmp_path / "portal.sqlite3"
        shutil.copyfile(migrated, copy)
        yield f"sqlite:///{copy}"
        return
    with _new_database(template=migrated) as name:
        yield _database_url(name)


@pytest.fixture
def make_portal(tmp_path: Path, database: str) -> MakePortal:
    """A portal between stand-ins with as many cars as asked for."""

    def make(**sandbox: Any) -> AbstractContextManager[Portal]:
        return Portal(tmp_path, database, **sandbox).running()

    return make
