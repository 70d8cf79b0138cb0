"""The admin of cars and connections. Importing the modules registers them."""

from integrations.admin import (
    connect_links,
    connections,
    drivers,
    outbox,
    readings,
    system,
    vehicles,
)

__all__ = [
    "connect_links",
    "connections",
    "drivers",
    "outbox",
    "readings",
    "system",
    "vehicles",
]
