"""What a rule's columns mean for its kind: the engine's condition, and what would make none."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from maintenance.engine import rules as engine
from maintenance.engine import tires

if TYPE_CHECKING:
    from maintenance.models.rules import Rule

Kind = engine.Kind

# The columns of each kind; all others mean nothing to it.
COLUMNS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        Kind.OIL_LIFE: ("soon_below", "due_below", "overdue_below", "clear_at"),
        Kind.SERVICE_INTERVAL: ("distance_km", "days", "due_odometer_km", "due_on"),
        Kind.TROUBLE_CODE: ("patterns", "ignored", "critical"),
        Kind.SYSTEM_STATUS: ("patterns", "ignored"),
        Kind.TIRE_PRESSURE: ("placard_front_kpa", "placard_rear_kpa", "low_kpa", "high_kpa"),
        Kind.FUEL_LEVEL: ("due_below", "clear_at"),
        Kind.STATE_OF_CHARGE: ("due_below", "clear_at"),
        Kind.STALE_DATA: (),
        Kind.CONNECTION: (),
    }
)


def condition_of(rule: "Rule") -> engine.Condition:
    """The rule's own columns; what is empty takes the default of the kind."""
    kind = Kind(rule.kind)
    columns = {name: _value(getattr(rule, name)) for name in COLUMNS[kind]}
    given = {name: value for name, value in columns.items() if value not in (None, ())}
    made: engine.Condition = engine.CONDITIONS[kind](**given)
    return made


def _value(value: Any) -> Any:
    return split(value) if isinstance(value, str) else value


def mistakes(rule: "Rule") -> dict[str, str]:
    """By column, why the rule could never fire, or would fire at the wrong moment."""
    if rule.kind not in {kind.value for kind in Kind}:
        return {}
    condition = condition_of(rule)
    if isinstance(condition, engine.ServiceInterval):
        return _of_interval(condition)
    if isinstance(condition, engine.Level):
        return _of_level(condition)
    if isinstance(condition, engine.TirePressure) and tires.contradicts(condition):
        return {"high_kpa": gettext("A tire would be low and high at once: this must be higher.")}
    return {}


def _of_interval(condition: engine.ServiceInterval) -> dict[str, str]:
    if not condition.is_once and not (condition.distance_km or condition.days):
        return {"distance_km": gettext("Give a distance, a number of days, or both.")}
    if condition.is_once and (condition.distance_km or condition.days):
        text = gettext("A service is due again and again, or once: not both in one rule.")
        return {"due_on" if condition.due_on else "due_odometer_km": text}
    return {}


def _of_level(condition: engine.Level) -> dict[str, str]:
    steps = [
        condition.overdue_below,
        condition.due_below,
        condition.soon_below,
        condition.clear_at,
    ]
    known = [step for step in steps if step is not None]
    if known == sorted(known):
        return {}
    if condition.soon_below is None:
        return {"clear_at": gettext("This must not be below the level at which it fires.")}
    return {"due_below": gettext("Overdue, due, soon and clear must not decrease.")}


def split(text: str) -> tuple[str, ...]:
    """What a person typed as a list: separated by commas, semicolons, or line ends."""
    parts = text.replace(";", ",").replace("\n", ",").split(",")
    return tuple(part.strip() for part in parts if part.strip())
