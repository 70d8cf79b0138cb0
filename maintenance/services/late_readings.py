"""Bring alerts in line with readings that came late: as if each had come in its time.

The readings of the last days, as long as they count for the rules, are judged again in the order
of the car's clock, by the rules now in force, and the rows become what comes out of that. Older
episodes are left to the readings to come.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.utils import timezone

from integrations.models import Reading, Signal, Vehicle
from maintenance.engine import history
from maintenance.engine.code_overrides import CodeBook
from maintenance.engine.episodes import Action
from maintenance.engine.facts import Facts, SignalFact, system_name
from maintenance.engine.findings import EpisodeView
from maintenance.engine.history import Life
from maintenance.engine.rules import Kind, RuleSpec
from maintenance.models import Alert, Rule
from maintenance.services import alerts
from maintenance.services.episodes import to_view
from maintenance.services.plans import InForce, Known, Planned, Services

_Moment = tuple[datetime, datetime, str]  # recorded, fetched, event: the order of all readings


@dataclass(frozen=True, slots=True)
class _Said:
    moment: _Moment
    fact: SignalFact


@dataclass(frozen=True, slots=True)
class _Topic:
    """The rules of one topic, the signals they are judged on, and since when these count."""

    name: str
    rules: InForce
    codes: set[str]
    since: datetime

    @property
    def specs(self) -> list[RuleSpec]:
        return [spec for _rule, spec in self.rules]

    def by_id(self) -> dict[int, tuple[Rule, RuleSpec]]:
        return {spec.id: (rule, spec) for rule, spec in self.rules}

    def of(self, alerts: dict[tuple[str, str], Alert]) -> dict[str, Alert]:
        """By subject, those that can have changed: each system speaks for itself alone."""
        mine = {subject: alert for (name, subject), alert in alerts.items() if name == self.name}
        if any(spec.kind is not Kind.SYSTEM_STATUS for spec in self.specs):
            return mine
        names = {system_name(code) for code in self.codes}
        return {subject: alert for subject, alert in mine.items() if subject in names}


def put_in_order(
    vehicle: Vehicle,
    signals: Sequence[Signal],
    late: Collection[str],
    *,
    rules: InForce,
    known: Known,
    services: Services,
    book: CodeBook,
    now: datetime,
) -> bool:
    """Judge again what reads these signals; whether rows changed. Safe to repeat."""
    topics = list(_topics(rules, signals, late, now))
    if not topics:
        return False
    said = _said(vehicle, signals, topics)
    changed = False
    for topic in topics:
        moments = _moments(topic, said, services, book, now)
        changed |= _put_topic_in_order(vehicle, topic, moments, known, now)
    return changed


def out_of_turn(
    codes: Collection[str], signals: Sequence[Signal], *, rules: InForce, known: Known
) -> set[str]:
    """The signals that are no news by another signal's clock.

    Rules of one topic may read different signals: a first oil life may be older than the odometer
    for which an alert of the same topic is open.
    """
    found = set()
    for alert in known.unresolved.values():
        counted = max(filter(None, (alert.last_firing_at, alert.last_clear_at)), default=None)
        others = [
            (spec.id == alert.rule_id, spec) for _rule, spec in rules if spec.topic == alert.topic
        ]
        if counted is None or len(others) < 2:
            continue
        for signal in signals:
            if signal.code in codes and signal.recorded_at and signal.recorded_at < counted:
                own = {is_own for is_own, spec in others if history.reads(spec, signal.code)}
                found |= {signal.code} if own == {False} else set()
    return found


def _topics(
    rules: InForce, signals: Sequence[Signal], late: Collection[str], now: datetime
) -> Iterator[_Topic]:
    """Those that read what came late. Beside a rule that knows only the present, such as that a
    car is quiet, the past cannot be told anew.
    """
    for name in dict.fromkeys(spec.topic for _rule, spec in rules):
        inside = [(rule, spec) for rule, spec in rules if spec.topic == name]
        if not all(spec.kind.has_history for _rule, spec in inside):
            continue
        codes = {s.code for s in signals if any(history.reads(spec, s.code) for _, spec in inside)}
        if all(spec.kind is Kind.SYSTEM_STATUS for _rule, spec in inside):
            codes &= {*late}
        if not codes.isdisjoint(late):
            since = now - min(spec.freshness for _rule, spec in inside)
            yield _Topic(name, inside, codes, since)


def _said(vehicle: Vehicle, signals: Sequence[Signal], topics: Sequence[_Topic]) -> list[_Said]:
    """The last word on each instant, in order. The states are the last ones, whatever was kept."""
    codes = set().union(*(topic.codes for topic in topics))
    rows = Reading.objects.filter(
        vehicle=vehicle,
        code__in=codes,
        quality=Reading.Quality.CLEAN,
        recorded_at__gte=min(topic.since for topic in topics),
    ).order_by("recorded_at", "fetched_at", "event_id")
    columns = ("code", "value", "data", "recorded_at", "fetched_at", "event_id")
    states = [
        (s.code, s.value, s.data, s.recorded_at, s.fetched_at or s.recorded_at, s.event_id)
        for s in signals
        if s.code in codes and s.recorded_at
    ]
    said = {}
    for code, value, data, at, fetched_at, event_id in [*rows.values_list(*columns), *states]:
        fact = SignalFact(code=code, value=value, data=data, recorded_at=at)
        said[code, at] = _Said((at, fetched_at, event_id), fact)
    return sorted(said.values(), key=lambda each: each.moment)


def _moments(
    topic: _Topic, said: Iterable[_Said], services: Services, book: CodeBook, now: datetime
) -> Iterator[Facts]:
    """What the topic's rules knew after each reading."""
    today = timezone.localdate(now)
    facts: dict[str, SignalFact] = {}
    inside = (each for each in said if each.fact.code in topic.codes)
    for _moment, together in groupby(inside, key=lambda each: each.moment):
        facts |= {each.fact.code: each.fact for each in together}
        yield Facts(signals=dict(facts), services=services, today=today, codes=book)


def _put_topic_in_order(
    vehicle: Vehicle, topic: _Topic, moments: Iterable[Facts], known: Known, now: datetime
) -> bool:
    rows, resolved = topic.of(known.unresolved), topic.of(known.resolved)
    settled = _settled(resolved, topic.since)
    lives = history.fold(topic.specs, moments, settled, now)
    changed = False
    for subject in sorted({*lives, *rows}):
        row = rows.get(subject)
        if row is None or history.began_since(to_view(row), topic.since):
            life = lives.get(subject) or Life()
            changed |= _bring_in_line(vehicle, topic, life, row, resolved.get(subject), now=now)
    return changed


def _settled(resolved: dict[str, Alert], since: datetime) -> dict[str, EpisodeView]:
    begun = {subject: history.settled(to_view(row), since) for subject, row in resolved.items()}
    return {subject: view for subject, view in begun.items() if view}


def _bring_in_line(
    vehicle: Vehicle,
    topic: _Topic,
    life: Life,
    row: Alert | None,
    previous: Alert | None,
    *,
    now: datetime,
) -> bool:
    """Make the rows of one subject what they would be; whether anything changed."""
    changed = False
    if row is not None and history.is_disproved(to_view(row), life):
        was_open = row.opened_at is not None
        alerts.disprove(row, now=now)
        row, previous, changed = None, row if was_open else previous, True
    if life.told is None:
        return changed
    rule, spec = topic.by_id()[life.told.rule_id]
    view, before = to_view(row) if row else None, to_view(previous) if previous else None
    for step in (
        history.note_clear(before, life),
        history.step_to(view, before, life, spec, now),
    ):
        if step.action is not Action.NOTHING:
            alerts.apply(vehicle, Planned(step, life.told, rule, row, previous), now=now)
            changed = True
    return changed
