"""Look at everything the portal depends on, and say what to do about it."""

from typing import Any

from fleetportal import diagnosis
from integrations.management.base import PortalCommand


class Command(PortalCommand):
    help = "Checks database, broker, keys, clock, Smartcar, Fleetio, mail."

    def handle(self, *args: Any, **options: Any) -> None:
        bad = 0
        for found in diagnosis.examine():
            mark = self.style.SUCCESS("ok  ") if found.is_good else self.style.ERROR("BAD ")
            self.stdout.write(f"{mark}{found.what}: {found.text}")
            bad += not found.is_good
        self.summary("Everything is well" if not bad else f"{bad} to look at", failed=bad > 0)
