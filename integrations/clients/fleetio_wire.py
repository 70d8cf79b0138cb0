"""How to speak with Fleetio: one attempt a call, ClientError otherwise.

https://developer.fleetio.com/docs/overview/quick-start. The API knows no idempotency key: an
error with `may_have_happened` must be looked up before it is repeated.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar

import requests

from integrations.clients import transport
from integrations.clients.errors import ClientError, Gate, Outcome
from integrations.clients.fleetio_values import ShapeError
from integrations.clients.retry_after import parse_retry_after

PROVIDER = "Fleetio"
VERSION = "2025-05-05"
READ_TIMEOUT = 20.0  # seconds
PER_PAGE = 100
MAX_PAGES = 500

_Record = TypeVar("_Record")
Read = Callable[[Mapping[str, Any]], _Record]


class FleetioWire:
    """One account. Each request passes `gate`."""

    def __init__(
        self,
        *,
        api_token: str,
        account_token: str,
        base_url: str,
        gate: Gate = nullcontext,
    ) -> None:
        self._account_token = account_token.strip()
        self._base_url = base_url.rstrip("/")
        self._gate = gate
        self._headers = {
            "Authorization": f"Token {api_token.strip()}",
            # Pinned: a key made under another version would change paths and list shapes.
            "X-Api-Version": VERSION,
            "Accept": "application/json",
            "User-Agent": "fleet-portal",
        }

    def _all(self, path: str, params: Mapping[str, str], read: Read[_Record]) -> list[_Record]:
        where = f"{PROVIDER}: GET {path}"
        try:
            return [read(row) for row in self._rows(path, params)]
        except ShapeError:
            pass
        raise transport.malformed(where)

    def _rows(self, path: str, params: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """All rows of all pages: https://developer.fleetio.com/docs/overview/pagination"""
        label = f"GET {path}"
        cursor = ""
        for _ in range(MAX_PAGES):
            query = {**params, "per_page": str(PER_PAGE)}
            if cursor:
                query["start_cursor"] = cursor
            response = self._request("GET", path, params=query)
            page = self._json(response, label)
            if isinstance(page, list):
                raise ClientError(
                    f"{PROVIDER}: {label}: a list without pages, version {VERSION} is not honoured",
                    outcome=Outcome.REJECTED,
                    status_code=response.status_code,
                    type="VERSION",
                )
            rows = page.get("records") if isinstance(page, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ShapeError
            yield from rows
            following = page.get("next_cursor")
            if following is None or following == "":
                return
            if str(following) == cursor:
                raise ShapeError
            cursor = str(following)
        raise ShapeError  # an answer without an end is not taken for a whole one

    def _one(
        self, path: str, read: Read[_Record], params: Mapping[str, str] | None = None
    ) -> _Record:
        response = self._request("GET", path, params=params)
        return self._record(response, f"GET {path}", read)

    def _create(self, path: str, body: Mapping[str, Any], read: Read[_Record]) -> _Record:
        response = self._request("POST", path, json=body)
        return self._record(response, f"POST {path}", read, may_have_happened=True)

    def _record(
        self,
        response: requests.Response,
        label: str,
        read: Read[_Record],
        *,
        may_have_happened: bool = False,
    ) -> _Record:
        answer = self._json(response, label, may_have_happened=may_have_happened)
        if isinstance(answer, dict):
            try:
                return read(answer)
            except ShapeError:
                pass
        where = f"{PROVIDER}: {label}"
        raise transport.malformed(where, response, may_have_happened=may_have_happened)

    def _json(
        self, response: requests.Response, label: str, *, may_have_happened: bool = False
    ) -> Any:
        where = f"{PROVIDER}: {label}"
        return transport.read_json(response, where, may_have_happened=may_have_happened)

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        names_account: bool = True,
        repeatable: bool | None = None,
    ) -> requests.Response:
        account = {"Account-Token": self._account_token} if names_account else {}
        with self._gate():
            return transport.request(
                method,
                self._base_url + path,
                read_timeout=READ_TIMEOUT,
                provider=PROVIDER,
                label=f"{method} {path}",
                classify=_error,
                repeatable=repeatable,
                headers={**self._headers, **account},
                params=params,
                json=json,
            )


_OUTCOMES = {401: Outcome.STOP, 408: Outcome.RETRY, 429: Outcome.WAIT_ALL}


def _error(response: requests.Response, where: str) -> ClientError:
    """https://developer.fleetio.com/docs/overview/response-codes

    The status decides: bodies are empty, plain text, a map of fields or a problem object.
    """
    status = response.status_code
    error = transport.status_error(response, where)
    error.outcome = _OUTCOMES.get(status, error.outcome)
    error.retry_after = parse_retry_after(
        response.headers.get("Retry-After"), sent_at=response.headers.get("Date")
    )
    if status == 422:
        error.fields = _fields(response)
    return error


def _without_keys(response: requests.Response) -> str:
    """The body, which may quote what we proved ourselves with."""
    text = response.text
    for name in ("Authorization", "Account-Token"):
        sent = str(response.request.headers.get(name) or "").removeprefix("Token ")
        text = text.replace(sent, "***") if sent else text
    return text


def _fields(response: requests.Response) -> dict[str, Any]:
    """Messages by field, as Fleetio gives them; what names no field is under `base`."""
    try:
        body = json.loads(_without_keys(response))
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    errors = body.get("errors", body.get("error", body.get("detail")))
    if isinstance(errors, dict):
        return {str(field): messages for field, messages in errors.items()}
    return {"base": errors if isinstance(errors, list) else [str(errors)]} if errors else {}
