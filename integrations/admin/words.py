"""Values as people read them: ages, distances in the portal's unit, signals, links."""

from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.clients import readings as codes
from integrations.models import PortalSettings
from integrations.services.measures import KM_PER_MILE, KPA_PER_PSI

NOTHING = "\u2013"

_NAMES = {
    codes.ODOMETER: gettext_lazy("Odometer"),
    codes.OIL_LIFE: gettext_lazy("Oil life"),
    codes.FUEL_LEVEL: gettext_lazy("Fuel level"),
    codes.FUEL_AMOUNT: gettext_lazy("Fuel"),
    codes.STATE_OF_CHARGE: gettext_lazy("State of charge"),
    codes.TIRES: gettext_lazy("Tire pressure"),
    codes.TROUBLE_CODES: gettext_lazy("Trouble codes"),
    codes.SERVICE_RECORDS: gettext_lazy("Service records"),
}
# At rest, of the signals that do not say it; the others keep their unit beside the value.
_UNITS = {
    codes.ODOMETER: "km",
    codes.OIL_LIFE: "percent",
    codes.FUEL_LEVEL: "percent",
    codes.STATE_OF_CHARGE: "percent",
    codes.FUEL_AMOUNT: "l",
}


def with_unit(queryset: QuerySet[Any]) -> Any:
    """Each row brings the portal's unit along as `portal_unit`, without a query of its own."""
    chosen = PortalSettings.objects.filter(pk=1).values("distance_unit")[:1]
    return queryset.annotate(
        portal_unit=Coalesce(Subquery(chosen), Value(PortalSettings.Distance.MILES.value))
    )


def unit_of(row: Model) -> str:
    return str(getattr(row, "portal_unit", "") or PortalSettings.load().distance_unit)


def distance(km: float | None, unit: str) -> str:
    if km is None:
        return NOTHING
    value = km / KM_PER_MILE if unit == PortalSettings.Distance.MILES else km
    return f"{formats.number_format(round(value), use_l10n=True, force_grouping=True)} {unit}"


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f} %"


def exactly(at: datetime | None) -> str:
    """A time to the minute, in the portal's time zone."""
    if at is None:
        return NOTHING
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT")


def is_today(at: datetime) -> bool:
    return timezone.localdate(at) == timezone.localdate(clock.now())


def moment(at: datetime | None) -> str:
    """A time to the minute; without the date when it is today."""
    if at is None or not is_today(at):
        return exactly(at)
    return formats.date_format(timezone.localtime(at), "TIME_FORMAT")


def ago(at: datetime | None) -> str:
    """How long ago, or in how long; the exact time shows when pointed at."""
    if at is None:
        return NOTHING
    now = clock.now()
    if at.year >= 9999:
        return _("until a person allows it")
    if abs((now - at).total_seconds()) < 60:
        text = _("just now") if at <= now else _("within a minute")
    elif at < now:
        text = _("%(time)s ago") % {"time": timesince(at, now, depth=1)}
    else:
        text = _("in %(time)s") % {"time": timeuntil(at, now, depth=1)}
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), exactly(at), text
    )


def badge(level: str, text: Any) -> SafeString:
    return format_html('<span class="fp-badge fp-{}">{}</span>', level, text)


def small(text: Any) -> SafeString:
    return format_html('<small class="fp-quiet">{}</small>', text)


def link(obj: Model | None, text: Any = None) -> str:
    """A link to the object's own page."""
    if obj is None:
        return NOTHING
    name = f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[obj.pk]), text or str(obj))


def list_url(model: type[Model], query: str = "") -> str:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{query}" if query else url


def lines(texts: list[Any]) -> str:
    """Several short texts below each other."""
    return format_html_join(SafeString("<br>"), "{}", ((text,) for text in texts)) or NOTHING


def joined(pieces: list[str]) -> str:
    """Pieces of HTML one after the other; they are safe already, or escaped here."""
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def signal_name(code: str) -> str:
    """What a signal is called: its own words, or the system that it speaks of."""
    if code in _NAMES:
        return str(_NAMES[code])
    if code in codes.SYSTEM_STATUS:
        return _("System: %(name)s") % {"name": code.removeprefix(codes.SYSTEM_PREFIX)}
    return code


def signal_value(code: str, value: float | None, data: Any, unit: str) -> str:
    """A reading in readable units, never as raw JSON."""
    if value is not None:
        return _quantity(code, value, data, unit)
    if not isinstance(data, dict):
        return NOTHING
    if code == codes.TIRES:
        return _tires(data, unit)
    if code in (codes.TROUBLE_CODES, codes.SERVICE_RECORDS):
        return _listed(code, _items(data))
    if "status" in data:
        return ": ".join(str(data[key]) for key in ("status", "description") if data.get(key))
    return ", ".join(f"{key}: {text}" for key, text in data.items())[:200]


def _quantity(code: str, value: float, data: Any, unit: str) -> str:
    said = data.get("unit") if isinstance(data, dict) else None
    at_rest = _UNITS.get(code) or str(said or "")
    if at_rest == "km":
        return distance(value, unit)
    if at_rest == "percent":
        return percent(value)
    if at_rest == "kPa":
        return _pressure([value], unit)
    return f"{round(value, 2):.10g} {'L' if at_rest == 'l' else at_rest}".rstrip()


def _listed(code: str, items: list[dict[str, Any]]) -> str:
    if code == codes.TROUBLE_CODES:
        return ", ".join(str(item.get("code")) for item in items) or _("none")
    text = ngettext("%(count)d record", "%(count)d records", len(items))
    return text % {"count": len(items)}


def _items(data: dict[str, Any]) -> list[dict[str, Any]]:
    values = data.get("values")
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _tires(data: dict[str, Any], unit: str) -> str:
    pressures = [
        wheel["tirePressure"]
        for wheel in _items(data)
        if isinstance(wheel.get("tirePressure"), int | float)
    ]
    return _pressure(pressures, unit)


def _pressure(pressures: list[float], unit: str) -> str:
    if unit == PortalSettings.Distance.MILES:
        return _("%(list)s psi") % {"list": " / ".join(f"{p / KPA_PER_PSI:.0f}" for p in pressures)}
    return _("%(list)s kPa") % {"list": " / ".join(f"{p:.0f}" for p in pressures)}


def changes(obj: Model, form: Any) -> str:
    """What a form changed, as name and new value."""
    values = ((name, getattr(obj, name)) for name in form.changed_data)
    return ", ".join(
        f"{name}: {_('none') if value in (None, '') else value}" for name, value in values
    )
