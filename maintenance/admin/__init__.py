"""The admin of rules and alerts. Importing the modules registers them."""

from maintenance.admin import (
    alerts,
    channels,
    codes,
    issues,
    modes,
    notice_templates,
    portal,
    recipients,
    rules,
    service_records,
    vehicles,
)

__all__ = [
    "alerts",
    "channels",
    "codes",
    "issues",
    "modes",
    "notice_templates",
    "portal",
    "recipients",
    "rules",
    "service_records",
    "vehicles",
]
