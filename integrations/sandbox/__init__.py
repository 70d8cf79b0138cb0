"""Stand-in Smartcar and Fleetio over real HTTP, and a fleet of simulated cars behind them.

For the demo and for tests. Nothing here imports Django or leaves this machine.
"""

from types import TracebackType
from typing import Self

from integrations.sandbox.cars import Car
from integrations.sandbox.faults import FOREVER, Fault
from integrations.sandbox.fleet import Driver, Fleet
from integrations.sandbox.fleetio import FleetioServer
from integrations.sandbox.messages import Clock, utc_now
from integrations.sandbox.smartcar import SmartcarServer

__all__ = [
    "FOREVER",
    "Car",
    "Driver",
    "Fault",
    "Fleet",
    "FleetioServer",
    "Sandbox",
    "SmartcarServer",
]

CLIENT_ID = "5f0cbd7e-1c2f-4d0a-9b36-0c1a2b3d4e5f"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105  opens nothing but this sandbox
V3_CLIENT_ID = "client_01J9Z7Q8K4M5N6P7R8S9T0V1W2"
V3_CLIENT_SECRET = "sandbox-v3-client-secret"  # noqa: S105
FLEETIO_API_TOKEN = "sandbox-fleetio-key"  # noqa: S105
FLEETIO_ACCOUNT_TOKEN = "sandboxfleet"  # noqa: S105
FLEETIO_WEBHOOK_KEY = "sandbox-fleetio-webhook-key"


class Sandbox:
    """Both providers and a fleet; the same seed gives the same fleet and the same story.

    `clock` drives the cars' data, tokens, rate limits and records. `fleet.advance(until)` plays
    the story. Use as a context manager, or `start` and `stop`.
    """

    def __init__(
        self, *, seed: int = 1, vehicles: int = 10, drivers: int = 4, clock: Clock = utc_now
    ) -> None:
        self.clock = clock
        self.fleet = Fleet(seed=seed, vehicles=vehicles, drivers=drivers, started_at=clock())
        self.smartcar = SmartcarServer(
            self.fleet,
            clock,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            v3_client_id=V3_CLIENT_ID,
            v3_client_secret=V3_CLIENT_SECRET,
        )
        self.fleetio = FleetioServer(
            self.fleet,
            clock,
            api_token=FLEETIO_API_TOKEN,
            account_token=FLEETIO_ACCOUNT_TOKEN,
            webhook_key=FLEETIO_WEBHOOK_KEY,
        )

    def environment(self, version: str = "v2", *, webhooks: bool = False) -> dict[str, str]:
        """Return the settings that point the portal at the running sandbox.

        `version` is "v2" or "v3"; the credentials and addresses of both are given, so that a
        portal can move from one to the other. `webhooks` has cars subscribed to the webhook.
        """
        smartcar, fleetio = self.smartcar.origin, self.fleetio.origin
        return {
            "SMARTCAR_API_VERSION": version,
            "SMARTCAR_CLIENT_ID": CLIENT_ID,
            "SMARTCAR_CLIENT_SECRET": CLIENT_SECRET,
            "SMARTCAR_V3_CLIENT_ID": V3_CLIENT_ID,
            "SMARTCAR_V3_CLIENT_SECRET": V3_CLIENT_SECRET,
            "SMARTCAR_APPLICATION_ID": CLIENT_ID,
            "SMARTCAR_WEBHOOK_ID": self.smartcar.webhooks.webhook_id if webhooks else "",
            "SMARTCAR_MANAGEMENT_TOKEN": self.smartcar.management.token,
            "SMARTCAR_API_ORIGIN": smartcar,
            "SMARTCAR_AUTH_ORIGIN": f"{smartcar}/oauth/token",
            "SMARTCAR_CONNECT_ORIGIN": smartcar,
            "SMARTCAR_MANAGEMENT_API_ORIGIN": smartcar,
            "SMARTCAR_VEHICLE_API_V3_ORIGIN": smartcar,
            "SMARTCAR_IAM_ORIGIN": f"{smartcar}/oauth2/token",
            "SMARTCAR_MANAGEMENT_API_V3_ORIGIN": smartcar,
            "FLEETIO_BASE_URL": f"{fleetio}/api",
            "FLEETIO_API_TOKEN": FLEETIO_API_TOKEN,
            "FLEETIO_ACCOUNT_TOKEN": FLEETIO_ACCOUNT_TOKEN,
            "FLEETIO_WEBHOOK_KEY": FLEETIO_WEBHOOK_KEY,
        }

    def start(self, *, smartcar_port: int = 0, fleetio_port: int = 0) -> None:
        """Listen on loopback; port 0 takes a free one."""
        self.smartcar.start(smartcar_port)
        try:
            self.fleetio.start(fleetio_port)
        except OSError:
            self.smartcar.stop()
            raise

    def stop(self) -> None:
        """Close both servers; what they recorded stays readable."""
        self.smartcar.stop()
        self.fleetio.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
