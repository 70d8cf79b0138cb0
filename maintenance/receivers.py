"""The one place that listens to `integrations`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.dispatch import receiver

from integrations.models import Signal, Vehicle
from integrations.signals import readings_recorded
from maintenance.services import evaluation, wanted


@receiver(readings_recorded)
def on_readings_recorded(
    sender: Any, vehicle: Vehicle, signals: Sequence[Signal], now: datetime, **kwargs: Any
) -> None:
    """Decide at once, in the same transaction that stored the readings."""
    newly_identified = vehicle.identified_at == now
    if newly_identified or not any(signal.is_wanted for signal in signals):
        wanted.write_for(vehicle, signals)
    evaluation.evaluate(vehicle, signals, now=now)


def load() -> None:
    """Importing this module connects the receivers."""
