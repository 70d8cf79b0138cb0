"""Smartcar's management API v2.0: who is connected, and ending it.

https://smartcar.com/docs/api-reference/management/get-vehicle-connections
"""

from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_reads import iso
from integrations.sandbox.smartcar_tokens import Connection, Tokens, basic_auth


class Management:
    """List and delete connections with the application management token."""

    def __init__(self, tokens: Tokens, token: str) -> None:
        self.tokens = tokens
        self.token = token

    def is_authorized(self, request: Request) -> bool:
        """Does the request carry Basic `default:<management token>`?"""
        return basic_auth(request) == ("default", self.token)

    def find(self, request: Request) -> Reply:
        """Answer GET /v2.0/management/connections, newest first."""
        self._check(request)
        limit, cursor = request.param("limit", "10"), request.param("cursor", "0")
        if not (limit.isdecimal() and cursor.isdecimal() and 1 <= int(limit) <= 100):
            raise SmartcarError(type="VALIDATION", code="PARAMETER")
        rows = self._matching(request)
        end = int(cursor) + int(limit)
        page = [
            {
                "userId": one.user_id,
                "vehicleId": one.vehicle_id,
                "connectedAt": iso(one.connected_at),
                "mode": one.mode,
            }
            for one in rows[int(cursor) : end]
        ]
        paging = {"cursor": str(end) if end < len(rows) else None}
        return json_reply({"connections": page, "paging": paging})

    def delete(self, request: Request) -> Reply:
        """Answer DELETE /v2.0/management/connections; without a filter nothing is deleted."""
        self._check(request)
        user_id, vehicle_id = request.param("user_id"), request.param("vehicle_id")
        if not (user_id or vehicle_id):
            raise SmartcarError(type="VALIDATION", description="A filter is required.")
        ended = self.tokens.disconnect(user_id=user_id, vehicle_id=vehicle_id)
        rows = [{"userId": one.user_id, "vehicleId": one.vehicle_id} for one in ended]
        return json_reply({"connections": rows})

    def _check(self, request: Request) -> None:
        if not self.is_authorized(request):
            raise SmartcarError(type="AUTHENTICATION")

    def _matching(self, request: Request) -> list[Connection]:
        rows = [
            one
            for one in self.tokens.all_connections()
            if request.param("user_id", one.user_id) == one.user_id
            and request.param("vehicle_id", one.vehicle_id) == one.vehicle_id
            and request.param("mode", one.mode) == one.mode
        ]
        rows.sort(key=lambda one: (one.connected_at, one.vehicle_id), reverse=True)
        return rows
