"""What passes between conditions and episodes: a verdict on one subject, a view of its episode."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from maintenance.engine.rules import Stage, Verdict


class Reason(StrEnum):
    """Why a verdict is what it is, as a word for machines."""

    # unknown
    NO_READING = "no_reading"
    STALE = "stale"
    WRONG_SHAPE = "wrong_shape"
    BETWEEN = "between"  # neither bad enough to fire nor good enough to clear an open episode
    NO_SERVICE = "no_service"
    NO_SERVICE_ODOMETER = "no_service_odometer"
    ODOMETER_BEHIND_SERVICE = "odometer_behind_service"
    NO_INTERVAL = "no_interval"
    NOT_CONNECTED = "not_connected"
    IMPOSSIBLE = "impossible"
    # firing
    BELOW_THRESHOLD = "below_threshold"
    INTERVAL_REACHED = "interval_reached"
    CODE_PRESENT = "code_present"
    SYSTEM_ALERT = "system_alert"
    ABOVE_LIMIT = "above_limit"
    SILENT = "silent"
    CONSENT_ENDS = "consent_ends"
    NEEDS_RECONNECT = "needs_reconnect"
    REVOKED = "revoked"
    NOT_SHARED = "not_shared"
    # clear
    ABOVE_THRESHOLD = "above_threshold"
    JUMPED = "jumped"
    INTERVAL_NOT_REACHED = "interval_not_reached"
    CODE_ABSENT = "code_absent"
    SYSTEM_OK = "system_ok"
    IGNORED = "ignored"
    SERVICE_DONE = "service_done"
    WITHIN_LIMITS = "within_limits"
    REPORTED = "reported"
    CONNECTED = "connected"
    ENDED_BY_STAFF = "ended_by_staff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says about one subject.

    `stage` is set exactly when the verdict is FIRING. `recorded_at` is the deciding reading's
    own time; None when the calendar decides, and then it is as of now. `value` is what gets worse
    the lower it is (of intervals, the higher); None where nothing is compared. `skip_hold` says
    that one reading is enough: to open what is critical, to end what a person does not want to
    hear of. `evidence` is JSON-able.
    """

    rule_id: int
    subject: str
    verdict: Verdict
    stage: Stage | None = None
    recorded_at: datetime | None = None
    value: float | None = None
    skip_hold: bool = False
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeView:
    """An episode as the engine sees it: pending, open or resolved.

    The counters and `worst` belong to `rule_id`. `firing_count` counts readings towards what the
    episode waits for: opening while pending; while open, a worse stage that only readings of
    exactly 0 speak for. `last_firing_at` and `last_clear_at` are the recorded_at of the last
    counted reading of that direction; `resolved_at` is the portal's time.
    `resolved_by_person` also stands for Fleetio. `reopened_by_person_at` is the portal's time at
    which somebody said that it is not over: what the car said until then cannot end it.
    """

    subject: str
    rule_id: int | None
    is_open: bool = False
    is_resolved: bool = False
    stage: Stage | None = None
    worst: float | None = None
    firing_count: int = 0
    first_firing_at: datetime | None = None
    last_firing_at: datetime | None = None
    clear_count: int = 0
    last_clear_at: datetime | None = None
    resolved_at: datetime | None = None
    resolved_by_person: bool = False
    cleared_since_resolved: bool = False
    reopened_by_person_at: datetime | None = None

    @property
    def needs_proof_of_clear(self) -> bool:
        """Whether "no longer firing" is not enough to call it clear.

        So for an open episode, and for one that a person closed while it still fired:
        hovering at the threshold must not bring it back.
        """
        closed_early = (
            self.is_resolved and self.resolved_by_person and not self.cleared_since_resolved
        )
        return self.is_open or closed_early

    def is_kept_open(self, at: datetime, *, by_calendar: bool) -> bool:
        """Whether a person's reopening stands against a CLEAR of this time.

        A reading taken after it may end it. The calendar says the same before and after, so it
        has to have said the opposite in between.
        """
        since = self.reopened_by_person_at
        if since is None:
            return False
        if by_calendar:
            return self.last_firing_at is None or self.last_firing_at <= since
        return at <= since
