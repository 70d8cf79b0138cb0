"""What the processes of the storm of lost connections do; beside those of `jobs`."""

import json
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import connection as database
from django.db import transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import reverse

from fleetportal import clock
from integrations import tasks
from integrations.clients.readings import ODOMETER
from integrations.models import (
    Connection,
    Driver,
    OAuthToken,
    OutboxEntry,
    Reading,
    Signal,
    Vehicle,
    VehicleAccess,
)
from integrations.services import connection_status
from maintenance.models import Channel, Recipient, Rule
from maintenance.services import evaluation, outages, tending
from tests.faults.jobs import job, say
from tests.maintenance import cars

HOUR = timedelta(hours=1)
MAKES = ("FORD", "TOYOTA", "NISSAN", "GMC", "RAM", "KIA", "BMW")
QUIET_MAKE = "RIVIAN"
# How each likes to be told: at once, not for hours (see `prepare`), once a day, and elsewhere too.
NOW, NIGHT, DIGEST, CHANNEL = (
    f"{name}@staff.example.com" for name in ("now", "night", "digest", "channel")
)
QUIET_FOR, DIGEST_IN = timedelta(hours=6), timedelta(hours=9)


# --- Before the storm -------------------------------------------------------------------------


@job
def prepare(_: int, count: int, stale: int, hook: str) -> None:
    """So many cars, each with a driver and a consent of its own; some have been quiet for long."""
    now = clock.now()
    Rule.objects.filter(kind__in=["connection", "stale_data"]).update(
        extra_addresses=f"{NOW}\n{NIGHT}\n{DIGEST}\n{CHANNEL}"
    )
    add_cars((MAKES[n % len(MAKES)] for n in range(count)), now, heard_at=now - HOUR)
    step = max(count // max(stale, 1), 1)
    for n, car in enumerate(Vehicle.objects.order_by("pk")[::step][:stale]):
        heard_at = now - timedelta(days=6 + 3 * n)
        Signal.objects.filter(vehicle=car).update(recorded_at=heard_at)
    stale_ones = Signal.objects.filter(recorded_at__lt=now - timedelta(days=5))
    # They are told of before anybody wants quiet.
    evaluation.evaluate_all(now=now, vehicle_ids=stale_ones.values_list("vehicle", flat=True))
    OutboxEntry.objects.update(state="done", finished_at=now - 2 * HOUR, result="told long ago")
    prefer(now, hook)


def prefer(now: datetime, hook: str) -> None:
    people = {NOW: {}, CHANNEL: {}, NIGHT: quiet(now), DIGEST: digest(now)}
    for address, wishes in people.items():
        Recipient.objects.update_or_create(email=address, defaults=wishes)
    channel = Recipient.objects.get(email=CHANNEL)
    Channel.objects.create(recipient=channel, name="hook", url=hook)


def quiet(now: datetime) -> dict[str, object]:
    hours = {"quiet_from": (now - HOUR).time(), "quiet_until": (now + QUIET_FOR).time()}
    return {**hours, "time_zone": "UTC"}


def digest(now: datetime) -> dict[str, object]:
    return {"delivery": "daily", "digest_hour": (now + DIGEST_IN).hour, "time_zone": "UTC"}


def add_cars(makes: Iterable[str], now: datetime, *, heard_at: datetime) -> list[Vehicle]:
    """Half of the access tokens have run out; nothing is due before somebody says so."""
    long_ago = now - timedelta(days=90)
    first = Vehicle.objects.count()
    named = list(enumerate(makes, start=first))
    drivers = Driver.objects.bulk_create(
        Driver(email=f"driver{n}@example.com", name=f"Driver {n}", created_at=long_ago)
        for n, _make in named
    )
    consents = Connection.objects.bulk_create(
        Connection(
            driver=driver,
            smartcar_user_id=f"user-{driver.pk}",
            connected_at=long_ago,
            status_changed_at=long_ago,
            vehicles_listed_at=long_ago,
            listed_through="v2",
        )
        for driver in drivers
    )
    OAuthToken.objects.bulk_create(
        OAuthToken(
            connection=consent,
            access_token=f"access-{consent.pk}",
            refresh_token=f"refresh-{consent.pk}",
            access_expires_at=now + (timedelta(days=1) if consent.pk % 2 else -HOUR),
            refresh_expires_at=now + timedelta(days=50),
            issued_at=now - timedelta(days=1),
        )
        for consent in consents
    )
    vehicles = Vehicle.objects.bulk_create(
        Vehicle(
            connection=consent,
            smartcar_id=f"car-{n}",
            vin=f"1FTBW2CM0KK{n:06d}",
            make=make,
            model="Van",
            year=2021,
            name=f"Van {n}",
            created_at=long_ago,
            identified_at=long_ago,
            next_poll_at=now + timedelta(days=365),
        )
        for (n, make), consent in zip(named, consents, strict=True)
    )
    VehicleAccess.objects.bulk_create(
        VehicleAccess(
            vehicle=car,
            connection=consent,
            smartcar_id=car.smartcar_id,
            connected_at=long_ago,
        )
        for car, consent in zip(vehicles, consents, strict=True)
    )
    Signal.objects.bulk_create(
        Signal(
            vehicle=car,
            code=ODOMETER,
            value=80_000,
            recorded_at=heard_at,
            fetched_at=heard_at,
            source=Reading.Source.POLL,
            support=Signal.Support.OK,
            is_wanted=True,
        )
        for car in vehicles
    )
    return vehicles


# --- What happens -----------------------------------------------------------------------------


@job
def make_due(_: int) -> None:
    """Every car is to be read now."""
    Vehicle.objects.update(next_poll_at=clock.now())


@job
def come_back(number: int, of: int) -> None:
    """Every second connection is good again; each of a crowd takes its share."""
    ids = Connection.objects.filter(status="needs_reconnect").order_by("pk").values_list("pk")
    half = [pk for (pk,) in ids if pk % 4 < 2]  # of both ways to lose it
    for consent in Connection.objects.filter(pk__in=half[number::of]):
        connection_status.mark_active(consent, now=clock.now())


@job
def deliver_for(_: int, seconds: float) -> None:
    """As workers do: look once, and again and again while it goes on."""
    ends = time.monotonic() + seconds
    while True:
        tasks.deliver_mail()
        tasks.deliver_push()
        if time.monotonic() > ends:
            return
        time.sleep(0.5)


@job
def judge_all(_: int) -> None:
    """What beat wakes every hour and every minute."""
    outages.look(now=clock.now())
    changed, failed = evaluation.evaluate_all(now=clock.now())
    tended = tending.tend(now=clock.now())
    say(json.dumps([changed, failed, tended.failed]))


@job
def fall_silent(_: int, count: int) -> None:
    """So many cars of one more make, all heard of last within the same minutes."""
    now = clock.now()
    add_cars([QUIET_MAKE] * count, now, heard_at=now - timedelta(hours=59))


@job
def speak_again(_: int) -> None:
    now = clock.now()
    for car in Vehicle.objects.filter(make=QUIET_MAKE):
        cars.say(car, now, km=80_100, now=now)


# --- What is seen -----------------------------------------------------------------------------


@job
def open_list(_: int, query: str) -> None:
    """Queries, seconds, and what the list of alerts says of itself."""
    setup_test_environment()  # so that the page says what it shows
    user = User.objects.filter(is_superuser=True).first()
    user = user or User.objects.create_superuser("admin", "admin@example.com")
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    url = f"{reverse('admin:maintenance_alert_changelist')}?{query}"
    client.get(url, secure=True)  # what is compiled once is compiled
    began = time.monotonic()
    with CaptureQueriesContext(database) as asked:
        page = client.get(url, secure=True)
    took = time.monotonic() - began
    found = page.context["cl"].result_count
    shown = len(page.context["cl"].result_list)
    say(json.dumps({"queries": len(asked), "seconds": took, "found": found, "shown": shown}))


@job
def lose_one(_: int) -> None:
    """Queries and seconds of losing one more connection; it is not kept."""
    with transaction.atomic():
        (car,) = add_cars(["FORD"], clock.now(), heard_at=clock.now() - HOUR)
        assert car.connection
        began = time.monotonic()
        with CaptureQueriesContext(database) as asked:
            connection_status.needs_reconnect(car.connection, reason="a test", now=clock.now())
        took = time.monotonic() - began
        transaction.set_rollback(True)
    say(json.dumps({"queries": len(asked), "seconds": took}))
