"""What is known of one vehicle when its rules run, and one step that follows from it."""

from collections.abc import Iterable
from dataclasses import dataclass

from integrations.models import Vehicle
from maintenance.engine.episodes import Step
from maintenance.engine.facts import ServiceFact
from maintenance.engine.findings import EpisodeView, Finding
from maintenance.engine.rules import RuleSpec
from maintenance.models import Alert, Rule
from maintenance.services.episodes import to_view

InForce = list[tuple[Rule, RuleSpec]]
Services = dict[str, ServiceFact]


@dataclass(frozen=True, slots=True)
class Planned:
    """One step that an evaluation would take."""

    step: Step
    finding: Finding
    rule: Rule
    alert: Alert | None
    previous: Alert | None

    def __str__(self) -> str:
        return f"{self.step.action}: {self.rule} {self.finding.subject}".strip()


@dataclass(slots=True)
class Known:
    """The vehicle's alerts by (topic, subject): the unresolved and the latest resolved ones."""

    unresolved: dict[tuple[str, str], Alert]
    resolved: dict[tuple[str, str], Alert]

    @classmethod
    def of(cls, vehicle: Vehicle, rows: Iterable[Alert]) -> "Known":
        """What is unresolved, and what was resolved lately enough to matter."""
        known = cls({}, {})
        for alert in rows:
            alert.vehicle = vehicle
            place = known.resolved if alert.resolved_at else known.unresolved
            place[alert.topic, alert.subject] = alert
        return known

    def put_away_what_ended(self) -> None:
        """Some were resolved since they were read; a pending one is gone without a trace."""
        for key, alert in list(self.unresolved.items()):
            if not alert.pk or alert.resolved_at:
                del self.unresolved[key]
            if alert.resolved_at:
                self.resolved[key] = alert

    def views(self, topic: str) -> dict[str, EpisodeView]:
        """By subject: the unresolved episode of this topic, or else the latest resolved one."""
        merged = {**self.resolved, **self.unresolved}
        return {subject: to_view(alert) for (of, subject), alert in merged.items() if of == topic}
