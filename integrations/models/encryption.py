"""Text that is encrypted in the database and nowhere else.

Fails closed: a value that none of the keys opens raises, it is never handed out as it stands in
the database (an encrypted text sent as a refresh token would end a connection for good).
"""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class DecryptionError(Exception):
    """A stored secret cannot be opened with any of FIELD_ENCRYPTION_KEYS."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as exc:
        raise ImproperlyConfigured(
            "FIELD_ENCRYPTION_KEYS holds something that is not a Fernet key."
        ) from exc


def encrypt(text: str) -> str:
    """Encrypt under the newest key."""
    return _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """Open a stored value with any of the keys, or raise DecryptionError."""
    try:
        return _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise DecryptionError(
            "A stored secret cannot be opened: FIELD_ENCRYPTION_KEYS lacks the key it was"
            " written with. Put that key back (at the end of the list) and try again."
        ) from None


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """A text that only code sees in clear. Empty stays empty. It cannot be searched."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return encrypt(value) if value else value

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return decrypt(value) if value else value
