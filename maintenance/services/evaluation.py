"""Run the rules on what is known of one vehicle, and bring its alerts in line.

Planning reads and decides, applying writes; a dry run only plans. The vehicle's row is locked by
the caller's transaction, so two evaluations of one vehicle follow each other.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, DateTimeField, Q
from django.utils import timezone

from integrations.models import Signal, Vehicle
from integrations.models.prepared import Prepared, Statement, given, together
from integrations.services import leases
from maintenance.engine.code_overrides import CodeBook
from maintenance.engine.conditions import judge
from maintenance.engine.episodes import advance, combine
from maintenance.engine.facts import Facts, ServiceFact, SignalFact
from maintenance.engine.findings import Finding
from maintenance.engine.rules import RuleSpec
from maintenance.engine.scopes import Scope, VehicleFacts, in_force
from maintenance.models import Alert, Rule, ServiceRecord
from maintenance.services import alerts, code_book, late_readings, outages, reach
from maintenance.services.episodes import to_view
from maintenance.services.plans import InForce, Known, Planned, Services

logger = logging.getLogger(__name__)

AGAIN = timedelta(minutes=15)
# Longer than any reopen window an admin may choose.
LONGEST_MEMORY = timedelta(days=90)

Rows = list[Sequence[Any]]
_Rules = dict[int, tuple[Rule, Scope, RuleSpec]]
_RULES = Prepared(lambda: Rule.objects.enabled().order_by("pk"))
_made: tuple[Rows, _Rules] = ([], {})
_SERVICES = Prepared(
    lambda: (
        ServiceRecord.objects.counting()
        .filter(vehicle=given("vehicle", BigIntegerField))
        .order_by("done_on", "pk")
        .values_list("topic", "done_on", "odometer_km")
    )
)
_ALERTS = Prepared(
    lambda: Alert.objects.filter(
        Q(resolved_at__isnull=True) | Q(resolved_at__gte=given("since", DateTimeField)),
        vehicle=given("vehicle", BigIntegerField),
    ).order_by("resolved_at", "pk")
)


def evaluate_vehicle(vehicle_id: int, *, now: datetime) -> list[Planned]:
    """Evaluate one vehicle by itself, in a transaction of its own. Safe to repeat."""
    with transaction.atomic():
        vehicle = Vehicle.objects.select_for_update().filter(pk=vehicle_id).first()
        if vehicle is None:
            return []
        signals = list(vehicle.signals.all())
        # What came while the rules failed may have come late.
        late = {signal.code for signal in signals} if vehicle.evaluation_error else set()
        done = evaluate(vehicle, signals, late=late, now=now)
        if vehicle.evaluation_due_at or vehicle.evaluation_error:
            Vehicle.objects.filter(pk=vehicle_id).update(
                evaluation_due_at=None, evaluation_error=""
            )
    return done


def evaluate_all(*, now: datetime, vehicle_ids: Iterable[int] | None = None) -> tuple[int, int]:
    """Evaluate these vehicles, or all, one by one; returns how many changed and how many failed.

    A large fleet takes minutes: each is judged, and told of, as of its own moment.
    """
    changed = failed = 0
    time_now = leases.going_on(now)
    if vehicle_ids is None:
        # What many vehicles of a make have in common is found before it is said of each.
        failed += _look_for_outages(now)
    ids = vehicle_ids if vehicle_ids is not None else Vehicle.objects.values_list("pk", flat=True)
    for vehicle_id in list(ids):
        try:
            changed += bool(evaluate_vehicle(vehicle_id, now=time_now()))
        except Exception as exc:  # one car's trouble must not stop the others
            logger.exception("vehicle %s: the rules failed", vehicle_id)
            failed += 1
            Vehicle.objects.filter(pk=vehicle_id).update(
                evaluation_due_at=time_now() + AGAIN,
                evaluation_error=f"{type(exc).__name__}: {exc}"[:255],
            )
    return changed, failed


def _look_for_outages(now: datetime) -> bool:
    """True when it failed: the vehicles are evaluated all the same."""
    try:
        outages.look(now=now)
    except Exception:
        logger.exception("outages could not be looked for")
        return True
    return False


def evaluate(
    vehicle: Vehicle,
    signals: Sequence[Signal],
    *,
    now: datetime,
    codes: Collection[str] = (),
    late: Collection[str] = (),
) -> list[Planned]:
    """Plan and apply, inside the caller's transaction.

    `codes` are the signals that have another state than before, `late` those that have another
    past; what follows from the latter is put in order first. A reading says nothing new of the
    consent, and of a car that is quiet only that it is not: unless that is open it is not asked.
    """
    is_news = bool(codes)
    rules, known, services, book, consent = _look_up(vehicle, now, with_consent=not is_news)
    if is_news and reach.matters(known):
        consent = reach.statement(vehicle).run()
    alerts.hand_over(vehicle, list(known.unresolved.values()), rules, now=now)
    known.put_away_what_ended()
    late = {*late, *late_readings.out_of_turn(codes, signals, rules=rules, known=known)}
    if late and late_readings.put_in_order(
        vehicle, signals, late, rules=rules, known=known, services=services, book=book, now=now
    ):
        known = Known.of(vehicle, _alerts(vehicle, now).run())
    steps = plan(rules, _facts(signals, services, book, consent, now), known, now=now)
    for planned in steps:
        alerts.apply(vehicle, planned, now=now)
    return steps


def dry_run(vehicle: Vehicle, *, now: datetime) -> list[str]:
    """What an evaluation would do now, one line for each step. Writes nothing."""
    rules, known, services, book, consent = _look_up(vehicle, now)
    moved = [
        f"hand over to {heir}: {alert.summary}" if heir else f"end: {alert.summary}"
        for alert, heir in alerts.orphans(known.unresolved.values(), rules)
    ]
    facts = _facts(list(vehicle.signals.all()), services, book, consent, now)
    steps = plan(rules, facts, known, now=now)
    return [*moved, *map(str, steps)]


def _look_up(
    vehicle: Vehicle, now: datetime, *, with_consent: bool = True
) -> tuple[InForce, Known, Services, CodeBook, Rows | None]:
    """The rules in force for the vehicle, its alerts, what was done to it, what codes mean, and
    its consent.
    """
    rules, alert_rows, services, overrides, *consent = together(
        _RULES.values(),
        _alerts(vehicle, now),
        _SERVICES.values(vehicle=vehicle.pk),
        code_book.statement(),
        *([reach.statement(vehicle)] if with_consent else []),
    )
    return (
        applicable(vehicle, rules),
        Known.of(vehicle, alert_rows),
        _latest(services),
        code_book.made_of(overrides),
        consent[0] if consent else None,
    )


def _alerts(vehicle: Vehicle, now: datetime) -> Statement[list[Alert]]:
    return _ALERTS.rows(vehicle=vehicle.pk, since=now - LONGEST_MEMORY)


def applicable(vehicle: Vehicle, rows: Rows | None = None) -> InForce:
    """The rules in force for the vehicle: the most specific of each kind and topic."""
    rules = _enabled_rules(_RULES.values().run() if rows is None else rows)
    candidates = [(scope, spec) for _rule, scope, spec in rules.values()]
    return [(rules[spec.id][0], spec) for spec in in_force(candidates, vehicle_facts(vehicle))]


def _enabled_rules(rows: Rows) -> _Rules:
    """Made into objects only when a row is not what it was for the last car."""
    global _made  # noqa: PLW0603  what the database says is compared each time
    before, rules = _made
    if rows != before:
        rules = {rule.pk: (rule, rule.scope, rule.to_spec()) for rule in _RULES.make(rows)}
        _made = rows, rules
    return rules


def vehicle_facts(vehicle: Vehicle) -> VehicleFacts:
    return VehicleFacts(
        id=vehicle.pk,
        group_id=vehicle.group_id,
        make=vehicle.make,
        model=vehicle.model,
        year=vehicle.year,
    )


def plan(rules: InForce, facts: Facts, known: Known, *, now: datetime) -> list[Planned]:
    """The steps that bring the vehicle's alerts in line with what is known of it."""
    by_id = {spec.id: (rule, spec) for rule, spec in rules}
    findings: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for _rule, spec in rules:
        for finding in judge(spec, facts, known.views(spec.topic), now):
            findings[spec.topic, finding.subject].append(finding)
    planned = []
    for key, found in findings.items():
        alert, previous = known.unresolved.get(key), known.resolved.get(key)
        finding = combine(found, alert.rule_id if alert else None)
        rule, spec = by_id[finding.rule_id]
        step = advance(
            to_view(alert) if alert else None,
            to_view(previous) if previous else None,
            finding,
            spec,
            now,
        )
        one = Planned(step, finding, rule, alert, previous)
        if alerts.changes_something(one):
            planned.append(one)
    return planned


def gather_facts(vehicle: Vehicle, signals: Sequence[Signal], now: datetime) -> Facts:
    """The latest clean signals, services and consent, as the engine wants them."""
    services, overrides, consent = together(
        _SERVICES.values(vehicle=vehicle.pk), code_book.statement(), reach.statement(vehicle)
    )
    return _facts(signals, _latest(services), code_book.made_of(overrides), consent, now)


def _facts(
    signals: Sequence[Signal],
    services: Services,
    book: CodeBook,
    consent: Rows | None,
    now: datetime,
) -> Facts:
    return Facts(
        signals={
            signal.code: SignalFact(
                code=signal.code,
                value=signal.value,
                data=signal.data,
                recorded_at=signal.recorded_at,
            )
            for signal in signals
            if signal.recorded_at is not None
        },
        services=services,
        today=timezone.localdate(now),
        reach=reach.of(consent, signals) if consent is not None else None,
        codes=book,
    )


def _latest(services: Rows) -> Services:
    """Of each topic the last one."""
    return {
        topic: ServiceFact(topic=topic, done_on=done_on, odometer_km=odometer_km)
        for topic, done_on, odometer_km in services
    }
