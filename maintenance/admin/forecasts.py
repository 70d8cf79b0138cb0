"""The forecast on a vehicle's page: when each service will be due, and why that is not known."""

from datetime import date

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from fleetportal import clock
from integrations.admin import words
from integrations.admin.base import Panel
from integrations.models import Vehicle
from maintenance.engine.forecast import Basis, Forecast, Why
from maintenance.services import forecasts, wording

_BASES = {
    Basis.TIME: gettext_lazy("the calendar"),
    Basis.DISTANCE: gettext_lazy("the distance driven"),
    Basis.OIL_LIFE: gettext_lazy("oil life"),
}
_REASONS = {
    Why.NO_SERVICE: gettext_lazy("needs the last service to be recorded"),
    Why.NO_SERVICE_ODOMETER: gettext_lazy("needs the odometer of the last service"),
    Why.NO_ODOMETER: gettext_lazy("needs an odometer reading"),
    Why.FEW_ODOMETERS: gettext_lazy("needs two odometer readings some days apart"),
    Why.NOT_DRIVEN: gettext_lazy("is driven too little to tell"),
    Why.NO_OIL_LIFE: gettext_lazy("needs a reading of oil life"),
    Why.FEW_OIL_LIVES: gettext_lazy("needs two readings of oil life some days apart"),
    Why.DONE: gettext_lazy("was due once, and is done"),
    Why.NOT_FALLING: gettext_lazy("oil life falls too slowly to tell"),
}


def panel(vehicle: Vehicle, unit: str) -> Panel:
    """In the portal's unit."""
    now = clock.now()
    return Panel(
        title=_("Forecast"),
        headers=(_("Service"), _("Due on"), _("Due at"), _("Left"), _("Based on")),
        rows=[
            (
                wording.topic_name(each.topic),
                _due_on(each),
                words.distance(each.due_km, unit),
                _left(each, unit, timezone.localdate(now)),
                _based_on(each),
            )
            for each in forecasts.for_vehicle(vehicle, now=now)
        ],
        empty=_("No enabled rule for this vehicle has an interval."),
    )


def _due_on(each: Forecast) -> str:
    """The day, and between which days it will probably be."""
    if each.is_due:
        return words.badge("due", _("due"))
    if each.due_on is None:
        return words.NOTHING
    if each.early == each.late:
        return _day(each.due_on)
    span = _("%(early)s to %(late)s") if each.late else _("%(early)s or later")
    around = span % {"early": _day(each.early), "late": _day(each.late)}
    return words.lines([_day(each.due_on), words.small(around)])


def _left(each: Forecast, unit: str, today: date) -> str:
    texts = []
    if each.left_km is not None:
        texts.append(words.distance(max(each.left_km, 0.0), unit))
    if each.due_on is not None and not each.is_due:
        days = (each.due_on - today).days
        texts.append(ngettext("%(count)d day", "%(count)d days", days) % {"count": days})
    return ", ".join(texts) or words.NOTHING


def _based_on(each: Forecast) -> str:
    """What tells the day; without one, what is missing."""
    reason = str(_REASONS[each.why]) if each.why else ""
    if each.due_on is None or each.based_on is None:
        return reason or words.NOTHING
    basis = str(_BASES[each.based_on])
    return words.lines([basis, words.small(reason)]) if reason else basis


def _day(day: date | None) -> str:
    return formats.date_format(day, "DATE_FORMAT") if day else words.NOTHING
