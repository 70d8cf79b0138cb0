"""Every column that is stored encrypted, whichever app it belongs to."""

from collections.abc import Iterator

from django.apps import apps
from django.db import transaction
from django.db.models import Model

from integrations.models import OAuthToken
from integrations.models.encryption import EncryptedTextField
from integrations.services import token_sweeps


def encrypt_again() -> int:
    """Write every stored secret anew, under the newest key; returns how many rows.

    Raises DecryptionError when a stored secret cannot be opened; what was done before stays done.
    """
    done = token_sweeps.encrypt_again()
    for model, columns in _others():
        rows = model._default_manager.order_by("pk")
        for pk in list(rows.values_list("pk", flat=True)):
            with transaction.atomic():  # so that what is changed meanwhile is not written back
                row = rows.select_for_update().only("pk", *columns).filter(pk=pk).first()
                if row is not None and any(getattr(row, column) for column in columns):
                    row.save(update_fields=columns)
                    done += 1
    return done


def _others() -> Iterator[tuple[type[Model], list[str]]]:
    """Tokens have a version of their own, and are exchanged at any moment."""
    for model in apps.get_models():
        fields = model._meta.concrete_fields
        columns = [field.name for field in fields if isinstance(field, EncryptedTextField)]
        if columns and model is not OAuthToken:
            yield model, columns
