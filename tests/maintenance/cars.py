"""What cars say, brought in the one way there is, and what came of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from django.apps import apps

from integrations.clients.readings import (
    ODOMETER,
    OIL_LIFE,
    SYSTEM_PREFIX,
    TIRES,
    TROUBLE_CODES,
    SignalReading,
)
from integrations.models import OutboxEntry, Reading, Vehicle
from integrations.services.ingest import Ingested, ingest
from maintenance.models import Alert, Rule
from tests.factories import NOW

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MILE = 1.609344


def add_default_rules() -> None:
    """The rules of a new installation, also after a test that empties the tables."""
    if not Rule.objects.exists():
        for name in ("0002_default_rules", "0004_rules_of_more_kinds"):
            import_module(f"maintenance.migrations.{name}").add(apps, None)


def say(
    vehicle: Vehicle,
    at: datetime = NOW,
    *,
    now: datetime | None = None,
    oil: float | None = None,
    km: float | None = None,
    codes: Iterable[str] | None = None,
    systems: Mapping[str, str] | None = None,
    tires: Mapping[tuple[int, int], float] | None = None,
) -> Ingested:
    """Let a car have recorded this at `at`, and bring it in at `now` (the same moment)."""
    bodies: dict[str, dict[str, Any]] = {}
    if oil is not None:
        bodies[OIL_LIFE] = {"value": oil, "unit": "percent"}
    if km is not None:
        bodies[ODOMETER] = {"value": km, "unit": "km"}
    if codes is not None:
        bodies[TROUBLE_CODES] = {"values": [{"code": code, "timestamp": None} for code in codes]}
    for name, status in (systems or {}).items():
        bodies[SYSTEM_PREFIX + name] = {"status": status, "description": ""}
    if tires is not None:
        wheels = [
            {"row": row, "column": column, "tirePressure": kpa}
            for (row, column), kpa in tires.items()
        ]
        bodies[TIRES] = {"values": wheels, "unit": "kPa"}
    now = now or at
    readings = [
        SignalReading(code=code, body=body, recorded_at=at, fetched_at=now)
        for code, body in bodies.items()
    ]
    return ingest(vehicle, readings, source=Reading.Source.POLL, now=now)


def open_alert(vehicle: Vehicle, at: datetime = NOW, *, oil: float = 14) -> Alert:
    """An alert about worn oil, opened by the second of two readings, at `at`."""
    say(vehicle, at - 12 * HOUR, oil=oil)
    say(vehicle, at, oil=oil)
    return Alert.objects.get(vehicle=vehicle, topic="engine-oil", status=Alert.Status.OPEN)


def alerts_of(vehicle: Vehicle) -> list[tuple[str, str, str]]:
    """Subject (or topic), status and stage of each alert."""
    rows = Alert.objects.filter(vehicle=vehicle).order_by("topic", "subject", "pk")
    return [(alert.subject or alert.topic, alert.status, alert.stage) for alert in rows]


def states(kind: str) -> list[str]:
    """The states of the outgoing messages of a kind, in the order they were written."""
    rows = OutboxEntry.objects.filter(kind=kind).order_by("pk")
    return list(rows.values_list("state", flat=True))


def rule_of(kind: str, topic: str = "") -> Rule:
    rows = Rule.objects.filter(kind=kind)
    return rows.get(topic=topic) if topic else rows.get()
