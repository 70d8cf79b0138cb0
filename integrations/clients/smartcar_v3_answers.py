"""Reads what the v3 API answers; nothing in an answer is taken for granted.

Answers are JSON:API documents: https://smartcar.com/docs/api-reference/get-vehicle-connections
An answer that cannot be read gives None.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeGuard
from urllib.parse import parse_qsl, urlsplit

from integrations.clients.readings import ATTRIBUTES, SignalError, SignalReading
from integrations.clients.smartcar_signals import object_of, parse_moment, read_signal
from integrations.clients.smartcar_types import ConnectionInfo, Subscription, TokenPair
from integrations.clients.smartcar_v2_answers import is_text, lifetime

APPLICATION_TOKEN_LIFE = timedelta(hours=1)

Result = SignalReading | SignalError


def rows_of(answer: Any) -> list[Any] | None:
    """The resources of one page."""
    rows = answer.get("data") if isinstance(answer, dict) else None
    return rows if isinstance(rows, list) else None


def next_page(answer: Mapping[str, Any], *, pages: int, so_far: int) -> dict[str, str] | None:
    """Query parameters of the page after the first `pages`; None when there is no more.

    A link says it best. Without one the count does; the recorded answers of signals have neither
    a link nor more than one page.
    """
    links, meta = object_of(answer.get("links")), object_of(answer.get("meta"))
    if "next" in links:
        link = links["next"]
        return dict(parse_qsl(urlsplit(link).query)) if is_text(link) else None
    total = meta.get("totalCount")
    size = meta.get("pageSize")
    if not _is_count(total) or total <= so_far:
        return None
    page = {"page[number]": str(pages + 1)}
    return page | ({"page[size]": str(size)} if _is_count(size) else {})


def is_whole(answer: Mapping[str, Any], *, found: int) -> bool:
    """Whether all pages together hold as much as the last one says there is."""
    total = object_of(answer.get("meta")).get("totalCount")
    return not _is_count(total) or found >= total


def signals(rows: Iterable[Any], *, request_id: str) -> dict[str, Result]:
    """The signals by code. Of one code said twice the first counts."""
    found: dict[str, Result] = {}
    for row in rows:
        item = object_of(row)
        result = read_signal(item.get("attributes"), item.get("meta"), request_id=request_id)
        if result is not None:
            found.setdefault(result.code, result)
    return found


def attributes(answer: Any, *, request_id: str) -> SignalReading | None:
    """What the answer says beside the signals of what the car is."""
    vehicle = object_of(object_of(object_of(answer).get("included")).get("vehicle"))
    car = object_of(vehicle.get("attributes"))
    make, model, year = car.get("make"), car.get("model"), car.get("year")
    body = {
        "make": make if is_text(make) else None,
        "model": model if is_text(model) else None,
        "year": year if _is_count(year) else None,
    }
    if not any(body.values()):
        return None
    return SignalReading(code=ATTRIBUTES, body=body, recorded_at=None, request_id=request_id)


def connection(row: Any) -> ConnectionInfo | None:
    """One connection; `connected_at` is when the driver consented last."""
    item = object_of(row)
    meta, about = object_of(item.get("meta")), object_of(item.get("attributes"))
    user = _related(item, "user") or object_of(about.get("user")).get("id")
    vehicle = _related(item, "vehicle") or object_of(about.get("vehicle")).get("id")
    if not (is_text(item.get("id")) and is_text(user) and is_text(vehicle)):
        return None
    times = [parse_moment(meta.get(key)) for key in ("updatedAt", "createdAt")]
    names = about.get("permissions")
    return ConnectionInfo(
        id=str(item["id"]),
        user_id=str(user),
        vehicle_id=str(vehicle),
        connected_at=max((at for at in times if at), default=None),
        permissions=tuple(map(str, names)) if isinstance(names, list) else None,
    )


def subscription(row: Any) -> Subscription | None:
    """One subscription of a car to a webhook."""
    item = object_of(row)
    about = object_of(item.get("attributes"))
    ids = {
        name: about.get(f"{name}Id") or _related(item, name)
        for name in ("webhook", "user", "vehicle")
    }
    if not is_text(item.get("id")) or not is_text(ids["vehicle"]):
        return None
    return Subscription(
        id=str(item["id"]),
        webhook_id=str(ids["webhook"] or ""),
        user_id=str(ids["user"] or ""),
        vehicle_id=str(ids["vehicle"]),
    )


def application_token(answer: Any) -> TokenPair | None:
    """The token of a client-credentials answer; there is no refresh token."""
    given = object_of(answer)
    if not is_text(given.get("access_token")):
        return None
    return TokenPair(
        access_token=str(given["access_token"]),
        expires_in=lifetime(given.get("expires_in"), APPLICATION_TOKEN_LIFE),
    )


def _related(item: Mapping[str, Any], name: str) -> Any:
    """The id at relationships.<name>.data.id."""
    related = object_of(object_of(item.get("relationships")).get(name))
    return object_of(related.get("data")).get("id")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
