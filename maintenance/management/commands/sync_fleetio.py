"""Bring the portal and Fleetio together."""

from typing import Any

from fleetportal import clock
from integrations import conf
from integrations.clients.errors import ClientError, Outcome
from integrations.management.base import PortalCommand
from integrations.services import fleetio_odometers, fleetio_vehicles
from maintenance.services import fleetio_entries, fleetio_sync


class Command(PortalCommand):
    help = "Matches vehicles by VIN, queues odometers, brings back what Fleetio resolved."

    def handle(self, *args: Any, **options: Any) -> None:
        if not conf.has_fleetio():
            self.summary("Fleetio is not set up: FLEETIO_API_TOKEN and FLEETIO_ACCOUNT_TOKEN")
            return
        client, now = conf.get_fleetio_client(), clock.now()
        try:
            matched = fleetio_vehicles.match(client=client, now=now)
            for vehicle in matched.unmatched:
                self.stdout.write(f"not in Fleetio: {vehicle} {vehicle.vin or ''}")
            queued = fleetio_odometers.queue_odometers(now=now)
            ended = fleetio_sync.bring_back(client=client, now=now)
            recorded = fleetio_entries.bring_back(client=client, now=now)
        except ClientError as exc:
            at_limit = exc.outcome in {Outcome.WAIT, Outcome.WAIT_ALL}
            self.summary(f"Stopped: {exc}", failed=not at_limit)
            return
        self.summary(
            f"{matched.matched} vehicles matched, {len(matched.unmatched)} not,"
            f" {queued} odometers queued, {ended} alerts ended by Fleetio,"
            f" {recorded} services recorded"
        )
