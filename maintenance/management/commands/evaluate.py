"""Run the rules on what is stored."""

from argparse import ArgumentParser
from typing import Any

from fleetportal import clock
from integrations.management.base import PortalCommand
from integrations.models import Vehicle
from maintenance.services import evaluation, outages, tending


class Command(PortalCommand):
    help = "Runs the rules on what is stored. --dry-run lists what would change."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="change nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        now = clock.now()
        if dry_run:
            self._dry_run()
            return
        outages.look(now=now)
        with self.progress("Evaluating") as progress:
            ids = list(Vehicle.objects.values_list("pk", flat=True))
            changed = failed = 0
            for done, vehicle_id in enumerate(ids, start=1):
                one, broken = evaluation.evaluate_all(now=now, vehicle_ids=[vehicle_id])
                changed, failed = changed + one, failed + broken
                progress(done, len(ids))
        failed += tending.tend(now=now).failed
        text = f"{len(ids)} vehicles evaluated, {changed} changed, {failed} failed"
        self.summary(text, failed=failed > 0)

    def _dry_run(self) -> None:
        steps = 0
        for vehicle in Vehicle.objects.all():
            for planned in evaluation.dry_run(vehicle, now=clock.now()):
                self.stdout.write(f"{vehicle}: {planned}")
                steps += 1
        self.summary(f"{steps} changes would be made")
