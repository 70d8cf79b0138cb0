"""Re-encrypt what is stored."""

from typing import Any

from integrations.management.base import PortalCommand
from integrations.models.encryption import DecryptionError
from integrations.services import secrets_at_rest


class Command(PortalCommand):
    help = "Re-encrypts stored secrets under the newest of FIELD_ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = secrets_at_rest.encrypt_again()
        except DecryptionError as exc:
            self.summary(str(exc), failed=True)
            return
        self.summary(f"{count} secrets are now under the newest key")
