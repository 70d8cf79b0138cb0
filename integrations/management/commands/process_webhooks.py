"""Work off what Smartcar and Fleetio said by themselves, now and in this process."""

from typing import Any

from fleetportal import clock
from integrations import conf
from integrations.management.base import PortalCommand
from integrations.services import fleetio_events, webhooks


class Command(PortalCommand):
    help = "Works off the webhook inbox."

    def handle(self, *args: Any, **options: Any) -> None:
        with self.progress("Working off events") as progress:
            count = webhooks.process_due(now=clock.now(), limit=None, progress=progress)
        fleetio = fleetio_events.Counts()
        if conf.has_fleetio():
            fleetio = fleetio_events.process_due(now=clock.now(), limit=None)
        if fleetio.stopped:
            self.stdout.write(f"{fleetio.waiting} events of Fleetio wait: {fleetio.stopped}")
        failed = count.failed + fleetio.failed
        done, ignored = count.processed + fleetio.processed, count.ignored + fleetio.ignored
        self.summary(f"{done} processed, {ignored} ignored, {failed} failed", failed=failed > 0)
