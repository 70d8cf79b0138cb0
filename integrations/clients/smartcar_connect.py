"""Addresses of Smartcar Connect, where the driver is sent.

https://smartcar.com/docs/connect/redirect-to-connect
"""

from collections.abc import Sequence
from urllib.parse import urlencode

from integrations.clients.smartcar_types import SmartcarConfig


def authorize_url(
    config: SmartcarConfig,
    *,
    scope: Sequence[str],
    state: str,
    make: str = "",
    country: str = "",
    single_select_vin: str = "",
) -> str:
    """Where the driver consents, under v3: it wants the application's id, not the client's."""
    query = {
        "response_type": "code",
        "client_id": config.application_id,
        "application_id": config.application_id,  # what newer pages of the docs call it
        "redirect_uri": config.redirect_uri,
        "scope": " ".join(scope),
        "approval_prompt": "auto",
        "mode": config.mode,
        "state": state,
    }
    if make:
        query["make"] = make
    if country:
        query["flags"] = f"country:{country}"
    if single_select_vin:
        query |= {"single_select": "true", "single_select_vin": single_select_vin}
    return f"{config.connect_origin.rstrip('/')}/oauth/authorize?{urlencode(query)}"


def reauthenticate_url(
    config: SmartcarConfig, *, client_id: str, smartcar_id: str, state: str
) -> str:
    """Where the driver signs in at the maker again; the consent and its tokens stay as they are.

    https://smartcar.com/docs/connect/re-auth/redirect-to-connect
    """
    query = {
        "response_type": "vehicle_id",
        "client_id": client_id,
        "vehicle_id": smartcar_id,
        "redirect_uri": config.redirect_uri,
        "state": state,
    }
    return f"{config.connect_origin.rstrip('/')}/oauth/reauthenticate?{urlencode(query)}"
