"""Leases that live exactly as long as the process that works under them.

A lease is short and is renewed in the background while its work goes on. A worker that is killed
renews no more, so another one takes over within seconds, however long the work may take.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from integrations.models import ProviderGate

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=10)
RENEW_EVERY = 2.5  # seconds


@dataclass(slots=True, eq=False)
class Lease:
    """A claim that stands in a column of the rows. `is_lost` once somebody else wrote there."""

    rows: QuerySet[Any]
    column: str
    until: datetime
    renewed: float = field(default_factory=time.monotonic)
    is_lost: bool = False
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def is_held(self) -> bool:
        """Look whether it is still ours; a process that was stopped for long may have lost it."""
        return self.rows.exists()

    def renew(self) -> None:
        """Move the end of the lease by the time that has passed since it was last written."""
        with self._writing:
            seconds = time.monotonic() - self.renewed
            until = self.until + timedelta(seconds=seconds)
            if self._write(until):
                self.until, self.renewed = until, self.renewed + seconds
            else:
                self.is_lost = True

    def give_back(self) -> None:
        """End it, if it is ours: who was held up for long may have been followed by another."""
        with self._writing:
            self._write(None)

    def _write(self, until: datetime | None) -> bool:
        mine = self.rows.filter(**{self.column: self.until})
        return bool(mine.update(**{self.column: until}))


class _Keeper:
    """One thread of the process renews all of its leases."""

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        with self._changed:
            self._leases.add(lease)
            if self._thread is None or not self._thread.is_alive():  # or it stayed with the parent
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, lease: Lease) -> None:
        with self._changed:
            self._leases.discard(lease)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._leases:
                    connection.close()
                    self._changed.wait()
            time.sleep(RENEW_EVERY)
            with self._changed:
                leases = [lease for lease in self._leases if not lease.is_lost]
            for lease in leases:
                self._renew(lease)

    @staticmethod
    def _renew(lease: Lease) -> None:
        try:
            lease.renew()
        except Exception:
            # The work itself meets the same trouble; what else is kept must not end with it.
            logger.warning("a lease could not be renewed", exc_info=True)
            connection.close()


_keeper = _Keeper()


def going_on(now: datetime) -> Callable[[], datetime]:
    """The time as it goes on from `now`, in whole seconds: work that lasts claims one thing after
    the other, and a lease must not be over when it is written.
    """
    began = time.monotonic()
    return lambda: now + timedelta(seconds=int(time.monotonic() - began))


@contextmanager
def kept(rows: QuerySet[Any], column: str, *, until: datetime) -> Iterator[Lease]:
    """Renew the lease that was just written into `column` of the rows, as long as this lasts."""
    lease = Lease(rows, column, until)
    _keeper.add(lease)
    try:
        yield lease
    finally:
        _keeper.remove(lease)


@contextmanager
def only_sender(name: str, *, owner: str, now: datetime) -> Iterator[Lease | None]:
    """Be the only sender of a provider's account meanwhile; None when somebody else is."""
    until = now + LEASE
    ProviderGate.objects.get_or_create(name=name)
    free = ProviderGate.objects.filter(name=name).filter(
        Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    )
    if not free.update(lease_until=until, lease_owner=owner):
        yield None
        return
    mine = ProviderGate.objects.filter(name=name, lease_owner=owner)
    try:
        with kept(mine, "lease_until", until=until) as lease:
            yield lease
    finally:
        mine.update(lease_until=None, lease_owner="")
