"""Die at a chosen step, as `kill -9` would have it.

A step is a moment at which dying leaves another world behind: before each statement that writes,
before each commit, before and after each call to a provider, and at the end.
"""

import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import requests
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

WRITES = re.compile(r'(INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')


class Steps:
    """Counts what the main thread does. `dies_at` is a step's number or its name."""

    def __init__(self, dies_at: int | str) -> None:
        self._dies_at = dies_at
        self._count = 0
        self._of_name: Counter[str] = Counter()

    def reach(self, what: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._count += 1
        self._of_name[what] += 1
        name = f"{what} #{self._of_name[what]}"
        if self._dies_at in {self._count, name}:
            sys.stdout.write(f"killed at {name}\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Watch this process from now on; there is no way back."""
        connection.execute_wrappers.append(self._statement)
        around(BaseDatabaseWrapper, "_commit", lambda *_: self._before("COMMIT"))
        around(requests.Session, "send", self._call)

    @contextmanager
    def _before(self, what: str) -> Iterator[None]:
        self.reach(f"before {what}")
        yield

    @contextmanager
    def _call(self, _: requests.Session, request: requests.PreparedRequest) -> Iterator[None]:
        name = f"{request.method} {urlsplit(str(request.url)).path}"
        self.reach(f"before {name}")
        yield
        self.reach(f"after {name}")

    def _statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if found := WRITES.match(sql):
            self.reach(f"before {found[1]} {found[2]}")
        return execute(sql, params, many, context)


def around(owner: type, name: str, context: Callable[..., AbstractContextManager[None]]) -> None:
    """Let every call of the method run inside a context that is made from its arguments."""
    method = getattr(owner, name)

    @wraps(method)
    def watched(*args: Any, **options: Any) -> Any:
        with context(*args):
            return method(*args, **options)

    setattr(owner, name, watched)
