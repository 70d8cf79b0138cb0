"""Refresh the tokens that are due."""

from argparse import ArgumentParser
from typing import Any

from fleetportal import clock
from integrations import conf
from integrations.management.base import PortalCommand
from integrations.services import tokens


class Command(PortalCommand):
    help = "Refreshes the tokens that are due: run out, interrupted, or older than 30 days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="refresh every token")

    def handle(self, *args: Any, **options: Any) -> None:
        count = tokens.refresh_due(
            client=conf.get_smartcar_client(),
            now=clock.now(),
            every=options["all"],
            expired=True,
        )
        text = f"{count.refreshed} refreshed, {count.failed} failed"
        unreachable = count.failed and not count.refreshed and not count.declined
        self.summary(text, failed=bool(count.refused or unreachable))
