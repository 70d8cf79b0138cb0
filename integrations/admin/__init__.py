"""The admin of cars and connections. Importing the modules registers them."""

from integrations.admin import (
    accesses,
    connect_links,
    connections,
    drivers,
    outbox,
    readings,
    system,
    vehicles,
    webhook_endpoint,
    webhook_events,
)

__all__ = [
    "accesses",
    "connect_links",
    "connections",
    "drivers",
    "outbox",
    "readings",
    "system",
    "vehicles",
    "webhook_endpoint",
    "webhook_events",
]
