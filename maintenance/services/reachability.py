"""A consent was lost or came back: the rules look at its cars at once."""

from collections.abc import Collection
from datetime import datetime
from functools import partial

from django.db import transaction

from integrations.models import Connection, Vehicle
from maintenance.services import evaluation


def look_again(connection: Connection, *, now: datetime) -> None:
    """Evaluate the cars of the connection, in the caller's transaction, which holds its row.

    Cars are taken in one order, and none is waited for: who holds one may himself wait for another
    that we hold. What is left out is looked at within a minute.
    """
    ids = set(connection.accesses.values_list("vehicle_id", flat=True))
    free = Vehicle.objects.select_for_update(skip_locked=True).filter(pk__in=ids).order_by("pk")
    held = list(free.values_list("pk", flat=True))
    evaluation.evaluate_all(now=now, vehicle_ids=held)
    if busy := ids.difference(held):
        transaction.on_commit(partial(_look_soon, busy, now=now))


def _look_soon(vehicle_ids: Collection[int], *, now: datetime) -> None:
    Vehicle.objects.filter(pk__in=vehicle_ids).update(evaluation_due_at=now)
