"""Send what is due for Fleetio and by mail."""

from typing import Any

from fleetportal import clock
from integrations import conf, registry
from integrations.management.base import PortalCommand
from integrations.services import delivery


class Command(PortalCommand):
    help = "Makes one attempt at each outgoing message that is due."

    def handle(self, *args: Any, **options: Any) -> None:
        lanes = [registry.MAIL, *([registry.FLEETIO] if conf.has_fleetio() else [])]
        with self.progress("Sending") as progress:
            count = delivery.deliver_due(clock=clock.now, lanes=lanes, progress=progress)
        text = f"{count.done} sent, {count.waiting} waiting, {count.unclear} unclear"
        text += f", {count.dead} given up"
        if count.stopped:
            text += f" (stopped: {count.stopped})"
        self.summary(text, failed=bool(count.dead or count.refused or count.unreachable))
