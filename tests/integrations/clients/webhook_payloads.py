"""The webhooks of tests/payloads: in every shape that documentation and recordings have."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from integrations.clients.smartcar_webhooks import Event, parse

PAYLOADS = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parents[2] / "payloads").glob("v[24]_*.json")
}
CAR, OTHER_CAR = "7b1f0c52-0d7e-4d0a-9c55-2f6f2a3b1c01", "7b1f0c52-0d7e-4d0a-9c55-2f6f2a3b1c02"
USER = "4e2a9d10-55aa-4a43-8a0e-90b7c1d2e3f4"
RECORDED = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
FETCHED = RECORDED + timedelta(seconds=20)
SENT = RECORDED + timedelta(seconds=30)
RECEIVED = RECORDED + timedelta(seconds=31)


def payload(name: str) -> dict[str, Any]:
    """A copy that may be changed."""
    found: dict[str, Any] = copy.deepcopy(PAYLOADS[name])
    return found


def parsed(message: Any) -> Event:
    return parse(json.dumps(message).encode())


def event(name: str) -> Event:
    return parsed(PAYLOADS[name])
