"""The outside world as rows."""

from integrations.models.activity import Activity
from integrations.models.gates import Heartbeat, ProviderGate
from integrations.models.outbox import OutboxEntry
from integrations.models.people import Connection, ConnectLink, Driver
from integrations.models.portal import PortalSettings
from integrations.models.readings import Reading, Signal, TroubleCode
from integrations.models.tokens import OAuthToken
from integrations.models.vehicles import Make, Vehicle, VehicleAccess, VehicleGroup
from integrations.models.webhooks import WebhookEndpoint, WebhookEvent, WebhookProvider

__all__ = [
    "Activity",
    "ConnectLink",
    "Connection",
    "Driver",
    "Heartbeat",
    "Make",
    "OAuthToken",
    "OutboxEntry",
    "PortalSettings",
    "ProviderGate",
    "Reading",
    "Signal",
    "TroubleCode",
    "Vehicle",
    "VehicleAccess",
    "VehicleGroup",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookProvider",
]
