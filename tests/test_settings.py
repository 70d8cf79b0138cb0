"""What the environment says arrives as it was written."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from integrations import checks, conf
from integrations.clients.fleetio import Move
from tests.processes import ROOT

# Of what a generator of secrets may begin with, $ and # mean something to readers of .env files.
SECRET = "$2b#secret=of 'many'\\$kinds"
NAMES = [
    "SECRET_KEY",
    "SMARTCAR_CLIENT_ID",
    "SMARTCAR_CLIENT_SECRET",
    "FLEETIO_API_TOKEN",
    "FLEETIO_ACCOUNT_TOKEN",
]


def settings() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "fleetportal" / "settings.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_is_taken_as_it_is_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SECRET)
    assert settings()[name] == SECRET


def test_a_secret_in_the_env_file_may_begin_with_a_dollar(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name)
    file = tmp_path / ".env"
    file.write_text("".join(f"{name}=$of-{name}\n" for name in NAMES))
    monkeypatch.setenv("FLEET_PORTAL_ENV_FILE", str(file))

    found = settings()

    assert [found[name] for name in NAMES] == [f"$of-{name}" for name in NAMES]


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("SMARTCAR_READ_TIMEOUT", 65),
        ("SMARTCAR_CALLS_PER_VEHICLE_MONTH", 500),
        ("SMARTCAR_BUCKET_SIZE", 120),
        ("SMARTCAR_BUCKET_REFILL_PER_MINUTE", 2),
        ("FLEETIO_REQUESTS_PER_MINUTE", 18),
    ],
)
def test_a_limit_must_be_a_number_that_can_be_kept(
    name: str, default: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for good, value in (("", default), (" 7 ", 7)):
        monkeypatch.setenv(name, good)
        assert settings()[name] == value
    for bad in ("abc", "nan", "inf", "-inf", "0", "-1"):
        monkeypatch.setenv(name, bad)
        with pytest.raises(ImproperlyConfigured, match=f"{name} must be a .*greater than zero"):
            settings()


@pytest.mark.parametrize("name", ["CLOSE", "RESOLVE", "REOPEN"])
def test_how_an_issue_is_moved_must_be_readable(settings: Settings, name: str) -> None:
    assert checks.issue_calls(None) == []
    setattr(settings, f"FLEETIO_{name}_ISSUE", "")
    assert checks.issue_calls(None) == []
    assert conf.issue_call(Move(name.lower())) is None
    setattr(settings, f"FLEETIO_{name}_ISSUE", "GET https://elsewhere.example.com/{id}")
    (error,) = checks.issue_calls(None)
    assert error.id == "integrations.E001"
    assert error.msg.startswith(f"FLEETIO_{name}_ISSUE cannot be used: ")
