"""Write down what happened, for people who ask."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from integrations.models import Activity, Vehicle

PORTAL = "Fleet Portal"


def record(
    what: str,
    *,
    now: datetime,
    about: Model | None = None,
    vehicle: Vehicle | None = None,
    user: User | None = None,
    actor: str = "",
) -> Activity:
    """Append one line. `actor` defaults to the user, or to the portal itself."""
    if vehicle is None and isinstance(about, Vehicle):
        vehicle = about
    fields: dict[str, Any] = {}
    if about is not None:
        fields = {
            "content_type": ContentType.objects.get_for_model(about),
            "object_id": about.pk,
            "about_text": str(about)[:200],
        }
    return Activity.objects.create(
        at=now,
        what=str(what)[:255],
        vehicle=vehicle,
        user=user,
        actor=(actor or (user.get_username() if user else PORTAL))[:120],
        **fields,
    )
