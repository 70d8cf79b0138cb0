"""What we conclude, and what became of it."""

from maintenance.models.alerts import Alert, FleetioIssue
from maintenance.models.codes import CodeOverride
from maintenance.models.modes import MaintenanceMode
from maintenance.models.notices import NoticeTemplate
from maintenance.models.recipients import Channel, Recipient
from maintenance.models.rules import FromStage, Rule, Severity, Stage
from maintenance.models.service import ServiceRecord

__all__ = [
    "Alert",
    "Channel",
    "CodeOverride",
    "FleetioIssue",
    "FromStage",
    "MaintenanceMode",
    "NoticeTemplate",
    "Recipient",
    "Rule",
    "ServiceRecord",
    "Severity",
    "Stage",
]
