"""What the Smartcar clients take and give, apart from readings."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MODES = ("live", "simulated", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartcarConfig:
    """Credentials and addresses of both generations.

    `auth_origin` (v2) and `iam_origin` (v3) are whole URLs of a token endpoint, as the SDK has it.
    Connect wants the `application_id` under v3. `read_timeout` is in seconds, for vehicle reads:
    3 to 45 s are normal.
    """

    client_id: str
    client_secret: str = field(repr=False)
    v3_client_id: str = ""
    v3_client_secret: str = field(default="", repr=False)
    application_id: str = ""
    redirect_uri: str
    management_token: str = field(default="", repr=False)
    mode: str = "live"
    api_origin: str = "https://api.smartcar.com"
    auth_origin: str = "https://auth.smartcar.com/oauth/token"
    connect_origin: str = "https://connect.smartcar.com"
    management_origin: str = "https://management.smartcar.com"
    vehicle_v3_origin: str = "https://vehicle.api.smartcar.com"
    iam_origin: str = "https://iam.smartcar.com/oauth2/token"
    management_v3_origin: str = "https://management.api.smartcar.com"
    read_timeout: float = 65.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What an exchange gives. Both lifetimes count from the moment of the answer.

    v3's token for the application comes without a refresh token: it is simply asked for again.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_in: timedelta
    refresh_expires_in: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """One (user, vehicle) that our application may read. `connected_at` is aware UTC.

    `permissions` are what the driver granted; None where the list does not say.
    """

    user_id: str
    vehicle_id: str
    connected_at: datetime | None = None
    permissions: tuple[str, ...] | None = None
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One car that reports to a webhook by itself."""

    id: str
    webhook_id: str
    user_id: str
    vehicle_id: str
