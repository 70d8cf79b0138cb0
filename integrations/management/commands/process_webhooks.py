"""Work off what Smartcar said by itself, now and in this process."""

from typing import Any

from fleetportal import clock
from integrations.management.base import PortalCommand
from integrations.services import webhooks


class Command(PortalCommand):
    help = "Works off the webhook inbox."

    def handle(self, *args: Any, **options: Any) -> None:
        with self.progress("Working off events") as progress:
            count = webhooks.process_due(now=clock.now(), limit=None, progress=progress)
        text = f"{count.processed} processed, {count.ignored} ignored, {count.failed} failed"
        self.summary(text, failed=count.failed > 0)
