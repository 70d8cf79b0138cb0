"""What an issue is made without, so that nothing beside it keeps it from being made."""

from collections.abc import Iterator
from contextlib import contextmanager

from integrations.clients.errors import ClientError, Outcome


@contextmanager
def done_without(flaw: str, flaws: list[str], *, patient: bool) -> Iterator[None]:
    """Around calls for what an issue can go without: when they fail, that is only said in `flaws`.

    What may succeed later raises ClientError while we are `patient`. Where nobody answered, or
    the account has to wait, it always does: the issue would fare no better.
    """
    try:
        yield
    except ClientError as exc:
        is_failing = exc.outcome is Outcome.RETRY and exc.status_code is not None
        if exc.outcome is not Outcome.REJECTED and (patient or not is_failing):
            raise
        flaws.append(f"{flaw}: {exc}")
