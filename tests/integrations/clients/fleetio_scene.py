"""A Fleetio that answers what a test says."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.clients.errors import ClientError
from integrations.clients.fleetio import FleetioClient

BASE = "https://fleetio.test/api"
KEY = "fleetio-key-4c"
ACCOUNT = "account-77"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def make_client(**more: Any) -> FleetioClient:
    values: dict[str, Any] = {"api_token": KEY, "account_token": ACCOUNT, "base_url": BASE + "/"}
    return FleetioClient(**{**values, **more})


def page(*rows: Any, cursor: Any = None, filtered_by: Any = ()) -> dict[str, Any]:
    return {"records": list(rows), "next_cursor": cursor, "filtered_by": list(filtered_by)}


def error_of(call: Callable[[], Any]) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value
