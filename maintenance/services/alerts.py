"""The life of alerts: what the engine decided, and what people do.

Each function runs inside a transaction that holds the vehicle's lock, or takes it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction

from integrations.models import PortalSettings, Vehicle
from integrations.services import activity
from maintenance.engine.episodes import Action
from maintenance.engine.findings import Finding
from maintenance.engine.rules import RuleSpec
from maintenance.models import Alert, Rule
from maintenance.services import announcements, wording
from maintenance.services.episodes import apply_view, reading_time, to_view
from maintenance.services.issues import IssueEvent

if TYPE_CHECKING:
    from maintenance.services.plans import Planned


def apply(vehicle: Vehicle, planned: "Planned", *, now: datetime) -> None:
    """Write one planned step, with everything that follows from it, in this transaction."""
    view = planned.step.episode
    if view is None:
        return
    match planned.step.action:
        case Action.PEND:
            _pend(vehicle, planned, now)
        case Action.OPEN:
            _open(planned.alert or _pend(vehicle, planned, now), planned, now)
        case Action.REOPEN if planned.previous:
            if planned.alert:
                planned.alert.delete()
            _open(planned.previous, planned, now)
        case Action.WORSEN if planned.alert:
            _worsen(planned.alert, planned, now)
        case Action.RESOLVE if planned.alert:
            apply_view(planned.alert, view)
            serviced = planned.alert.kind == Rule.Kind.SERVICE_INTERVAL
            how = Alert.Resolution.SERVICED if serviced else Alert.Resolution.CLEARED
            _end(planned.alert, how, now=now)
        case Action.DROP if planned.alert:
            planned.alert.delete()
        case Action.NOTE_CLEAR if planned.previous:
            apply_view(planned.previous, view)
            planned.previous.save()
        case _ if planned.alert:
            _update(planned.alert, planned)


def changes_something(planned: "Planned") -> bool:
    """Whether the step is worth a write. That a car says the same again is not."""
    view, action = planned.step.episode, planned.step.action
    if action is Action.NOTE_FIRING and view is not None and planned.alert is not None:
        before = to_view(planned.alert)
        known = before.worst, before.rule_id, before.firing_count
        return known != (view.worst, view.rule_id, view.firing_count)
    return action is not Action.NOTHING


def _pend(vehicle: Vehicle, planned: "Planned", now: datetime) -> Alert:
    alert = Alert(
        vehicle=vehicle,
        topic=planned.rule.topic,
        subject=planned.finding.subject,
        pending_since=now,
    )
    _describe(alert, planned)
    alert.save()
    return alert


def _update(alert: Alert, planned: "Planned") -> None:
    if planned.step.episode is not None:
        apply_view(alert, planned.step.episode)
    alert.rule = planned.rule
    alert.kind = planned.rule.kind
    alert.save()


def _describe(alert: Alert, planned: "Planned") -> None:
    """Put rule, stage, evidence and words of the deciding finding on the row."""
    view, rule, finding = planned.step.episode, planned.rule, planned.finding
    if view is not None:
        apply_view(alert, view)
    alert.rule, alert.kind = rule, rule.kind
    alert.evidence = evidence(rule, finding)
    alert.summary = wording.summary(rule, finding, PortalSettings.load().distance_unit)


def evidence(rule: Rule, finding: Finding) -> dict[str, Any]:
    """Why it was decided: the finding, the readings it rests on, and the rule as it was."""
    spec = asdict(rule.to_spec().condition)
    as_it_was = {"id": rule.pk, "name": rule.name, **spec}
    return {**finding.evidence, "reason": str(finding.reason), "rule": as_it_was}


def _open(alert: Alert, planned: "Planned", now: datetime) -> None:
    again = alert.resolved_at is not None
    _describe(alert, planned)
    alert.opened_at = alert.opened_at if again else now
    alert.reported_at = reading_time(planned.step.episode, now) if planned.step.episode else now
    alert.times_opened += 1
    alert.resolved_at = None
    alert.resolution = ""
    alert.resolved_by = None
    alert.cleared_since_resolved = False
    alert.acknowledged_at = alert.acknowledged_by = alert.snoozed_until = None
    alert.status = alert.settled_status(now)
    alert.save()
    what = "Alert came back" if again else "Alert opened"
    activity.record(f"{what}: {alert.summary}", now=now, about=alert, vehicle=alert.vehicle)
    if again:
        alert.returns = [*alert.returns, now.isoformat()]
        alert.save()
    announcements.announce(alert, IssueEvent.RETURNED if again else IssueEvent.OPENED, now=now)


def _worsen(alert: Alert, planned: "Planned", now: datetime) -> None:
    _describe(alert, planned)
    alert.reported_at = reading_time(planned.step.episode, now) if planned.step.episode else now
    alert.status = alert.settled_status(now)
    alert.save()
    stage = alert.get_stage_display()
    activity.record(
        f"Alert is now {stage}: {alert.summary}", now=now, about=alert, vehicle=alert.vehicle
    )
    announcements.announce(alert, IssueEvent.WORSE, now=now)


def _end(
    alert: Alert,
    how: Alert.Resolution,
    *,
    now: datetime,
    user: User | None = None,
    note: str = "",
) -> None:
    was_open = alert.opened_at is not None
    if not was_open:
        alert.delete()
        return
    alert.resolved_at, alert.resolution = now, how
    alert.resolved_by = user
    alert.note = note or alert.note
    alert.snoozed_until = None
    alert.status = alert.settled_status(now)
    alert.save()
    activity.record(
        f"Alert resolved: {alert.summary}. {how.label}",
        now=now,
        about=alert,
        vehicle=alert.vehicle,
        user=user,
    )
    announcements.withdraw(alert, now=now)


def disprove(alert: Alert, *, now: datetime) -> None:
    """Readings that came late say that it is over, or never was."""
    _end(alert, Alert.Resolution.CLEARED, now=now)


def hand_over(
    vehicle: Vehicle,
    unresolved: Sequence[Alert],
    rules: Sequence[tuple[Rule, RuleSpec]],
    *,
    now: datetime,
) -> None:
    """Give alerts of rules that no longer apply to the rule now in force, or end them."""
    for alert, heir in orphans(unresolved, rules):
        if heir is None:
            _end(alert, Alert.Resolution.RULE, now=now)
            continue
        alert.rule, alert.kind = heir, heir.kind
        alert.save()
        activity.record(f"Alert now follows the rule {heir}", now=now, about=alert, vehicle=vehicle)


def orphans(
    unresolved: Iterable[Alert], rules: Sequence[tuple[Rule, RuleSpec]]
) -> list[tuple[Alert, Rule | None]]:
    """The alerts whose rule is not in force, each with the rule that took its place, if any.

    Rules of another kind do not inherit, also not of the same topic: they know nothing of what
    the alert is about, so it might never end.
    """
    in_force = {rule.pk for rule, _spec in rules}
    heirs = {(rule.kind, rule.topic): rule for rule, _spec in rules}
    return [
        (alert, heirs.get((alert.kind, alert.topic)))
        for alert in unresolved
        if alert.rule_id not in in_force
    ]


def locked(alert: Alert) -> Alert:
    """The alert as it stands now, with its vehicle locked against evaluation."""
    if alert.vehicle_id:
        Vehicle.objects.select_for_update().filter(pk=alert.vehicle_id).first()
    return Alert.objects.select_related("rule", "vehicle").get(pk=alert.pk)


@transaction.atomic
def acknowledge(alert: Alert, *, user: User, now: datetime, note: str = "") -> bool:
    """A person takes care of it. False when there is nothing to acknowledge."""
    alert = locked(alert)
    if alert.resolved_at or alert.opened_at is None or alert.acknowledged_at:
        return False
    alert.acknowledged_at = now
    alert.acknowledged_by = user
    alert.note = note or alert.note
    alert.status = alert.settled_status(now)
    alert.save()
    activity.record(
        f"Acknowledged: {alert.summary}", now=now, about=alert, vehicle=alert.vehicle, user=user
    )
    return True


@transaction.atomic
def resolve(
    alert: Alert,
    *,
    now: datetime,
    user: User | None = None,
    how: Alert.Resolution = Alert.Resolution.PERSON,
    note: str = "",
) -> bool:
    """End it by decision. It stays ended while the car goes on reporting the same, until the
    reopen window is over. False when it was over already.
    """
    alert = locked(alert)
    if alert.resolved_at:
        return False
    _end(alert, how, now=now, user=user, note=note)
    return True
