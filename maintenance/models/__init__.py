"""What we conclude, and what became of it."""

from maintenance.models.alerts import Alert, FleetioIssue
from maintenance.models.codes import CodeOverride
from maintenance.models.recipients import Recipient
from maintenance.models.rules import FromStage, Rule, Stage
from maintenance.models.service import ServiceRecord

__all__ = [
    "Alert",
    "CodeOverride",
    "FleetioIssue",
    "FromStage",
    "Recipient",
    "Rule",
    "ServiceRecord",
    "Stage",
]
