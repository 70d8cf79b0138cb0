"""Site, worker and beat in one process."""

import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from fleetportal.embedded import Site, Workers
from integrations.management.base import PortalCommand
from integrations.management.base import port as a_port


class Command(PortalCommand):
    help = "Runs the site, a worker and beat in this one process: the embedded size."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=a_port, default=8000, metavar="N")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")

    def handle(self, *args: Any, port: int, host: str, **options: Any) -> None:
        if self._unmigrated():
            raise self.usage_error("The database is not up to date: run manage.py migrate first.")
        try:
            site = Site(port, host)
        except OSError as exc:
            raise self.usage_error(f"Port {port} cannot be used: {exc.strerror}") from exc
        workers = Workers()
        stop = threading.Event()

        def ask_to_stop(signum: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask_to_stop)
        site.start()
        workers.start()
        self.stdout.write(f"Fleet Portal on http://{host}:{port}/ ({settings.SITE_URL})")
        self.stdout.write("Site, worker and beat run in this process. Ctrl-C ends them.")
        self.stdout.flush()
        while not stop.wait(0.5):
            pass
        workers.stop()
        site.stop()
        self.summary("Stopped")

    def _unmigrated(self) -> bool:
        executor = MigrationExecutor(connections["default"])
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
