"""What the Smartcar clients take and give, apart from readings."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MODES = ("live", "simulated", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartcarConfig:
    """Credentials and addresses. `auth_origin` is the whole token URL, as the SDK has it.

    `read_timeout` is in seconds, for vehicle reads: 3 to 45 s are normal.
    """

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    management_token: str = field(default="", repr=False)
    mode: str = "live"
    api_origin: str = "https://api.smartcar.com"
    auth_origin: str = "https://auth.smartcar.com/oauth/token"
    connect_origin: str = "https://connect.smartcar.com"
    management_origin: str = "https://management.smartcar.com"
    read_timeout: float = 65.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What an exchange gives. Both lifetimes count from the moment of the answer."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: timedelta
    refresh_expires_in: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """One (user, vehicle) that our application may read. `connected_at` is aware UTC."""

    user_id: str
    vehicle_id: str
    connected_at: datetime | None
