"""When the services of cars will be due, by how each is driven; computed when asked, kept nowhere.

A constant number of queries, however many cars.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone

from integrations.clients.readings import ODOMETER, OIL_LIFE
from integrations.models import Reading, Signal, Vehicle
from maintenance.engine.facts import ServiceFact
from maintenance.engine.forecast import Forecast, History, forecasts
from maintenance.engine.scopes import in_force
from maintenance.engine.usage import MEMORY, Said
from maintenance.models import Rule, ServiceRecord
from maintenance.services.evaluation import vehicle_facts

_Rows = dict[tuple[int, str], list[Said]]


def for_vehicle(vehicle: Vehicle, *, now: datetime) -> list[Forecast]:
    """One forecast for each rule in force that has an interval or is about oil life."""
    return for_vehicles([vehicle], now=now)[vehicle.pk]


def for_vehicles(vehicles: Sequence[Vehicle], *, now: datetime) -> dict[int, list[Forecast]]:
    """As `for_vehicle`, by the vehicles' keys."""
    ids = [vehicle.pk for vehicle in vehicles]
    rules = [(rule.scope, rule.to_spec()) for rule in Rule.objects.enabled().order_by("pk")]
    readings, latest, services = _readings(ids, now), _latest(ids), _services(ids)
    today = timezone.localdate(now)
    return {
        vehicle.pk: forecasts(
            in_force(rules, vehicle_facts(vehicle)),
            History(
                odometers=readings[vehicle.pk, ODOMETER],
                oil_lives=readings[vehicle.pk, OIL_LIFE],
                odometer=latest.get((vehicle.pk, ODOMETER)),
                oil_life=latest.get((vehicle.pk, OIL_LIFE)),
                services=services[vehicle.pk],
            ),
            now=now,
            today=today,
        )
        for vehicle in vehicles
    }


def _readings(ids: list[int], now: datetime) -> _Rows:
    """The clean ones of the last 90 days in the order of time, of each instant the last word."""
    rows = Reading.objects.filter(
        vehicle__in=ids,
        code__in=(ODOMETER, OIL_LIFE),
        quality=Reading.Quality.CLEAN,
        value__isnull=False,
        recorded_at__range=(now - MEMORY, now),
    ).order_by("recorded_at", "fetched_at", "event_id")
    found: dict[tuple[int, str], dict[datetime, float]] = defaultdict(dict)
    for vehicle_id, code, at, value in rows.values_list(
        "vehicle_id", "code", "recorded_at", "value"
    ):
        found[vehicle_id, code][at] = value or 0.0
    return defaultdict(list, {key: list(said.items()) for key, said in found.items()})


def _latest(ids: list[int]) -> dict[tuple[int, str], Said]:
    rows = Signal.objects.filter(
        vehicle__in=ids,
        code__in=(ODOMETER, OIL_LIFE),
        value__isnull=False,
        recorded_at__isnull=False,
    ).values_list("vehicle_id", "code", "recorded_at", "value")
    return {(vehicle_id, code): (at, value) for vehicle_id, code, at, value in rows if at and value}


def _services(ids: list[int]) -> dict[int, dict[str, ServiceFact]]:
    """Of each topic the last one."""
    rows = ServiceRecord.objects.counting().filter(vehicle__in=ids).order_by("done_on", "pk")
    found: dict[int, dict[str, ServiceFact]] = defaultdict(dict)
    for vehicle_id, topic, done_on, km in rows.values_list(
        "vehicle_id", "topic", "done_on", "odometer_km"
    ):
        found[vehicle_id][topic] = ServiceFact(topic=topic, done_on=done_on, odometer_km=km)
    return found
