"""What can go wrong when talking to a provider, sorted by what to do next."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any

# Stands around each call: may refuse it (ClientError), and hears when it failed.
Gate = Callable[[], AbstractContextManager[None]]


class Outcome(StrEnum):
    """What the caller should do about a failed call or a failed item of a batch."""

    RETRY = "retry"  # timeout, reset, 5xx, garbage: back off and try again
    WAIT = "wait"  # this vehicle or account was told to wait; see `retry_after`
    WAIT_ALL = "wait_all"  # the whole application was told to wait
    ASLEEP = "asleep"  # the car does not answer now: the next normal slot is soon enough
    REFRESH = "refresh"  # the access token was refused: refresh once and repeat once
    RECONNECT = "reconnect"  # only the driver, by connecting again, can mend it
    DRIVER = "driver"  # the driver has to do something in the maker's app or in the car
    NOT_GRANTED = "not_granted"  # the driver did not share this
    NOT_CAPABLE = "not_capable"  # this car cannot give this
    QUOTA = "quota"  # the plan's allowance for this vehicle is used up
    STOP = "stop"  # our own credentials or account are refused: stop everything, tell staff
    REJECTED = "rejected"  # understood and refused: repeating it changes nothing


class ClientError(Exception):
    """A provider call did not give what was asked for.

    `outcome` says what to do next. `may_have_happened` is True when the provider could have
    carried the request out although no answer came: such a call is never repeated blindly.
    The text names the provider, the call and the provider's own error type: never a token, a
    header or a whole body.
    """

    def __init__(
        self,
        message: str,
        *,
        outcome: Outcome,
        status_code: int | None = None,
        type: str = "",  # noqa: A002  the provider's own word for it
        code: str = "",
        retry_after: float | None = None,
        request_id: str = "",
        fields: dict[str, Any] | None = None,
        may_have_happened: bool = False,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.status_code = status_code
        self.type = type
        self.code = code
        self.retry_after = retry_after
        self.request_id = request_id
        self.fields = fields or {}
        self.may_have_happened = may_have_happened
