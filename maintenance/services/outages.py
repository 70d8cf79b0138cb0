"""When a make's vehicles go quiet together, one alert without a vehicle speaks for them all."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Max, Q
from django.utils.translation import gettext as _

from integrations.models import Connection, Make, Vehicle
from maintenance.engine import outages
from maintenance.engine.outages import Car, Outage
from maintenance.models import Alert, Rule
from maintenance.services import acts, alerts, notifying
from maintenance.services.episodes import CLOSED_BY_PEOPLE

HABITS = 3  # a make's own pace of refreshing, times this, is still no silence


def look(*, now: datetime) -> int:
    """Open and end outages; returns how many changed. Safe to repeat; a constant number of queries
    while nothing changes.
    """
    rule = _rule()
    cars = _cars(rule, now) if rule else {}
    known = _known(rule, now)
    changed = 0
    for make in sorted({*cars, *known}):
        changed += _look_at(make, cars.get(make, []), known.get(make), rule, now)
    return changed


def _rule() -> Rule | None:
    """The rule that holds for every vehicle: what is quiet for a few is no outage of a make."""
    everybody = Rule.objects.enabled().filter(
        vehicle=None, group=None, make="", model="", year_from=None, year_to=None
    )
    return everybody.filter(kind=Rule.Kind.STALE_DATA).first()


def _known(rule: Rule | None, now: datetime) -> dict[str, Alert]:
    """By make the outage that is open, else the one that would come back."""
    window = timedelta(days=rule.reopen_days if rule else 0)
    rows = Alert.objects.filter(
        Q(resolved_at=None) | Q(resolved_at__gte=now - window),
        kind=Rule.Kind.STALE_DATA,
        vehicle=None,
    )
    return {alert.subject: alert for alert in rows.order_by(F("resolved_at").asc(nulls_last=True))}


def _cars(rule: Rule, now: datetime) -> dict[str, list[Car]]:
    """Reachable vehicles by make. One that could not be read until now counts from then: it had
    no time to say anything.
    """
    habits = dict(Make.objects.values_list("name", "refresh_minutes"))
    reachable = Vehicle.objects.filter(connection__status=Connection.Status.ACTIVE).exclude(make="")
    rows = reachable.annotate(heard=Max("signals__recorded_at")).values_list(
        "make", "heard", "connection__connected_at", "connection__status_changed_at"
    )
    found: dict[str, list[Car]] = defaultdict(list)
    for make, heard, *reachable_since in rows:
        name = make.strip().upper()
        habit = timedelta(minutes=habits.get(name, 0))
        quiet_after = max(timedelta(hours=rule.freshness_hours), HABITS * habit)
        last_at = max(at for at in (heard, *reachable_since) if at)
        found[name].append(Car(last_at=last_at, quiet_after=quiet_after))
    return found


def _look_at(
    make: str, cars: list[Car], alert: Alert | None, rule: Rule | None, now: datetime
) -> bool:
    is_open = alert is not None and alert.resolved_at is None
    since = datetime.fromisoformat(alert.evidence["since"]) if alert and is_open else None
    outage = outages.judge(cars, now=now, ongoing_since=since) if rule else None
    if alert is not None and is_open:
        return outage is None and _end(alert, now)
    if outage is None or rule is None:
        return alert is not None and _note_clear(alert)
    if alert is not None and _is_silenced(alert):
        return False
    return _open(make, outage, rule, alert, now)


def _is_silenced(alert: Alert) -> bool:
    """Whether a person ended it, and it has not been over since."""
    return alert.resolution in CLOSED_BY_PEOPLE and not alert.cleared_since_resolved


def _note_clear(alert: Alert) -> bool:
    """What a person ended is over: from here on it may come back. Changes no alert."""
    if _is_silenced(alert):
        Alert.objects.filter(pk=alert.pk).update(cleared_since_resolved=True)
    return False


@transaction.atomic
def _end(alert: Alert, now: datetime) -> bool:
    alert = acts.locked(alert)
    if alert.resolved_at:
        return False
    alerts.end(alert, Alert.Resolution.CLEARED, now=now)
    return True


@transaction.atomic
def _open(make: str, outage: Outage, rule: Rule, previous: Alert | None, now: datetime) -> bool:
    # Always in this order, as everybody takes them.
    list(Vehicle.objects.select_for_update().filter(make__iexact=make).order_by("pk"))
    if previous:
        previous = acts.locked(previous)
        if previous.resolved_at is None:
            return False
    evidence = {"make": make, "quiet": outage.quiet, "total": outage.total}
    opened = alerts.open_without_vehicle(
        rule,
        subject=make,
        summary=_("%(quiet)d of %(total)d %(make)s vehicles give no fresh data") % evidence,
        evidence={**evidence, "since": outage.since.isoformat()},
        previous=previous,
        now=now,
    )
    if opened:
        _hush(make, now)
    return opened


def _hush(make: str, now: datetime) -> None:
    """What was about to be said of the single vehicles is said by the outage."""
    single = Alert.objects.announced().filter(
        kind=Rule.Kind.STALE_DATA, vehicle__make__iexact=make, held_because=""
    )
    for alert in single.select_related("rule"):
        notifying.cancel(alert, reason="many vehicles of this make are quiet", now=now)
        if not notifying.told(alert):
            columns = {"held_because": Alert.Hold.OUTAGE, "announced_stage": ""}
            Alert.objects.filter(pk=alert.pk).update(**columns)
