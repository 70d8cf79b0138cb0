"""The one place that listens to `integrations`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.dispatch import receiver

from integrations.clients.readings import OIL_LIFE, SERVICE_RECORDS
from integrations.models import Connection, Signal, Vehicle
from integrations.signals import connection_changed, provider_refused, readings_recorded
from maintenance.services import (
    evaluation,
    notices,
    oil_changes,
    reachability,
    service_history,
    wanted,
)


@receiver(readings_recorded)
def on_readings_recorded(
    sender: Any,
    *,
    vehicle: Vehicle,
    signals: Sequence[Signal],
    now: datetime,
    codes: Collection[str] = (),
    late: Collection[str] = (),
    risen: Collection[str] = (),
    **kwargs: Any,
) -> None:
    """Decide at once, in the same transaction that stored the readings."""
    newly_identified = vehicle.identified_at == now
    if newly_identified or not any(signal.is_wanted for signal in signals):
        wanted.write_for(vehicle, list(vehicle.signals.all()))
    if SERVICE_RECORDS in codes:
        service_history.take_over(vehicle, signals, now=now)
    if OIL_LIFE in risen or OIL_LIFE in late:
        oil_changes.propose(vehicle, signals, now=now)
    evaluation.evaluate(vehicle, signals, codes=codes, late=late, now=now)


@receiver(connection_changed)
def on_connection_changed(
    sender: Any, connection: Connection, user: User | None, now: datetime, **kwargs: Any
) -> None:
    """Decide at once, in the same transaction that changed it."""
    reachability.look_again(connection, now=now)


@receiver(provider_refused)
def on_provider_refused(sender: Any, name: str, reason: str, now: datetime, **kwargs: Any) -> None:
    notices.provider_refuses(name, reason, now=now)


def load() -> None:
    """Importing this module connects the receivers."""
