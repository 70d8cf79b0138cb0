"""The commands: one line that says what was done, and an exit code that can be relied on."""

from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet
from django.core import mail
from django.core.management import CommandError, call_command, load_command_class
from django.db import OperationalError
from pytest_django import Settings

from integrations.models import (
    Connection,
    ConnectLink,
    Driver,
    OAuthToken,
    OutboxEntry,
    Reading,
    Vehicle,
    VehicleGroup,
)
from integrations.sandbox.faults import dropped_before
from integrations.services import connect_links, delivery, fleetio_odometers, link_mails
from tests.factories import make_outbox_entry, make_signal, make_token, make_vehicle
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=3) as running_world:
        yield running_world


def run(command: str, *args: str) -> tuple[int, list[str]]:
    """The exit code and the lines of a command, as the shell would get them."""
    out = StringIO()
    code = 0
    try:
        call_command(command, *args, stdout=out, stderr=StringIO())
    except SystemExit as exc:
        code = int(exc.code or 0)
    except CommandError as exc:
        code = exc.returncode
    return code, out.getvalue().splitlines()


# --- connect_link -----------------------------------------------------------------------------

ANN = ("--email", "ann@example.com", "--name", "Ann")


def test_connect_link_prints_the_absolute_link_alone_on_the_last_line(world: World) -> None:
    code, lines = run("connect_link", *ANN, "--group", " Vans ")

    url = urlsplit(lines[-1])
    assert code == 0
    assert (url.scheme, url.netloc) == ("https", "portal.example.com")
    link = connect_links.find(url.path.strip("/").rsplit("/", 1)[-1])
    assert link
    assert (link.driver.email, link.driver.name) == ("ann@example.com", "Ann")
    assert link.group
    assert link.group.name == "Vans"
    assert mail.outbox == []


def test_connect_link_sends_the_mail_with_the_next_delivery(world: World) -> None:
    code, lines = run("connect_link", *ANN, "--send")

    assert code == 0
    assert lines[-1].startswith("https://portal.example.com/connect/")
    assert run("deliver") == (0, ["1 sent, 0 waiting, 0 unclear, 0 given up"])
    assert lines[-1] in str(mail.outbox[0].body)


@pytest.mark.parametrize(
    "args",
    [
        (*ANN, "--vin", "SHORT"),
        ("--email", "nonsense", "--name", "Ann"),
        ("--email", "ann@example.com", "--name", "x" * 200),
        (*ANN, "--group", "x" * 200),
    ],
    ids=["VIN", "address", "name", "group"],
)
def test_connect_link_refuses_bad_input_and_leaves_nothing_behind(
    world: World, args: tuple[str, ...]
) -> None:
    code, lines = run("connect_link", *args)

    assert (code, lines) == (2, [])
    assert not Driver.objects.exists()
    assert not ConnectLink.objects.exists()
    assert not VehicleGroup.objects.exists()


def test_connect_link_with_an_empty_group_makes_none(world: World) -> None:
    assert run("connect_link", *ANN, "--group", "  ")[0] == 0

    assert not VehicleGroup.objects.exists()
    assert ConnectLink.objects.get().group is None


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("connect_link", ("--name", "Ann")),
        ("poll", ("--all", "--vin", "1FTBW2CM0KKA00001")),
        ("poll", ("--often",)),
        ("refresh_tokens", ("now",)),
        ("deliver", ("--everything",)),
    ],
)
def test_wrong_usage_is_2(command: str, args: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_command_class("integrations", command).run_from_argv(["manage.py", command, *args])

    assert caught.value.code == 2


def test_a_vin_that_nobody_has_is_2(world: World) -> None:
    assert run("poll", "--vin", "1FTBW2CM0KKA00001") == (2, [])


# --- refresh_tokens ---------------------------------------------------------------------------


def test_refresh_tokens_refreshes_what_is_due_and_all_refreshes_all(world: World) -> None:
    world.connect()

    assert run("refresh_tokens") == (0, ["0 refreshed, 0 failed"])
    assert run("refresh_tokens", "--all") == (0, ["1 refreshed, 0 failed"])
    world.pass_time(hours=2)
    assert run("refresh_tokens") == (0, ["1 refreshed, 0 failed"])


def test_a_driver_who_has_to_reconnect_is_no_failure_of_the_command(world: World) -> None:
    world.connect()
    world.sandbox.smartcar.connect.revoke(world.sandbox.fleet.drivers[0].email)

    assert run("refresh_tokens", "--all") == (0, ["0 refreshed, 1 failed"])
    assert Connection.objects.get().status == "needs_reconnect"


def test_refused_credentials_or_nobody_answering_fail_refresh_tokens(
    world: World, settings: Settings
) -> None:
    world.connect()
    world.sandbox.smartcar.faults.add(dropped_before(path="/oauth/token"))
    assert run("refresh_tokens", "--all") == (1, ["0 refreshed, 1 failed"])

    world.pass_time(minutes=1)
    settings.SMARTCAR_CLIENT_SECRET = "wrong"
    assert run("refresh_tokens", "--all") == (1, ["0 refreshed, 1 failed"])


# --- poll -------------------------------------------------------------------------------------


def test_poll_reads_what_is_due_in_this_process(world: World) -> None:
    world.connect()

    code, lines = run("poll")

    assert code == 0
    assert lines[-1].startswith("3 of 3 vehicles read, ")
    assert Reading.objects.exists()
    assert run("poll")[1][-1] == (
        "0 of 0 vehicles read, 0 new readings, 0 failed, 3 not due or told to wait"
    )
    world.pass_time(seconds=1)
    assert run("poll", "--all")[1][-1] == "3 of 3 vehicles read, 0 new readings, 0 failed"


def test_poll_lists_the_cars_that_were_missing_when_their_driver_connected(world: World) -> None:
    world.smartcar_fault(path="/v2.0/vehicles", status=502)
    world.connect()
    assert not Vehicle.objects.exists()

    assert run("poll")[1][-1].startswith("3 of 3 vehicles read, ")


def test_poll_reads_one_car_by_its_vin(world: World) -> None:
    world.connect()
    run("poll")
    vin = world.sandbox.fleet.cars[1].vin
    world.pass_time(seconds=1)

    code, lines = run("poll", "--vin", f" {vin.lower()} ")

    assert (code, lines[-1]) == (0, "1 of 1 vehicles read, 0 new readings, 0 failed")


def test_poll_all_never_ignores_a_wait_or_the_budget(world: World, settings: Settings) -> None:
    cars = world.connect().vehicles
    run("poll")
    world.pass_time(days=1)
    Vehicle.objects.filter(pk=cars[0].pk).update(not_before=world.now.replace(year=2027))
    Vehicle.objects.filter(pk=cars[1].pk).update(
        calls_used=settings.SMARTCAR_CALLS_PER_VEHICLE_MONTH
    )

    code, lines = run("poll", "--all")

    assert (code, lines[-1]) == (
        0,
        "1 of 2 vehicles read, 0 new readings, 1 failed, 1 not due or told to wait",
    )


def test_poll_stops_at_a_limiter_and_leaves_the_rest_due(world: World) -> None:
    world.connect()
    world.smartcar_fault(
        pattern="/batch$", skip=1, times=None, error=("RATE_LIMIT", "SMARTCAR_API")
    )

    code, lines = run("poll")

    assert code == 0
    assert lines[-1].startswith("1 of 3 vehicles read, ")
    assert lines[-1].endswith("1 failed")
    assert world.batches() == 2
    assert Vehicle.objects.due(world.now).count() == 2


def test_poll_fails_when_credentials_are_refused_or_nobody_answers(
    world: World, settings: Settings
) -> None:
    world.connect()
    fault = world.sandbox.smartcar.faults.add(dropped_before(times=None))
    assert run("poll")[0] == 1

    world.sandbox.smartcar.faults.remove(fault)
    world.pass_time(days=1)
    settings.SMARTCAR_CLIENT_SECRET = "wrong"
    code, lines = run("poll")
    assert (code, lines[-1]) == (1, "0 of 3 vehicles read, 0 new readings, 1 failed")


def test_one_car_that_fails_does_not_fail_the_command(world: World) -> None:
    world.connect()
    car = world.sandbox.fleet.cars[0]
    world.smartcar_fault(vehicle=car.vin, pattern="/batch$", times=None, status=502)

    code, lines = run("poll")

    assert code == 0
    assert lines[-1].startswith("2 of 3 vehicles read, ")


# --- deliver ----------------------------------------------------------------------------------


def queue_odometer(world: World, value: float = 400_000.0) -> None:
    known = world.sandbox.fleetio.records.rows("vehicles")[0]
    car = Vehicle.objects.filter(fleetio_id=known["id"]).first() or make_vehicle(
        fleetio_id=known["id"], fleetio_meter_unit="mi"
    )
    car.signals.all().delete()
    make_signal(vehicle=car, value=value, recorded_at=world.now)
    fleetio_odometers.queue_odometers(now=world.now)


def test_deliver_makes_one_attempt_at_each_due_row(world: World) -> None:
    link_mails.send(world.make_link(), now=world.now)
    odometer = world.sandbox.fleet.cars[0].odometer_km
    queue_odometer(world, odometer)

    assert run("deliver") == (0, ["2 sent, 0 waiting, 0 unclear, 0 given up"])
    assert run("deliver") == (0, ["0 sent, 0 waiting, 0 unclear, 0 given up"])


def test_deliver_fails_when_a_row_died(world: World) -> None:
    queue_odometer(world, 5.0)  # far below what Fleetio has

    assert run("deliver") == (1, ["0 sent, 0 waiting, 0 unclear, 1 given up"])


def test_deliver_fails_when_credentials_are_refused_and_keeps_the_row(
    world: World, settings: Settings
) -> None:
    queue_odometer(world)
    settings.FLEETIO_API_TOKEN = "wrong"

    code, lines = run("deliver")

    assert code == 1
    assert lines[-1].startswith("0 sent, 1 waiting, 0 unclear, 0 given up (stopped: Fleetio: ")
    assert OutboxEntry.objects.get(kind="fleetio_odometer").state == "pending"


def test_deliver_fails_when_nobody_answers(world: World) -> None:
    queue_odometer(world)
    world.sandbox.fleetio.faults.add(dropped_before(times=None))

    assert run("deliver") == (1, ["0 sent, 0 waiting, 1 unclear, 0 given up"])


def test_deliver_is_content_with_a_limit(world: World) -> None:
    queue_odometer(world)
    world.fleetio_fault(status=429, retry_after=30, body={})

    code, lines = run("deliver")

    assert code == 0
    assert "0 sent, 1 waiting" in lines[-1]
    assert run("deliver")[1][-1].count("(stopped: fleetio is paused until")


def test_deliver_without_a_fleetio_account_sends_mails_only(
    world: World, settings: Settings
) -> None:
    settings.FLEETIO_ACCOUNT_TOKEN = ""
    make_outbox_entry(kind="fleetio_odometer", lane="fleetio")

    assert run("deliver") == (0, ["0 sent, 0 waiting, 0 unclear, 0 given up"])


# --- rotate_encryption_key --------------------------------------------------------------------


def test_rotation_says_how_many_secrets_it_wrote_anew(settings: Settings) -> None:
    make_token()
    make_token()
    new = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, *settings.FIELD_ENCRYPTION_KEYS]

    assert run("rotate_encryption_key") == (0, ["2 secrets are now under the newest key"])

    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert {token.access_token for token in OAuthToken.objects.all()} == {"secret-access-token"}


def test_rotation_without_the_old_key_fails_and_says_what_to_do(settings: Settings) -> None:
    make_token()
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    code, lines = run("rotate_encryption_key")

    assert code == 1
    assert "Put that key back" in lines[-1]


# --- All of them ------------------------------------------------------------------------------


def test_a_database_that_is_away_is_1_and_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(**_: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(delivery, "deliver_due", away)

    with pytest.raises(CommandError, match="The database could not be reached") as caught:
        call_command("deliver")
    assert caught.value.returncode == 1


def test_a_bar_is_shown_on_a_terminal_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    link_mails.send(world.make_link(), now=world.now)
    out = Terminal()
    call_command("deliver", stdout=out, no_color=True)

    assert out.getvalue().splitlines()[-1] == "1 sent, 0 waiting, 0 unclear, 0 given up"
