"""What the processes of these tests do. Each gets its number in the crowd first."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.core.management import call_command

from fleetportal import clock
from integrations import conf, registry
from integrations.models import ConnectLink, OAuthToken, OutboxEntry, Vehicle
from integrations.services import (
    connect_links,
    connections,
    delivery,
    fleetio_odometers,
    fleetio_vehicles,
    parcels,
    tokens,
)
from integrations.services.measures import KM_PER_MILE
from maintenance.models import Rule
from maintenance.services import evaluation, notifying
from tests import factories
from tests.maintenance import cars

JOBS: dict[str, Callable[..., None]] = {}


def job(function: Callable[..., None]) -> Callable[..., None]:
    JOBS[function.__name__] = function
    return function


def say(text: object) -> None:
    sys.stdout.write(f"{text}\n")


@job
def command(_: int, *args: str) -> None:
    """A command of manage.py."""
    call_command(*args)


@job
def task(_: int, name: str) -> None:
    """A task as a worker runs it."""
    module, _dot, function = name.rpartition(".")
    say(getattr(import_module(module), function)())


# --- Drivers and tokens -----------------------------------------------------------------------


@job
def invite(number: int) -> None:
    """Make a link, and press its button."""
    now = clock.now()
    driver = connect_links.invite(email="d@example.com", name="D", now=now)
    connect_links.create(driver, now=now)
    press_the_button(number)


@job
def press_the_button(_: int) -> None:
    """Print where the button of the newest link leads."""
    link = ConnectLink.objects.latest("pk")
    say(connections.connect_url(link, state="s", client=conf.get_smartcar_client()))


@job
def finish(_: int, code: str) -> None:
    """What the callback does with the newest link."""
    connections.finish(
        ConnectLink.objects.select_related("driver").latest("pk"),
        code=code,
        client=conf.get_smartcar_client(someone_waits=True),
        mode="simulated",
        now=clock.now(),
    )


@job
def get_access_token(_: int) -> None:
    """Want a token that works, and tell which pair it came from."""
    token = OAuthToken.objects.get()
    client = conf.get_smartcar_client()
    access = tokens.get_access_token(token, client=client, now=clock.now())
    stored = OAuthToken.objects.get()
    say(f"pair {stored.version}, {'the stored one' if access == stored.access_token else 'other'}")


# --- Cars and what they say -------------------------------------------------------------------


@job
def add_cars(_: int, vins: list[str]) -> None:
    """Cars that nobody reads, matched with their twins in Fleetio."""
    now = clock.now()
    connection = factories.make_connection(connected_at=now)
    for vin in vins:
        factories.make_vehicle(vin=vin, connection=connection)
    fleetio_vehicles.match(client=conf.get_fleetio_client(), now=now)
    for email in settings.MAINTENANCE_EMAILS:  # every mail of these tests counts
        factories.make_recipient(email=email, most_per_hour=10_000)


@job
def wear_out(_: int, vin: str, km: float | None) -> None:
    """The car's oil is worn, and it has driven: an issue, a mail and an odometer are to go out."""
    now = clock.now()
    car = Vehicle.objects.get(vin=vin)
    cars.say(car, now - timedelta(hours=12), oil=14, now=now)
    cars.say(car, now, oil=14, km=km)
    fleetio_odometers.queue_odometers(now=now)


@job
def go_through(_: int, vin: str) -> None:
    """The car's oil was worn and its issue made; now it is changed, so the issue is to follow."""
    now = clock.now()
    Rule.objects.update(on_clear=Rule.OnClear.RESOLVE)
    cars.say(Vehicle.objects.get(vin=vin), now, oil=95, now=now)


@job
def say_and_judge(number: int, vin: str) -> None:
    """What every one of a crowd says of one car, and what only this one says; then the rules."""
    now = clock.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    car = Vehicle.objects.get(vin=vin)
    for hours in (14, 2):  # worn oil and a trouble code, twice
        at = hour - timedelta(hours=hours)
        cars.say(car, at, oil=14, codes=["P0300"], now=now)
        cars.say(car, at + timedelta(minutes=number), km=80_000 + number, oil=14, now=now)
        evaluation.evaluate_vehicle(car.pk, now=now)


@job
def say_before(_: int) -> None:
    """Half a day ago every car's oil was worn."""
    now = clock.now()
    for car in Vehicle.objects.all():
        cars.say(car, now - timedelta(hours=13), oil=14, now=now)


@job
def queue_a_backlog(_: int, vin: str, km: float, count: int) -> None:
    """An odometer of the car for each second that passed, all long due."""
    now = clock.now()
    car = Vehicle.objects.get(vin=vin)
    tenth = 0.1 * KM_PER_MILE
    OutboxEntry.objects.bulk_create(
        OutboxEntry(
            kind=fleetio_odometers.KIND,
            lane=registry.FLEETIO,
            dedupe_key=f"backlog:{n}",
            vehicle=car,
            created_at=now,
            next_attempt_at=now - timedelta(hours=1),
            payload={
                "vehicle": car.pk,
                "fleetio_id": car.fleetio_id,
                "km": km + n * tenth,
                "recorded_at": (now - timedelta(seconds=count - n)).isoformat(),
            },
        )
        for n in range(count)
    )


@job
def queue_a_bundle(_: int, count: int) -> None:
    """So many alerts of one recipient, as a storm leaves them."""
    now = clock.now()
    OutboxEntry.objects.bulk_create(
        OutboxEntry(
            kind=notifying.MAIL,
            lane=registry.MAIL,
            dedupe_key=f"storm:{n}",
            bundle="mail:1",
            created_at=now - timedelta(minutes=5),
            next_attempt_at=now - timedelta(minutes=5),
            payload={"alert": n, "recipient": 1, "stage": "due"},
        )
        for n in range(count)
    )


@job
def claim_the_bundle(_: int) -> None:
    """Take what is due, as a worker does who found it; print how many rows that were."""
    now = clock.now()
    lots = parcels.due(registry.MAIL, now=now, gather=None)
    time.sleep(0.5)  # everybody has found it
    say(sum(len(parcels.claim(lot, until=now + delivery.LEASE, now=now)) for lot in lots))
