"""Every way in which an attempt at an outgoing message fails, as one kind of error."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from smtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPHeloError,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
)

from integrations.clients.errors import ClientError, Outcome
from integrations.models import OutboxEntry

logger = logging.getLogger(__name__)

MAIL_NEVER_SENT = (
    ConnectionRefusedError,
    socket.gaierror,
    SMTPConnectError,
    SMTPHeloError,
    SMTPAuthenticationError,
    SMTPSenderRefused,
)


@contextmanager
def as_client_error(entry: OutboxEntry) -> Iterator[None]:
    """Around a kind's handler: whatever it raises becomes a ClientError."""
    try:
        yield
    except ClientError:
        raise
    except SMTPRecipientsRefused as exc:
        raise ClientError("The address was refused", outcome=Outcome.REJECTED) from exc
    except MAIL_NEVER_SENT as exc:
        text = f"Mail server: {type(exc).__name__}"
        raise ClientError(text, outcome=Outcome.RETRY) from exc
    except (SMTPException, OSError) as exc:
        # After a lost connection the mail may be on its way; it is sent once more, with the
        # same Message-ID.
        text = f"Mail server: {type(exc).__name__}"
        raise ClientError(text, outcome=Outcome.RETRY, may_have_happened=True) from exc
    except Exception as exc:
        # A fault of ours in one message must not keep the others from being sent.
        logger.exception("%s", entry)
        text = f"Internal error: {type(exc).__name__}"
        raise ClientError(text, outcome=Outcome.RETRY, may_have_happened=True) from exc


def explain(exc: ClientError) -> str:
    """The failure in words, with the field messages of a refusal."""
    fields = "; ".join(
        f"{name}: {', '.join(map(str, texts)) if isinstance(texts, list) else texts}"
        for name, texts in exc.fields.items()
    )
    return f"{exc} ({fields})" if fields else str(exc)
