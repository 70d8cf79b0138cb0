"""What is said of an alert, when, and what keeps it from being said.

Written in the transaction that decided it. To whom and how is `notifying`'s; what Fleetio hears
is `issues`'.
"""

from datetime import date, datetime, timedelta

from integrations.services import activity, link_mails
from maintenance.engine.findings import Reason
from maintenance.models import Alert, FromStage
from maintenance.services import inhibition, issues, notifying
from maintenance.services.issues import IssueEvent
from maintenance.services.notifying import Event

__all__ = [
    "Event",
    "announce",
    "ended",
    "escalate",
    "flaps_on",
    "release",
    "remind",
    "settle",
    "waived",
]

_TO_FLEETIO = {
    Event.OPENED: IssueEvent.OPENED,
    Event.WORSE: IssueEvent.WORSE,
    Event.RETURNED: IssueEvent.RETURNED,
    Event.FLAPPING: IssueEvent.FLAPPING,
}
# What was left unsaid meanwhile is news to Fleetio only when the stage is another one.
_AFTER_SILENCE = {Event.RELEASED, Event.SNOOZE_OVER}


def announce(alert: Alert, event: Event, *, now: datetime) -> None:
    """Tell whom the rule names, unless a person or the circumstances ask for quiet."""
    rule = alert.rule
    if rule is None or _wants_quiet(alert, now):
        _plan_next(alert, now)
        alert.save()
        return
    if held := inhibition.why_held(alert, now=now):
        if event is Event.SNOOZE_OVER:  # it is to be said again, once the hold is over
            alert.announced_stage = ""
        _hold(alert, held, now)
        return
    alert.held_because = ""
    said, alert.announced_stage = alert.announced_stage, alert.stage
    _plan_next(alert, now)
    alert.save()
    if FromStage(rule.mail_from_stage).covers(alert.stage):
        notifying.tell(alert, event=event, now=now)
    if event in _AFTER_SILENCE and said != alert.stage:
        event = Event.WORSE if said else Event.OPENED
    if event in _TO_FLEETIO:
        issues.follow(alert, event=_TO_FLEETIO[event], now=now)
        _ask_driver_to_renew(alert, now)


def _ask_driver_to_renew(alert: Alert, now: datetime) -> None:
    """Before a consent ends its driver gets a link; once it is lost they have got one already."""
    connection = alert.vehicle.connection if alert.vehicle else None
    if connection is not None and alert.evidence.get("reason") == Reason.CONSENT_ENDS:
        ends_on = date.fromisoformat(alert.evidence["ends_on"])
        link_mails.ask_to_renew(connection, ends_on=ends_on, stage=alert.stage, now=now)


def _wants_quiet(alert: Alert, now: datetime) -> bool:
    """Whether a person put it off, or does not want to hear of it again."""
    is_snoozed = alert.snoozed_until is not None and alert.snoozed_until > now
    return is_snoozed or alert.waived_at is not None


def _hold(alert: Alert, why: str, now: datetime) -> None:
    was, alert.held_because = alert.held_because, why
    alert.remind_at = alert.escalate_at = None
    alert.save()
    if was != why:
        text = f"Nobody is told for now: {alert.get_held_because_display()}"
        activity.record(text, now=now, about=alert, vehicle=alert.vehicle)


def _plan_next(alert: Alert, now: datetime) -> None:
    """When to remind, and when to call somebody else: both only until somebody takes it."""
    rule = alert.rule
    alert.remind_at = None
    if rule is None or alert.acknowledged_at or _wants_quiet(alert, now):
        alert.escalate_at = None
        return
    repeat = rule.to_spec().repeat
    if repeat and FromStage(rule.mail_from_stage).covers(alert.stage):
        alert.remind_at = now + repeat
    if rule.escalate_after_hours is not None and alert.escalated_at is None:
        after = now + timedelta(hours=rule.escalate_after_hours)
        alert.escalate_at = min(alert.escalate_at or after, after)


def release(alert: Alert, *, now: datetime) -> bool:
    """What held it is over: say what would have been said, if it was not said before.

    False when it was not held, or something else holds it now.
    """
    if alert.held_because == "":
        return False
    if held := inhibition.why_held(alert, now=now):
        _hold(alert, held, now)
        return False
    alert.held_because = ""
    alert.save()
    if alert.resolved_at is None and alert.announced_stage != alert.stage:
        announce(alert, Event.RELEASED, now=now)
    elif alert.resolved_at is None:
        _plan_next(alert, now)
        alert.save()
    return True


def remind(alert: Alert, *, now: datetime) -> None:
    """It is still there and nobody took it."""
    announce(alert, Event.REMINDER, now=now)


def escalate(alert: Alert, *, now: datetime) -> None:
    """Nobody took it in time: somebody else hears of it, once."""
    alert.escalate_at = None
    if _wants_quiet(alert, now) or alert.acknowledged_at:
        alert.save()
        return
    if held := inhibition.why_held(alert, now=now):
        _hold(alert, held, now)
        return
    alert.escalated_at = now
    alert.save()
    if count := notifying.tell(alert, event=Event.ESCALATED, now=now):
        text = f"Escalated: nobody acknowledged it in time. Messages: {count}"
        activity.record(text, now=now, about=alert, vehicle=alert.vehicle)


def waived(alert: Alert, *, now: datetime) -> None:
    issues.follow(alert, event=IssueEvent.WAIVED, now=now)


def flaps_on(alert: Alert, *, now: datetime) -> None:
    """It came back once more, which was said of it already; it may be worse than what was said,
    and it may stay.
    """
    if alert.announced_stage != alert.stage:
        announce(alert, Event.WORSE, now=now)
    else:
        _plan_next(alert, now)
        alert.save()


def ended(alert: Alert, *, now: datetime) -> None:
    """It is over: cancel what was not sent, and tell those who were told of it.

    What comes and goes is called over only when it has stayed away (see `settle`); until then it
    is still true that it comes and goes.
    """
    if alert.flapping_since is not None and alert.resolution == Alert.Resolution.CLEARED:
        return
    if alert.flapping_since is not None:
        settle(alert, now=now)
    else:
        _say_it_is_over(alert, now)


def settle(alert: Alert, *, now: datetime) -> None:
    """What came and went has stayed away, or somebody decided that it is over."""
    alert.flapping_since, alert.returns = None, []
    alert.save()
    _say_it_is_over(alert, now)


def _say_it_is_over(alert: Alert, now: datetime) -> None:
    notifying.cancel(alert, reason="the alert is over", now=now)
    issues.cancel(alert, reason="the alert is over", now=now)
    notifying.tell_resolved(alert, now=now)
    issues.follow(alert, event=IssueEvent.CLEARED, now=now)
