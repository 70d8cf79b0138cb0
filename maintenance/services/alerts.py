"""The life of alerts, as the engine decides it; what people do with them is in `acts`.

Each function runs inside a transaction that holds the vehicle's lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from integrations.models import PortalSettings, Vehicle
from integrations.services import activity
from maintenance.engine import flapping
from maintenance.engine.episodes import Action
from maintenance.engine.findings import Finding, Reason
from maintenance.engine.rules import RuleSpec
from maintenance.models import Alert, Rule, Severity, Stage
from maintenance.services import announcements, wording
from maintenance.services.announcements import Event
from maintenance.services.episodes import apply_view, reading_time, to_view

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
            end(planned.alert, _how_it_ended(planned.alert, planned.finding), now=now)
        case Action.DROP if planned.alert:
            planned.alert.delete()
        case Action.NOTE_CLEAR if planned.previous:
            apply_view(planned.previous, view)
            planned.previous.save()
        case _ if planned.alert:
            _update(planned.alert, planned)


def _how_it_ended(alert: Alert, finding: Finding) -> Alert.Resolution:
    if finding.reason == Reason.IGNORED:
        return Alert.Resolution.RULE
    serviced = alert.kind == Rule.Kind.SERVICE_INTERVAL
    return Alert.Resolution.SERVICED if serviced else Alert.Resolution.CLEARED


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
    alert.severity = _severity(rule, finding, alert.stage)
    alert.summary = wording.summary(rule, finding, PortalSettings.load().distance_unit)


def _severity(rule: Rule, finding: Finding, stage: str) -> str:
    """The rule's own, else what is known of the code, else by the stage."""
    known = finding.evidence.get("severity")
    if rule.severity or known in Severity.values:
        return str(rule.severity or known)
    by_stage = {Stage.SOON: Severity.LOW, Stage.DUE: Severity.MEDIUM, Stage.OVERDUE: Severity.HIGH}
    return by_stage[Stage(stage)]


def evidence(rule: Rule, finding: Finding) -> dict[str, Any]:
    """Why it was decided: the finding, the readings it rests on, and the rule as it was."""
    spec = asdict(rule.to_spec().condition)
    as_it_was = {"id": rule.pk, "name": rule.name, **spec}
    return {**finding.evidence, "reason": str(finding.reason), "rule": as_it_was}


def _open(alert: Alert, planned: "Planned", now: datetime) -> None:
    again = alert.resolved_at is not None
    _describe(alert, planned)
    alert.reported_at = reading_time(planned.step.episode, now) if planned.step.episode else now
    if again:
        window = timedelta(days=planned.rule.reopen_days)
        _come_back(alert, "Alert came back", window=window, now=now)
        return
    _open_first(alert, now)


def reopen(
    alert: Alert, *, now: datetime, user: User | None = None, name: str = "", note: str = ""
) -> None:
    """A person opened it again; the caller holds its lock and knows that nothing stands against."""
    alert.reopened_by_person_at = now
    alert.clear_count = 0
    alert.note = note or alert.note
    window = timedelta(days=alert.rule.reopen_days if alert.rule else 0)
    _come_back(alert, "Alert reopened", window=window, now=now, user=user, name=name)


def _come_back(
    alert: Alert,
    what: str,
    *,
    window: timedelta,
    now: datetime,
    user: User | None = None,
    name: str = "",
) -> None:
    """The same row, but a new life with its own announcements; what comes and goes has one."""
    before = [datetime.fromisoformat(each) for each in alert.returns]
    returns = flapping.returned(before, now=now, window=window)
    alert.returns = [at.isoformat() for at in returns]
    already_flapping = alert.flapping_since is not None
    if flapping.is_flapping(returns):
        alert.flapping_since = alert.flapping_since or now
    if not already_flapping:
        _begin_anew(alert)
    alert.resolved_at = alert.resolved_by = None
    alert.resolution = ""
    alert.cleared_since_resolved = False
    alert.status = alert.settled_status(now)
    alert.save()
    activity.record(
        f"{what}: {alert.summary}",
        now=now,
        about=alert,
        vehicle=alert.vehicle,
        user=user,
        actor=name,
    )
    if already_flapping:
        announcements.flaps_on(alert, now=now)
    else:
        event = Event.FLAPPING if alert.flapping_since else Event.RETURNED
        announcements.announce(alert, event, now=now)


def _begin_anew(alert: Alert) -> None:
    """Another life: nothing of it was said, and nobody has taken it."""
    alert.times_opened += 1
    alert.announced_stage = ""
    alert.escalated_at = None
    alert.acknowledged_at = alert.acknowledged_by = alert.snoozed_until = alert.waived_at = None
    alert.acknowledged_name = alert.waived_name = ""


def open_without_vehicle(
    rule: Rule,
    *,
    subject: str,
    summary: str,
    evidence: dict[str, Any],
    previous: Alert | None,
    now: datetime,
) -> bool:
    """An alert about many vehicles at once; `previous` is the one that comes back, if any.

    False when somebody else opened it at this moment.
    """
    alert = previous or Alert(topic=rule.topic, subject=subject, pending_since=now)
    alert.rule, alert.kind, alert.stage = rule, rule.kind, Stage.DUE
    alert.severity = rule.severity or Severity.MEDIUM
    alert.summary, alert.reported_at = summary, now
    alert.evidence = {**evidence, "rule": {"id": rule.pk, "name": rule.name}}
    try:
        with transaction.atomic():
            if previous:
                window = timedelta(days=rule.reopen_days)
                _come_back(alert, "Alert came back", window=window, now=now)
            else:
                _open_first(alert, now)
    except IntegrityError:
        return False
    return True


def _open_first(alert: Alert, now: datetime) -> None:
    alert.opened_at = now
    alert.times_opened = 1
    alert.status = alert.settled_status(now)
    alert.save()
    activity.record(f"Alert opened: {alert.summary}", now=now, about=alert, vehicle=alert.vehicle)
    announcements.announce(alert, Event.OPENED, now=now)


def _worsen(alert: Alert, planned: "Planned", now: datetime) -> None:
    _describe(alert, planned)
    alert.reported_at = reading_time(planned.step.episode, now) if planned.step.episode else now
    alert.status = alert.settled_status(now)
    alert.save()
    stage = alert.get_stage_display()
    activity.record(
        f"Alert is now {stage}: {alert.summary}", now=now, about=alert, vehicle=alert.vehicle
    )
    announcements.announce(alert, Event.WORSE, now=now)


def end(
    alert: Alert,
    how: Alert.Resolution,
    *,
    now: datetime,
    user: User | None = None,
    note: str = "",
) -> None:
    """It is over. What was only waiting for its hold leaves nothing behind."""
    if alert.opened_at is None:
        alert.delete()
        return
    alert.resolved_at, alert.resolution = now, how
    alert.resolved_by = user
    alert.note = note or alert.note
    alert.snoozed_until = alert.remind_at = alert.escalate_at = None
    alert.reopened_by_person_at = None
    if alert.held_because != Alert.Hold.MAINTENANCE:  # a mode says at its end what it held
        alert.held_because = ""
    alert.status = alert.settled_status(now)
    alert.save()
    activity.record(
        f"Alert resolved: {alert.summary}. {how.label}",
        now=now,
        about=alert,
        vehicle=alert.vehicle,
        user=user,
    )
    announcements.ended(alert, now=now)


def disprove(alert: Alert, *, now: datetime) -> None:
    """Readings that came late say that it is over, or never was."""
    end(alert, Alert.Resolution.CLEARED, now=now)


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
            end(alert, Alert.Resolution.RULE, now=now)
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
