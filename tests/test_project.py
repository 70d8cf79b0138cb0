"""The project as a whole: what belongs together agrees."""

import ast
import re
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent

# Not for a deployment: says which file the others are read from.
INTERNAL_NAMES = {"FLEET_PORTAL_ENV_FILE"}
NAME = re.compile(r"[A-Z][A-Z0-9_]+")


def _names_in_example() -> list[str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return re.findall(rf"^#? ?({NAME.pattern})=", "\n".join(lines), re.MULTILINE)


def _names_in_settings() -> set[str]:
    """Every variable the settings read: what `env...` or a helper round it is called with."""
    tree = ast.parse((ROOT / "fleetportal" / "settings.py").read_text())
    readers = {"env"} | {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and function.args.args
        and function.args.args[0].arg == "name"
    }
    names = set()
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and call.args):
            continue
        function = call.func.value if isinstance(call.func, ast.Attribute) else call.func
        match function, call.args[0]:
            case ast.Name(id=reader), ast.Constant(value=str(name)) if reader in readers:
                names.add(name)
    return {name for name in names if NAME.fullmatch(name)} - INTERNAL_NAMES


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, stdout=StringIO())


def test_system_checks_are_clean() -> None:
    call_command("check", fail_level="WARNING", stdout=StringIO(), stderr=StringIO())


def test_env_example_names_every_variable_that_the_settings_read() -> None:
    assert _names_in_settings() - set(_names_in_example()) == set()


def test_settings_read_every_variable_that_env_example_names() -> None:
    assert set(_names_in_example()) - _names_in_settings() == set()


def test_env_example_names_each_variable_once() -> None:
    names = _names_in_example()

    assert sorted(names) == sorted(set(names))


def test_env_example_gives_each_variable_one_line_of_purpose() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.match(rf"#? ?{NAME.pattern}=", line) and not before.startswith("#")
    ]

    assert bare == []


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Makefile",
        "pyproject.toml",
        ".env.example",
        ".gitignore",
        ".ci/run",
        "manage.py",
    ],
)
def test_a_newcomer_finds(name: str) -> None:
    assert (ROOT / name).is_file()


def _requirements(path: str) -> dict[str, str]:
    """Name to bounds, of the lines that name a package."""
    found = re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?([^#\s]*)", (ROOT / path).read_text(), re.MULTILINE
    )
    return {name.lower().replace("_", "-"): bounds for name, bounds in found if name != "-r"}


def test_every_runtime_requirement_is_bounded_on_both_sides() -> None:
    unbounded = {
        name: bounds
        for name, bounds in _requirements("requirements.txt").items()
        if not re.fullmatch(r">=[\d.]+,<[\d.]+", bounds)
    }

    assert unbounded == {}


def test_development_builds_on_the_runtime_requirements_and_repeats_none() -> None:
    assert "-r ../requirements.txt" in (ROOT / "tests/requirements.txt").read_text()
    assert _requirements("requirements.txt").keys() & _requirements("tests/requirements.txt") == (
        set()
    )


def test_nothing_of_a_deployment_reaches_the_tests() -> None:
    assert settings.SITE_URL == "https://portal.example.com"
    assert settings.CELERY_BROKER_URL == "memory://"
    assert settings.EMAIL_BACKEND.endswith("locmem.EmailBackend")
