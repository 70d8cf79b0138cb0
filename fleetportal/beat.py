"""The scheduler: in memory, because what is due stands in the database and every entry is short."""

import logging
from datetime import timedelta
from typing import Any

from celery import beat
from celery.beat import SchedulingError

logger = logging.getLogger(__name__)


class Scheduler(beat.Scheduler):
    """After a stop, and after the broker was away, everything may be due: it is woken at once and
    not when its next interval is over.
    """

    _missed = False

    def setup_schedule(self) -> None:
        super().setup_schedule()
        self._make_all_due()

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as exc:
            # The broker's address may hold a password: only what was not sent is named.
            logger.warning("%s could not be sent: %s", entry.name, type(exc.__context__).__name__)
            self._missed = True
            return
        if self._missed:
            self._missed = False
            self._make_all_due()

    def _make_all_due(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - timedelta(days=1)
        self._heap = None  # built anew at the next tick
