"""The embedded size: site, worker and beat as threads of one process, with no other server.

Messages live in memory and are lost with the process; nothing is, because everything that is due
stands in the database and beat asks for it again.
"""

import logging
import threading
from typing import Any

from celery.beat import Service
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from waitress.server import create_server

from fleetportal.celery import app

logger = logging.getLogger(__name__)

WEB_THREADS = 8
WORKER_THREADS = 4


class Site:
    """The web site in a thread of this process."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._server = create_server(
            get_wsgi_application(),
            host=host,
            port=port,
            threads=WEB_THREADS,
            ident=None,
            **self._proxy(),
        )
        self._thread = threading.Thread(target=self._server.run, name="site", daemon=True)

    @staticmethod
    def _proxy() -> dict[str, Any]:
        """With an https address TLS ends at a proxy, which tells so; waitress would drop that."""
        if not settings.SECURE_PROXY_SSL_HEADER:
            return {}
        return {"trusted_proxy": "*", "trusted_proxy_headers": {"x-forwarded-proto"}}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.close()


class Workers:
    """A Celery worker and beat in threads of this process."""

    def __init__(self) -> None:
        self._worker = app.WorkController(
            app=app,
            pool_cls="threads",
            concurrency=WORKER_THREADS,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        self._beat = Service(app, max_interval=1, scheduler_cls=app.conf.beat_scheduler)
        self._threads = [
            threading.Thread(target=self._worker.start, name="worker", daemon=True),
            threading.Thread(target=self._beat.start, name="beat", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let running tasks end; what was not begun stays due."""
        self._beat.stop()
        self._worker.stop()
        for thread in self._threads:
            thread.join(timeout=20)
