"""What a mechanic reads in Fleetio: the issue, and what is added to it later.

A comment is written from facts that were taken down when it was decided: when it goes out the
alert may say something else.
"""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from integrations.clients.readings import OIL_LIFE
from integrations.models import PortalSettings
from maintenance.models import Alert, Rule, Stage
from maintenance.services import wording

LONGEST_NOTE = 1_000
Facts = Mapping[str, Any]


def description(alert: Alert, reference: str) -> str:
    """The issue as it is made: what, since when, why, and where it came from."""
    recorded = alert.reported_at or alert.opened_at or alert.pending_since
    return "\n".join(
        [
            f"{alert.summary} ({alert.get_stage_display()}).",
            "",
            *_evidence(alert.kind, alert.evidence),
            _recorded(recorded),
            "",
            _("Raised by Fleet Portal. Reference %(reference)s") % {"reference": reference},
        ]
    )


def summary(alert: Alert) -> str:
    if alert.kind != Rule.Kind.SERVICE_INTERVAL:
        return alert.summary
    return f"{alert.summary} ({alert.get_stage_display().lower()})"


def due_on(alert: Alert) -> date | None:
    """The day that the evidence names as due."""
    try:
        return parse_date(str(alert.evidence.get("due_on") or ""))
    except ValueError:
        return None


def due_odometer_km(alert: Alert) -> float | None:
    """The odometer that the evidence names as due."""
    km = alert.evidence.get("due_odometer_km")
    return float(km) if isinstance(km, int | float) and km > 0 else None


# --- Comments ---------------------------------------------------------------------------------


def facts(alert: Alert, event: str) -> dict[str, Any]:
    """What a comment about this event will say, as JSON."""
    found: dict[str, Any] = {
        "summary": alert.summary,
        "stage": alert.stage,
        "kind": alert.kind,
        "note": alert.note[:LONGEST_NOTE],
    }
    if event == "cleared":
        return found | _end_facts(alert)
    if event == "waived":
        return found | {"who": alert.waived_name}
    if event == "flapping":
        found["returns"] = len(alert.returns)
    # What was decided a moment ago still holds days and times as such.
    evidence = json.loads(json.dumps(alert.evidence, cls=DjangoJSONEncoder))
    return found | {"evidence": evidence, "at": _iso(alert.reported_at)}


def _end_facts(alert: Alert) -> dict[str, Any]:
    who = alert.resolved_by.get_username() if alert.resolved_by else ""
    found: dict[str, Any] = {"how": alert.resolution, "who": who, "at": _iso(alert.last_clear_at)}
    if alert.kind == Rule.Kind.OIL_LIFE and alert.vehicle is not None:
        oil = alert.vehicle.signals.filter(code=OIL_LIFE).values_list("value", flat=True).first()
        found["now"] = oil
    if alert.resolution == Alert.Resolution.SERVICED and alert.vehicle is not None:
        done = alert.vehicle.services.filter(topic=alert.topic).first()
        if done is not None:
            found |= {"done_on": done.done_on.isoformat(), "odometer_km": done.odometer_km}
    return found


def comment(event: str, told: Facts, reference: str) -> str:
    """The whole comment; the reference stands at its end, where it is looked for."""
    lines = [*_COMMENTS[event](told), "", f"Fleet Portal, {reference}"]
    return "\n".join(lines)


def note(told: Facts) -> str:
    """One line for the record of an issue that is closed, resolved or opened again."""
    return " ".join(_cleared(told)) if "how" in told else _title(told)


def _title(told: Facts) -> str:
    stage = Stage(told["stage"]).label if told.get("stage") in Stage.values else ""
    return f"{told['summary']} ({stage})." if stage else f"{told['summary']}."


def _worse(told: Facts) -> list[str]:
    return [_("It got worse: %(what)s") % {"what": _title(told)}, *_readings(told)]


def _returned(told: Facts) -> list[str]:
    return [_("It is back: %(what)s") % {"what": _title(told)}, *_readings(told)]


def _flapping(told: Facts) -> list[str]:
    text = _(
        "It comes and goes: %(what)s It came back %(count)d times lately. More is said here"
        " only when it gets worse, or has stayed away."
    )
    return [text % {"what": _title(told), "count": told.get("returns", 0)}, *_readings(told)]


def _waived(told: Facts) -> list[str]:
    who = told.get("who") or _("Somebody")
    text = _("%(who)s says in Fleet Portal that this will not be fixed: %(what)s")
    return [text % {"who": who, "what": _title(told)}, *_notes(told)]


def _cleared(told: Facts) -> list[str]:
    what = {"what": told["summary"], "who": told.get("who") or _("Somebody")}
    match told.get("how"):
        case Alert.Resolution.SERVICED:
            return [_("A service was recorded in Fleet Portal: %(what)s.") % what, *_service(told)]
        case Alert.Resolution.PERSON:
            return [_("%(who)s ended this in Fleet Portal: %(what)s.") % what, *_notes(told)]
        case Alert.Resolution.RULE:
            return [_("No rule in Fleet Portal asks for this any more: %(what)s.") % what]
    lines = [_("The car no longer reports this: %(what)s.") % what]
    if isinstance(told.get("now"), int | float):
        lines.append(_("Oil life now: %(value)s %%.") % {"value": f"{told['now']:g}"})
    recorded = _moment(told.get("at"))
    return [*lines, _recorded(recorded)] if recorded else lines


_COMMENTS: Mapping[str, Callable[[Facts], list[str]]] = {
    "opened": _returned,  # of an issue that is there already
    "worse": _worse,
    "returned": _returned,
    "flapping": _flapping,
    "cleared": _cleared,
    "waived": _waived,
}


def _readings(told: Facts) -> list[str]:
    recorded = _moment(told.get("at"))
    lines = _evidence(str(told.get("kind")), told.get("evidence") or {})
    return [*lines, _recorded(recorded)] if recorded else lines


def _evidence(kind: str, evidence: Mapping[str, Any]) -> list[str]:
    unit = PortalSettings.load().distance_unit
    return [f"{line.name}: {line.text}" for line in wording.explain(kind, evidence, unit)]


def _service(told: Facts) -> list[str]:
    day = parse_date(str(told.get("done_on") or ""))
    lines = [_("Done on: %(day)s") % {"day": date_format(day, "DATE_FORMAT")}] if day else []
    if isinstance(told.get("odometer_km"), int | float):
        unit = PortalSettings.load().distance_unit
        text = wording.distance(float(told["odometer_km"]), unit)
        lines.append(_("Odometer: %(distance)s") % {"distance": text})
    return lines


def _notes(told: Facts) -> list[str]:
    return [_("Note: %(note)s") % {"note": told["note"]}] if told.get("note") else []


def _recorded(moment: datetime) -> str:
    return _("Recorded by the car: %(when)s UTC") % {"when": f"{moment:%Y-%m-%d %H:%M}"}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(value: Any) -> datetime | None:
    moment = parse_datetime(str(value)) if value else None
    return moment if moment and timezone.is_aware(moment) else None
