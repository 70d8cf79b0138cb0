"""A set-up that lacks nothing, at one moment."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from fleetportal import clock
from tests.factories import NOW


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


@pytest.fixture(autouse=True)
def complete(settings: Settings) -> None:
    settings.SITE_URL = "https://fleet.example.com"
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["test-management-token"]
    settings.SMARTCAR_WEBHOOK_ID = "webhook-1"
