"""System checks: what is missing before the portal can do its work."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004

from integrations.clients.fleetio import Move, parse_call


@register()
def credentials(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Half a set of credentials is a mistake; none at all switches the feature off."""
    found: list[CheckMessage] = []
    pairs = [
        ("Smartcar", "SMARTCAR_CLIENT_ID", "SMARTCAR_CLIENT_SECRET", "integrations.W001"),
        ("Fleetio", "FLEETIO_API_TOKEN", "FLEETIO_ACCOUNT_TOKEN", "integrations.W002"),
    ]
    for provider, first, second, check_id in pairs:
        if bool(getattr(settings, first)) != bool(getattr(settings, second)):
            hint = f"Set both {first} and {second}, or neither."
            found.append(
                Warning(f"{provider}'s credentials are incomplete.", hint=hint, id=check_id)
            )
    return found


@register()
def issue_calls(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A call that cannot be read would fail each time an issue is to be moved."""
    found: list[CheckMessage] = []
    for move in Move:
        try:
            parse_call(getattr(settings, move.setting), move)
        except ValueError as exc:
            text = f"{move.setting} cannot be used: {exc}."
            hint = f"Write it like PATCH /issues/{{id}}/{move}, or leave it empty."
            found.append(Error(text, hint=hint, id="integrations.E001"))
    return found


def load() -> None:
    """Importing this module registers the checks."""
