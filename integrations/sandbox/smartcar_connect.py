"""Smartcar Connect: the page on which a driver shares cars, and the ways that can end.

https://smartcar.com/docs/connect/redirect-to-connect, .../handle-the-response and .../re-auth
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from integrations.sandbox.cars import MOBILE_ONLY, Car
from integrations.sandbox.connect_page import render_page, render_refusal, render_sign_in
from integrations.sandbox.fleet import Driver
from integrations.sandbox.messages import Reply, Request, html_reply
from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_connect_request import (
    Asked,
    AskedAgain,
    Query,
    Refused,
    add_query,
    check_authorize,
    check_reauthenticate,
    param,
)

# https://smartcar.com/docs/errors/connect-errors
CONNECT_ERRORS = {
    "access_denied": "User denied access to the requested scope of permissions.",
    "vehicle_incompatible": "The user's vehicle is not compatible.",
    "invalid_subscription": "The user's connected services subscription is not active.",
    "no_vehicles": "No vehicles found in the user's account.",
    "configuration_error": "There has been an error in the configuration of your application.",
    "server_error": "Unexpected server error. Please try again.",
}
# What signing in again mends.
SIGNED_OUT = ("CONNECTED_SERVICES_ACCOUNT", "AUTHENTICATION_FAILED")
# The pages refer to nothing outside themselves; this makes the browser insist on it.
POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


class Connect:
    """The Connect page of one application; `redirect_uris` restricts them when not empty.

    `gives_user_id` names the parameter of a success that carries the user's id, "" for none: the
    docs write it `user_id` and `userId`, and before v3 there was none.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.fleet = application.fleet
        self.tokens = application.tokens
        self.redirect_uris: set[str] = set()
        self.gives_user_id = "user_id"

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
        query = _query_of(authorize_url)
        asked = self._check(query)
        return self._allow(asked, self._driver(query, driver), set(untick), vehicles)

    def refuse(self, authorize_url: str, error: str = "access_denied", **extra: str) -> str:
        """End with one of `CONNECT_ERRORS` and return where Connect redirects."""
        query = _query_of(authorize_url)
        return self._fail(self._check(query), error, extra)

    def reauthenticate(self, url: str) -> str:
        """Sign in at the car's maker again and return where Connect redirects: without a code.

        Raises `Refused` where a browser would see an error page.
        """
        return self._sign_in(self._check_again(_query_of(url)))

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
        return html_reply(page, headers=POLICY)

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

    def show_sign_in(self, request: Request) -> Reply:
        """Answer GET /oauth/reauthenticate with the page, POST with what its button does."""
        try:
            asked = self._check_again(request.query)
        except Refused as refused:
            return html_reply(render_refusal(str(refused)), 400)
        if request.method == "POST":
            return self._redirect(self._sign_in(asked))
        car = self._car(asked.vehicle_id)
        return html_reply(render_sign_in(query=request.query, car=car), headers=POLICY)

    def _check(self, query: Query) -> Asked:
        return check_authorize(query, self.tokens.client_id, self.redirect_uris)

    def _check_again(self, query: Query) -> AskedAgain:
        asked = check_reauthenticate(query, self.tokens.client_id, self.redirect_uris)
        self._car(asked.vehicle_id)
        return asked

    def _car(self, vehicle_id: str) -> Car:
        """Return the connected car, named by its id of either generation."""
        for one in self.tokens.all_connections():
            if vehicle_id in (one.vehicle_id, self.application.v3_id(one.vehicle_id)):
                return self.fleet.car(one.vehicle_id)
        raise Refused("Invalid parameter vehicle_id.")

    def _sign_in(self, asked: AskedAgain) -> str:
        car = self._car(asked.vehicle_id)
        if car.error == SIGNED_OUT:
            car.error = None
        parameters = {"vehicle_id": asked.vehicle_id, "state": asked.state}
        return add_query(asked.redirect_uri, parameters)

    def _driver(self, query: Query, named: str) -> Driver:
        if named:
            return self.fleet.driver(named)
        for name in (param(query, "driver"), param(query, "user")):
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
        who = {self.gives_user_id: driver.user_id} if self.gives_user_id else {}
        return add_query(asked.redirect_uri, {"code": code, **who, "state": asked.state})

    def _fail(self, asked: Asked, error: str, extra: Mapping[str, str]) -> str:
        description = CONNECT_ERRORS.get(error, error)
        parameters = {"error": error, "error_description": description, "state": asked.state}
        return add_query(asked.redirect_uri, {**parameters, **extra})

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


def _query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, keep_blank_values=True)
