"""Smartcar Connect: the page on which a driver shares cars, and the ways that can end.

https://smartcar.com/docs/connect/redirect-to-connect and .../handle-the-response
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from integrations.sandbox.cars import MOBILE_ONLY, Car
from integrations.sandbox.connect_page import render_page, render_refusal
from integrations.sandbox.fleet import Driver, Fleet
from integrations.sandbox.messages import Reply, Request, html_reply
from integrations.sandbox.smartcar_tokens import Tokens

# https://smartcar.com/docs/errors/connect-errors
CONNECT_ERRORS = {
    "access_denied": "User denied access to the requested scope of permissions.",
    "vehicle_incompatible": "The user's vehicle is not compatible.",
    "invalid_subscription": "The user's connected services subscription is not active.",
    "no_vehicles": "No vehicles found in the user's account.",
    "configuration_error": "There has been an error in the configuration of your application.",
    "server_error": "Unexpected server error. Please try again.",
}
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


class Connect:
    """The Connect page of one application; `redirect_uris` restricts them when not empty."""

    def __init__(self, fleet: Fleet, tokens: Tokens) -> None:
        self.fleet = fleet
        self.tokens = tokens
        self.redirect_uris: set[str] = set()

    def approve(
        self,
        authorize_url: str,
        *,
        driver: str = "",
        untick: Collection[str] = (),
        vehicles: Collection[str] | None = None,
    ) -> str:
        """Press Allow as `driver` (e-mail, name or user id) and return where Connect redirects.

        `untick` withholds permissions, `vehicles` (VINs or ids) shares only these cars. Raises
        `Refused` where a browser would see an error page.
        """
        query = parse_qs(urlsplit(authorize_url).query, keep_blank_values=True)
        asked = self._check(query)
        return self._allow(asked, self._driver(query, driver), set(untick), vehicles)

    def refuse(self, authorize_url: str, error: str = "access_denied", **extra: str) -> str:
        """End with one of `CONNECT_ERRORS` and return where Connect redirects."""
        query = parse_qs(urlsplit(authorize_url).query, keep_blank_values=True)
        return self._fail(self._check(query), error, extra)

    def revoke(self, driver: str) -> None:
        """Withdraw everything the driver shared, as the owner can at my.smartcar.com."""
        self.tokens.disconnect(user_id=self.fleet.driver(driver).user_id)

    def show(self, request: Request) -> Reply:
        """Answer GET /oauth/authorize with the page."""
        try:
            asked = self._check(request.query)
        except Refused as refused:
            return html_reply(render_refusal(str(refused)), 400)
        if error := request.param("simulate"):
            return self._redirect(self._fail(asked, error, self._error_details(request, asked)))
        driver = self._driver(request.query, "")
        page = render_page(
            query=request.query,
            drivers=self.fleet.drivers,
            driver=driver,
            cars=self._offered(asked, driver),
            permissions=asked.permissions,
            required=asked.required,
            errors=list(CONNECT_ERRORS),
        )
        # The page refers to nothing outside itself; this makes the browser insist on it.
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return html_reply(page, headers={"Content-Security-Policy": policy})

    def decide(self, request: Request) -> Reply:
        """Answer the page's form: POST /oauth/authorize with the query it was shown for.

        Fields: `decision` (allow or deny), `driver`, `permission` and `vehicle` (several). A
        field that is absent altogether, as from a script, means everything.
        """
        try:
            asked = self._check(request.query)
        except Refused as refused:
            return html_reply(render_refusal(str(refused)), 400)
        form = request.form()
        if form.get("decision", ["allow"])[0] != "allow":
            return self._redirect(self._fail(asked, "access_denied", {}))
        try:
            driver = self._driver(request.query, form.get("driver", [""])[0])
        except KeyError:
            return html_reply(render_refusal("There is no such account."), 400)
        ticked = form.get("permission", list(asked.permissions))
        untick = set(asked.permissions) - set(ticked)
        return self._redirect(self._allow(asked, driver, untick, form.get("vehicle")))

    def _check(self, query: Mapping[str, list[str]]) -> Asked:
        def param(name: str, default: str = "") -> str:
            return query.get(name, [default])[0]

        if param("client_id") != self.tokens.client_id:
            raise Refused("Invalid parameter client_id.")
        if param("response_type") != "code":
            raise Refused("Invalid parameter response_type.")
        uri = param("redirect_uri")
        if not uri or (self.redirect_uris and uri not in self.redirect_uris):
            raise Refused("Invalid parameter redirect_uri.")
        scope = param("scope").split() or list(READABLE)
        names = tuple(dict.fromkeys(name.removeprefix("required:") for name in scope))
        if unknown := sorted(set(names) - PERMISSIONS):
            raise Refused(f"Application not authorized to request permission(s): {unknown}.")
        return Asked(
            redirect_uri=uri,
            state=param("state"),
            mode=param("mode", "live"),
            permissions=names,
            required=frozenset(
                name.removeprefix("required:") for name in scope if name.startswith("required:")
            ),
            vin=param("single_select_vin") if param("single_select") == "true" else "",
            is_single=param("single_select") == "true",
            make=param("make").upper(),
        )

    def _driver(self, query: Mapping[str, list[str]], named: str) -> Driver:
        if named:
            return self.fleet.driver(named)
        for name in (query.get("driver", [""])[0], query.get("user", [""])[0]):
            # `user` is the portal's own word for the driver: it need not mean anything here.
            with suppress(KeyError):
                return self.fleet.driver(name)
        return self.fleet.drivers[0]

    def _offered(self, asked: Asked, driver: Driver) -> list[Car]:
        # A VIN wins over a make: https://smartcar.com/docs/connect/advanced-config/single-select
        cars = self.fleet.cars_of(driver)
        if asked.vin:
            return [car for car in cars if car.vin == asked.vin.upper()]
        return [car for car in cars if asked.make in ("", car.make)]

    def _allow(
        self, asked: Asked, driver: Driver, untick: set[str], wanted: Collection[str] | None
    ) -> str:
        offered = self._offered(asked, driver)
        cars = [car for car in offered if car.make not in MOBILE_ONLY]
        if offered and not cars:
            return self._fail(asked, "vehicle_incompatible", _car_details(offered[0]))
        if wanted is not None:
            cars = [car for car in cars if car.vin in wanted or car.smartcar_id in wanted]
        if not cars:
            return self._fail(asked, "no_vehicles", {})
        if asked.is_single:
            cars = cars[:1]
        withheld = untick - asked.required
        code = self.tokens.connect(
            user_id=driver.user_id,
            vehicle_ids=[car.smartcar_id for car in cars],
            permissions=[name for name in asked.permissions if name not in withheld],
            redirect_uri=asked.redirect_uri,
            mode=asked.mode,
        )
        return _add_query(asked.redirect_uri, {"code": code, "state": asked.state})

    def _fail(self, asked: Asked, error: str, extra: Mapping[str, str]) -> str:
        description = CONNECT_ERRORS.get(error, error)
        parameters = {"error": error, "error_description": description, "state": asked.state}
        return _add_query(asked.redirect_uri, {**parameters, **extra})

    def _error_details(self, request: Request, asked: Asked) -> dict[str, str]:
        error = request.param("simulate")
        if error == "configuration_error":
            return {"status_code": "400", "error_message": "A test VIN was used in live mode."}
        cars = self._offered(asked, self._driver(request.query, ""))
        return _car_details(cars[0]) if error == "vehicle_incompatible" and cars else {}

    def _redirect(self, url: str) -> Reply:
        return html_reply("", 302, {"Location": url})


def _car_details(car: Car) -> dict[str, str]:
    return {"vin": car.vin, "make": car.make, "model": car.model, "year": str(car.year)}


def _add_query(uri: str, parameters: Mapping[str, str]) -> str:
    parts = urlsplit(uri)
    # An absent state is not echoed as an empty one.
    added = urlencode({name: value for name, value in parameters.items() if value})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))
