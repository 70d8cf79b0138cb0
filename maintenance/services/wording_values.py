"""Numbers, times and wheels as their reader reads them; what is missing is an empty text."""

from datetime import date
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _

from integrations.services.measures import KM_PER_MILE, KPA_PER_PSI


def distance(km: float, unit: str) -> str:
    """Kilometres in the unit that the reader chose, rounded to whole ones."""
    value = km / KM_PER_MILE if unit == "mi" else km
    return f"{number_format(round(value), use_l10n=True, force_grouping=True)} {unit}"


def pressure(kpa: float, unit: str) -> str:
    """psi for who reads miles, else kPa."""
    if unit == "mi":
        return _("%(value)d psi") % {"value": round(kpa / KPA_PER_PSI)}
    return _("%(value)d kPa") % {"value": round(kpa)}


def short(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}" if value == round(value) else f"{value:.1f}"


def percent_of(value: Any) -> str:
    return f"{short(float(value))} %" if isinstance(value, int | float) else ""


def distance_of(value: Any, unit: str) -> str:
    return distance(float(value), unit) if isinstance(value, int | float) else ""


def pressure_of(value: Any, unit: str) -> str:
    return pressure(float(value), unit) if isinstance(value, int | float) else ""


def moment_of(value: Any) -> str:
    """An ISO time in the reader's zone and form; what is none is shown as it came."""
    moment = parse_datetime(str(value)) if value else None
    if moment is None or timezone.is_naive(moment):
        return str(value or "")
    local = timezone.localtime(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname()}"


def day_of(value: Any) -> str:
    """The local day of an ISO time, or an ISO day."""
    moment = parse_datetime(str(value)) if value and not isinstance(value, date) else None
    if moment is not None and timezone.is_aware(moment):
        return date_format(timezone.localtime(moment), "DATE_FORMAT")
    day = parse_date(str(value)) if value else None
    return date_format(day, "DATE_FORMAT") if day else str(value or "")


def wheel_name(wheel: str) -> str:
    """front-left reads Front left tire."""
    known = {
        "front-left": _("Front left tire"),
        "front-right": _("Front right tire"),
        "rear-left": _("Rear left tire"),
        "rear-right": _("Rear right tire"),
    }
    return known.get(wheel) or _("Tire %(place)s") % {"place": wheel.replace("-", " ")}
