"""What a fleet decides about trouble codes, and what follows: every car is looked at again."""

from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from integrations.services import activity
from maintenance.models import CodeOverride
from maintenance.services import wanted


@transaction.atomic
def save(override: CodeOverride, *, now: datetime, user: User | None = None) -> None:
    """Write a checked override; open alerts follow it within a minute."""
    what = "Code override changed" if override.pk else "Code override added"
    override.updated_at = now
    override.save()
    activity.record(f"{what}: {override}", now=now, about=override, user=user)
    wanted.look_again(now=now)


@transaction.atomic
def delete(overrides: Sequence[CodeOverride], *, now: datetime, user: User | None = None) -> None:
    """Take them back; the codes count as usual again."""
    for override in overrides:
        activity.record(f"Code override deleted: {override}", now=now, about=override, user=user)
        override.delete()
    wanted.look_again(now=now)


@transaction.atomic
def write_all(overrides: Sequence[CodeOverride], *, now: datetime, user: User | None) -> None:
    """Write many checked overrides at once, by their pattern: new ones and changed ones."""
    if not overrides:
        return
    for override in overrides:
        override.tidy()
        override.pk, override.updated_at = None, now
    CodeOverride.objects.bulk_create(
        sorted(overrides, key=lambda each: each.pattern),  # two imports at once take turns
        update_conflicts=True,
        unique_fields=["pattern"],
        update_fields=["severity", "is_ignored", "text", "note", "updated_at"],
    )
    activity.record(f"Code overrides imported: {len(overrides)} written", now=now, user=user)
    wanted.look_again(now=now)
