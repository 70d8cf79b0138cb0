"""Ask one car: with a token that works, once more when it is refused, and item by item."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from integrations.clients.errors import ClientError, Outcome
from integrations.clients.readings import IDENTITY, SignalError, SignalReading
from integrations.clients.smartcar_types import ConnectionInfo
from integrations.models import OAuthToken, Vehicle
from integrations.services import gates, tokens, vehicles
from integrations.services.tokens import TokenClient

logger = logging.getLogger(__name__)

Results = Sequence[SignalReading | SignalError]


class ReadClient(TokenClient, Protocol):
    def read(
        self, *, smartcar_id: str, access_token: str, codes: Sequence[str], user_id: str = ""
    ) -> list[SignalReading | SignalError]: ...

    def list_vehicles(self, access_token: str, user_id: str = "") -> list[ConnectionInfo]: ...

    def cost(self, codes: Sequence[str]) -> int: ...


def read(vehicle: Vehicle, codes: list[str], *, client: ReadClient, now: datetime) -> Results:
    """One request; once more after a refused access token; identity items asked for again.

    Raises ClientError when nothing could be read. A fault of our own becomes one too: a single
    car's answer must not keep the other cars from being read.
    """
    try:
        return _read(vehicle, codes, client, now)
    except ClientError:
        raise
    except Exception as exc:
        logger.exception("vehicle %s could not be read", vehicle.pk)
        raise internal(exc) from exc


def internal(exc: Exception) -> ClientError:
    """A fault of our own as a failed poll: it is shown, and the car backs off."""
    text = f"Internal error: {type(exc).__name__}"
    return ClientError(text, outcome=Outcome.RETRY, type="INTERNAL")


def _read(vehicle: Vehicle, codes: list[str], client: ReadClient, now: datetime) -> Results:
    token = tokens.of(vehicle.connection, client=client, now=now)
    if token is None:
        raise ClientError(tokens.NO_TOKEN, outcome=Outcome.RECONNECT)
    access = _access(token, client, now)
    try:
        results = _ask(vehicle, codes, client, access)
    except ClientError as exc:
        if exc.outcome is not Outcome.REFRESH:
            raise
        access = _access(token, client, now, refused=True)
        results = _read_again(vehicle, codes, client, access, now)
    return [*results, *_ask_alone(vehicle, results, client, access)]


def _access(token: OAuthToken, client: ReadClient, now: datetime, *, refused: bool = False) -> str:
    """That the application gets no token is no car's fault: nothing is asked, and it stays due."""
    try:
        return tokens.get_access_token(token, client=client, now=now, refused=refused)
    except ClientError as exc:
        if not client.has_application_token:
            raise
        raise ClientError(
            str(exc), outcome=exc.outcome, type=gates.OURS, retry_after=exc.retry_after
        ) from exc


def _ask(vehicle: Vehicle, codes: Sequence[str], client: ReadClient, access: str) -> Results:
    return client.read(
        smartcar_id=vehicle.smartcar_id,
        access_token=access,
        codes=codes,
        user_id=_user_of(vehicle),
    )


def _user_of(vehicle: Vehicle) -> str:
    return vehicle.connection.smartcar_user_id if vehicle.connection else ""


def _read_again(
    vehicle: Vehicle, codes: list[str], client: ReadClient, access: str, now: datetime
) -> Results:
    try:
        return _ask(vehicle, codes, client, access)
    except ClientError as exc:
        if exc.outcome is not Outcome.REFRESH:
            raise
        raise _explain_refusal(vehicle, client, access, exc, now) from exc


def _explain_refusal(
    vehicle: Vehicle, client: ReadClient, access: str, exc: ClientError, now: datetime
) -> ClientError:
    """A brand-new token is refused for this car: is it the car alone, or the whole consent?"""
    try:
        shared = client.list_vehicles(access, _user_of(vehicle))
    except ClientError as listing:
        outcome = listing.outcome
        if outcome is Outcome.REFRESH:
            # A driver's own token is refused for all; the application's says nothing of one driver.
            outcome = Outcome.RETRY if client.has_application_token else Outcome.RECONNECT
        return ClientError(str(listing), outcome=outcome, type=listing.type)
    listed = {one.vehicle_id for one in shared}
    # Without any car v3 may not know the consent at all; that it ended shows elsewhere.
    knows_it = bool(listed) or not client.has_application_token
    is_listed_here = vehicle.connection and vehicle.connection.listed_through == client.version
    if vehicle.smartcar_id not in listed and knows_it and is_listed_here:
        vehicles.end_access(vehicle, now=now)
    return ClientError(str(exc), outcome=Outcome.RETRY, type=exc.type)


def _ask_alone(
    vehicle: Vehicle, results: Results, client: ReadClient, access: str
) -> Iterator[SignalReading | SignalError]:
    """An identity item that the batch refused is asked for once by itself."""
    if not any(isinstance(result, SignalReading) for result in results):
        return
    for result in results:
        if (
            isinstance(result, SignalError)
            and result.code in IDENTITY
            and result.outcome in {Outcome.RETRY, Outcome.REJECTED}
        ):
            try:
                yield from _ask(vehicle, [result.code], client, access)
            except ClientError as exc:
                logger.info("vehicle %s: %s: %s", vehicle.pk, result.code, exc)
