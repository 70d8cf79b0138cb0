"""Which vehicles a rule is for, and which rule wins when several are for the same one."""

from collections.abc import Iterable
from dataclasses import dataclass

from maintenance.engine.rules import Kind, RuleSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleFacts:
    """What scopes look at."""

    id: int
    group_id: int | None = None
    make: str = ""
    model: str = ""
    year: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """All criteria that are set must hold; none set is every vehicle. Years are inclusive."""

    vehicle_id: int | None = None
    group_id: int | None = None
    make: str | None = None
    model: str | None = None
    year_from: int | None = None
    year_to: int | None = None


def matches(scope: Scope, subject: VehicleFacts) -> bool:
    """Whether the scope holds for the vehicle; what is not known of it never matches."""
    return (
        (scope.vehicle_id is None or scope.vehicle_id == subject.id)
        and (scope.group_id is None or scope.group_id == subject.group_id)
        and _same_name(scope.make, subject.make)
        and _same_name(scope.model, subject.model)
        and _in_years(scope, subject.year)
    )


def specificity(scope: Scope) -> tuple[int, int, int]:
    """How specific a scope is; greater wins.

    Vehicle over group over make, model or years over everything; then the number of criteria;
    then a closed range of years over an open one.
    """
    bounds = (scope.year_from is not None) + (scope.year_to is not None)
    described = bool(scope.make) + bool(scope.model) + bool(bounds)
    if scope.vehicle_id is not None:
        level = 3
    elif scope.group_id is not None:
        level = 2
    else:
        level = 1 if described else 0
    return level, described, bounds


def in_force(candidates: Iterable[tuple[Scope, RuleSpec]], vehicle: VehicleFacts) -> list[RuleSpec]:
    """The rules that apply to the vehicle, one for each kind and topic, by id.

    The most specific scope wins, ties go to the lowest id; the order of candidates is irrelevant.
    """
    winners: dict[tuple[Kind, str], tuple[tuple[int, int, int], int, RuleSpec]] = {}
    for scope, spec in candidates:
        if not matches(scope, vehicle):
            continue
        key = (spec.kind, spec.topic)
        claim = (specificity(scope), -spec.id, spec)
        if key not in winners or claim[:2] > winners[key][:2]:
            winners[key] = claim
    specs = (spec for _, _, spec in winners.values())
    return sorted(specs, key=lambda spec: (spec.id, spec.kind, spec.topic))


def _same_name(wanted: str | None, actual: str) -> bool:
    return not wanted or wanted.strip().casefold() == actual.strip().casefold()


def _in_years(scope: Scope, year: int | None) -> bool:
    if scope.year_from is None and scope.year_to is None:
        return True
    if year is None:
        return False
    return (scope.year_from is None or scope.year_from <= year) and (
        scope.year_to is None or year <= scope.year_to
    )
