"""Refresh the tokens that are due."""

from argparse import ArgumentParser
from typing import Any

from fleetportal import clock
from integrations import conf
from integrations.management.base import PortalCommand
from integrations.services import token_sweeps


class Command(PortalCommand):
    help = "Refreshes the tokens that are due: run out, interrupted, or older than 30 days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="refresh every token")

    def handle(self, *args: Any, **options: Any) -> None:
        now, every = clock.now(), options["all"]
        counts = []
        if conf.is_v3():
            application = conf.get_smartcar_client()
            counts.append(token_sweeps.renew_application(client=application, now=now, every=every))
        if pairs := conf.get_pair_client():
            is_in_use = not conf.is_v3()
            counts.append(
                token_sweeps.refresh_due(
                    client=pairs, now=now, every=every, expired=is_in_use, asks_driver=is_in_use
                )
            )
        refreshed = sum(count.refreshed for count in counts)
        failed = sum(count.failed for count in counts)
        declined = sum(count.declined for count in counts)
        unreachable = failed and not refreshed and not declined
        refused = any(count.refused for count in counts[:1])  # of the generation in use
        self.summary(f"{refreshed} refreshed, {failed} failed", failed=bool(refused or unreachable))
