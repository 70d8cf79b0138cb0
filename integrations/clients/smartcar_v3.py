"""Smartcar API v3: one token for the whole application, and the driver's id with each read.

https://smartcar.com/docs/api-reference/authorization/overview. Every method makes one attempt and
raises ClientError. The SDK knows neither the token nor the header, so it takes no part in this.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import requests

from integrations.clients import smartcar_connect, transport
from integrations.clients import smartcar_v2_paths as paths
from integrations.clients import smartcar_v3_answers as answers
from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import ATTRIBUTES, PERMISSIONS, SignalError, SignalReading
from integrations.clients.smartcar_types import ConnectionInfo, Subscription
from integrations.clients.smartcar_v3_wire import PROVIDER, Wire

NO_SIGNALS = "NO_SIGNALS"  # the type of an error: Smartcar holds nothing of this car

# No signals of v3: the first stands beside them, the second with the connection.
_BESIDE = (ATTRIBUTES, PERMISSIONS)

_OF_THE_SIGNAL = {Outcome.NOT_CAPABLE, Outcome.NOT_GRANTED}

_NO_SUCH_API = {"INVALID_PATH", "PATH", "VERSION"}  # a 404 that says nothing of the car

Result = SignalReading | SignalError


class SmartcarV3(Wire):
    """The interface of `SmartcarV2`, with the application's token for `access_token`."""

    version = "v3"
    has_application_token = True

    permission_of = staticmethod(paths.permission_of)
    permissions_for = staticmethod(paths.permissions_for)

    @property
    def application(self) -> str:
        """Whose consents it lists, as a text to compare."""
        return f"{self._config.application_id} {self._config.v3_client_id}"[:160]

    def connect_url(
        self,
        *,
        scope: Sequence[str],
        state: str,
        make: str = "",
        country: str = "",
        single_select_vin: str = "",
    ) -> str:
        """The page where the driver consents."""
        return smartcar_connect.authorize_url(
            self._config,
            scope=scope,
            state=state,
            make=make,
            country=country,
            single_select_vin=single_select_vin,
        )

    def reauthenticate_url(self, *, smartcar_id: str, state: str) -> str:
        """The page where the driver signs in at the maker again, for this car."""
        return smartcar_connect.reauthenticate_url(
            self._config,
            client_id=self._config.application_id,
            smartcar_id=smartcar_id,
            state=state,
        )

    def list_vehicles(self, access_token: str, user_id: str = "") -> list[ConnectionInfo]:
        """The driver's cars, each once, or an error: never some of them."""
        return self.list_connections(access_token, user_id=user_id)

    def list_connections(
        self, access_token: str = "", *, user_id: str = "", vehicle_id: str = ""
    ) -> list[ConnectionInfo]:
        """All connections that fit, or an error: never some of them.

        https://smartcar.com/docs/api-reference/get-vehicle-connections
        """
        unique: dict[tuple[str, str], ConnectionInfo] = {}
        for one in self._connections(access_token, user_id, vehicle_id):
            unique.setdefault((one.user_id, one.vehicle_id), one)
        return list(unique.values())

    def read(
        self, *, smartcar_id: str, access_token: str, codes: Iterable[str], user_id: str = ""
    ) -> list[Result]:
        """Read signals: one call, for the one signal that is asked for or for all that there are.

        Each signal is judged alone; of diagnostic systems those that came along are returned too.
        Raises when the whole call fails, or when Smartcar holds nothing of the car.
        https://smartcar.com/docs/api-reference/get-signals
        """
        wanted = list(dict.fromkeys(codes))
        asked = [code for code in wanted if code not in _BESIDE]
        if not asked and ATTRIBUTES not in wanted:
            return []
        path = f"/vehicles/{quote(smartcar_id, safe='')}/signals"
        try:
            if len(asked) == 1 and ATTRIBUTES not in wanted:
                alone = self._read_one(path, asked[0], access_token, user_id)
                if alone is not None:
                    return [alone]
            return self._read_all(path, asked, wanted, access_token, user_id)
        except ClientError as exc:
            if exc.status_code == 404 and not {exc.type, exc.code} & _NO_SUCH_API:
                raise _no_signals() from exc
            raise

    @staticmethod
    def cost(codes: Iterable[str]) -> int:
        """Calls of the vehicle's monthly allowance that reading these codes takes."""
        return int(any(code != PERMISSIONS for code in codes))

    def disconnect(self, *, smartcar_id: str, access_token: str, user_id: str = "") -> None:
        """Give up our access to a car; the driver has to connect again to undo it.

        https://smartcar.com/docs/api-reference/delete-connection
        """
        for one in self._connections(access_token, user_id, smartcar_id):
            self._delete(f"{self._vehicles}/connections", one.id, access_token)

    def subscribe(
        self, *, smartcar_id: str, access_token: str, webhook_id: str, user_id: str = ""
    ) -> bool:
        """Let the car report to the webhook. False: it was asked for, and is done later.

        https://smartcar.com/docs/api-reference/create-subscription
        """
        wanted = {"webhookId": webhook_id, "userId": user_id, "vehicleId": smartcar_id}
        try:
            response = self._call(
                "POST",
                f"{self._management}/subscriptions",
                access_token,
                self._management_gate,
                json={"data": {"attributes": wanted}},
                repeatable=True,  # one that is there already is answered 409
            )
        except ClientError as exc:
            if exc.status_code == 409:
                return True
            raise
        return response.status_code != 202

    def unsubscribe(
        self, *, smartcar_id: str, access_token: str, webhook_id: str, user_id: str = ""
    ) -> None:
        """Let the car no longer report to the webhook; that it did not is what was wanted."""
        for one in self.list_subscriptions(access_token, webhook_id=webhook_id):
            if one.vehicle_id == smartcar_id and user_id in ("", one.user_id):
                self._delete(f"{self._management}/subscriptions", one.id, access_token)

    def list_subscriptions(self, access_token: str, *, webhook_id: str) -> list[Subscription]:
        """All cars that report to the webhook, or an error: never some of them."""
        params = {"filter[webhookId]": webhook_id}
        found = []
        for row in self._rows(f"{self._management}/subscriptions", access_token, params):
            one = answers.subscription(row)
            if one is None:
                raise transport.malformed(f"{PROVIDER}: GET subscriptions")
            found += [one] if one.webhook_id in ("", webhook_id) else []
        return found

    def _connections(
        self, access_token: str, user_id: str, vehicle_id: str
    ) -> list[ConnectionInfo]:
        params = {}
        if user_id:
            params["filter[userId]"] = user_id
        if vehicle_id:
            params["filter[vehicleId]"] = vehicle_id
        if self._config.mode != "live":
            params["filter[vehicle.mode]"] = self._config.mode
        found = []
        for row in self._rows(f"{self._vehicles}/connections", access_token, params):
            one = answers.connection(row)
            if one is None:
                raise transport.malformed(f"{PROVIDER}: GET connections")
            # A filter that is not heard must not give one driver another one's cars.
            if user_id in ("", one.user_id) and vehicle_id in ("", one.vehicle_id):
                found.append(one)
        return found

    def _read_one(self, path: str, code: str, access_token: str, user_id: str) -> Result | None:
        """The signal; None when it is refused alone: why stands among all signals."""
        ask = self._signals(f"{path}/{quote(code, safe='')}", access_token, user_id)
        try:
            response = ask({})
        except ClientError as exc:
            if exc.status_code == 404 or exc.outcome in _OF_THE_SIGNAL:
                return None
            raise
        answer = transport.read_json(response, f"{PROVIDER}: GET signals")
        row = answer.get("data") if isinstance(answer, dict) else None
        request_id = _request_id(response)
        return answers.signals([row], request_id=request_id).get(code) or _unanswered(
            code, request_id
        )

    def _read_all(
        self, path: str, asked: list[str], wanted: list[str], access_token: str, user_id: str
    ) -> list[Result]:
        # No size of a page is asked for: Smartcar then gives all at once.
        pages = list(self._pages(self._signals(path, access_token, user_id), "GET signals"))
        rows = [row for page, _answer, _response in pages for row in page]
        _page, first, response = pages[0]
        request_id = _request_id(response)
        found = answers.signals(rows, request_id=request_id)
        if not found:
            raise _no_signals()
        results = [found.get(code) or _unanswered(code, request_id) for code in asked]
        results += [
            result
            for code, result in found.items()
            if code not in asked and paths.is_system(code) and isinstance(result, SignalReading)
        ]
        described = answers.attributes(first, request_id=request_id)
        return results + ([described] if described and ATTRIBUTES in wanted else [])


def _request_id(response: requests.Response) -> str:
    return str(response.headers.get("SC-Request-Id") or "")


def _unanswered(code: str, request_id: str) -> SignalError:
    return SignalError(code=code, outcome=Outcome.RETRY, type="UNANSWERED", request_id=request_id)


def _no_signals() -> ClientError:
    """Some report that it is so for cars that are not subscribed to a webhook."""
    text = f"{PROVIDER}: GET signals: nothing is known of this car yet"
    return ClientError(text, outcome=Outcome.RETRY, type=NO_SIGNALS)
