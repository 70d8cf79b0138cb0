"""The admin of rules and alerts. Importing the modules registers them."""

from maintenance.admin import (
    alerts,
    codes,
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
    "codes",
    "issues",
    "modes",
    "portal",
    "recipients",
    "rules",
    "service_records",
    "vehicles",
]
