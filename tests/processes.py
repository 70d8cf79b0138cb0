"""The portal's own programs as real processes, each ended by its own id."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
SECRET_KEY = "a-key-for-processes-that-tests-start-0123456789-abcdef"


def environment(folder: Path, **values: str) -> dict[str, str]:
    """A bare environment with a database file in `folder`; nothing of the shell or a `.env`."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return {
        **kept,
        "FLEET_PORTAL_ENV_FILE": "",
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": f"sqlite:///{folder / 'portal.sqlite3'}",
        "EMAIL_URL": f"filemail:///{folder / 'mails'}",
        "MAINTENANCE_EMAILS": "maintenance@example.com",
        "SMARTCAR_MODE": "simulated",
        "FLEETIO_REQUESTS_PER_MINUTE": "600",
        **values,
    }


def manage(env: Mapping[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "manage.py", *args]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )


class Running:
    """A process that was started, and what it printed."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text()

    def terminate(self, timeout: float = 30) -> int:
        """Ask it to end; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=timeout)

    def kill(self) -> None:
        """End it and its children at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)


@contextmanager
def started(env: Mapping[str, str], log: Path, *command: str) -> Iterator[Running]:
    """A process of ours in a group of its own; whatever is left of it is ended."""
    with log.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    running = Running(process, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: Callable[[], object], *, seconds: float = 30, why: str = "") -> None:
    """Look again and again until it is true."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {why}")
        time.sleep(0.1)
