"""The parts of a rule's form that belong to its kind; the style sheet hides those of others."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from maintenance.models import Rule

Kind = Rule.Kind
Part = tuple[Any, dict[str, Any]]
Fields = tuple[Any, ...]

_LEVELS = (Kind.OIL_LIFE, Kind.FUEL_LEVEL, Kind.STATE_OF_CHARGE)
_RUNS_LOW = _("What runs low: when it fires")
_OF_SERVICES: Fields = (
    ("distance_km", "days"),
    ("due_odometer_km", "due_on"),
    "service_names",
)
_OF_TIRES: Fields = (("placard_front_kpa", "placard_rear_kpa"), ("low_kpa", "high_kpa"))
_OF_CODES: Fields = ("patterns", "ignored", "critical")
_OF_LEVELS: Fields = (("due_below", "clear_at"),)

# Without an entry: a kind without columns of its own.
_OF_KIND: dict[Kind, tuple[Any, Fields]] = {
    Kind.OIL_LIFE: (
        _("Oil life: when it fires"),
        (("soon_below", "due_below", "overdue_below", "clear_at"),),
    ),
    Kind.FUEL_LEVEL: (_RUNS_LOW, _OF_LEVELS),
    Kind.STATE_OF_CHARGE: (_RUNS_LOW, _OF_LEVELS),
    Kind.SERVICE_INTERVAL: (_("Service: when it is due"), _OF_SERVICES),
    Kind.TIRE_PRESSURE: (_("Tire pressure: when it fires"), _OF_TIRES),
    Kind.TROUBLE_CODE: (_("Codes: when it fires"), _OF_CODES),
    Kind.SYSTEM_STATUS: (_("Systems: when it fires"), ("patterns", "ignored")),
}


def of_any_kind() -> tuple[Part, ...]:
    """A new rule shows every kind's part, each field once."""
    return (
        _part(_RUNS_LOW, _LEVELS, _OF_LEVELS),
        _part(_("Oil life: more stages"), (Kind.OIL_LIFE,), (("soon_below", "overdue_below"),)),
        _part(_OF_KIND[Kind.SERVICE_INTERVAL][0], (Kind.SERVICE_INTERVAL,), _OF_SERVICES),
        _part(_OF_KIND[Kind.TIRE_PRESSURE][0], (Kind.TIRE_PRESSURE,), _OF_TIRES),
        _part(
            _("Codes or systems: when it fires"),
            (Kind.TROUBLE_CODE, Kind.SYSTEM_STATUS),
            _OF_CODES,
        ),
    )


def of_kind(kind: str) -> tuple[Part, ...]:
    """Only what the kind needs."""
    one = Kind(kind)
    if one not in _OF_KIND:
        return ()
    title, fields = _OF_KIND[one]
    return (_part(title, (one,), fields),)


def _part(title: Any, kinds: tuple[Kind, ...], fields: Fields) -> Part:
    classes = ("fp-kind", *(f"fp-kind-{kind.value}" for kind in kinds))
    return title, {"classes": classes, "fields": fields}
