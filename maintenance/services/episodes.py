"""Between the alert's row and the engine's view of it."""

from datetime import datetime

from maintenance.engine.findings import EpisodeView
from maintenance.engine.rules import Stage
from maintenance.models import Alert

# Ended by somebody who knows better than the signal, which may still fire for a while.
CLOSED_BY_PEOPLE = {
    Alert.Resolution.PERSON,
    Alert.Resolution.FLEETIO,
    Alert.Resolution.SERVICED,
}


def to_view(alert: Alert) -> EpisodeView:
    """The alert as the engine sees it."""
    return EpisodeView(
        subject=alert.subject,
        rule_id=alert.rule_id,
        is_open=alert.opened_at is not None and alert.resolved_at is None,
        is_resolved=alert.resolved_at is not None,
        stage=Stage(alert.stage),
        worst=alert.worst,
        firing_count=alert.firing_count,
        first_firing_at=alert.first_firing_at,
        last_firing_at=alert.last_firing_at,
        clear_count=alert.clear_count,
        last_clear_at=alert.last_clear_at,
        resolved_at=alert.resolved_at,
        resolved_by_person=alert.resolution in CLOSED_BY_PEOPLE,
        cleared_since_resolved=alert.cleared_since_resolved,
        reopened_by_person_at=alert.reopened_by_person_at,
    )


def apply_view(alert: Alert, view: EpisodeView) -> None:
    """Write the engine's counters onto the row; status and life belong to `alerts`."""
    alert.stage = (view.stage or Stage.DUE).value
    alert.worst = view.worst
    alert.firing_count = view.firing_count
    alert.first_firing_at = view.first_firing_at
    alert.last_firing_at = view.last_firing_at
    alert.clear_count = view.clear_count
    alert.last_clear_at = view.last_clear_at
    alert.cleared_since_resolved = view.cleared_since_resolved


def reading_time(view: EpisodeView, now: datetime) -> datetime:
    """When the car recorded what this is about; never later than now."""
    return min(view.last_firing_at or now, now)
