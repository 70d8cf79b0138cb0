"""Which cars report to the webhook; one store for both generations of the API.

https://smartcar.com/docs/api-reference/create-subscription
"""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_tokens import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One user's car at the webhook; listed from `created_at` on."""

    id: str
    connection_id: str
    user_id: str
    vehicle_id: str
    created_at: datetime


class Subscriptions:
    """The subscriptions to the one webhook there is. Thread-safe.

    Each ends with its connection. `on_new` hears of each that is made.
    """

    def __init__(self, application: Application, webhook_id: str) -> None:
        self.webhook_id = webhook_id
        self.on_new: Callable[[Subscription], None] = lambda _: None
        self._application = application
        self._lock = threading.Lock()
        self._accepted: dict[str, Subscription] = {}

    def subscribe(
        self, webhook_id: str, connection: Connection, *, delay: timedelta = timedelta()
    ) -> Subscription | None:
        """Subscribe the car for its user; None when it was subscribed or accepted already."""
        self.check_webhook(webhook_id)
        with self._lock:
            if any(one.connection_id == connection.id for one in self._living()):
                return None
            subscription = Subscription(
                id=str(uuid.uuid4()),
                connection_id=connection.id,
                user_id=connection.user_id,
                vehicle_id=connection.vehicle_id,
                created_at=self._application.clock() + delay,
            )
            self._accepted[subscription.id] = subscription
        self.on_new(subscription)
        return subscription

    def unsubscribe(self, webhook_id: str, vehicle_id: str) -> int:
        """End the car's subscriptions of all users and return how many there were."""
        self.check_webhook(webhook_id)
        return sum(self.end(one.id) for one in self.all() if one.vehicle_id == vehicle_id)

    def end(self, subscription_id: str) -> bool:
        """End the subscription; False when there is none."""
        with self._lock:
            return self._accepted.pop(subscription_id, None) is not None

    def all(self) -> list[Subscription]:
        """Return what is listed now, newest first."""
        now = self._application.clock()
        with self._lock:
            rows = [one for one in self._living() if one.created_at <= now]
        return sorted(rows, key=lambda one: (one.created_at, one.vehicle_id), reverse=True)

    def covers(self, connection: Connection) -> bool:
        """Does the user's car report to the webhook?"""
        return any(one.connection_id == connection.id for one in self.all())

    def check_webhook(self, webhook_id: str) -> None:
        """Raise unless this is the webhook."""
        if webhook_id != self.webhook_id:
            description = "There is no such webhook."
            raise SmartcarError(
                type="RESOURCE_NOT_FOUND", code="NOT_FOUND", description=description
            )

    def _living(self) -> list[Subscription]:
        connected = {one.id for one in self._application.tokens.all_connections()}
        self._accepted = {
            key: one for key, one in self._accepted.items() if one.connection_id in connected
        }
        return list(self._accepted.values())
