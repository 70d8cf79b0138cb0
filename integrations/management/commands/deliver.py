"""Send what is due: by mail, to channels, and for Fleetio."""

from typing import Any

from fleetportal import clock
from integrations import conf, registry
from integrations.management.base import PortalCommand
from integrations.services import delivery


class Command(PortalCommand):
    help = "Makes one attempt at each outgoing message that is due."

    def handle(self, *args: Any, **options: Any) -> None:
        lanes = [
            lane for lane in registry.lanes() if lane != registry.FLEETIO or conf.has_fleetio()
        ]
        with self.progress("Sending") as progress:
            count = delivery.deliver_due(clock=clock.now, lanes=lanes, progress=progress)
        text = f"{count.done} sent, {count.waiting} waiting, {count.unclear} unclear"
        text += f", {count.dead} given up"
        if count.stopped:
            text += f" (stopped: {count.stopped})"
        self.summary(text, failed=bool(count.dead or count.refused or count.unreachable))
