"""Consents, authorization codes and rotating tokens, as Smartcar's v2.0 keeps them.

https://smartcar.com/docs/connect/token-management/overview
"""

import base64
import binascii
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from integrations.sandbox.messages import Clock, Reply, Request, json_reply

CODE_LIFE = timedelta(minutes=10)
ACCESS_LIFE = timedelta(seconds=7200)
REFRESH_LIFE = timedelta(days=60)


@dataclass(slots=True, kw_only=True, eq=False)
class Consent:
    """What one pass through Connect allowed: these cars of this user."""

    user_id: str
    vehicle_ids: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Connection:
    """One user's car shared with the application, and what is shared of it.

    A repeated consent moves `connected_at`; `id` and `created_at` stay until it is ended.
    """

    id: str
    user_id: str
    vehicle_id: str
    permissions: tuple[str, ...]
    created_at: datetime
    connected_at: datetime
    mode: str


@dataclass(slots=True, kw_only=True)
class _Secret:
    consent: Consent
    expires_at: datetime
    redirect_uri: str = ""


class OAuthFailure(Exception):  # noqa: N818  named after what the page calls it
    """A token request refused: https://smartcar.com/docs/guides/error-handling"""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


class Tokens:
    """Give out and check tokens. Thread-safe.

    A used refresh token stays usable for `grace` seconds (0: not at all); each use gives
    another new pair. A refused refresh changes nothing.
    """

    def __init__(self, clock: Clock, *, client_id: str, client_secret: str) -> None:
        self.grace = 60.0
        self.client_id = client_id
        self.client_secret = client_secret
        self.connections: dict[tuple[str, str], Connection] = {}
        self.exchanges = 0
        self._clock = clock
        self._lock = threading.RLock()
        self._codes: dict[str, _Secret] = {}
        self._access: dict[str, _Secret] = {}
        self._refresh: dict[str, _Secret] = {}

    def connect(
        self,
        *,
        user_id: str,
        vehicle_ids: Sequence[str],
        permissions: Sequence[str],
        redirect_uri: str,
        mode: str = "live",
    ) -> str:
        """Record the consent and return a code for it; a repeated consent replaces its cars'."""
        with self._lock:
            now = self._clock()
            for vehicle_id in vehicle_ids:
                known = self.connections.get((user_id, vehicle_id))
                self.connections[user_id, vehicle_id] = Connection(
                    id=known.id if known else str(uuid.uuid4()),
                    user_id=user_id,
                    vehicle_id=vehicle_id,
                    permissions=tuple(permissions),
                    created_at=known.created_at if known else now,
                    connected_at=now,
                    mode=mode,
                )
            consent = Consent(user_id=user_id, vehicle_ids=tuple(vehicle_ids))
            code = str(uuid.uuid4())
            self._codes[code] = _Secret(
                consent=consent, expires_at=now + CODE_LIFE, redirect_uri=redirect_uri
            )
            return code

    def disconnect(self, *, user_id: str = "", vehicle_id: str = "") -> list[Connection]:
        """End the connections of the user, of the car, or of both together; return them."""
        with self._lock:
            ended = [
                connection
                for connection in self.connections.values()
                if (not user_id or connection.user_id == user_id)
                and (not vehicle_id or connection.vehicle_id == vehicle_id)
            ]
            for connection in ended:
                del self.connections[connection.user_id, connection.vehicle_id]
            return ended

    def all_connections(self) -> list[Connection]:
        """Return what is shared with the application now."""
        with self._lock:
            return list(self.connections.values())

    def find_consent(self, access_token: str) -> Consent | None:
        """Return what the access token stands for while it lives and anything is shared."""
        with self._lock:
            return self._live(self._access.get(access_token))

    def vehicle_ids(self, consent: Consent) -> list[str]:
        """Return the cars of the consent that are still shared."""
        with self._lock:
            return [
                one for one in consent.vehicle_ids if (consent.user_id, one) in self.connections
            ]

    def expire_access_tokens(self) -> None:
        """Let every access token die now; the refresh tokens stay."""
        with self._lock:
            self._access.clear()

    def answer(self, request: Request) -> Reply:
        """Answer POST /oauth/token."""
        try:
            return json_reply(self._exchange(request))
        except OAuthFailure as failure:
            body = {"error": failure.error, "error_description": failure.description}
            return json_reply(body, failure.status)

    def _exchange(self, request: Request) -> dict[str, Any]:
        if basic_auth(request) != (self.client_id, self.client_secret):
            raise OAuthFailure("invalid_client", "Client authentication failed.", 401)
        form = {name: values[0] for name, values in request.form().items()}
        with self._lock:
            match form.get("grant_type"):
                case "authorization_code":
                    consent = self._redeem(form.get("code", ""), form.get("redirect_uri", ""))
                case "refresh_token":
                    consent = self._rotate(form.get("refresh_token", ""))
                case _:
                    raise OAuthFailure("unsupported_grant_type", "Unsupported grant_type.")
            return self._new_pair(consent)

    def _redeem(self, code: str, redirect_uri: str) -> Consent:
        secret = self._codes.get(code)
        consent = self._live(secret)
        if secret is None or consent is None or secret.redirect_uri != redirect_uri:
            raise OAuthFailure("invalid_grant", f"Invalid code: {code}.")
        del self._codes[code]
        return consent

    def _rotate(self, refresh_token: str) -> Consent:
        secret = self._refresh.get(refresh_token)
        consent = self._live(secret)
        if secret is None or consent is None:
            raise OAuthFailure("invalid_grant", f"Invalid refresh_token: {refresh_token}.")
        # The grace begins with the first use; min() keeps a second use from prolonging it.
        grace_ends = self._clock() + timedelta(seconds=self.grace)
        secret.expires_at = min(secret.expires_at, grace_ends)
        return consent

    def _live(self, secret: _Secret | None) -> Consent | None:
        if secret is None or secret.expires_at <= self._clock():
            return None
        return secret.consent if self.vehicle_ids(secret.consent) else None

    def _new_pair(self, consent: Consent) -> dict[str, Any]:
        now = self._clock()
        self.exchanges += 1
        access, refresh = str(uuid.uuid4()), str(uuid.uuid4())
        self._access[access] = _Secret(consent=consent, expires_at=now + ACCESS_LIFE)
        self._refresh[refresh] = _Secret(consent=consent, expires_at=now + REFRESH_LIFE)
        if self.exchanges % 1000 == 0:
            self._forget_the_dead(now)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": int(ACCESS_LIFE.total_seconds()),
            "refresh_token": refresh,
        }

    def _forget_the_dead(self, now: datetime) -> None:
        for store in (self._codes, self._access, self._refresh):
            for token in [token for token, secret in store.items() if secret.expires_at <= now]:
                del store[token]


def basic_auth(request: Request) -> tuple[str, str] | None:
    """Return user and password of the Basic header, or None."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password
