"""A stand-in for Smartcar's v2.0 API: https://smartcar.com/docs/api-reference

Vehicle reads, batch, disconnect, the management API, Connect and the token endpoint on one port.
"""

import threading
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

from integrations.sandbox.cars import Car
from integrations.sandbox.faults import Fault
from integrations.sandbox.fleet import Fleet
from integrations.sandbox.messages import Clock, Reply, Request, json_reply
from integrations.sandbox.server import StubServer
from integrations.sandbox.smartcar_connect import Connect
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_management import Management
from integrations.sandbox.smartcar_reads import ENDPOINTS, FROM_RECORDS, iso, page_of
from integrations.sandbox.smartcar_tokens import Connection, Consent, Tokens

VEHICLE = r"/v2\.0/vehicles/([^/]+)"
CONNECTIONS = r"/v2\.0/management/connections/?"
MANAGEMENT_TOKEN = "sandbox-management-token"  # noqa: S105  opens nothing but this sandbox


class SmartcarServer(StubServer):
    """Smartcar for one application.

    `monthly_limit` calls per vehicle are answered in a calendar month, then 430; `bucket` calls
    fit the application's bucket, refilled with two a minute, then 429. Both are off by default.
    """

    def __init__(self, fleet: Fleet, clock: Clock, *, client_id: str, client_secret: str) -> None:
        super().__init__(clock)
        self.fleet = fleet
        self.tokens = Tokens(clock, client_id=client_id, client_secret=client_secret)
        self.management = Management(self.tokens, MANAGEMENT_TOKEN)
        self.connect = Connect(fleet, self.tokens)
        self.monthly_limit: int | None = None
        self.bucket: int | None = None
        self._calls: Counter[tuple[str, int, int]] = Counter()
        self._count_lock = threading.Lock()
        self._bucket_used, self._bucket_at = 0.0, clock()
        self._add_routes()

    def calls(self, vehicle: str, *, year: int | None = None, month: int | None = None) -> int:
        """Return how many calls the car (VIN or id) was charged for in a month: now's by default.

        Each path of a batch counts: https://smartcar.com/docs/api-reference/batch
        """
        now = self.clock()
        key = (self.fleet.car(vehicle).smartcar_id, year or now.year, month or now.month)
        with self._count_lock:
            return self._calls[key]

    def names_of(self, request: Request) -> frozenset[str]:
        """Return id and VIN of the car in the path."""
        parts = request.path.split("/")
        if len(parts) > 3 and parts[2] == "vehicles":
            for car in self.fleet.cars:
                if car.smartcar_id == parts[3]:
                    return frozenset({car.smartcar_id, car.vin})
        return frozenset()

    def fault_reply(self, fault: Fault) -> Reply:
        """Return the fault's reply, with the body of Smartcar's tables when it names an error."""
        if fault.error is None:
            return super().fault_reply(fault)
        type_, code = fault.error
        error = SmartcarError(type=type_, code=code, headers=fault.extra_headers())
        return _error_reply(error, str(uuid.uuid4()))

    def find_reply(self, request: Request) -> Reply:
        """Carry the request out and put errors into Smartcar's shape."""
        request_id = str(uuid.uuid4())
        try:
            if request.path.startswith("/v2.0/"):
                self._check_bucket()
            reply = super().find_reply(request)
        except SmartcarError as error:
            return _error_reply(error, request_id)
        if reply.status == 404:
            return _error_reply(SmartcarError(type="RESOURCE_NOT_FOUND", code="PATH"), request_id)
        reply_headers = {"SC-Request-Id": request_id, **reply.headers}
        return Reply(
            status=reply.status,
            body=reply.body,
            content_type=reply.content_type,
            headers=reply_headers,
            data=reply.data,
        )

    def _add_routes(self) -> None:
        self.route("GET", "/oauth/authorize", self.connect.show)
        self.route("POST", "/oauth/authorize", self.connect.decide)
        self.route("POST", "/oauth/token", self.tokens.answer)
        self.route("GET", r"/v2\.0/user", self._user)
        self.route("GET", r"/v2\.0/vehicles/?", self._vehicles)
        self.route("GET", VEHICLE + "/permissions", self._permissions)
        self.route("POST", VEHICLE + "/batch", self._batch)
        self.route("DELETE", VEHICLE + "/application", self._disconnect)
        self.route("GET", VEHICLE + "(/.*)?", self._read)
        self.route("GET", CONNECTIONS, self.management.find)
        self.route("DELETE", CONNECTIONS, self.management.delete)

    def _user(self, request: Request) -> Reply:
        return json_reply({"id": self._consent(request).user_id})

    def _vehicles(self, request: Request) -> Reply:
        rows = self.tokens.vehicle_ids(self._consent(request))
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
        fault = self.faults.take(request, names=self.names_of(request), item=path)
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
        self._count(car)
        if endpoint.permission not in connection.permissions:
            raise SmartcarError(type="PERMISSION")
        if path not in car.paths:
            raise SmartcarError(type="COMPATIBILITY", code="VEHICLE_NOT_CAPABLE")
        with self.fleet.lock:
            if car.error is not None:
                raise SmartcarError(type=car.error[0], code=car.error[1])
            if car.is_asleep and path not in FROM_RECORDS:
                raise SmartcarError(type="VEHICLE_STATE", code="ASLEEP")
            return endpoint.body(car, imperial)

    def _count(self, car: Car) -> None:
        now = self.clock()
        key = (car.smartcar_id, now.year, now.month)
        with self._count_lock:
            if self.monthly_limit is not None and self._calls[key] >= self.monthly_limit:
                raise SmartcarError(type="BILLING", code="VEHICLE_REQUEST_LIMIT")
            self._calls[key] += 1

    def _check_bucket(self) -> None:
        """Refill 2 a minute: https://smartcar.com/docs/help/api-limits"""
        if self.bucket is None:
            return
        with self._count_lock:
            now = self.clock()
            refilled = max(now - self._bucket_at, timedelta()) / timedelta(minutes=1) * 2
            self._bucket_used = max(0.0, self._bucket_used - refilled)
            self._bucket_at = now
            if self._bucket_used > self.bucket - 1:
                raise SmartcarError(type="RATE_LIMIT", code="SMARTCAR_API")
            self._bucket_used += 1

    def _data_headers(self, car: Car, path: str, *, imperial: bool) -> dict[str, str]:
        path = "/" + path.strip("/")
        return {
            "SC-Data-Age": iso(car.recorded_at_by_path.get(path, car.recorded_at)),
            "SC-Fetched-At": iso(self.clock()),
            "SC-Unit-System": "imperial" if imperial else "metric",
        }

    def _consent(self, request: Request) -> Consent:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        consent = self.tokens.find_consent(token) if scheme.lower() == "bearer" else None
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
        connection = self.tokens.connections.get((consent.user_id, vehicle_id))
        if connection is None or vehicle_id not in consent.vehicle_ids:
            raise SmartcarError(type="AUTHENTICATION", description="No access to this vehicle.")
        return self.fleet.car(vehicle_id), connection

    def _disconnect(self, request: Request, vehicle_id: str) -> Reply:
        if self.management.is_authorized(request):
            self.tokens.disconnect(vehicle_id=vehicle_id)
        else:
            _, connection = self._car(request, vehicle_id)
            self.tokens.disconnect(user_id=connection.user_id, vehicle_id=vehicle_id)
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


def _error_reply(error: SmartcarError, request_id: str) -> Reply:
    headers = {"SC-Request-Id": request_id, **error.headers}
    return json_reply(error.body(request_id), error.status, headers)
