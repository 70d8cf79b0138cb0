"""v3's management of subscriptions: https://smartcar.com/docs/api-reference/create-subscription"""

from typing import Any

from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_reads import iso
from integrations.sandbox.smartcar_subscriptions import Subscription, Subscriptions
from integrations.sandbox.smartcar_v3_connections import NO_CONTENT
from integrations.sandbox.smartcar_v3_pages import list_reply


class SubscriptionsV3:
    """Create, list and end subscriptions with the application token."""

    def __init__(self, application: Application, subscriptions: Subscriptions) -> None:
        self._application = application
        self._subscriptions = subscriptions

    def add_routes(self) -> None:
        """Serve /v3/subscriptions."""
        route = self._application.route
        route("POST", "/v3/subscriptions", self._create)
        route("GET", "/v3/subscriptions", self._find)
        route("GET", "/v3/subscriptions/([^/]+)", self._get)
        route("DELETE", "/v3/subscriptions/([^/]+)", self._delete)

    def by_id(self, subscription_id: str) -> Subscription | None:
        """Return the subscription, while it is listed."""
        rows = self._subscriptions.all()
        return next((one for one in rows if one.id == subscription_id), None)

    def _create(self, request: Request) -> Reply:
        """Accepted only: whether it has been made is seen in the list."""
        webhook_id, user_id, vehicle_id = _attributes(request)
        self._subscriptions.check_webhook(webhook_id)
        car = self._application.find_car(vehicle_id)
        if car is None:
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        connection = self._application.tokens.connections.get((user_id, car.smartcar_id))
        if connection is None:
            raise SmartcarError(type="PERMISSION", code="UNKNOWN")
        delay = self._application.subscription_delay
        if self._subscriptions.subscribe(webhook_id, connection, delay=delay) is None:
            raise SmartcarError(type="RESOURCE_CONFLICT", code="ALREADY_EXISTS")
        return json_reply({"meta": {"message": "The subscription is being created."}}, 202)

    def _find(self, request: Request) -> Reply:
        rows = [one for one in self._subscriptions.all() if self._matches(one, request)]
        return list_reply(request, self._application.origin, rows, self._render)

    def _matches(self, one: Subscription, request: Request) -> bool:
        attributes = self._attributes_of(one)
        names = ("webhookId", "userId", "vehicleId")
        return all(
            request.param(f"filter[{name}]", attributes[name]) == attributes[name] for name in names
        )

    def _get(self, _: Request, subscription_id: str) -> Reply:
        found = self.by_id(subscription_id)
        if found is None:
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        return json_reply({"data": self._render(found)})

    def _delete(self, _: Request, subscription_id: str) -> Reply:
        if self.by_id(subscription_id) is None or not self._subscriptions.end(subscription_id):
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        return NO_CONTENT

    def _render(self, one: Subscription) -> dict[str, Any]:
        return {"id": one.id, "type": "subscription", "attributes": self._attributes_of(one)}

    def _attributes_of(self, one: Subscription) -> dict[str, str]:
        return {
            "webhookId": self._subscriptions.webhook_id,
            "userId": one.user_id,
            "vehicleId": self._application.v3_id(one.vehicle_id),
            "createdAt": iso(one.created_at),
        }


def _attributes(request: Request) -> tuple[str, str, str]:
    data = request.json().get("data")
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if isinstance(attributes, dict):
        match attributes:
            case {"webhookId": str(webhook), "userId": str(user), "vehicleId": str(vehicle)}:
                return webhook, user, vehicle
    raise SmartcarError(
        type="VALIDATION",
        code="MISSING_PARAMETER",
        description="data.attributes needs webhookId, userId and vehicleId.",
    )
