"""Which signals the rules want from which car: written onto the cars when rules change."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from django.db import transaction

from integrations.clients import readings as codes
from integrations.models import PortalSettings, Signal, Vehicle
from maintenance.engine.rules import Kind, RuleSpec, signals_needed
from maintenance.engine.scopes import in_force
from maintenance.models import Rule
from maintenance.services.evaluation import vehicle_facts

READABLE = (
    codes.ODOMETER,
    codes.OIL_LIFE,
    codes.TROUBLE_CODES,
    codes.TIRES,
    codes.FUEL_LEVEL,
    codes.STATE_OF_CHARGE,
)
# When the month's calls run out, the dangerous is asked for longest.
URGENCY = {codes.TROUBLE_CODES: 40, codes.TIRES: 35, codes.OIL_LIFE: 30, codes.ODOMETER: 20}
LEAST_URGENT = 10


def for_any_car() -> dict[str, int]:
    """Codes and urgency that some car may be asked for: what Connect asks permission for."""
    return _codes(rule.to_spec() for rule in Rule.objects.enabled())


def _codes(specs: Iterable[RuleSpec]) -> dict[str, int]:
    specs = list(specs)
    patterns = {pattern for spec in specs for pattern in signals_needed(spec)}
    if PortalSettings.load().send_odometers:
        patterns.add(codes.ODOMETER)
    found = {code for code in READABLE if code in patterns}
    if any(spec.kind is Kind.SERVICE_INTERVAL for spec in specs):
        found.add(codes.SERVICE_RECORDS)  # what was serviced elsewhere restarts the interval
    # Only systems are asked for by pattern: diagnostics-* does not mean the list of codes.
    found |= {code for code in codes.SYSTEM_STATUS if any(fnmatchcase(code, p) for p in patterns)}
    return {code: URGENCY.get(code, LEAST_URGENT) for code in sorted(found)}


def write_for_all() -> int:
    """Bring every car's wanted signals in line with the rules; returns how many cars."""
    rules = [(rule.scope, rule.to_spec()) for rule in Rule.objects.enabled()]
    vehicles = list(Vehicle.objects.prefetch_related("signals"))
    for vehicle in vehicles:
        wanted = _codes(in_force(rules, vehicle_facts(vehicle)))
        _write(vehicle, list(vehicle.signals.all()), wanted)
    return len(vehicles)


def write_for(vehicle: Vehicle, signals: Sequence[Signal]) -> None:
    """Bring one car's wanted signals in line with the rules in force for it."""
    rules = [(rule.scope, rule.to_spec()) for rule in Rule.objects.enabled()]
    _write(vehicle, signals, _codes(in_force(rules, vehicle_facts(vehicle))))


@transaction.atomic
def _write(vehicle: Vehicle, signals: Sequence[Signal], wanted: dict[str, int]) -> None:
    known = {signal.code: signal for signal in signals}
    changed = [
        Signal(vehicle=vehicle, code=code, is_wanted=code in wanted, urgency=wanted.get(code, 0))
        for code in {*known, *wanted}
        if code not in known
        or known[code].is_wanted != (code in wanted)
        or (code in wanted and known[code].urgency != wanted[code])
    ]
    if changed:
        Signal.objects.bulk_create(
            changed,
            update_conflicts=True,
            unique_fields=["vehicle", "code"],
            update_fields=["is_wanted", "urgency"],
        )


@transaction.atomic
def look_again(*, now: datetime) -> None:
    """Something that every car is judged by changed: evaluate all of them soon."""
    # Cars before their signals, as ingest locks them, and always in the same order: whoever takes
    # them the other way round would wait for us while we wait for them.
    ids = list(Vehicle.objects.select_for_update().order_by("pk").values_list("pk", flat=True))
    Vehicle.objects.filter(pk__in=ids).update(evaluation_due_at=now)


@transaction.atomic
def rules_changed(*, now: datetime) -> None:
    """A rule or a scope changed: ask for other signals, and look at every car again soon."""
    look_again(now=now)
    write_for_all()
