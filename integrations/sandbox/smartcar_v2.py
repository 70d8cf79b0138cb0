"""Smartcar's v2.0 vehicle API, with per-driver tokens: https://smartcar.com/docs/api-reference"""

import uuid
from typing import Any

from integrations.sandbox.cars import Car
from integrations.sandbox.faults import Fault
from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_management import Management
from integrations.sandbox.smartcar_reads import ENDPOINTS, FROM_RECORDS, iso, page_of
from integrations.sandbox.smartcar_subscriptions import Subscriptions
from integrations.sandbox.smartcar_tokens import Connection, Consent

VEHICLE = r"/v2\.0/vehicles/([^/]+)"


class VehiclesV2:
    """What an access token reads of its user's cars."""

    def __init__(
        self, application: Application, management: Management, subscriptions: Subscriptions
    ) -> None:
        self._application = application
        self._tokens = application.tokens
        self._management = management
        self._subscriptions = subscriptions

    def add_routes(self) -> None:
        """Serve /v2.0/user and /v2.0/vehicles."""
        route = self._application.route
        route("GET", r"/v2\.0/user", self._user)
        route("GET", r"/v2\.0/vehicles/?", self._vehicles)
        route("GET", VEHICLE + "/permissions", self._permissions)
        route("POST", VEHICLE + "/batch", self._batch)
        route("DELETE", VEHICLE + "/application", self._disconnect)
        route("POST", VEHICLE + "/webhooks/([^/]+)", self._subscribe)
        route("DELETE", VEHICLE + "/webhooks/([^/]+)", self._unsubscribe)
        route("GET", VEHICLE + "(/.*)?", self._read)

    def _user(self, request: Request) -> Reply:
        return json_reply({"id": self._consent(request).user_id})

    def _vehicles(self, request: Request) -> Reply:
        rows = self._tokens.vehicle_ids(self._consent(request))
        page, offset = _page(rows, request, most=50)
        return json_reply({"paging": {"count": len(rows), "offset": offset}, "vehicles": page})

    def _permissions(self, request: Request, vehicle_id: str) -> Reply:
        _, connection = self._car(request, vehicle_id)
        rows = list(connection.permissions)
        page, offset = _page(rows, request, default=25, most=50)
        return json_reply({"paging": {"count": len(rows), "offset": offset}, "permissions": page})

    def _read(self, request: Request, vehicle_id: str, path: str | None) -> Reply:
        car, connection = self._car(request, vehicle_id)
        imperial = _is_imperial(request)
        body = self._body(car, connection, path or "/", imperial=imperial)
        headers = self._data_headers(car, path or "/", imperial=imperial)
        return json_reply(body, headers=headers)

    def _batch(self, request: Request, vehicle_id: str) -> Reply:
        car, connection = self._car(request, vehicle_id)
        requests = request.json().get("requests")
        if not isinstance(requests, list) or not requests:
            raise SmartcarError(type="VALIDATION", description="`requests` must be a list.")
        request_id = str(uuid.uuid4())
        paths = [str(one.get("path", "")) for one in requests if isinstance(one, dict)]
        answers = [self._item(request, car, connection, path, request_id) for path in paths]
        return json_reply({"responses": answers}, headers={"SC-Request-Id": request_id})

    def _item(
        self, request: Request, car: Car, connection: Connection, path: str, request_id: str
    ) -> dict[str, Any]:
        """Return one answer of a batch; a failed one has no `headers`, as recorded traffic.

        Only a fault that asks for headers, as Retry-After, gives them to a failed item.
        """
        imperial = _is_imperial(request)
        names = self._application.names(car)
        fault = self._application.faults.take(request, names=names, item=path)
        try:
            body = self._item_body(car, connection, path, fault, imperial=imperial)
        except SmartcarError as error:
            failed = {"path": path, "code": error.status, "body": error.body(request_id)}
            lower = {name.lower(): value for name, value in error.headers.items()}
            return failed | ({"headers": lower} if lower else {})
        status = fault.status if fault is not None and fault.status else 200
        headers = self._data_headers(car, path, imperial=imperial)
        lower = {name.lower(): value for name, value in headers.items()}
        return {"path": path, "code": status, "body": body, "headers": lower}

    def _item_body(
        self, car: Car, connection: Connection, path: str, fault: Fault | None, *, imperial: bool
    ) -> Any:
        if fault is not None and fault.error is not None:
            type_, code = fault.error
            raise SmartcarError(type=type_, code=code, headers=fault.extra_headers())
        if fault is not None and not fault.keeps_the_reply:
            return fault.body
        if path.strip("/") == "permissions":
            rows = list(connection.permissions)
            return {"paging": {"count": len(rows), "offset": 0}, "permissions": rows}
        body = self._body(car, connection, path, imperial=imperial)
        return fault.alter(body) if fault is not None and fault.alter is not None else body

    def _body(self, car: Car, connection: Connection, path: str, *, imperial: bool) -> Any:
        path = "/" + path.strip("/")
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="PATH")
        self._application.count_call(car)
        if endpoint.permission not in connection.permissions:
            raise SmartcarError(type="PERMISSION")
        if path not in car.paths:
            raise SmartcarError(type="COMPATIBILITY", code="VEHICLE_NOT_CAPABLE")
        with self._application.fleet.lock:
            if car.error is not None:
                raise SmartcarError(type=car.error[0], code=car.error[1])
            if car.is_asleep and path not in FROM_RECORDS:
                raise SmartcarError(type="VEHICLE_STATE", code="ASLEEP")
            return endpoint.body(car, imperial)

    def _data_headers(self, car: Car, path: str, *, imperial: bool) -> dict[str, str]:
        path = "/" + path.strip("/")
        return {
            "SC-Data-Age": iso(car.recorded_at_by_path.get(path, car.recorded_at)),
            "SC-Fetched-At": iso(self._application.clock()),
            "SC-Unit-System": "imperial" if imperial else "metric",
        }

    def _consent(self, request: Request) -> Consent:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        consent = self._tokens.find_consent(token) if scheme.lower() == "bearer" else None
        if consent is None:
            raise SmartcarError(
                type="AUTHENTICATION", description="The authorization header is missing or invalid."
            )
        return consent

    def _car(self, request: Request, vehicle_id: str) -> tuple[Car, Connection]:
        consent = self._consent(request)
        try:
            uuid.UUID(vehicle_id)
        except ValueError:
            raise SmartcarError(type="VALIDATION", description="Invalid vehicle id.") from None
        # A car outside the token's own is answered as if the token were wrong.
        connection = self._tokens.connections.get((consent.user_id, vehicle_id))
        if connection is None or vehicle_id not in consent.vehicle_ids:
            raise SmartcarError(type="AUTHENTICATION", description="No access to this vehicle.")
        return self._application.fleet.car(vehicle_id), connection

    def _disconnect(self, request: Request, vehicle_id: str) -> Reply:
        if self._management.is_authorized(request):
            self._tokens.disconnect(vehicle_id=vehicle_id)
        else:
            _, connection = self._car(request, vehicle_id)
            self._tokens.disconnect(user_id=connection.user_id, vehicle_id=vehicle_id)
        return json_reply({"status": "success"})

    def _subscribe(self, request: Request, vehicle_id: str, webhook_id: str) -> Reply:
        """https://smartcar.com/docs/api-reference/webhooks/subscribe-webhook"""
        _, connection = self._car(request, vehicle_id)
        self._subscriptions.subscribe(webhook_id, connection)
        return json_reply({"webhookId": webhook_id, "vehicleId": vehicle_id})

    def _unsubscribe(self, request: Request, vehicle_id: str, webhook_id: str) -> Reply:
        """The management token is the credential here, and a bearer, not the usual Basic."""
        if request.headers.get("authorization") != f"Bearer {self._management.token}":
            raise SmartcarError(type="AUTHENTICATION")
        if not self._subscriptions.unsubscribe(webhook_id, vehicle_id):
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="PATH")
        return json_reply({"status": "success"})


def _page(
    rows: list[str], request: Request, *, default: int = 10, most: int
) -> tuple[list[str], int]:
    try:
        return page_of(rows, request, default, most)
    except ValueError as error:
        raise SmartcarError(type="VALIDATION", code="PARAMETER", description=str(error)) from error


def _is_imperial(request: Request) -> bool:
    return request.headers.get("sc-unit-system", "metric").lower() == "imperial"
