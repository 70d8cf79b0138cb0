"""The application's webhook: https://smartcar.com/docs/integrations/webhooks"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from integrations.sandbox.cars import Car
from integrations.sandbox.smartcar_application import Application
from integrations.sandbox.smartcar_management import Management
from integrations.sandbox.smartcar_reads import iso
from integrations.sandbox.smartcar_subscriptions import Subscription, Subscriptions
from integrations.sandbox.smartcar_tokens import Connection
from integrations.sandbox.webhook_events import (
    FIRST_DELIVERY,
    Event,
    encode,
    error_data,
    new_event,
    plain_headers,
    sign,
    signals_data,
    signed,
    triggers_data,
    vehicle_data,
)
from integrations.sandbox.webhook_sender import Sender

ODOMETER = "odometer-traveleddistance"
# Seconds before each attempt: four within three minutes, then the event is dropped.
WAITS = (0, 25, 50, 100)


class Webhooks(Sender[Event]):
    """Tells of the subscribed cars. Off until `url` is set; how it sends is said at `Sender`.

    Deliveries run in the background; with `wait` they run here and now.
    """

    waits: Sequence[float] = WAITS

    def __init__(
        self, application: Application, management: Management, subscriptions: Subscriptions
    ) -> None:
        super().__init__(application.clock)
        self.name = "Fleet Portal"
        self._application = application
        self._management = management
        self._subscriptions = subscriptions
        subscriptions.on_new = self._greet

    def package(self, event: Event) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of one delivery, signed with the token of the moment."""
        return signed(event, token=self._management.token, now=self._clock())

    @property
    def webhook_id(self) -> str:
        """The id that cars are subscribed to."""
        return self._subscriptions.webhook_id

    def verify(self) -> bool:
        """Ask the callback to prove that it knows the management token, and check its answer.

        The request itself is not signed: .../webhooks/callback-verification
        """
        if self.url is None:
            raise RuntimeError("the webhook has no url")
        challenge, event_id = str(uuid.uuid4()), str(uuid.uuid4())
        meta = {
            "version": "4.0",
            "webhookId": self.webhook_id,
            "webhookName": self.name,
            "deliveryId": str(uuid.uuid4()),
            "deliveredAt": iso(self._application.clock()),
        }
        asked = {
            "eventId": event_id,
            "eventType": "VERIFY",
            "data": {"challenge": challenge},
            "meta": meta,
        }
        status, body = self.post(self.url, encode(asked), plain_headers())
        self.note(event_id, "VERIFY", 1, status)
        try:
            answer = json.loads(body)
        except ValueError:
            return False
        return status == 200 and answer == {
            "challenge": sign(challenge.encode(), self._management.token)
        }

    def send_test(self, *, wait: bool = False) -> Event:
        """Send what the dashboard's test button sends: a state of a car that does not exist."""
        odometer = {"code": ODOMETER, "name": "TraveledDistance", "group": "Odometer"}
        signal = {
            **odometer,
            "body": {"value": 12345, "unit": "km"},
            "meta": {"oemUpdatedAt": 1735689600000, "retrievedAt": 1735689660000},
            "status": {"value": "SUCCESS"},
        }
        data = {
            "user": {"id": str(uuid.uuid4())},
            "vehicle": {"id": str(uuid.uuid4()), "make": "TESLA", "model": "Model 3", "year": 2020},
            "signals": [signal],
        }
        triggers = [{"type": "SIGNAL_UPDATED", "signal": odometer}]
        event = self._new_event("VEHICLE_STATE", data, triggers, mode="TEST")
        self.dispatch([event], wait=wait)
        return event

    def report(
        self, car: Car, triggers: Iterable[str] = (ODOMETER,), *, wait: bool = False
    ) -> list[Event]:
        """Send the state of the car, once for each user subscribed with it.

        `triggers` are codes of signals, or FIRST_DELIVERY.
        """
        codes = list(triggers)
        events = [self.state(car, one, codes) for one in self._subscribers(car)]
        self.dispatch(events, wait=wait)
        return events

    def report_error(
        self,
        car: Car,
        type: str,  # noqa: A002  Smartcar's word
        code: str | None,
        state: str = "ERROR",
        signals: Iterable[str] | None = None,
        *,
        wait: bool = False,
    ) -> list[Event]:
        """Send an error of the car, or that it is RESOLVED, to each user subscribed with it.

        `signals` are the codes it is about; without them it is about the whole account.
        """
        error = error_data(car, type, code, state=state, signals=signals)
        events = []
        for connection in self._subscribers(car):
            vehicle_id = self._application.v3_id(car.smartcar_id)
            data = vehicle_data(car, connection, vehicle_id=vehicle_id) | {"errors": [error]}
            events.append(self._new_event("VEHICLE_ERROR", data))
        self.dispatch(events, wait=wait)
        return events

    def state(
        self, car: Car, connection: Connection, triggers: Iterable[str] = (ODOMETER,)
    ) -> Event:
        """Return the VEHICLE_STATE of the car for one user, without sending it."""
        vehicle_id = self._application.v3_id(car.smartcar_id)
        with self._application.fleet.lock:
            signals = signals_data(car, connection, now=self._application.clock())
        data = vehicle_data(car, connection, vehicle_id=vehicle_id) | {"signals": signals}
        return self._new_event("VEHICLE_STATE", data, triggers_data(car, triggers))

    def _new_event(
        self,
        event_type: str,
        data: Mapping[str, Any],
        triggers: Iterable[Mapping[str, Any]] | None = None,
        mode: str = "LIVE",
    ) -> Event:
        return new_event(
            event_type,
            data,
            now=self._application.clock(),
            webhook_id=self.webhook_id,
            webhook_name=self.name,
            triggers=triggers,
            mode=mode,
        )

    def _subscribers(self, car: Car) -> list[Connection]:
        found = [
            self._application.tokens.connections.get((one.user_id, one.vehicle_id))
            for one in self._subscriptions.all()
            if one.vehicle_id == car.smartcar_id
        ]
        return [connection for connection in found if connection is not None]

    def _greet(self, new: Subscription) -> None:
        """Send the first state; it may come before an accepted subscription is listed."""
        connection = self._application.tokens.connections.get((new.user_id, new.vehicle_id))
        if self.url is not None and connection is not None:
            car = self._application.fleet.car(new.vehicle_id)
            self.dispatch([self.state(car, connection, [FIRST_DELIVERY])], wait=False)
