"""What is done to the provider, and where its effects are looked for."""

from datetime import timedelta
from html import unescape
from typing import Any

from django.test import Client
from django.urls import reverse

from integrations.clients.errors import Outcome
from integrations.models import Activity, Connection, ProviderGate, Vehicle
from tests.factories import NOW
from tests.integrations.error_table.table import AT, MINUTE, SECOND, Effect, Row
from tests.integrations.world import World


def refuse_all(world: World, car: Vehicle, row: Row, **fault: Any) -> None:
    where = {"pattern": f"{car.smartcar_id}/batch$", "error": row.error, "times": None}
    world.smartcar_fault(**where | fault)


def refuse_items(world: World, car: Vehicle, row: Row, *paths: str, **fault: Any) -> None:
    for path in paths:
        where = {"item": path, "vehicle": car.smartcar_id, "error": row.error, "times": None}
        world.smartcar_fault(**where | fault)


def polled(world: World, car: Vehicle) -> Outcome | None:
    result = world.poll(car)
    assert result is not None, "the car was not read at all"
    assert car.poll_lease_until is None, "the car is free again"
    return result.outcome


def calls(world: World) -> dict[str, int]:
    """How often each address was called, under its last word."""
    found: dict[str, int] = {}
    for entry in world.sandbox.smartcar.requests:
        word = entry.path.rstrip("/").rpartition("/")[2]
        found[word] = found.get(word, 0) + 1
    return found


def known(car: Vehicle) -> dict[str, Any]:
    return {s.code: (s.value, s.data, s.recorded_at, s.support) for s in car.signals.all()}


def everything_of(car: Vehicle) -> dict[str, Any]:
    row = Vehicle.objects.filter(pk=car.pk).values().get()
    return row | {"signals": known(car), "readings": car.readings.count()}


def told() -> list[str]:
    return list(Activity.objects.values_list("what", flat=True))


def shown(client: Client, car: Vehicle) -> tuple[str, str]:
    """The page of the car, and its row in the list, as text with tags."""
    page = client.get(reverse("admin:integrations_vehicle_change", args=[car.pk]))
    listing = client.get(reverse("admin:integrations_vehicle_changelist"), {"q": str(car.vin)})
    assert (page.status_code, listing.status_code) == (200, 200)
    return unescape(page.content.decode()), unescape(listing.content.decode())


def found_by(client: Client, choice: str) -> list[Vehicle]:
    address = reverse("admin:integrations_vehicle_changelist")
    page = client.get(address, {"polls": choice})
    assert page.status_code == 200, "the filter knows the choice"
    return list(page.context["cl"].queryset)


def assert_effect(world: World, car: Vehicle, effect: Effect) -> None:
    """Exactly this happened to the car, its connection and the application, and nothing else."""
    due, wait = car.next_poll_at, car.not_before
    assert due is not None
    if effect.backs_off:
        assert due == wait
        assert 30 * SECOND <= due - AT <= 2 * MINUTE
    else:
        assert due - AT == (effect.due or timedelta())
        assert wait == (effect.waits and AT + effect.waits)
    assert car.poll_failures == effect.fails
    assert Connection.objects.get(vehicles=car).status == effect.status
    gates = ProviderGate.objects.filter(paused_until__isnull=False)
    pauses = [gate.paused_until - AT for gate in gates if gate.paused_until]
    assert pauses == ([effect.pauses] if effect.pauses else [])
    assert (car.last_polled_at, car.last_read_at) == (AT, NOW)
