"""A driver's browser and a portal that talks to the stand-ins: what whole-chain tests share."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from urllib.parse import urlsplit

from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from integrations.sandbox import Sandbox

CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@contextmanager
def sandbox_for(settings: Settings, *, vehicles: int, drivers: int = 1) -> Iterator[Sandbox]:
    """Stand-ins on loopback, with the portal's settings pointing at them."""
    with Sandbox(vehicles=vehicles, drivers=drivers) as sandbox:
        for name, value in sandbox.environment().items():
            setattr(settings, name, value)
        settings.FLEETIO_REQUESTS_PER_MINUTE = 100_000
        settings.SMARTCAR_BUCKET_SIZE = 100_000
        yield sandbox


def run(command: str, *args: str) -> str:
    """Run a management command; returns what it printed."""
    out = StringIO()
    call_command(command, *args, stdout=out, stderr=out)
    return out.getvalue().strip()


def connect_driver(sandbox: Sandbox, driver: str = "", **options: str) -> str:
    """Make a link by command, open it, press the button, allow, come back; returns the page."""
    someone = sandbox.fleet.driver(driver) if driver else sandbox.fleet.drivers[0]
    extra = [part for name, value in options.items() for part in (f"--{name}", value)]
    printed = run("connect_link", "--email", someone.email, "--name", someone.name, *extra)
    link = urlsplit(printed.splitlines()[-1]).path
    browser = Client(enforce_csrf_checks=True)
    page = browser.get(link, secure=True)
    field = CSRF.search(page.content.decode())
    assert field, page.content.decode()
    away = browser.post(
        link,
        {"csrfmiddlewaretoken": field[1]},
        secure=True,
        headers={"referer": "https://portal.example.com/"},
    )
    back = urlsplit(sandbox.smartcar.connect.approve(away["Location"], driver=someone.email))
    answer = browser.get(f"{back.path}?{back.query}", secure=True)
    assert answer.status_code == 200, answer.content.decode()
    return answer.content.decode()


HOURS = timedelta(hours=1)
