"""A sandbox whose clock stands still until a test moves it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from integrations.sandbox import Sandbox

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
REDIRECT_URI = "https://portal.example.com/connect/callback/"


@dataclass
class Clock:
    """Says what time it is; `pass_time` moves it."""

    now: datetime = field(default=START)

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, **length: float) -> None:
        self.now += timedelta(**length)


@dataclass
class Client:
    """A portal in miniature: speaks to the sandbox over HTTP."""

    sandbox: Sandbox
    http: requests.Session

    def authorize_url(self, **extra: str) -> str:
        query = {
            "response_type": "code",
            "client_id": self.sandbox.environment()["SMARTCAR_CLIENT_ID"],
            "redirect_uri": REDIRECT_URI,
            "state": "s1",
            "scope": "read_vehicle_info read_vin read_odometer read_engine_oil read_diagnostics",
        }
        origin = self.sandbox.environment()["SMARTCAR_CONNECT_ORIGIN"]
        return f"{origin}/oauth/authorize?{urlencode(query | extra)}"

    def exchange(self, **form: str) -> requests.Response:
        env = self.sandbox.environment()
        auth = (env["SMARTCAR_CLIENT_ID"], env["SMARTCAR_CLIENT_SECRET"])
        return self.http.post(env["SMARTCAR_AUTH_ORIGIN"], data=form, auth=auth, timeout=5)

    def redeem(self, redirect: str) -> requests.Response:
        code = parse_qs(urlsplit(redirect).query)["code"][0]
        return self.exchange(grant_type="authorization_code", code=code, redirect_uri=REDIRECT_URI)

    def refresh(self, refresh_token: str) -> requests.Response:
        return self.exchange(grant_type="refresh_token", refresh_token=refresh_token)

    def connect(self, driver: str = "", **extra: str) -> dict[str, Any]:
        redirect = self.sandbox.smartcar.connect.approve(self.authorize_url(**extra), driver=driver)
        pair: dict[str, Any] = self.redeem(redirect).json()
        return pair

    def smartcar(
        self, path: str, token: str, method: str = "GET", **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
        url = f"{self.sandbox.smartcar.origin}/v2.0{path}"
        return self.http.request(method, url, headers=headers, timeout=5, **options)

    def application_token(self) -> str:
        env = self.sandbox.environment("v3")
        form = {
            "grant_type": "client_credentials",
            "client_id": env["SMARTCAR_V3_CLIENT_ID"],
            "client_secret": env["SMARTCAR_V3_CLIENT_SECRET"],
        }
        reply = self.http.post(env["SMARTCAR_IAM_ORIGIN"], data=form, timeout=5)
        return str(reply.json()["access_token"])

    def v3(
        self, path: str, token: str, method: str = "GET", *, user: str = "", **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} | ({"sc-user-id": user} if user else {})
        url = f"{self.sandbox.environment('v3')['SMARTCAR_VEHICLE_API_V3_ORIGIN']}/v3{path}"
        return self.http.request(method, url, headers=headers, timeout=5, **options)

    def fleetio(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        env = self.sandbox.environment()
        headers = {
            "Authorization": f"Token {env['FLEETIO_API_TOKEN']}",
            "Account-Token": env["FLEETIO_ACCOUNT_TOKEN"],
            "X-Api-Version": "2025-05-05",
        } | options.pop("headers", {})
        url = env["FLEETIO_BASE_URL"] + path
        return self.http.request(method, url, headers=headers, timeout=5, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(seed=7, vehicles=8, drivers=2, clock=clock) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with requests.Session() as http:
        yield Client(sandbox, http)
