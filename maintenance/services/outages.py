"""When a make's vehicles go quiet together, one alert without a vehicle speaks for them all."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from integrations.models import Connection, Make, Vehicle
from maintenance.engine import outages
from maintenance.engine.outages import Car, Outage
from maintenance.models import Alert, Rule
from maintenance.services import acts, alerts, notifying

HABITS = 3  # a make's own pace of refreshing, times this, is still no silence


def look(*, now: datetime) -> int:
    """Open and end outages; returns how many changed. Safe to repeat; a constant number of queries
    while nothing changes.
    """
    rule = Rule.objects.enabled().filter(kind=Rule.Kind.STALE_DATA, vehicle=None).first()
    known = Alert.objects.unresolved().filter(kind=Rule.Kind.STALE_DATA, vehicle=None)
    ongoing = {alert.subject: alert for alert in known}
    cars = _cars(rule, now) if rule else {}
    changed = 0
    for make in sorted({*cars, *ongoing}):
        changed += _look_at(make, cars.get(make, []), ongoing.get(make), rule, now)
    return changed


def _cars(rule: Rule, now: datetime) -> dict[str, list[Car]]:
    """Reachable vehicles by make."""
    habits = dict(Make.objects.values_list("name", "refresh_minutes"))
    reachable = Vehicle.objects.filter(connection__status=Connection.Status.ACTIVE).exclude(make="")
    rows = reachable.annotate(heard=Max("signals__recorded_at")).values_list(
        "make", "heard", "connection__connected_at"
    )
    found: dict[str, list[Car]] = defaultdict(list)
    for make, heard, connected_at in rows:
        name = make.strip().upper()
        habit = timedelta(minutes=habits.get(name, 0))
        quiet_after = max(timedelta(hours=rule.freshness_hours), HABITS * habit)
        found[name].append(Car(last_at=heard or connected_at, quiet_after=quiet_after))
    return found


def _look_at(
    make: str, cars: list[Car], alert: Alert | None, rule: Rule | None, now: datetime
) -> bool:
    since = datetime.fromisoformat(alert.evidence["since"]) if alert else None
    outage = outages.judge(cars, now=now, ongoing_since=since)
    if alert is not None and (outage is None or rule is None):
        return _end(alert, now)
    if alert is None and outage is not None and rule is not None:
        return _open(make, outage, rule, now)
    return False


@transaction.atomic
def _end(alert: Alert, now: datetime) -> bool:
    alert = acts.locked(alert)
    if alert.resolved_at:
        return False
    alerts.end(alert, Alert.Resolution.CLEARED, now=now)
    return True


@transaction.atomic
def _open(make: str, outage: Outage, rule: Rule, now: datetime) -> bool:
    evidence = {"make": make, "quiet": outage.quiet, "total": outage.total}
    summary = _("%(quiet)d of %(total)d %(make)s vehicles give no fresh data") % evidence
    opened = alerts.open_without_vehicle(
        rule,
        subject=make,
        summary=summary,
        evidence={**evidence, "since": outage.since.isoformat()},
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
