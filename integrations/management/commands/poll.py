"""Read the cars that are due, now and in this process."""

from argparse import ArgumentParser
from collections import Counter
from datetime import datetime
from typing import Any

from django.conf import settings

from fleetportal import clock
from integrations import conf
from integrations.clients.errors import ClientError, Outcome
from integrations.conf import SmartcarClient
from integrations.management.base import PortalCommand
from integrations.models import Vehicle
from integrations.services import connections, moving, polling, revoking, subscriptions
from integrations.services.polling import Polled


class Command(PortalCommand):
    help = "Reads due vehicles, runs the rules and writes the outbox."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--all", action="store_true", help="every car, due or not")
        which.add_argument("--vin", default="", help="this car, due or not")

    def handle(self, *args: Any, vin: str, **options: Any) -> None:
        if vin and not Vehicle.objects.filter(vin=vin.strip().upper()).exists():
            raise self.usage_error(f"There is no vehicle with the VIN {vin}.")
        not_due_too = bool(vin or options["all"])
        started = clock.now()
        client, policy = conf.get_smartcar_client(), conf.poll_policy()
        # Cars that Smartcar could not list when their driver connected.
        connections.list_missing(client=client, now=started)
        self._take_over(client, started)
        revoking.finish_revoking(client=client, now=started)
        if settings.SMARTCAR_WEBHOOK_ID:
            subscriptions.subscribe_missing(
                client=client, webhook_id=settings.SMARTCAR_WEBHOOK_ID, now=started
            )
        ids = list(polling.due_vehicles(now=started, every=options["all"], vin=vin.strip()))
        polled: list[Polled] = []
        with self.progress("Reading cars") as progress:
            for vehicle_id in ids:
                result = polling.poll_vehicle(
                    vehicle_id,
                    client=client,
                    policy=policy,
                    now=clock.now(),
                    asked_at=started if not_due_too else None,
                )
                polled += [result] if result else []
                progress(len(polled), len(ids))
                if result and result.outcome in {Outcome.WAIT_ALL, Outcome.STOP}:
                    break
        others = Vehicle.objects.readable().count() - len(ids)
        self._report(polled, len(ids), 0 if vin else max(others, 0))

    def _take_over(self, client: SmartcarClient, now: datetime) -> None:
        try:
            moving.take_over(client=client, now=now)
        except ClientError as exc:
            self.stderr.write(f"cars were not looked up: {exc}")

    def _report(self, polled: list[Polled], due: int, others: int) -> None:
        failed = [p for p in polled if p.outcome is not None]
        for result in failed:
            self.stderr.write(f"vehicle {result.vehicle_id}: {result.error}")
        outcomes = Counter(p.outcome for p in failed)
        read = len(polled) - len(failed)
        readings = sum(p.ingested.readings for p in polled)
        refused = outcomes[Outcome.STOP] > 0
        unreachable = bool(polled) and outcomes[Outcome.RETRY] == len(polled)
        text = f"{read} of {due} vehicles read, {readings} new readings, {len(failed)} failed"
        if others:
            text += f", {others} not due or told to wait"
        self.summary(text, failed=refused or unreachable)
