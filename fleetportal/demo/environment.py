"""The demo's own database and settings. Runs before Django reads any setting."""

import argparse
import atexit
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.management.utils import get_random_secret_key

from integrations.sandbox import Sandbox

MARK = "FLEET_PORTAL_DEMO"  # the folder of the running demo
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "VIRTUAL_ENV", "COLUMNS", "SYSTEMROOT")
MAILBOX = "maintenance@example.com"


def enter(argv: list[str]) -> None:
    """Start the same command again in an environment that holds nothing of a real portal.

    In the started one, only see to it that the folder is removed at the end.
    """
    if folder := os.environ.get(MARK):
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return
    if {"-h", "--help"} & set(argv):
        os.environ.update(_settings(Path(tempfile.gettempdir()), 8000))
        return
    port = _port(argv)
    made = Path(tempfile.mkdtemp(prefix="fleet-portal-demo-"))
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # The demo is this project's own program, started again with its own arguments.
    os.execve(sys.executable, [sys.executable, *argv], kept | _settings(made, port))  # noqa: S606


def _port(argv: list[str]) -> int:
    """The port that was asked for; one cycle that nobody visits takes any free one."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--port", type=int)
    options, _others = parser.parse_known_args(argv[2:])
    if options.port is None and options.once:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])
    return options.port or 8000


def _settings(folder: Path, port: int) -> dict[str, str]:
    with Sandbox(vehicles=1, drivers=1) as sandbox:  # takes free ports, and tells the addresses
        providers = sandbox.environment("v3", webhooks=True)
    return {
        **providers,
        MARK: str(folder),
        "FLEET_PORTAL_ENV_FILE": "",
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": get_random_secret_key(),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "SITE_URL": f"http://localhost:{port}",
        "DATABASE_URL": f"sqlite:///{folder / 'portal.sqlite3'}",
        "EMAIL_URL": f"filemail:///{folder / 'mails'}",
        "MAINTENANCE_EMAILS": MAILBOX,
        "SMARTCAR_MODE": "simulated",
        # Nobody pays for the simulated calls, and a week is played within seconds.
        "SMARTCAR_CALLS_PER_VEHICLE_MONTH": "100000",
        "SMARTCAR_BUCKET_SIZE": "5000",
        "SMARTCAR_BUCKET_REFILL_PER_MINUTE": "600",
        "FLEETIO_REQUESTS_PER_MINUTE": "600",
    }
