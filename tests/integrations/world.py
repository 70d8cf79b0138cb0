"""A portal between its stand-ins, at a time that a test moves: what tests of services share."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from fleetportal import clock
from integrations import conf, registry
from integrations.clients import readings as codes
from integrations.clients.fleetio import FleetioClient
from integrations.models import ConnectLink, Vehicle
from integrations.sandbox import Car, Fault, Sandbox
from integrations.services import connections, polling
from integrations.services.connections import Connected
from integrations.services.polling import Polled
from integrations.signals import readings_recorded
from tests.factories import NOW, make_link

WANTED = {codes.TROUBLE_CODES: 40, codes.OIL_LIFE: 30, codes.ODOMETER: 20}
Result = TypeVar("Result")


class World:
    """Both providers over real HTTP, and the clock of everybody."""

    sandbox: Sandbox

    def __init__(self) -> None:
        self.now: datetime = NOW

    def clock(self) -> datetime:
        return self.now

    def pass_time(self, **length: float) -> datetime:
        self.now += timedelta(**length)
        return self.now

    @property
    def smartcar(self) -> Any:
        """The client of the generation that the world runs."""
        return conf.get_smartcar_client()

    @property
    def fleetio(self) -> FleetioClient:
        return conf.get_fleetio_client()

    def car(self, vehicle: Vehicle) -> Car:
        return self.sandbox.fleet.car(vehicle.smartcar_id)

    def smartcar_fault(self, **fault: Any) -> Fault:
        return self.sandbox.smartcar.faults.add(Fault(**fault))

    def fleetio_fault(self, **fault: Any) -> Fault:
        return self.sandbox.fleetio.faults.add(Fault(**fault))

    def token_calls(self) -> int:
        return self.sandbox.smartcar.requests.count("POST", "/oauth/token")

    def signal_calls(self) -> int:
        return self.sandbox.smartcar.requests.count("GET", "/v3/vehicles", pattern="/signals")

    def batches(self) -> int:
        return self.sandbox.smartcar.requests.count("POST", pattern="/batch$")

    def make_link(self, **fields: Any) -> ConnectLink:
        return make_link(
            **{"created_at": self.now, "expires_at": self.now + timedelta(days=7), **fields}
        )

    def consent(self, link: ConnectLink, *, driver: str = "", **choices: Any) -> str:
        """Let the driver allow everything but `choices`; returns the code."""
        return self.allowed(link, driver=driver, **choices)["code"][0]

    def allowed(
        self, link: ConnectLink, *, driver: str = "", **choices: Any
    ) -> dict[str, list[str]]:
        """Let the driver allow everything but `choices`; returns what the redirect says."""
        url = connections.connect_url(link, state="state", client=self.smartcar)
        connect = self.sandbox.smartcar.connect
        who = driver or self.sandbox.fleet.drivers[0].email
        return parse_qs(urlsplit(connect.approve(url, driver=who, **choices)).query)

    def connect(self, link: ConnectLink | None = None, **choices: Any) -> Connected:
        """One driver connects, all the way."""
        link = link or self.make_link()
        said = self.allowed(link, **choices)
        return connections.finish(
            link,
            code=said["code"][0],
            user_id=said.get("user_id", [""])[0],
            client=self.smartcar,
            mode="test",
            webhook_id=settings.SMARTCAR_WEBHOOK_ID,
            now=self.now,
        )

    def poll(self, vehicle: Vehicle, *, scheduled: bool = False) -> Polled | None:
        """Read the car now, and look at it again."""
        result = polling.poll_vehicle(
            vehicle.pk,
            client=self.smartcar,
            policy=conf.poll_policy(),
            now=self.now,
            asked_at=None if scheduled else self.now,
        )
        if Vehicle.objects.filter(pk=vehicle.pk).exists():
            vehicle.refresh_from_db()
        return result


@contextmanager
def running(
    settings: Settings,
    *,
    vehicles: int = 4,
    drivers: int = 1,
    version: str = "v2",
    webhooks: bool = False,
) -> Iterator[World]:
    """A world whose clock stands at NOW and whose rate limits are out of the way."""
    world = World()
    world.sandbox = Sandbox(vehicles=vehicles, drivers=drivers, clock=world.clock)
    with world.sandbox:
        for name, value in world.sandbox.environment(version, webhooks=webhooks).items():
            setattr(settings, name, value)
        settings.SMARTCAR_MANAGEMENT_TOKENS = [world.sandbox.smartcar.management.token]
        settings.FLEETIO_REQUESTS_PER_MINUTE = 100_000
        settings.SMARTCAR_BUCKET_SIZE = 100_000
        clock.set_source(world.clock)
        yield world


def without_rules(monkeypatch: pytest.MonkeyPatch, **wanted: int) -> None:
    """Nobody listens to readings, and three signals are wanted: these tests stop at the seam."""
    monkeypatch.setattr(readings_recorded, "receivers", [])
    monkeypatch.setattr(registry, "_wanted", [lambda: dict(wanted or WANTED)])


def together(count: int, work: Callable[[int], Result]) -> list[Result | Exception]:
    """Run `work(0)` to `work(count - 1)` at the same moment, each with its own connection."""
    start = threading.Barrier(count)

    def run(number: int) -> Result | Exception:
        try:
            start.wait(10)
            return work(number)
        except Exception as exc:  # noqa: BLE001  the test says which are right
            return exc
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
