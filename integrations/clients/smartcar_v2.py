"""Smartcar API v2.0: a token pair for each driver, through the official SDK.

https://smartcar.com/docs/api-reference. Every method makes one attempt and raises ClientError.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

import smartcar
import smartcar.config

from integrations.clients import smartcar_connect, smartcar_errors, transport
from integrations.clients import smartcar_v2_answers as answers
from integrations.clients import smartcar_v2_paths as paths
from integrations.clients.errors import ClientError, Gate, Outcome
from integrations.clients.readings import SignalError, SignalReading, came_from_the_car
from integrations.clients.smartcar_sdk import Exchange, talk
from integrations.clients.smartcar_types import ConnectionInfo, SmartcarConfig, TokenPair

__all__ = ["ConnectionInfo", "SmartcarConfig", "SmartcarV2", "TokenPair"]

TOKEN_TIMEOUT = 15.0  # seconds; shorter than the lease on a refresh
PAGE = 50
MAX_PAGES = 200
# A single read that fails like this says nothing about the signal.
_ABOUT_US = (Outcome.REFRESH, Outcome.WAIT_ALL, Outcome.STOP)


# Said by an item, it concerns more than that item: every car, or the token.
_ABOUT_MORE = (Outcome.STOP, Outcome.WAIT_ALL, Outcome.REFRESH)


class SmartcarV2:
    """Each call to the vehicle API passes `gate`, each to the token endpoint `token_gate`, and
    each to the management API `management_gate`.
    """

    version = "v2"
    has_application_token = False
    application = ""  # a driver's own token opens what belongs to it

    permission_of = staticmethod(paths.permission_of)
    permissions_for = staticmethod(paths.permissions_for)

    def __init__(
        self,
        config: SmartcarConfig,
        gate: Gate = nullcontext,
        token_gate: Gate = nullcontext,
        management_gate: Gate = nullcontext,
    ) -> None:
        self._config = config
        self._gate = gate
        self._token_gate = token_gate
        self._management_gate = management_gate

    def connect_url(
        self,
        *,
        scope: Sequence[str],
        state: str,
        make: str = "",
        country: str = "",
        single_select_vin: str = "",
    ) -> str:
        """The page where the driver consents.

        https://smartcar.com/docs/connect/redirect-to-connect
        """
        options: dict[str, Any] = {"state": state}
        if make:
            options["make_bypass"] = make
        if country:
            options["flags"] = {"country": country}
        if single_select_vin:
            options["single_select"] = {"vin": single_select_vin}
        url: str = self._auth_client().get_auth_url(list(scope), options)
        origin = self._config.connect_origin.rstrip("/")
        return origin + url.removeprefix(smartcar.config.CONNECT_ORIGIN)

    def reauthenticate_url(self, *, smartcar_id: str, state: str) -> str:
        """The page where the driver signs in at the maker again, for this car."""
        return smartcar_connect.reauthenticate_url(
            self._config,
            client_id=self._config.client_id,
            smartcar_id=smartcar_id,
            state=state,
        )

    def exchange_code(self, code: str) -> TokenPair:
        """Trade the code of the callback; it lives 10 minutes and works once.

        https://smartcar.com/docs/api-reference/authorization/auth-code-exchange
        """
        client = self._auth_client()
        return self._tokens("exchange code", lambda: client.exchange_code(code))

    def refresh(self, refresh_token: str) -> TokenPair:
        """Trade a refresh token for a new pair; the old one dies a minute or more after.

        `may_have_happened` on the error: the pair may be spent, repeat with the same one soon.
        """
        client = self._auth_client()
        return self._tokens("refresh", lambda: client.exchange_refresh_token(refresh_token))

    def get_user_id(self, access_token: str) -> str:
        """Smartcar's id of the driver behind a token."""
        exchange = self._vehicle_api("GET user")
        with self._gate():
            response = talk(exchange, lambda: smartcar.get_user(access_token))
        user = transport.read_json(response, exchange.where)
        if not isinstance(user, dict) or not answers.is_text(user.get("id")):
            raise transport.malformed(exchange.where, response)
        return str(user["id"])

    def list_vehicles(self, access_token: str, user_id: str = "") -> list[ConnectionInfo]:
        """All cars of the driver, each once, or an error: never some of them."""
        found: dict[str, None] = {}
        offset = 0
        for _ in range(MAX_PAGES):
            page, count = self._vehicle_page(access_token, offset)
            is_new = not found.keys() >= set(page)
            found |= dict.fromkeys(page)
            offset += len(page)
            # The server may cap pages below what we ask, and the count may be the page's own, so
            # only a small page that agrees with it ends the list without another look.
            if not is_new or (count == len(found) and len(page) < 10):
                return [ConnectionInfo(user_id=user_id, vehicle_id=one) for one in found]
        raise transport.malformed("Smartcar: GET vehicles has no end")

    def read(
        self, *, smartcar_id: str, access_token: str, codes: Iterable[str], user_id: str = ""
    ) -> list[SignalReading | SignalError]:
        """Read signals: one call, a batch when they need several paths.

        Each path is judged alone and answers for each of its asked codes; readings that came along
        unasked (all diagnostic systems, both fuel signals) are returned too. Raises when the whole
        call fails, or when the car gave nothing and an item speaks of more than itself.
        https://smartcar.com/docs/api-reference/batch
        """
        wanted, unknown = paths.plan(codes)
        results: list[SignalReading | SignalError] = [answers.not_in_v2(code) for code in unknown]
        if not wanted:
            return results
        car = _car(smartcar_id, access_token)
        read = self._read_one if len(wanted) == 1 else self._read_batch
        with self._gate():
            found = read(car, list(wanted))
            for path, asked in wanted.items():
                results += found[path].judge(paths.PATHS[path], asked, secret=access_token)
            _raise_what_concerns_more(results)
        return results

    @staticmethod
    def cost(codes: Iterable[str]) -> int:
        """Calls of the vehicle's monthly allowance that reading these codes takes."""
        return len(paths.plan(codes)[0])

    def disconnect(self, *, smartcar_id: str, access_token: str, user_id: str = "") -> None:
        """Give up our access to a car; the driver has to connect again to undo it."""
        car = _car(smartcar_id, access_token)
        with self._gate():
            talk(self._vehicle_api("DELETE application"), car.disconnect)

    def subscribe(
        self, *, smartcar_id: str, access_token: str, webhook_id: str, user_id: str = ""
    ) -> bool:
        """Let the car report to the webhook; asked twice it is the same.

        https://smartcar.com/docs/getting-started/tutorials/webhooks-scheduled
        """
        car = _car(smartcar_id, access_token)
        exchange = self._vehicle_api("POST webhooks", repeatable=True)
        with self._gate():
            talk(exchange, lambda: car.subscribe(quote(webhook_id, safe="")))
        return True

    def unsubscribe(
        self, *, smartcar_id: str, access_token: str, webhook_id: str, user_id: str = ""
    ) -> None:
        """Let the car no longer report to the webhook; that it did not is what was wanted.

        Only the management token opens this, whoever the driver is.
        """
        token = self._management_token()
        car = _car(smartcar_id, access_token)
        exchange = self._vehicle_api("DELETE webhooks")
        exchange.classify = smartcar_errors.management_error
        try:
            with self._management_gate():
                talk(exchange, lambda: car.unsubscribe(token, quote(webhook_id, safe="")))
        except ClientError as exc:
            if exc.status_code != 404:
                raise

    def list_subscriptions(self, access_token: str, *, webhook_id: str) -> None:
        """v2 has no list of them."""

    def list_connections(
        self, access_token: str = "", *, user_id: str = "", vehicle_id: str = ""
    ) -> list[ConnectionInfo]:
        """All (user, vehicle) pairs we may read, or an error: never some of them.

        The management token opens the list, so no other is needed.
        https://smartcar.com/docs/api-reference/management/get-vehicle-connections
        """
        found: list[ConnectionInfo] = []
        paging: dict[str, Any] = {"limit": 100}
        for _ in range(MAX_PAGES):
            rows, cursor = self._connection_page(paging)
            found += rows
            if not cursor:
                return found
            if cursor == paging.get("cursor"):
                break
            paging["cursor"] = cursor
        raise transport.malformed("Smartcar: GET connections has no end")

    def _auth_client(self) -> Any:
        # The SDK would fall back to the environment, which may belong to another application.
        if not (self._config.client_id and self._config.client_secret):
            raise ClientError(
                "Smartcar: client id and secret are not set",
                outcome=Outcome.STOP,
                type="NOT_CONFIGURED",
            )
        client = smartcar.AuthClient(
            self._config.client_id, self._config.client_secret, mode=self._config.mode
        )
        client.redirect_uri = self._config.redirect_uri
        return client

    def _management_token(self) -> str:
        if not self._config.management_token:
            raise ClientError(
                "Smartcar: management token is not set",
                outcome=Outcome.STOP,
                type="NOT_CONFIGURED",
            )
        return self._config.management_token

    def _vehicle_api(self, label: str, *, repeatable: bool | None = None) -> Exchange:
        return Exchange(
            label=label,
            theirs=smartcar.config.API_ORIGIN,
            ours=self._config.api_origin.rstrip("/"),
            read_timeout=self._config.read_timeout,
            classify=smartcar_errors.api_error,
            repeatable=repeatable,
        )

    def _tokens(self, label: str, speak: Callable[[], object]) -> TokenPair:
        exchange = Exchange(
            label=label,
            theirs=smartcar.config.AUTH_ORIGIN,
            ours=self._config.auth_origin,
            read_timeout=TOKEN_TIMEOUT,
            classify=smartcar_errors.oauth_error,
        )
        with self._token_gate():
            response = talk(exchange, speak)
        answer = transport.read_json(response, exchange.where, may_have_happened=True)
        pair = answers.token_pair(answer)
        if pair is None:
            raise transport.malformed(exchange.where, response, may_have_happened=True)
        return pair

    def _vehicle_page(self, access_token: str, offset: int) -> tuple[list[str], Any]:
        exchange = self._vehicle_api("GET vehicles")
        paging = {"limit": PAGE, "offset": offset}
        with self._gate():
            response = talk(exchange, lambda: smartcar.get_vehicles(access_token, paging))
        page = answers.vehicle_page(transport.read_json(response, exchange.where))
        if page is None:
            raise transport.malformed(exchange.where, response)
        return page

    def _read_one(self, car: Any, wanted: Sequence[str]) -> dict[str, answers.Answer]:
        (path,) = wanted
        exchange = self._vehicle_api(f"GET {path}")
        try:
            # Headers of its own: with its default the SDK keeps the first caller's token for all.
            response = talk(exchange, lambda: car.request("GET", path[1:], None, {}))
        except ClientError as exc:
            if exc.outcome in _ABOUT_US:
                raise
            return {path: answers.of_error(exc)}
        return {path: answers.of_response(response)}

    def _read_batch(self, car: Any, wanted: Sequence[str]) -> dict[str, answers.Answer]:
        exchange = self._vehicle_api("POST batch", repeatable=True)  # it only reads
        body = {"requests": [{"path": path} for path in wanted]}
        response = talk(exchange, lambda: car.request("POST", "batch", body, {}))
        answer = transport.read_json(response, exchange.where)
        items = answer.get("responses") if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise transport.malformed(exchange.where, response)
        return answers.of_batch(items, wanted, response)

    def _connection_page(self, paging: Mapping[str, Any]) -> tuple[list[ConnectionInfo], str]:
        token = self._management_token()
        exchange = Exchange(
            label="GET connections",
            theirs=smartcar.config.MANAGEMENT_API_ORIGIN,
            ours=self._config.management_origin.rstrip("/"),
            read_timeout=self._config.read_timeout,
            classify=smartcar_errors.management_error,
            # The SDK has no word for it, and without it only live cars are listed.
            params={} if self._config.mode == "live" else {"mode": "simulated"},
        )
        with self._management_gate():
            response = talk(exchange, lambda: smartcar.get_connections(token, paging=dict(paging)))
        page = answers.connection_page(transport.read_json(response, exchange.where))
        if page is None:
            raise transport.malformed(exchange.where, response)
        return page


def _raise_what_concerns_more(results: Sequence[SignalReading | SignalError]) -> None:
    if came_from_the_car(results):
        return
    errors = [result for result in results if isinstance(result, SignalError)]
    for outcome in _ABOUT_MORE:
        for error in errors:
            if error.outcome is outcome:
                text = f"Smartcar: {error.type}:{error.error_code}".strip(":")
                raise ClientError(
                    text,
                    outcome=outcome,
                    type=error.type,
                    code=error.error_code,
                    retry_after=error.retry_after,
                )


def _car(smartcar_id: str, access_token: str) -> Any:
    return smartcar.Vehicle(quote(smartcar_id, safe=""), access_token, {"version": "2.0"})
