"""What the portal's commands have in common: one summary line, progress, exit codes."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from rich.progress import Progress

from integrations.models.encryption import DecryptionError

Advance = Callable[[int, int], None]


def port(text: str) -> int:
    """A port to listen on, for argparse."""
    number = int(text)
    if not 1 <= number <= 65_535:
        raise ArgumentTypeError("a port is a number from 1 to 65535")
    return number


class PortalCommand(BaseCommand):
    """Does its work in this process. Exits with 1 when `failed` was set, after the summary."""

    failed = False

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            output = super().execute(*args, **options)
        except OperationalError as exc:
            raise CommandError(f"The database could not be reached: {exc}") from exc
        except (DecryptionError, ImproperlyConfigured) as exc:
            raise CommandError(str(exc)) from exc
        if self.failed:
            sys.exit(1)
        return output

    def summary(self, text: str, *, failed: bool = False) -> None:
        """The one line that says what was done; comes last."""
        self.failed = failed
        self.stdout.write(self.style.ERROR(text) if failed else self.style.SUCCESS(text))

    def usage_error(self, text: str) -> CommandError:
        return CommandError(text, returncode=2)

    @contextmanager
    def progress(self, what: str) -> Iterator[Advance]:
        """A bar on a terminal, nothing elsewhere. Call the result with (done, total)."""
        if not self.stdout.isatty():
            yield lambda done, total: None
            return
        with Progress(transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
