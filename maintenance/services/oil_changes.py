"""Oil life that jumped up: propose to record an oil change, for a person to confirm.

What is proposed follows from the car's whole history of thirty days, so that readings may come
late, twice and in any order: what waits is brought in line with it, what somebody decided stays.
"""

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from integrations.clients.readings import OIL_LIFE
from integrations.models import Reading, Signal, Vehicle
from maintenance.engine.oil_changes import MEMORY, SAME_CHANGE, OilChange, Said, oil_changes
from maintenance.engine.rules import OilLife
from maintenance.models import ServiceRecord
from maintenance.services import evaluation, services
from maintenance.services.odometers import odometer_at

REFERENCE = "oil-life:"


def propose(vehicle: Vehicle, signals: Iterable[Signal], *, now: datetime) -> list[ServiceRecord]:
    """Propose each oil change of the last thirty days once, for each topic of oil life.

    For a caller that has just stored oil life that rose, or that came late, inside its
    transaction. Safe to repeat.
    """
    last = next((signal for signal in signals if signal.code == OIL_LIFE), None)
    if last is None or last.recorded_at is None:
        return []
    since = last.recorded_at - MEMORY
    said = _history(vehicle, since - MEMORY - SAME_CHANGE)
    proposed = []
    for _rule, spec in evaluation.applicable(vehicle):
        if isinstance(spec.condition, OilLife):
            found = oil_changes(said, spec.condition.clear_jump)
            changes = [change for change in found if change.at >= since]
            proposed += _bring_in_line(vehicle, spec.topic, changes, since, now)
    return proposed


def _history(vehicle: Vehicle, since: datetime) -> list[Said]:
    """Of each instant the last word."""
    rows = Reading.objects.filter(
        vehicle=vehicle, code=OIL_LIFE, quality=Reading.Quality.CLEAN, recorded_at__gte=since
    ).order_by("recorded_at", "fetched_at", "event_id")
    said = dict(rows.values_list("recorded_at", "value"))
    return [(at, value) for at, value in said.items() if value is not None]


def _bring_in_line(
    vehicle: Vehicle, topic: str, changes: list[OilChange], since: datetime, now: datetime
) -> list[ServiceRecord]:
    waiting, decided = _known(vehicle, topic, since)
    wanted = {_reference(change): change for change in changes}
    for reference in waiting.keys() - wanted.keys():  # it began earlier, as is known by now
        waiting[reference].delete()
    proposed = []
    for reference, change in wanted.items():
        if reference not in waiting and not _is_answered(change, changes, decided):
            proposed.append(_write(vehicle, topic, change, now))
    return proposed


def _known(
    vehicle: Vehicle, topic: str, since: datetime
) -> tuple[dict[str, ServiceRecord], list[ServiceRecord]]:
    """What waits for a person since then, by reference, and what need not be asked."""
    first = timezone.localdate(since - SAME_CHANGE)
    waiting, decided = {}, []
    for entry in vehicle.services.filter(topic=topic, done_on__gte=first):
        jumped_at = _jumped_at(entry)
        if jumped_at is None or not entry.is_proposed or entry.dismissed_at:
            decided.append(entry)
        elif jumped_at >= since:
            waiting[entry.reference] = entry
    return waiting, decided


def _is_answered(change: OilChange, changes: list[OilChange], decided: list[ServiceRecord]) -> bool:
    """Whether a person or somebody else has said something about this change."""
    day = timezone.localdate(change.at)
    later = min((other.at for other in changes if other.at > change.at), default=None)
    for entry in decided:
        if abs(entry.done_on - day) <= services.SAME_SERVICE:
            return True
        jumped_at = _jumped_at(entry)  # decided when its first readings had not come yet
        if jumped_at and change.at <= jumped_at and (later is None or jumped_at < later):
            return True
    return False


def _write(vehicle: Vehicle, topic: str, change: OilChange, now: datetime) -> ServiceRecord:
    percent = {"before": change.before, "after": change.after}
    entry, _is_new = services.write(
        vehicle,
        topic=topic,
        now=now,
        source=ServiceRecord.Source.OIL_LIFE,
        odometer_km=odometer_at(vehicle, change.at),
        done_on=timezone.localdate(change.at),
        note=_("Oil life went up from %(before).0f %% to %(after).0f %%.") % percent,
        reference=_reference(change),
        is_proposed=True,
    )
    return entry


def _reference(change: OilChange) -> str:
    return REFERENCE + change.at.isoformat()


def _jumped_at(entry: ServiceRecord) -> datetime | None:
    """When the oil's life jumped, of a record that was proposed for it."""
    if not entry.reference.startswith(REFERENCE):
        return None
    return datetime.fromisoformat(entry.reference.removeprefix(REFERENCE))
