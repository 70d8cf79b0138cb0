"""Smartcar's SDK with our hands on its wire: our timeouts, pool, origins and errors.

The SDK (6.19.1) opens a connection for each call, waits 310 s, and reads its origins from the
environment once for the whole process. Here it still builds and sends every call, but through
our transport, and what came back is kept: its own reading of an answer loses a token pair that
lacks `expires_in`, and a whole batch for one item without headers.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import requests
import smartcar.helpers

from integrations.clients import transport
from integrations.clients.errors import ClientError, Outcome

PROVIDER = "Smartcar"


@dataclass(kw_only=True)
class Exchange:
    """One call: how it is to be made, and what came of it."""

    label: str
    theirs: str  # the beginning of the URL that the SDK will build
    ours: str  # what stands there instead
    read_timeout: float
    classify: transport.Classify
    repeatable: bool | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    response: requests.Response | None = field(default=None, repr=False)
    error: Exception | None = None

    @property
    def where(self) -> str:
        return f"{PROVIDER}: {self.label}"


_current: ContextVar[Exchange | None] = ContextVar("smartcar_exchange", default=None)


def talk(exchange: Exchange, speak: Callable[[], object]) -> requests.Response:
    """Let the SDK make one call and return the raw 2xx answer; raise ClientError otherwise."""
    token = _current.set(exchange)
    try:
        speak()
    except Exception:  # noqa: BLE001, S110  what matters is kept on the exchange, judged below
        pass
    finally:
        _current.reset(token)
    if exchange.error is not None:
        raise exchange.error
    if exchange.response is None:
        raise ClientError(
            f"{exchange.where}: the SDK refused to make the call",
            outcome=Outcome.REJECTED,
            type="SDK_ERROR",
        )
    return exchange.response


class _Transport:
    """Stands where the SDK expects the `requests` module."""

    models = requests.models

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        exchange = _current.get()
        if exchange is None:  # not ours: somebody uses the SDK as it is
            return requests.request(method, url, **kwargs)  # noqa: S113  the SDK's own timeout
        try:
            exchange.response = self._send(exchange, method, url, **kwargs)
        except Exception as exc:
            # Also what is not the provider's doing, such as a worker's time limit: the SDK would
            # wrap it, and it has to reach the caller as it is.
            exchange.error = exc
            raise
        return exchange.response

    @staticmethod
    def _send(
        exchange: Exchange,
        method: str,
        url: str,
        *,
        timeout: float,  # the SDK's 310 s, longer than any lease: not used
        params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> requests.Response:
        if not url.startswith(exchange.theirs):
            raise RuntimeError("the SDK built a URL outside of the origin it was asked for")
        return transport.request(
            method,
            exchange.ours + url.removeprefix(exchange.theirs),
            read_timeout=exchange.read_timeout,
            provider=PROVIDER,
            label=exchange.label,
            classify=exchange.classify,
            repeatable=exchange.repeatable,
            params={**(params or {}), **exchange.params},
            **kwargs,
        )


smartcar.helpers.requests = _Transport()
