"""evaluate and sync_fleetio: last line, exit code, nothing changed by a dry run."""

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from pytest_django import Settings

from fleetportal import clock
from integrations.models import OutboxEntry, ProviderGate, Vehicle
from integrations.sandbox import FOREVER, Fault, Sandbox
from maintenance.models import Alert, Rule
from maintenance.services import evaluation
from tests.factories import NOW, make_signal, make_vehicle
from tests.maintenance.cars import add_default_rules, alerts_of
from tests.portal import sandbox_for

pytestmark = pytest.mark.django_db

CODES = {"values": [{"code": "P0301"}]}


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()
    Rule.objects.filter(kind="trouble_code").update(critical="*")
    clock.set_source(lambda: NOW)


@pytest.fixture
def car() -> Vehicle:
    vehicle = make_vehicle()
    make_signal(vehicle=vehicle, code="diagnostics-dtclist", value=None, data=CODES)
    return vehicle


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    with sandbox_for(settings, vehicles=4) as running:
        yield running


def run(*args: str) -> tuple[int, list[str]]:
    """The exit code as manage.py would give it, and the lines printed."""
    out = StringIO()
    code: Any = 0
    try:
        call_command(*args, stdout=out, stderr=out)
    except SystemExit as exc:
        code = exc.code
    except CommandError as exc:
        out.write(f"{exc}\n")
        code = exc.returncode
    return int(code), out.getvalue().splitlines()


def test_evaluate_runs_the_rules_and_says_so_last(car: Vehicle) -> None:
    assert run("evaluate") == (0, ["1 vehicles evaluated, 1 changed, 0 failed"])
    assert alerts_of(car) == [("P0301", "open", "due")]
    assert run("evaluate") == (0, ["1 vehicles evaluated, 0 changed, 0 failed"])


def test_evaluate_dry_run_lists_and_changes_nothing(car: Vehicle) -> None:
    code, lines = run("evaluate", "--dry-run")

    assert code == 0
    assert lines == [f"{car}: open: Any trouble code P0301", "1 changes would be made"]
    assert not Alert.objects.exists()
    assert not OutboxEntry.objects.exists()
    assert run("evaluate")[1][-1] == "1 vehicles evaluated, 1 changed, 0 failed"
    assert run("evaluate", "--dry-run") == (0, ["0 changes would be made"])


def test_evaluate_dry_run_names_alerts_that_would_end(car: Vehicle) -> None:
    run("evaluate")
    Rule.objects.update(is_enabled=False)

    assert run("evaluate", "--dry-run") == (
        0,
        [f"{car}: end: P0301: misfire in cylinder 1", "1 changes would be made"],
    )
    assert alerts_of(car) == [("P0301", "open", "due")]


def test_evaluate_fails_when_rules_fail(car: Vehicle, monkeypatch: pytest.MonkeyPatch) -> None:
    make_vehicle()

    def fail(*args: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(evaluation, "judge", fail)
    assert run("evaluate") == (1, ["2 vehicles evaluated, 0 changed, 2 failed"])


def test_a_database_that_is_gone_is_exit_code_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("no route")

    monkeypatch.setattr(Vehicle.objects, "values_list", fail)
    assert run("evaluate") == (1, ["The database could not be reached: no route"])


@pytest.mark.parametrize("command", ["evaluate", "sync_fleetio"])
def test_wrong_usage_is_exit_code_two(command: str) -> None:
    from django.core.management import load_command_class

    with pytest.raises(SystemExit) as caught:
        load_command_class("maintenance", command).run_from_argv(
            ["manage.py", command, "--no-such-option"]
        )
    assert caught.value.code == 2


def test_sync_says_what_was_matched_queued_and_ended(sandbox: Sandbox, car: Vehicle) -> None:
    twin = sandbox.fleet.cars[0]
    matched = make_vehicle(vin=twin.vin)
    make_signal(vehicle=matched, value=twin.odometer_km)
    code, lines = run("sync_fleetio")

    assert code == 0
    assert lines == [
        f"not in Fleetio: {car} {car.vin}",
        "1 vehicles matched, 1 not, 1 odometers queued, 0 alerts ended by Fleetio,"
        " 0 services recorded",
    ]


def test_sync_without_credentials_is_no_failure(settings: Settings) -> None:
    settings.FLEETIO_ACCOUNT_TOKEN = ""
    code, lines = run("sync_fleetio")
    assert (code, lines[-1][:25]) == (0, "Fleetio is not set up: FL")


@pytest.mark.parametrize(("status", "expected"), [(401, 1), (502, 1), (429, 0)])
def test_sync_fails_when_refused_or_unreachable_and_stops_at_a_limit(
    sandbox: Sandbox, status: int, expected: int
) -> None:
    sandbox.fleetio.faults.add(Fault(status=status, times=FOREVER))
    code, lines = run("sync_fleetio")

    assert code == expected
    assert lines[-1].startswith("Stopped: Fleetio")


def test_sync_that_reaches_nobody_fails(sandbox: Sandbox, settings: Settings) -> None:
    settings.FLEETIO_BASE_URL = "http://127.0.0.1:9/api"
    assert run("sync_fleetio")[0] == 1


def test_sync_stops_at_our_own_limit_without_failing(sandbox: Sandbox, settings: Settings) -> None:
    settings.FLEETIO_REQUESTS_PER_MINUTE = 1
    ProviderGate.objects.create(name="fleetio", paid_until=9e12)
    code, lines = run("sync_fleetio")

    assert code == 0
    assert "our own rate limit" in lines[-1]
    assert len(sandbox.fleetio.requests) == 0
