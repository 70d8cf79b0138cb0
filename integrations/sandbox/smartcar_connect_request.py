"""What Connect is asked with, and what makes it show an error page instead.

https://smartcar.com/docs/connect/redirect-to-connect and .../re-auth
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

Query = Mapping[str, list[str]]

# What is asked for without a `scope`; stands for the dashboard's "Vehicle Access".
READABLE = (
    "read_battery",
    "read_charge",
    "read_diagnostics",
    "read_engine_oil",
    "read_fuel",
    "read_location",
    "read_odometer",
    "read_security",
    "read_service_history",
    "read_tires",
    "read_vehicle_info",
    "read_vin",
)
OTHER_PERMISSIONS = (
    "read_alerts read_charge_events read_charge_locations read_charge_records read_climate "
    "read_compass read_extended_vehicle_info read_speedometer read_thermometer read_user_profile "
    "control_charge control_climate control_navigation control_pin control_security control_trunk"
)
PERMISSIONS = frozenset(READABLE) | frozenset(OTHER_PERMISSIONS.split())


class Refused(Exception):  # noqa: N818  an error page, not a failure of ours
    """A request that Connect answers with an error page instead of a redirect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An authorize request that passed its checks."""

    redirect_uri: str
    state: str
    mode: str
    permissions: tuple[str, ...]
    required: frozenset[str]
    vin: str
    is_single: bool
    make: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAgain:
    """A request to sign in at the car's maker again; `vehicle_id` as the portal wrote it."""

    redirect_uri: str
    state: str
    vehicle_id: str


def check_authorize(query: Query, client_id: str, redirect_uris: Collection[str]) -> Asked:
    """Return what /oauth/authorize asks for. Raises `Refused`."""
    redirect_uri = _check_sender(query, client_id, "code", redirect_uris)
    scope = param(query, "scope").split() or list(READABLE)
    names = tuple(dict.fromkeys(name.removeprefix("required:") for name in scope))
    if unknown := sorted(set(names) - PERMISSIONS):
        raise Refused(f"Application not authorized to request permission(s): {unknown}.")
    is_single = param(query, "single_select") == "true"
    return Asked(
        redirect_uri=redirect_uri,
        state=param(query, "state"),
        mode=param(query, "mode", "live"),
        permissions=names,
        required=frozenset(
            name.removeprefix("required:") for name in scope if name.startswith("required:")
        ),
        vin=param(query, "single_select_vin") if is_single else "",
        is_single=is_single,
        make=param(query, "make").upper(),
    )


def check_reauthenticate(
    query: Query, client_id: str, redirect_uris: Collection[str]
) -> AskedAgain:
    """Return what /oauth/reauthenticate asks for. Raises `Refused`."""
    return AskedAgain(
        redirect_uri=_check_sender(query, client_id, "vehicle_id", redirect_uris),
        state=param(query, "state"),
        vehicle_id=param(query, "vehicle_id"),
    )


def param(query: Query, name: str, default: str = "") -> str:
    """Return the first value of that name."""
    return query.get(name, [default])[0]


def _check_sender(
    query: Query, client_id: str, response_type: str, redirect_uris: Collection[str]
) -> str:
    if param(query, "client_id") != client_id:
        raise Refused("Invalid parameter client_id.")
    if param(query, "response_type") != response_type:
        raise Refused("Invalid parameter response_type.")
    uri = param(query, "redirect_uri")
    if not uri or (redirect_uris and uri not in redirect_uris):
        raise Refused("Invalid parameter redirect_uri.")
    return uri


def add_query(uri: str, parameters: Mapping[str, str]) -> str:
    """Return the redirect URI with the parameters that have a value."""
    parts = urlsplit(uri)
    # An absent state is not echoed as an empty one.
    added = urlencode({name: value for name, value in parameters.items() if value})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))
