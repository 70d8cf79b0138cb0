"""What people do with our issues in Fleetio: what ends there ends the alert here, and back.

Records come late, twice and in any order, from lists and from webhooks. Each is judged against
what is known of the issue; what is older than that is no news, and neither is what we did.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Protocol

from django.db import transaction
from django.db.models import Q, QuerySet

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.fleetio import FleetioIssue as RemoteIssue
from integrations.clients.fleetio import Move, ServiceEntry
from integrations.models import ProviderGate
from integrations.services import activity
from maintenance.models import Alert, FleetioIssue
from maintenance.services import acts, announcements, issue_services, issue_state, issues, services
from maintenance.services.issue_services import EntryClient

logger = logging.getLogger(__name__)

GATE = "fleetio"
OVERLAP = timedelta(minutes=10)  # clocks differ, and lists lag
WATCHED = timedelta(days=120)  # after its end an alert may still be reopened there
QUIET = timedelta(days=1)  # an issue of which no list told for so long is looked at by itself
QUIET_AT_ONCE = 10
LONGEST_NOTE = 1_000


class SyncClient(EntryClient, Protocol):
    def list_issues(
        self, *, vehicle_id: int | None = None, updated_after: datetime | None = None
    ) -> list[RemoteIssue]: ...

    def get_issue(self, issue_id: int) -> RemoteIssue: ...


class Change(StrEnum):
    """What a record from Fleetio meant for the alert."""

    NOTHING = "nothing new"
    ENDED = "the alert ended"
    REOPENED = "the alert was reopened"
    DELETED = "deleted in Fleetio"


def bring_back(*, client: SyncClient, now: datetime) -> int:
    """Take over what became of our issues since the last look; returns how many alerts ended.

    Safe to repeat. Raises ClientError; then the next look begins where this one did.
    """
    gate, _created = ProviderGate.objects.get_or_create(name=GATE)
    known = {issue.fleetio_id: issue for issue in watched(now).select_related("alert__vehicle")}
    if not known:
        _looked(gate, now)
        return 0
    oldest = min(issue.created_at for issue in known.values())
    since = max(gate.synced_until or oldest, oldest) - OVERLAP
    until, ended = now, 0
    for remote in client.list_issues(updated_after=since):
        if issue := known.get(remote.id):
            judge = partial(take_over, issue, remote, client=client, now=now)
            change = _guarded(issue, judge)
            ended += change is Change.ENDED
            if change is None:  # it is looked at again; without its time all are
                until = min(until, remote.updated_at or since)
    _looked(gate, until)
    return ended + _look_at_quiet(client, now)


def watched(now: datetime) -> QuerySet[FleetioIssue]:
    """The issues that matter: of alerts that are open, or ended not long ago."""
    lately = Q(alert__resolved_at__isnull=True) | Q(alert__resolved_at__gte=now - WATCHED)
    return FleetioIssue.objects.filter(lately).exclude(state=issue_state.DELETED)


def _looked(gate: ProviderGate, until: datetime) -> None:
    rows = ProviderGate.objects.filter(pk=gate.pk)
    rows.filter(Q(synced_until__isnull=True) | Q(synced_until__lt=until)).update(synced_until=until)


def _guarded(issue: FleetioIssue, judge: Callable[[], Change]) -> Change | None:
    """None when a fault is in the way that is this issue's own: it must not stop the others."""
    try:
        return judge()
    except ClientError as exc:
        if exc.outcome is not Outcome.RETRY or exc.status_code is None:
            raise  # a limit, or Fleetio is away: the others would fare no better
        logger.warning("Fleetio issue %s could not be taken over: %s", issue.fleetio_id, exc)
        return None
    except Exception:
        logger.exception("Fleetio issue %s could not be taken over", issue.fleetio_id)
        return None


def _look_at_quiet(client: SyncClient, now: datetime) -> int:
    """No list tells of an issue that was deleted: some are looked at one by one."""
    quiet = (
        watched(now)
        .filter(alert__resolved_at__isnull=True)
        .filter(Q(checked_at__isnull=True) | Q(checked_at__lt=now - QUIET))
        .select_related("alert__vehicle")
        .order_by("checked_at", "pk")
    )
    ended = 0
    for issue in quiet[:QUIET_AT_ONCE]:
        # Whatever comes of it, the next run looks at others.
        FleetioIssue.objects.filter(pk=issue.pk).update(checked_at=now)
        look = partial(look_at, issue, client=client, now=now)
        ended += _guarded(issue, look) is Change.ENDED
    return ended


def look_at(issue: FleetioIssue, *, client: SyncClient, now: datetime) -> Change:
    """Ask for the issue as it is now, and take that over. Raises ClientError."""
    try:
        remote = client.get_issue(issue.fleetio_id)
    except ClientError as exc:
        if exc.status_code != 404:
            raise
        return Change.DELETED if issue_state.note_deleted(issue, now=now) else Change.NOTHING
    return take_over(issue, remote, client=client, now=now)


def take_over(
    issue: FleetioIssue, remote: RemoteIssue, *, client: EntryClient, now: datetime
) -> Change:
    """Let the alert follow its issue. Safe to repeat, in any order."""
    known = FleetioIssue.objects.select_related("alert").filter(pk=issue.pk).first()
    if known is None:
        return Change.NOTHING
    entry = None
    if _is_news(known, remote) and issue_services.restarts(known.alert, remote):
        # No transaction is open during a call.
        entry = issue_services.resolving_entry(remote, client, now=now)
    with transaction.atomic():
        return _take_over(known, remote, entry, now)


def _is_news(known: FleetioIssue, remote: RemoteIssue) -> bool:
    is_older = known.changed_at and remote.updated_at and remote.updated_at < known.changed_at
    return not is_older and remote.state != known.state


def _take_over(
    issue: FleetioIssue, remote: RemoteIssue, entry: ServiceEntry | None, now: datetime
) -> Change:
    alert = acts.locked(issue.alert)
    issue = FleetioIssue.objects.select_for_update().get(pk=issue.pk)
    is_news, was = _is_news(issue, remote), issue.state
    issue_state.note_state(issue, remote, now=now)
    if not is_news or (was in issue_state.ENDED) == (remote.state in issue_state.ENDED):
        return Change.NOTHING
    if remote.state in issue_state.ENDED:
        return _end(alert, issue, remote, entry, now)
    return _reopen(alert, issue, now)


def _end(
    alert: Alert,
    issue: FleetioIssue,
    remote: RemoteIssue,
    entry: ServiceEntry | None,
    now: datetime,
) -> Change:
    ended_at = issue_services.ended_at(remote) or now
    if alert.resolved_at:  # what we did ourselves, or a person after us
        if alert.flapping_since:
            announcements.settle(alert, now=now)  # nobody waits for it to come back
        if alert.resolution == Alert.Resolution.PERSON:  # who ended it here recorded no service
            issue_services.record(alert, issue, remote, entry, now)
        return Change.NOTHING
    if _came_back_after(alert, ended_at):
        issues.ask_to_move(alert, Move.REOPEN, now=now)
        return Change.NOTHING
    note = (remote.resolved_note or remote.closed_note)[:LONGEST_NOTE]
    acts.resolve(alert, now=now, how=Alert.Resolution.FLEETIO, note=note)
    issue_services.record(alert, issue, remote, entry, now)
    return Change.ENDED


def _came_back_after(alert: Alert, ended_at: datetime) -> bool:
    """Whether the end belongs to an earlier life of the alert: the car reported it again since."""
    if alert.times_opened < 2 or not alert.last_firing_at:
        return False
    returned_at = alert.reported_at
    if alert.returns:
        returned_at = datetime.fromisoformat(alert.returns[-1])
    return bool(returned_at and returned_at > ended_at and alert.last_firing_at > ended_at)


def _reopen(alert: Alert, issue: FleetioIssue, now: datetime) -> Change:
    if not alert.resolved_at:
        return Change.NOTHING
    if not acts.reopen(alert, now=now, name="Fleetio"):
        text = f"Fleetio issue {issue} was reopened, but another alert is about the same"
        activity.record(text, now=now, about=alert, vehicle=alert.vehicle)
        return Change.NOTHING
    if alert.vehicle:
        services.withdraw(alert.vehicle, reference=issue_services.reference(issue), now=now)
    return Change.REOPENED
