"""Calls of the v3 API as they go over the wire: the token, the headers, page after page."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

import requests

from integrations.clients import smartcar_errors, transport
from integrations.clients import smartcar_v3_answers as answers
from integrations.clients.errors import ClientError, Gate, Outcome
from integrations.clients.smartcar_types import SmartcarConfig, TokenPair

PROVIDER = "Smartcar"
TOKEN_TIMEOUT = LIST_TIMEOUT = 15.0  # seconds
PAGE = "50"
MAX_PAGES = 200

Params = Mapping[str, str]
Page = tuple[list[Any], Mapping[str, Any], requests.Response]


class Wire:
    """Each call about a car passes `gate`, each to the token endpoint `token_gate`, and each about
    connections and subscriptions `management_gate`.
    """

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
        self._vehicles = config.vehicle_v3_origin.rstrip("/") + "/v3"
        self._management = config.management_v3_origin.rstrip("/") + "/v3"

    def request_token(self) -> TokenPair:
        """A token for the application, by client credentials; it lives an hour.

        https://smartcar.com/docs/api-reference/authorization/request-access-token
        """
        if not (self._config.v3_client_id and self._config.v3_client_secret):
            text = f"{PROVIDER}: client id and secret are not set"
            raise ClientError(text, outcome=Outcome.STOP, type="NOT_CONFIGURED")
        label = "application token"
        with self._token_gate():
            response = transport.request(
                "POST",
                self._config.iam_origin,
                read_timeout=TOKEN_TIMEOUT,
                provider=PROVIDER,
                label=label,
                classify=smartcar_errors.oauth_error,
                repeatable=True,  # each call gives another token, none spends anything
                data={
                    "grant_type": "client_credentials",
                    "client_id": self._config.v3_client_id,
                    "client_secret": self._config.v3_client_secret,
                },
            )
            where = f"{PROVIDER}: {label}"
            pair = answers.application_token(transport.read_json(response, where))
        if pair is None:
            raise transport.malformed(where, response)
        return pair

    def _signals(self, path: str, access_token: str, user_id: str) -> Callable[[Params], Any]:
        """Asks for signals of a car, as its driver's application."""

        def ask(params: Params) -> requests.Response:
            headers = {"sc-user-id": user_id} if user_id else {}
            url = f"{self._vehicles}{path}"
            return self._call("GET", url, access_token, self._gate, params=params, headers=headers)

        return ask

    def _rows(self, url: str, access_token: str, params: Params) -> list[Any]:
        """All rows of a list, or an error: never some of them."""

        def ask(more: Params) -> requests.Response:
            # A link says which page it means; a number beside it would say another.
            asked = {"page[size]": PAGE, **params, **(more or {"page[number]": "1"})}
            return self._call("GET", url, access_token, self._management_gate, params=asked)

        pages = list(self._pages(ask, _label("GET", url)))
        rows = [row for page, _answer, _response in pages for row in page]
        if not answers.is_whole(pages[-1][1], found=len(rows)):
            raise transport.malformed(f"{PROVIDER}: {_label('GET', url)}")
        return rows

    @staticmethod
    def _pages(ask: Callable[[Params], requests.Response], label: str) -> Iterator[Page]:
        """Page after page; of what there is to add to the query only the next page is said."""
        where, found = f"{PROVIDER}: {label}", 0
        params: Params = {}
        for pages in range(1, MAX_PAGES + 1):
            response = ask(params)
            answer = transport.read_json(response, where)
            rows = answers.rows_of(answer)
            if rows is None:
                raise transport.malformed(where, response)
            found += len(rows)
            yield rows, answer, response
            following = answers.next_page(answer, pages=pages, so_far=found)
            if following is None:
                return
            if following == params or not rows:
                break
            params = following
        raise transport.malformed(f"{where} has no end")

    def _delete(self, url: str, id_: str, access_token: str) -> None:
        """That it is gone already is what was wanted."""
        try:
            url = f"{url}/{quote(id_, safe='')}"
            self._call("DELETE", url, access_token, self._management_gate)
        except ClientError as exc:
            if exc.status_code != 404:
                raise

    def _call(
        self,
        method: str,
        url: str,
        access_token: str,
        gate: Gate,
        *,
        params: Params | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> requests.Response:
        with gate():
            return transport.request(
                method,
                url,
                # Cars are slow, lists are not; and a driver may be waiting for those.
                read_timeout=self._config.read_timeout if gate is self._gate else LIST_TIMEOUT,
                provider=PROVIDER,
                label=_label(method, url),
                classify=smartcar_errors.api_error,
                repeatable=repeatable,
                headers={"Authorization": f"Bearer {access_token}", **(headers or {})},
                params=params,
                json=json,
            )


def _label(method: str, url: str) -> str:
    """The call without ids: `GET signals`."""
    known = ("signals", "connections", "subscriptions")
    return f"{method} {next((word for word in known if f'/{word}' in url), 'call')}"
