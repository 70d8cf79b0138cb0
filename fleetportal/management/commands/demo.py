"""The whole chain on one machine, with no account anywhere."""

import os
import signal
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.core.management import call_command

from fleetportal import clock
from fleetportal.demo import environment, people, report
from fleetportal.demo.simulation import Live, Simulation
from fleetportal.embedded import Site, Workers
from integrations.management.base import PortalCommand, port

CARS_PER_DRIVER = 3


class Command(PortalCommand):
    help = "Stand-in Smartcar and Fleetio, simulated drivers and cars, and the real portal."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one full cycle, then exit")
        parser.add_argument("--port", type=port, metavar="N", help="port of the site")
        parser.add_argument("--vehicles", type=int, default=12, help="how many cars")

    def handle(self, *args: Any, once: bool, vehicles: int, **options: Any) -> None:
        if environment.MARK not in os.environ:
            raise self.usage_error("Run it as: python manage.py demo")
        if vehicles < 1:
            raise self.usage_error("--vehicles must be at least 1.")
        self.stdout.write("Making a database of its own ...")
        call_command("migrate", verbosity=0)
        try:
            site = Site(_port_of(settings.SITE_URL))
        except OSError as exc:
            raise self.usage_error(
                f"{settings.SITE_URL} cannot be used ({exc.strerror}); choose another --port."
            ) from exc
        drivers = -(-vehicles // CARS_PER_DRIVER)
        simulation = Simulation(vehicles=vehicles, drivers=drivers)
        simulation.sandbox.start(
            smartcar_port=_port_of(settings.SMARTCAR_VEHICLE_API_V3_ORIGIN),
            fleetio_port=_port_of(settings.FLEETIO_BASE_URL),
        )
        site.start()
        try:
            self._play(simulation)
            if not once:
                self._run_on(simulation)
        finally:
            site.stop()
            simulation.sandbox.stop()

    def _play(self, simulation: Simulation) -> None:
        people.set_up()
        simulation.register_webhook(settings.SITE_URL)
        self.stdout.write("Drivers open their links and connect their cars ...")
        people.connect_drivers(simulation.sandbox, settings.SITE_URL)
        self.stdout.write("Eight days of driving, reading, deciding and telling ...")
        with self.progress("Eight days") as progress:
            simulation.play(progress, lambda: people.record_services(clock.now()))
        people.leave_something_to_do(clock.now())
        simulation.deliver()
        self.stdout.flush()
        report.show()
        sys.stdout.flush()

    def _run_on(self, simulation: Simulation) -> None:
        stop = threading.Event()

        def ask_to_stop(signum: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask_to_stop)
        admin.site.notice = (  # type: ignore[attr-defined]
            f"This is a demo with simulated cars. Log in as {people.USER} with the password"
            f" {people.PASSWORD}.",
            "Begin with the alerts, then open a vehicle: what is known of it, which rules apply,"
            " what was sent. To be a driver, open the portal link of Sam Newcomer and connect.",
        )
        workers, live = Workers(), Live(simulation.sandbox)
        workers.start()
        live.start()
        self._where_to_look()
        while not stop.wait(0.5):
            pass
        live.stop()
        workers.stop()
        self.summary("Stopped; the demo's database is gone")

    def _where_to_look(self) -> None:
        mails = Path(os.environ[environment.MARK]) / "mails"
        for line in (
            "",
            f"Look at   {settings.SITE_URL}/admin/",
            f"Log in as {people.USER} with the password {people.PASSWORD}",
            f"Mails     {mails}",
            "The cars drive on and report by themselves; a trouble code comes now and then.",
            "Ctrl-C ends it and removes everything.",
        ):
            self.stdout.write(line)
        self.stdout.flush()


def _port_of(url: str) -> int:
    return urlsplit(url).port or 0
