"""A stand-in for Smartcar, v2.0 and v3: https://smartcar.com/docs

Vehicle reads, the management APIs, Connect and both token endpoints on one port, and the sender
of webhooks.
"""

import uuid
from dataclasses import replace

from integrations.sandbox.cars import Car
from integrations.sandbox.faults import Fault
from integrations.sandbox.fleet import Fleet
from integrations.sandbox.messages import Clock, Reply, Request, json_reply
from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_connect import Connect
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_management import Management
from integrations.sandbox.smartcar_subscriptions import Subscriptions
from integrations.sandbox.smartcar_v2 import VehiclesV2
from integrations.sandbox.smartcar_v3_connections import ConnectionsV3
from integrations.sandbox.smartcar_v3_errors import error_body
from integrations.sandbox.smartcar_v3_subscriptions import SubscriptionsV3
from integrations.sandbox.smartcar_v3_vehicles import VehiclesV3
from integrations.sandbox.webhooks import Webhooks

CONNECTIONS = r"/v2\.0/management/connections/?"
MANAGEMENT_TOKEN = "sandbox-management-token"  # noqa: S105  opens nothing but this sandbox
WEBHOOK_ID = "0b5b4c5e-7a51-4c0c-8a3e-5a1d0e6f7c21"


class SmartcarServer(Application):
    """Smartcar for one application; what may be set is said at `Application`."""

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        *,
        client_id: str,
        client_secret: str,
        v3_client_id: str,
        v3_client_secret: str,
    ) -> None:
        super().__init__(
            fleet,
            clock,
            client_id=client_id,
            client_secret=client_secret,
            v3_client_id=v3_client_id,
            v3_client_secret=v3_client_secret,
        )
        self.management = Management(self.tokens, MANAGEMENT_TOKEN)
        self.subscriptions = Subscriptions(self, WEBHOOK_ID)
        self.webhooks = Webhooks(self, self.management, self.subscriptions)
        self.connect = Connect(self)
        self._connections_v3 = ConnectionsV3(self)
        self._subscriptions_v3 = SubscriptionsV3(self, self.subscriptions)
        self._add_routes()

    def start(self, port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        super().start(port)
        self.webhooks.start_sending()

    def stop(self) -> None:
        """Close the port and break off what is being sent to the webhook."""
        self.webhooks.stop_sending()
        super().stop()

    def names_of(self, request: Request) -> frozenset[str]:
        """Return ids and VIN of the car in the path."""
        car = self._car_in_path(request.path)
        return frozenset() if car is None else self.names(car)

    def fault_reply(self, request: Request, fault: Fault) -> Reply:
        """Return the fault's reply, with the body of Smartcar's tables when it names an error."""
        if fault.error is None:
            return super().fault_reply(request, fault)
        type_, code = fault.error
        error = SmartcarError(type=type_, code=code, headers=fault.extra_headers())
        return _error_reply(request, error, str(uuid.uuid4()))

    def find_reply(self, request: Request) -> Reply:
        """Carry the request out and put errors into the shape of the API asked."""
        request_id = str(uuid.uuid4())
        try:
            if request.path.startswith(("/v2.0/", "/v3/")):
                self.check_bucket()
            if request.path.startswith("/v3/"):
                self.iam.check(request)
            reply = super().find_reply(request)
        except SmartcarError as error:
            return _error_reply(request, error, request_id)
        if reply.status == 404:
            code = "INVALID_PATH" if request.path.startswith("/v3/") else "PATH"
            missing = SmartcarError(type="RESOURCE_NOT_FOUND", code=code)
            return _error_reply(request, missing, request_id)
        return replace(reply, headers={"SC-Request-Id": request_id, **reply.headers})

    def _add_routes(self) -> None:
        self.route("GET", "/oauth/authorize", self.connect.show)
        self.route("POST", "/oauth/authorize", self.connect.decide)
        self.route("GET", "/oauth/reauthenticate", self.connect.show_sign_in)
        self.route("POST", "/oauth/reauthenticate", self.connect.show_sign_in)
        self.route("POST", "/oauth/token", self.tokens.answer)
        self.route("POST", "/oauth2/token", self.iam.answer)
        self.route("GET", CONNECTIONS, self.management.find)
        self.route("DELETE", CONNECTIONS, self.management.delete)
        VehiclesV2(self, self.management, self.subscriptions).add_routes()
        VehiclesV3(self, self.subscriptions).add_routes()
        self._connections_v3.add_routes()
        self._subscriptions_v3.add_routes()

    def _car_in_path(self, path: str) -> Car | None:
        match path.split("/"):
            case ["", "v2.0", "vehicles", vehicle_id, *_]:
                return next((c for c in self.fleet.cars if c.smartcar_id == vehicle_id), None)
            case ["", "v3", "vehicles", vehicle_id, *_]:
                return self.find_car(vehicle_id)
            case ["", "v3", "connections", key]:
                connection = self._connections_v3.by_id(key)
                return self.fleet.car(connection.vehicle_id) if connection else None
            case ["", "v3", "subscriptions", key]:
                subscription = self._subscriptions_v3.by_id(key)
                return self.fleet.car(subscription.vehicle_id) if subscription else None
        return None


def _error_reply(request: Request, error: SmartcarError, request_id: str) -> Reply:
    headers = {"SC-Request-Id": request_id, **error.headers}
    is_v3 = request.path.startswith("/v3/")
    body = error_body(error) if is_v3 else error.body(request_id)
    return json_reply(body, error.status, headers)
