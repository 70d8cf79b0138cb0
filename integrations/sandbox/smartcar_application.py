"""One application at Smartcar: what both generations of the API share, and what may be set."""

import threading
from collections import Counter
from datetime import timedelta

from integrations.sandbox.cars import Car
from integrations.sandbox.fleet import Fleet
from integrations.sandbox.messages import Clock
from integrations.sandbox.server import StubServer
from integrations.sandbox.smartcar_errors import SmartcarError
from integrations.sandbox.smartcar_iam import IAM
from integrations.sandbox.smartcar_tokens import Tokens


class Application(StubServer):
    """The application's connections, tokens and limits.

    To be set, all off at first:
    `monthly_limit` calls per vehicle are answered in a calendar month, then 430;
    `bucket` calls fit the application's bucket, refilled with two a minute, then 429;
    `v3_ids` gives cars (by their v2.0 id) another id in v3;
    `signals_page_size` is the most signals v3 puts into one page;
    `needs_subscription` answers 404 for signals of cars not subscribed to the webhook;
    `subscription_delay` is how long a v3 subscription is accepted before it is listed.
    `time_format` of v3's signals is "iso", "ms" or "s": all three have been seen or documented.
    """

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        *,
        client_id: str,
        client_secret: str,
        v3_client_id: str,
        v3_client_secret: str,
    ) -> None:
        super().__init__(clock)
        self.fleet = fleet
        self.tokens = Tokens(clock, client_id=client_id, client_secret=client_secret)
        self.iam = IAM(clock, client_id=v3_client_id, client_secret=v3_client_secret)
        self.monthly_limit: int | None = None
        self.bucket: int | None = None
        self.v3_ids: dict[str, str] = {}
        self.signals_page_size: int | None = None
        self.needs_subscription = False
        self.subscription_delay = timedelta()
        self.time_format = "iso"
        self._calls: Counter[tuple[str, int, int]] = Counter()
        self._count_lock = threading.Lock()
        self._bucket_used, self._bucket_at = 0.0, clock()

    def v3_id(self, vehicle_id: str) -> str:
        """Return the v3 id of the car with that v2.0 id."""
        return self.v3_ids.get(vehicle_id, vehicle_id)

    def find_car(self, v3_id: str) -> Car | None:
        """Return the car with that v3 id."""
        cars = (car for car in self.fleet.cars if self.v3_id(car.smartcar_id) == v3_id)
        return next(cars, None)

    def names(self, car: Car) -> frozenset[str]:
        """Return what a fault may call the car: its ids and its VIN."""
        return frozenset({car.smartcar_id, self.v3_id(car.smartcar_id), car.vin})

    def calls(self, vehicle: str, *, year: int | None = None, month: int | None = None) -> int:
        """Return how many calls the car (VIN or id) was charged for in a month: now's by default.

        Each path of a batch counts: https://smartcar.com/docs/api-reference/batch
        A request for v3's signals counts once, whatever it returns.
        """
        now = self.clock()
        key = (self.fleet.car(vehicle).smartcar_id, year or now.year, month or now.month)
        with self._count_lock:
            return self._calls[key]

    def count_call(self, car: Car) -> None:
        """Charge the car for one call. Raises when its month is used up."""
        now = self.clock()
        key = (car.smartcar_id, now.year, now.month)
        with self._count_lock:
            if self.monthly_limit is not None and self._calls[key] >= self.monthly_limit:
                raise SmartcarError(type="BILLING", code="VEHICLE_REQUEST_LIMIT")
            self._calls[key] += 1

    def check_bucket(self) -> None:
        """Take one from the bucket. Refill 2 a minute: https://smartcar.com/docs/help/api-limits"""
        if self.bucket is None:
            return
        with self._count_lock:
            now = self.clock()
            refilled = max(now - self._bucket_at, timedelta()) / timedelta(minutes=1) * 2
            self._bucket_used = max(0.0, self._bucket_used - refilled)
            self._bucket_at = now
            if self._bucket_used > self.bucket - 1:
                raise SmartcarError(type="RATE_LIMIT", code="SMARTCAR_API")
            self._bucket_used += 1
