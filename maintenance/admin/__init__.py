"""The admin of rules and alerts. Importing the modules registers them."""

from maintenance.admin import (
    alerts,
    issues,
    modes,
    portal,
    recipients,
    rules,
    service_records,
    vehicles,
)

__all__ = [
    "alerts",
    "issues",
    "modes",
    "portal",
    "recipients",
    "rules",
    "service_records",
    "vehicles",
]
