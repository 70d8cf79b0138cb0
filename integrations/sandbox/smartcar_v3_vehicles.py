"""v3's vehicles and their signals: https://smartcar.com/docs/api-reference/get-signals"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from integrations.sandbox.cars import Car
from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_reads import iso
from integrations.sandbox.smartcar_signals import Signal, StoredSignal, look_up, signals_of
from integrations.sandbox.smartcar_subscriptions import Subscriptions
from integrations.sandbox.smartcar_tokens import Connection
from integrations.sandbox.smartcar_v3_connections import vehicle_attributes
from integrations.sandbox.smartcar_v3_errors import signal_error
from integrations.sandbox.smartcar_v3_pages import LARGEST_SIZE, page_asked, page_url

VEHICLE = "/v3/vehicles/([^/]+)"


class VehiclesV3:
    """What the application reads of a car, for the user named in `sc-user-id`."""

    def __init__(self, application: Application, subscriptions: Subscriptions) -> None:
        self._application = application
        self._subscriptions = subscriptions

    def add_routes(self) -> None:
        """Serve /v3/vehicles."""
        route = self._application.route
        route("GET", VEHICLE, self._vehicle)
        route("GET", VEHICLE + "/signals", self._signals)
        route("GET", VEHICLE + "/signals/([^/]+)", self._signal)

    def _vehicle(self, _: Request, vehicle_id: str) -> Reply:
        car = self._car(vehicle_id)
        rows = self._application.tokens.all_connections()
        connection = next((one for one in rows if one.vehicle_id == car.smartcar_id), None)
        if connection is None:
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        return json_reply({"data": self._render_vehicle(car, connection)})

    def _signals(self, request: Request, vehicle_id: str) -> Reply:
        car, connection = self._readable(request, vehicle_id)
        signals = signals_of(car)
        most = self._application.signals_page_size or max(1, len(signals))
        number, size = 1, most
        if self._application.signals_page_size:
            number, asked = page_asked(request, size=min(most, LARGEST_SIZE))
            size = min(asked, most)
        page = signals[(number - 1) * size : number * size]
        items = [self._item(request, car, connection, signal) for signal in page]
        links = {"self": self._url(car, "/signals")}
        if number * size < len(signals):
            links["next"] = page_url(request, self._application.origin, number + 1, size)
        meta = {"totalCount": len(signals), "pageSize": size, "pageNumber": number}
        included = {"vehicle": self._render_vehicle(car, connection)}
        return json_reply({"data": items, "meta": meta, "links": links, "included": included})

    def _signal(self, request: Request, vehicle_id: str, code: str) -> Reply:
        car, connection = self._readable(request, vehicle_id)
        for signal in signals_of(car):
            if signal.code == code:
                item = self._item(request, car, connection, signal)
                if "body" in item["attributes"]:
                    included = {"vehicle": self._render_vehicle(car, connection)}
                    return json_reply({"data": item, "included": included})
        raise SmartcarError(
            type="RESOURCE_NOT_FOUND", code="NOT_FOUND", description="There is no such signal."
        )

    def _car(self, vehicle_id: str) -> Car:
        car = self._application.find_car(vehicle_id)
        if car is None:
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        return car

    def _readable(self, request: Request, vehicle_id: str) -> tuple[Car, Connection]:
        """Check and count a read of signals."""
        user_id = request.headers.get("sc-user-id")
        if not user_id:
            description = "The header sc-user-id is required."
            raise SmartcarError(
                type="VALIDATION", code="MISSING_PARAMETER", description=description
            )
        car = self._car(vehicle_id)
        connection = self._application.tokens.connections.get((user_id, car.smartcar_id))
        if connection is None:
            raise SmartcarError(type="PERMISSION", code="UNKNOWN")
        if self._application.needs_subscription and not self._subscriptions.covers(connection):
            raise SmartcarError(type="RESOURCE_NOT_FOUND", code="NOT_FOUND")
        self._application.count_call(car)
        if car.error is not None:
            raise SmartcarError(type=car.error[0], code=car.error[1])
        return car, connection

    def _item(
        self, request: Request, car: Car, connection: Connection, signal: Signal
    ) -> dict[str, Any]:
        with self._application.fleet.lock:
            stored = look_up(signal, car, connection.permissions, self._application.clock())
        names = self._application.names(car)
        fault = self._application.faults.take(request, names=names, item=signal.code)
        if fault is not None and fault.error is not None:
            stored = replace(stored, error=fault.error)
        elif fault is not None and fault.alter is not None and stored.body is not None:
            stored = replace(stored, body=fault.alter(stored.body))
        elif fault is not None and fault.body is not None:
            stored = replace(stored, body=fault.body)
        return self._render(car, stored)

    def _render(self, car: Car, stored: StoredSignal) -> dict[str, Any]:
        """A body goes with its times; what never was had only says when that was noticed."""
        signal = stored.signal
        status: dict[str, Any] = {"value": "SUCCESS"}
        if stored.error is not None:
            status = {"value": "ERROR", "error": signal_error(*stored.error)}
        attributes = {
            "code": signal.code,
            "name": signal.name,
            "group": signal.group,
            "status": status,
        }
        if stored.body is not None:
            attributes["body"] = stored.body
        meta = {"ingestedAt": self._time(stored.fetched_at)}
        if stored.recorded_at is not None:
            meta["retrievedAt"] = self._time(stored.fetched_at)
            meta["oemUpdatedAt"] = self._time(stored.recorded_at)
        return {
            "id": signal.code,
            "type": "signal",
            "attributes": attributes,
            "meta": meta,
            "links": {"self": self._url(car, f"/signals/{signal.code}")},
        }

    def _render_vehicle(self, car: Car, connection: Connection) -> dict[str, Any]:
        return {
            "id": self._application.v3_id(car.smartcar_id),
            "type": "vehicle",
            "attributes": vehicle_attributes(car, connection),
            "links": {"self": self._url(car)},
        }

    def _url(self, car: Car, path: str = "") -> str:
        vehicle_id = self._application.v3_id(car.smartcar_id)
        return f"{self._application.origin}/v3/vehicles/{vehicle_id}{path}"

    def _time(self, moment: datetime) -> str | int:
        seconds = moment.astimezone(UTC).timestamp()
        match self._application.time_format:
            case "ms":
                return round(seconds * 1000)
            case "s":
                return int(seconds)
            case _:
                return iso(moment)
