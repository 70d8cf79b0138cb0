"""Cars, mechanics, lost answers and webhooks in any order: both sides agree in the end."""

import random
from collections.abc import Callable, Iterator

import pytest
from pytest_django import Settings

from integrations.models import OutboxEntry, ProviderGate
from integrations.sandbox import Fault
from integrations.sandbox.faults import bad_gateway, dropped_after, dropped_before
from integrations.sandbox.fleetio_webhooks import FleetioEvent
from integrations.services import fleetio_events, fleetio_inbox
from integrations.services.measures import KM_PER_MILE
from maintenance.models import Alert, FleetioIssue, Rule
from maintenance.services import tending
from tests.factories import make_service
from tests.maintenance.fleetio_world import FleetioWorld, fleetio_world

pytestmark = pytest.mark.django_db

FAULTS: tuple[Callable[..., Fault], ...] = (dropped_after, dropped_before, bad_gateway)
ENDED = {"Resolved", "Closed"}


class Play:
    """What happens, one thing after the other, chosen by the seed."""

    def __init__(self, world: FleetioWorld, seed: int, events: list[FleetioEvent]) -> None:
        self.world, self.dice, self.events = world, random.Random(seed), events  # noqa: S311  plays are repeatable
        self.km = 55_000 * KM_PER_MILE
        self.told: list[str] = []
        self.acts: list[Callable[[], object]] = [
            *[self.fires] * 4,
            *[self.clears] * 2,
            *[self.gets_worse] * 1,
            *[self.drives] * 3,
            *[self.codes] * 2,
            *[self.mechanic] * 4,
            self.service_entry,
            *[self.webhooks] * 3,
            *[self.world.deliver] * 6,
            *[self.sync] * 2,
            self.trouble,
        ]

    def step(self) -> None:
        self.world.pass_time(minutes=self.dice.randint(3, 900))
        act = self.dice.choice(self.acts)
        self.told.append(act.__name__)
        act()
        tending.tend(now=self.world.now)

    def fires(self) -> None:
        self.world.say(oil=14)

    def gets_worse(self) -> None:
        self.world.say(oil=3)

    def clears(self) -> None:
        self.world.say(oil=95)

    def drives(self) -> None:
        self.km += self.dice.randint(10, 4_000)
        self.world.say(km=self.km)

    def codes(self) -> None:
        self.world.say(codes=self.dice.choice([[], ["P0301"]]))

    def mechanic(self) -> None:
        rows = self.world.sandbox.fleetio.issues()
        if rows:
            row = self.dice.choice(rows)
            what = self.dice.choice(["close", "resolve", "reopen"])
            self.told[-1] = f"{what} {row['id']}"
            self.world.sandbox.fleetio.move_issue(row["id"], what)

    def service_entry(self) -> None:
        rows = self.world.sandbox.fleetio.issues(state="Open")
        ids = [self.dice.choice(rows)["id"]] if rows else []
        self.world.sandbox.fleetio.add_service_entry(self.world.car.vin or "", issue_ids=ids)

    def webhooks(self) -> None:
        """Some of what Fleetio has to tell: late, in any order, twice, or never."""
        sender = self.world.sandbox.fleetio.webhooks
        sender.flush()
        self.dice.shuffle(self.events)
        for event in [self.events.pop() for _ in range(self.dice.randint(0, len(self.events)))]:
            for _ in range(self.dice.choice([0, 1, 1, 2])):
                body, headers = sender.package(event)
                fleetio_inbox.receive(
                    body,
                    signature=headers["X-Fleetio-Webhook-Signature"],
                    keys=[sender.key],
                    now=self.world.now,
                )
        fleetio_events.process_due(now=self.world.now)

    def sync(self) -> None:
        try:
            self.world.sync()
        except Exception as exc:  # noqa: BLE001  only what Fleetio failed at
            assert type(exc).__name__ == "ClientError", exc  # noqa: PT017

    def trouble(self) -> None:
        method = self.dice.choice(["POST", "PATCH", "GET"])
        fault = self.dice.choice(FAULTS)(method=method, path="/api/")
        self.world.sandbox.fleetio.faults.add(fault)

    def settle(self) -> None:
        """Nothing happens any more; everything is told and looked at."""
        self.world.sandbox.fleetio.faults.clear()
        for _ in range(4):
            ProviderGate.objects.update(paused_until=None, refused_at=None)
            self.world.deliver_all(rounds=80)
            self.world.pass_time(minutes=20)
            self.world.sync()
            tending.tend(now=self.world.now)


@pytest.fixture
def world(settings: Settings) -> Iterator[FleetioWorld]:
    with fleetio_world(settings) as running:
        running.sandbox.fleetio.webhooks.gathering = None
        yield running


@pytest.mark.parametrize("on_clear", ["resolve", "close", "comment"])
@pytest.mark.parametrize("seed", range(8))
def test_both_sides_agree_in_the_end(world: FleetioWorld, seed: int, on_clear: str) -> None:
    Rule.objects.update(on_clear=on_clear, hold_readings=1)
    make_service(vehicle=world.car, topic="tire-rotation", odometer_km=50_000 * KM_PER_MILE)
    with world.sandbox.fleetio.webhooks.held() as events:
        play = Play(world, seed * 3 + len(on_clear), events)
        for _ in range(60):
            play.step()
        play.settle()

    issues = {row["id"]: row for row in world.sandbox.fleetio.issues()}
    known = {issue.alert_id: issue for issue in FleetioIssue.objects.all()}
    assert len(known) == len(issues), play.told
    for alert in Alert.objects.exclude(fleetio_issue=None).filter(flapping_since=None):
        row = issues[known[alert.pk].fleetio_id]
        assert known[alert.pk].state == row["state"].lower(), play.told
        if alert.resolved_at is None:
            assert row["state"] == "Open", (alert, play.told)
        elif on_clear != "comment":
            assert row["state"] in ENDED, (alert, play.told)
    comments = [text.rpartition("Fleet Portal, ")[2] for text in world.comments()]
    assert len(comments) == len(set(comments)), play.told
    assert not OutboxEntry.objects.filter(state="dead").exists()
