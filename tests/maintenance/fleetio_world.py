"""A portal and a Fleetio account that work on the same alerts, at a time that a test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from pytest_django import Settings

from fleetportal import clock
from integrations import conf, registry
from integrations.models import OutboxEntry, Vehicle
from integrations.sandbox import Fault, Sandbox
from integrations.sandbox.fleetio_lists import Row
from integrations.services import delivery, fleetio_vehicles, outbox
from maintenance.models import Alert, FleetioIssue
from maintenance.services import fleetio_entries, fleetio_sync
from tests.factories import NOW, make_vehicle
from tests.maintenance.cars import HOUR, add_default_rules, open_alert, say


class FleetioWorld:
    """`now` is everybody's time. The car is the twin of the first simulated one."""

    sandbox: Sandbox
    car: Vehicle

    def __init__(self) -> None:
        self.now = NOW

    def clock(self) -> datetime:
        return self.now

    def pass_time(self, **length: float) -> datetime:
        self.now += timedelta(**length)
        return self.now

    @property
    def client(self) -> Any:
        return conf.get_fleetio_client()

    def fault(self, **fault: Any) -> Fault:
        return self.sandbox.fleetio.faults.add(Fault(**fault))

    def open_alert(self) -> Alert:
        return open_alert(self.car, self.now)

    def say(self, **what: Any) -> None:
        say(self.car, self.now, **what)

    def fire(self) -> None:
        """The oil is worn, in two readings half a day apart."""
        for _ in range(2):
            self.pass_time(hours=13)
            self.say(oil=14)

    def deliver(self) -> None:
        delivery.deliver_due(clock=clock.now, lanes=[registry.FLEETIO])

    def deliver_all(self, *, rounds: int = 40) -> None:
        """Deliver until nothing waits; time passes as each row asks for."""
        for _ in range(rounds):
            self.deliver()
            waiting = OutboxEntry.objects.filter(lane="fleetio", state__in=outbox.UNFINISHED)
            first = waiting.order_by("next_attempt_at").first()
            if first is None:
                return
            self.now = max(self.now, first.next_attempt_at, first.lease_until or self.now)
            self.pass_time(seconds=61)
        raise AssertionError([(e.kind, e.state, e.last_error) for e in waiting])

    def sync(self) -> int:
        ended = fleetio_sync.bring_back(client=self.client, now=self.now)
        fleetio_entries.bring_back(client=self.client, now=self.now)
        return ended

    def alert(self) -> Alert:
        return Alert.objects.select_related("rule", "vehicle").get()

    def issue(self) -> FleetioIssue:
        return FleetioIssue.objects.get()

    def there(self) -> Row:
        """The one issue as Fleetio has it."""
        (row,) = self.sandbox.fleetio.issues()
        return row

    def comments(self) -> list[str]:
        return [row["comment"] for row in self.sandbox.fleetio.records.rows("comments")]

    def heads(self) -> list[str]:
        """How each comment begins."""
        return [text.splitlines()[0] for text in self.comments()]

    def move(self, what: str, note: str | None = None) -> None:
        """A mechanic does it in Fleetio."""
        self.sandbox.fleetio.move_issue(self.there()["id"], what, note)

    def results(self, kind: str) -> list[tuple[str, str]]:
        rows = OutboxEntry.objects.filter(kind=kind).order_by("pk")
        return [(row.state, row.result or row.last_error) for row in rows]


@contextmanager
def fleetio_world(settings: Settings) -> Iterator[FleetioWorld]:
    """A matched car, the default rules, and rate limits out of the way."""
    add_default_rules()
    world = FleetioWorld()
    clock.set_source(world.clock)
    world.sandbox = Sandbox(vehicles=4, drivers=1, clock=world.clock)
    with world.sandbox:
        for name, value in world.sandbox.environment().items():
            setattr(settings, name, value)
        settings.FLEETIO_WEBHOOK_KEYS = [settings.FLEETIO_WEBHOOK_KEY]
        settings.FLEETIO_REQUESTS_PER_MINUTE = 1_000_000
        world.car = make_vehicle(vin=world.sandbox.fleet.cars[0].vin)
        fleetio_vehicles.match(client=world.client, now=world.now)
        world.car.refresh_from_db()
        yield world


__all__ = ["HOUR", "FleetioWorld", "fleetio_world"]
