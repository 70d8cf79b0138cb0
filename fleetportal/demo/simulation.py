"""A week of the fleet, played on the portal's one clock through the portal's own services."""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.urls import reverse

from fleetportal import clock
from integrations import conf, registry
from integrations.sandbox import Car, Sandbox
from integrations.services import delivery, polling, webhook_setup, webhooks
from maintenance import tasks

PAST = timedelta(days=8)
STEP = timedelta(hours=6)
SEED = 1
LIVE_SECONDS = 15.0
LIVE_CODES = ("P0455", "P0128", "P0700")


class Simulation:
    """The simulated time, and what happens when it moves on."""

    def __init__(self, vehicles: int, drivers: int) -> None:
        self._now = datetime.now(UTC) - PAST
        clock.set_source(lambda: self._now)
        self.sandbox = Sandbox(seed=SEED, vehicles=vehicles, drivers=drivers, clock=clock.now)

    def play(self, progress: Callable[[int, int], None], weekly: Callable[[], None]) -> None:
        """Play the past up to today in steps; `weekly` runs once, after the second step."""
        steps = PAST // STEP
        for number in range(1, steps + 1):
            if number == steps:
                clock.set_source(None)  # from now on it is the real time
            self._now += STEP
            self.sandbox.fleet.advance(clock.now())
            self.work()
            if number == 2:
                weekly()
            progress(number, steps)

    def register_webhook(self, portal_url: str) -> None:
        """What an admin does in Smartcar's dashboard: enter the address, and let it be verified."""
        webhook_setup.open_window(now=clock.now(), user=None)
        self.sandbox.smartcar.webhooks.url = portal_url + reverse("integrations:smartcar_webhook")
        if not self.sandbox.smartcar.webhooks.verify():
            raise RuntimeError("the portal did not answer the webhook's verification")
        webhook_setup.close_window(now=clock.now(), user=None)

    def work(self) -> None:
        """Cars report; then what workers do: take that in, read who is due, decide, deliver."""
        for car in self.sandbox.fleet.cars:
            if not car.is_asleep:
                self.sandbox.smartcar.webhooks.report(car, wait=True)
        webhooks.process_due(now=clock.now(), limit=None)
        client, policy = conf.get_smartcar_client(), conf.poll_policy()
        for vehicle_id in polling.due_vehicles(now=clock.now()):
            polling.poll_vehicle(vehicle_id, client=client, policy=policy, now=clock.now())
        tasks.evaluate_due_vehicles()
        tasks.sync_fleetio()
        self.deliver()

    def deliver(self) -> None:
        delivery.deliver_due(clock=clock.now, lanes=registry.lanes())


class Live:
    """The scenario plays on in real time: cars drive and report, codes come and go."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scenario", daemon=True)
        self._random = random.Random(SEED)  # noqa: S311  a story, not a secret

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(LIVE_SECONDS):
            self._drive()
            for car in self._some():
                self._sandbox.smartcar.webhooks.report(car)

    def _drive(self) -> None:
        now = clock.now()
        for car in self._sandbox.fleet.cars:
            car.report(now, odometer_km=car.odometer_km + self._random.uniform(0, 3))
        diagnosable = [car for car in self._sandbox.fleet.cars if "/diagnostics/dtcs" in car.paths]
        if diagnosable and self._random.random() < 0.2:
            car = self._random.choice(diagnosable)
            car.report(now, trouble_codes=[] if car.trouble_codes else [self._code()])

    def _code(self) -> str:
        return self._random.choice(LIVE_CODES)

    def _some(self) -> list[Car]:
        cars = self._sandbox.fleet.cars
        return self._random.sample(list(cars), min(4, len(cars)))
