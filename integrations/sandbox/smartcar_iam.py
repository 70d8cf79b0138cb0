"""v3's token endpoint: one token for the whole application.

https://smartcar.com/docs/api-reference/authorization/request-access-token
"""

import base64
import json
import secrets
import threading
import uuid
from datetime import datetime, timedelta
from typing import Any

from integrations.sandbox.messages import Clock, Reply, Request, json_reply
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_tokens import OAuthFailure

TOKEN_LIFE = timedelta(seconds=3600)


class IAM:
    """Give out and check application tokens; `exchanges` counts those given. Thread-safe."""

    def __init__(self, clock: Clock, *, client_id: str, client_secret: str) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.exchanges = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._expires: dict[str, datetime] = {}

    def expire(self) -> None:
        """Let every application token die now."""
        with self._lock:
            self._expires.clear()

    def check(self, request: Request) -> None:
        """Raise unless the request carries a living application token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            expires_at = self._expires.get(token) if scheme.lower() == "bearer" else None
        if expires_at is None or expires_at <= self._clock():
            raise SmartcarError(
                type="AUTHENTICATION",
                code="UNAUTHORIZED",
                description="The authorization header is missing or invalid.",
            )

    def answer(self, request: Request) -> Reply:
        """Answer POST /oauth2/token, asked with a form or with JSON."""
        try:
            return json_reply(self._exchange(_fields(request)))
        except OAuthFailure as failure:
            body = {"error": failure.error, "error_description": failure.description}
            return json_reply(body, failure.status)

    def _exchange(self, fields: dict[str, str]) -> dict[str, Any]:
        if not fields.get("grant_type"):
            raise OAuthFailure("invalid_request", "Missing parameter: grant_type.")
        credentials = (fields.get("client_id"), fields.get("client_secret"))
        if credentials != (self.client_id, self.client_secret):
            raise OAuthFailure("invalid_client", "Client authentication failed.", 401)
        if fields["grant_type"] != "client_credentials":
            raise OAuthFailure("unsupported_grant_type", "Unsupported grant_type.")
        token = self._new_token()
        lifetime = int(TOKEN_LIFE.total_seconds())
        return {"access_token": token, "token_type": "Bearer", "expires_in": lifetime}

    def _new_token(self) -> str:
        now = self._clock()
        token = _jwt({"sub": self.client_id, "jti": str(uuid.uuid4())})
        with self._lock:
            self._expires = {old: at for old, at in self._expires.items() if at > now}
            self._expires[token] = now + TOKEN_LIFE
            self.exchanges += 1
        return token


def _fields(request: Request) -> dict[str, str]:
    if "json" in request.headers.get("content-type", ""):
        return {name: str(value) for name, value in request.json().items()}
    return {name: values[0] for name, values in request.form().items()}


def _jwt(claims: dict[str, str]) -> str:
    """Return what looks like a JWT: clients must not look inside, and none is verified here."""
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, secrets.token_urlsafe(64)])
