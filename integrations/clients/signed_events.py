"""What events of all providers have in common: a signed body, read within bounds.

HMAC-SHA256 of the raw body in hexadecimal digits:
https://smartcar.com/docs/integrations/webhooks/best-practices/security and
https://developer.fleetio.com/docs/guides/webhooks/receiving-a-webhook-event-payload
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from integrations.clients.texts import text_of

_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")
_DEEPEST = 60  # whoever walks through the message later must not run out of stack
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


class NotAnEventError(ValueError):
    """The body is not an event of the provider. The text quotes nothing of it."""


def sign(key: str, message: bytes) -> str:
    """The signature of a message, which is also the answer to Smartcar's challenge.

    https://smartcar.com/docs/integrations/webhooks/callback-verification
    """
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def is_genuine(body: bytes, signature: str | None, keys: Sequence[str]) -> bool:
    """Whether the raw body was signed with one of the keys; while one changes there are two."""
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        return False
    genuine = False
    for key in filter(None, keys):  # anyone can sign with an empty one
        genuine |= hmac.compare_digest(sign(key, body), signature.lower())
    return genuine


def load(body: bytes) -> dict[str, Any]:
    """The object that a body holds, not too deep for anyone. Raises NotAnEventError."""
    try:
        message = json.loads(body.decode())
    except UnicodeDecodeError:
        raise NotAnEventError("not UTF-8") from None
    except json.JSONDecodeError:
        raise NotAnEventError("not JSON") from None
    except ValueError:  # JSON puts no limit to the length of a number
        raise NotAnEventError("a number too long to read") from None
    except RecursionError:
        raise NotAnEventError("nested too deep") from None
    if not isinstance(message, dict):
        raise NotAnEventError("not an object")
    if not _is_flat(body) and _is_deep(message):
        raise NotAnEventError("nested too deep")
    return message


def id_of_body(body: bytes) -> str:
    """The id of an event that names none: the same for the same body."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def first_text(values: Iterable[Any], *, longest: int) -> str:
    """The first of the values that is a text of a line."""
    return next(filter(None, (text_of(value, longest) for value in values)), "")


def _is_flat(body: bytes) -> bool:
    """Whether the brackets alone show it; a text that holds brackets may hide it. Walking through
    all that an event says would take longer than reading it.
    """
    brackets = body.translate(None, _NO_BRACKETS)
    for _ in range(_DEEPEST):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


def _is_deep(message: dict[str, Any]) -> bool:
    level: list[Any] = [message]
    for _ in range(_DEEPEST):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    return bool(level)
