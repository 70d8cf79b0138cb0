"""v3's connections: https://smartcar.com/docs/api-reference/get-connections"""

from typing import Any

from integrations.sandbox.cars import Car
from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_reads import iso
from integrations.sandbox.smartcar_tokens import Connection
from integrations.sandbox.smartcar_v3_pages import list_reply

NO_CONTENT = Reply(status=204, content_type=None)


class ConnectionsV3:
    """List and end what is shared with the application."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._tokens = application.tokens

    def add_routes(self) -> None:
        """Serve /v3/connections and /v3/users."""
        route = self._application.route
        route("GET", "/v3/connections", self._find)
        route("GET", "/v3/connections/([^/]+)", self._get)
        route("DELETE", "/v3/connections/([^/]+)", self._delete)
        route("DELETE", "/v3/users/([^/]+)", self._delete_user)

    def by_id(self, connection_id: str) -> Connection | None:
        """Return the connection, while there is one."""
        rows = self._tokens.all_connections()
        return next((one for one in rows if one.id == connection_id), None)

    def _find(self, request: Request) -> Reply:
        rows = [one for one in self._tokens.all_connections() if self._matches(one, request)]
        rows.sort(key=lambda one: (one.created_at, one.vehicle_id), reverse=True)
        return list_reply(request, self._application.origin, rows, self._render)

    def _matches(self, one: Connection, request: Request) -> bool:
        """Smartcar's default mode is live; here a list without the filter holds all modes."""
        user_id = request.headers.get("sc-user-id", one.user_id)
        vehicle_id = self._application.v3_id(one.vehicle_id)
        return (
            request.param("filter[userId]", user_id) == user_id == one.user_id
            and request.param("filter[vehicleId]", vehicle_id) == vehicle_id
            and request.param("filter[vehicle.mode]", one.mode) == one.mode
        )

    def _get(self, _: Request, connection_id: str) -> Reply:
        return json_reply({"data": self._render(self._one(connection_id))})

    def _delete(self, _: Request, connection_id: str) -> Reply:
        one = self._one(connection_id)
        self._tokens.disconnect(user_id=one.user_id, vehicle_id=one.vehicle_id)
        return NO_CONTENT

    def _delete_user(self, _: Request, user_id: str) -> Reply:
        if not self._tokens.disconnect(user_id=user_id):
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        return NO_CONTENT

    def _one(self, connection_id: str) -> Connection:
        found = self.by_id(connection_id)
        if found is None:
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        return found

    def _render(self, one: Connection) -> dict[str, Any]:
        origin, vehicle_id = self._application.origin, self._application.v3_id(one.vehicle_id)
        return {
            "id": one.id,
            "type": "connection",
            "attributes": {
                "permissions": sorted(one.permissions),
                "vehicle": vehicle_attributes(self._application.fleet.car(one.vehicle_id), one),
                "user": {"id": one.user_id},
            },
            "relationships": {
                "vehicle": {
                    "data": {"id": vehicle_id, "type": "vehicle"},
                    "links": {"related": f"{origin}/v3/vehicles/{vehicle_id}"},
                },
                "user": {"data": {"id": one.user_id, "type": "user"}},
            },
            "meta": {"createdAt": iso(one.created_at), "updatedAt": iso(one.connected_at)},
            "links": {"self": f"{origin}/v3/connections/{one.id}"},
        }


def vehicle_attributes(car: Car, connection: Connection) -> dict[str, Any]:
    """Return what v3 and webhooks say of the car itself."""
    return {
        "make": car.make,
        "model": car.model,
        "year": car.year,
        "mode": connection.mode,
        "powertrainType": "BEV" if car.is_electric else "ICE",
    }
