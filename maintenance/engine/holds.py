"""How sure one must be: counting readings until a hold is over."""

from dataclasses import replace
from datetime import datetime

from maintenance.engine.findings import EpisodeView, Finding
from maintenance.engine.rules import Hold


def count(view: EpisodeView | None, finding: Finding, hold: Hold, at: datetime) -> EpisodeView:
    """The pending view after this reading. Nothing is announced yet, so its stage may fall."""
    if view is None:
        return EpisodeView(
            subject=finding.subject,
            rule_id=finding.rule_id,
            stage=finding.stage,
            worst=finding.value,
            firing_count=1,
            first_firing_at=at,
            last_firing_at=at,
        )
    if not is_next(view.last_firing_at, hold, at):
        return view
    return replace(
        view,
        stage=finding.stage,
        worst=finding.value,
        firing_count=view.firing_count + 1,
        first_firing_at=view.first_firing_at or at,
        last_firing_at=at,
    )


def is_next(last: datetime | None, hold: Hold, at: datetime) -> bool:
    """Whether a reading is far enough from the last counted one to count."""
    return last is None or (at > last and at - last >= hold.apart)


def is_zero_in_doubt(finding: Finding, hold: Hold) -> bool:
    """Whether the value is a 0 that may only mean that the car does not know."""
    return finding.value == 0 and hold.zero_readings is not None and not finding.skip_hold


def readings_needed(finding: Finding, hold: Hold) -> int:
    """How many readings have to agree; a 0 never needs fewer than another value."""
    needed = max(1, hold.readings)
    if is_zero_in_doubt(finding, hold):
        needed = max(needed, hold.zero_readings or 1)
    return needed


def is_hold_over(pending: EpisodeView, finding: Finding, hold: Hold, at: datetime) -> bool:
    """Whether what was counted is enough to open."""
    if finding.skip_hold or pending.firing_count >= readings_needed(finding, hold):
        return True
    if hold.or_after is None or pending.first_firing_at is None:
        return False
    # However long a car says 0, only repeating it makes it believable.
    return not is_zero_in_doubt(finding, hold) and at - pending.first_firing_at >= hold.or_after
