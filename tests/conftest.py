"""What every test gets: a shut network, a fixed time, and servers for those that ask for one."""

import ipaddress
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import caches
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.plugin import blocking_manager_key

from fleetportal import clock
from tests import servers

# Which marker a test gets by using which fixture.
MARKER_OF_FIXTURE = {
    "postgres_server": "postgres",
    "postgres_url": "postgres",
    "redis_server": "redis",
    "redis_url": "redis",
    "browser": "browser",
    "page": "browser",
}
MIGRATED_DATA = (
    "integrations.migrations.0002_makes",
    "maintenance.migrations.0002_default_rules",
    "maintenance.migrations.0004_rules_of_more_kinds",
    "maintenance.migrations.0006_service_dismissed",
)
PROGRAM_OF_MARKER = {"postgres": "postgres", "redis": "redis", "browser": "chromium"}


def pytest_configure() -> None:
    # A run that is told to end cleans up its servers like one that is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKER_OF_FIXTURE:
                item.add_marker(MARKER_OF_FIXTURE[fixture])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, program in PROGRAM_OF_MARKER.items():
        if item.get_closest_marker(marker) and (reason := servers.missing(program)):
            if servers.are_required():
                pytest.fail(f"{reason}, and FLEET_PORTAL_REQUIRE_SERVERS=1", pytrace=False)
            pytest.skip(reason)


# --- Nothing leaves this machine --------------------------------------------------------------


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(host: object) -> None:
    # Not an OSError: code that rightly survives a failing network would hide the mistake.
    pytest.fail(f"a test tried to reach {host!r}; only the loopback may be reached")


@pytest.fixture(autouse=True, scope="session")
def shut_network() -> Iterator[None]:
    """Let sockets reach the loopback only, where stand-ins answer; names are not looked up."""
    connect, connect_ex, getaddrinfo = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family != socket.AF_UNIX and not _is_loopback(address[0]):
            _refuse(address[0])

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        check(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_loopback(host):
            _refuse(host)
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


# --- Time and leftovers -----------------------------------------------------------------------


@pytest.fixture
def now() -> datetime:
    """A Monday at noon."""
    return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean_process() -> Iterator[None]:
    """Take back what a test changed in this process; pytest-django empties the mailbox itself."""
    yield
    clock.set_source(None)
    for cache in caches.all(initialized_only=True):
        cache.clear()


# --- Real servers -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Server]:
    """A PostgreSQL that a test may also stop, kill and start again."""
    with servers.postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: servers.Server) -> Iterator[str]:
    """An empty PostgreSQL database, for tests that start processes of their own."""
    if not postgres_server.running():
        postgres_server.start()
    with servers.empty_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Server]:
    """A Redis that a test may also stop, kill and start again."""
    with servers.redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: servers.Server) -> str:
    """An empty Redis."""
    if redis_server.running():
        servers.empty_redis(redis_server)
    else:
        redis_server.start()
    return redis_server.url


# --- Real browser -----------------------------------------------------------------------------

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # CI runs as root, where Chromium's sandbox cannot work
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The guard above stops Python only; this stops the browser.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it; nothing is downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        # Playwright keeps an event loop in this thread for as long as it lives, and Django
        # refuses database work wherever it sees one.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=servers.find_program("chromium"), args=list(CHROMIUM_ARGUMENTS)
            )
            yield chromium
            chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a fresh profile, without the cookies of other tests."""
    context = browser.new_context()
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


# --- What migrations wrote ---------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A test with real transactions ends in an empty database: write again what migrations did."""
    yield
    if nextitem is None:  # the database is gone by now
        return
    if not {"transactional_db", "live_server"} & set(getattr(item, "fixturenames", ())) and not any(
        marker.kwargs.get("transaction") for marker in item.iter_markers("django_db")
    ):
        return
    with item.config.stash[blocking_manager_key].unblock():
        for name in MIGRATED_DATA:
            import_module(name).add(apps, None)
