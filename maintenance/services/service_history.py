"""Services that the maker's own records tell of: each becomes a service record once.

Smartcar's signal `service-records` lists the services of the last year, in v3's shape whatever
API it came through: https://smartcar.com/docs/api-reference/signals. What a record is about is
told by its tasks' descriptions alone; those that no rule knows by that name are left out.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.utils import timezone

from integrations.clients.readings import ODOMETER, SERVICE_RECORDS
from integrations.clients.smartcar_signals import object_of, parse_moment
from integrations.models import Signal, Vehicle
from integrations.services.measures import ImpossibleError, measure
from maintenance.models import ServiceRecord
from maintenance.models.service import EARLIEST
from maintenance.services import services
from maintenance.services.service_names import plain, topics_by_name

REFERENCE = "smartcar:"
LONGEST_ID = 40
AHEAD_KM = 5  # a workshop's entry is rounded; what is further ahead is another car's


@dataclass(frozen=True, slots=True)
class _Done:
    """One service that the maker knows of."""

    key: str  # what it is called there
    day: date
    odometer_km: float | None
    tasks: list[str]


def take_over(vehicle: Vehicle, signals: Iterable[Signal], *, now: datetime) -> list[ServiceRecord]:
    """Record what the latest service history says and is not recorded yet; returns what is new.

    For a caller that has just stored it, inside its transaction, and looks at the rules then.
    """
    by_code = {signal.code: signal for signal in signals}
    signal = by_code.get(SERVICE_RECORDS)
    history = object_of(signal.data) if signal else {}
    present = by_code[ODOMETER].value if ODOMETER in by_code else None
    done = list(_read(history, present, timezone.localdate(now)))
    topics = topics_by_name() if done else {}
    found = [(each, topic) for each in done for topic in _topics(each, topics)]
    if not found:
        return []
    known = _Known(vehicle)
    return [_write(vehicle, each, topic, now) for each, topic in found if known.add(each, topic)]


class _Known:
    """The vehicle's services by topic: by their references, and by their days."""

    def __init__(self, vehicle: Vehicle) -> None:
        rows = vehicle.services.values_list("topic", "reference", "done_on", "is_proposed")
        self._references = set()
        self._days = set()
        for topic, reference, day, is_proposed in rows:
            self._references.add((topic, reference))
            # What somebody entered of that day says more than the maker's line.
            if not is_proposed:
                self._days.add((topic, day))

    def add(self, done: _Done, topic: str) -> bool:
        """Whether it is new."""
        if (topic, _reference(done, topic)) in self._references or (topic, done.day) in self._days:
            return False
        self._days.add((topic, done.day))
        return True


def _write(vehicle: Vehicle, done: _Done, topic: str, now: datetime) -> ServiceRecord:
    entry, _is_new = services.write(
        vehicle,
        topic=topic,
        now=now,
        source=ServiceRecord.Source.SMARTCAR,
        odometer_km=done.odometer_km,
        done_on=done.day,
        note=", ".join(done.tasks),
        reference=_reference(done, topic),
    )
    return entry


def _reference(done: _Done, topic: str) -> str:
    return f"{REFERENCE}{done.key}:{topic}"


def _topics(done: _Done, topics: dict[str, list[str]]) -> list[str]:
    return sorted({topic for task in done.tasks for topic in topics.get(plain(task), [])})


def _read(history: dict[str, Any], present_km: float | None, today: date) -> Iterator[_Done]:
    """What can be believed of it; a record without a day, or of the future, cannot."""
    values = history.get("values")
    for value in values if isinstance(values, list) else []:
        record = object_of(value)
        day = _day(record.get("time"))
        if day is None or not EARLIEST <= day <= today:
            continue
        km = _odometer(record, history.get("unit"))
        if km is not None and present_km is not None and km > present_km + AHEAD_KM:
            km = None
        tasks = record.get("tasks")
        names = [
            object_of(task).get("description")
            for task in (tasks if isinstance(tasks, list) else [])
        ]
        texts = [name for name in names if isinstance(name, str)]
        yield _Done(_key(record.get("id"), record.get("time")), day, km, texts)


def _day(said: Any) -> date | None:
    """The fleet's local day. A bare day, or midnight sharp, is that very day everywhere."""
    moment = parse_moment(said)
    if moment is None:
        return None
    is_bare = moment.astimezone(UTC).time() == time(0)
    return moment.date() if is_bare else timezone.localdate(moment)


def _odometer(record: dict[str, Any], unit: Any) -> float | None:
    """In km, which is also what a number without a unit means (as v2 documents it)."""
    said = record.get("odometer")
    body = said if isinstance(said, dict) else {"value": said}
    own = body.get("unit") or record.get("odometerUnit") or record.get("unit") or unit
    try:
        km, _rest = measure(ODOMETER, {"value": body.get("value"), "unit": own})
    except ImpossibleError:
        return None
    return km


def _key(id_: Any, time_: Any) -> str:
    """What the record is called there, or its time; short enough for a column."""
    text = str(id_ if id_ not in (None, "") else time_).strip()
    if len(text) > LONGEST_ID or not text.isprintable():
        return hashlib.sha256(text.encode(errors="ignore")).hexdigest()[:LONGEST_ID]
    return text
