"""A simulated fleet: drivers, cars and, through a seeded scenario, what happens to them."""

import random
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from integrations.sandbox.cars import CATALOGUE, SYSTEMS, Car, make_vin, readable_paths
from integrations.sandbox.scenario import Scenario, is_workday, noise

FIRST_NAMES = ("Maria", "James", "Aisha", "Chen", "Olga", "David", "Fatima", "Noah", "Priya", "Tom")
LAST_NAMES = ("Lopez", "Miller", "Khan", "Wei", "Novak", "Brown", "Haddad", "Clark", "Rao", "Berg")
# A working day, in UTC: the cars move between these hours only.
DAY_STARTS, DAY_ENDS = timedelta(hours=13), timedelta(hours=22)
REPORTS_EVERY = timedelta(minutes=30)
RESTS_REPORT_EVERY = timedelta(hours=6)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Driver:
    """A person with one account at the car makers; `user_id` is what Smartcar calls them."""

    name: str
    email: str
    user_id: str


class Fleet:
    """The cars, the same for the same seed. Thread-safe under `lock`.

    Driver `n` has the cars `n`, `n + drivers`, ...; the scenario starts at `started_at`.
    """

    def __init__(self, *, seed: int, vehicles: int, drivers: int, started_at: datetime) -> None:
        if vehicles < 0 or drivers < 1:
            raise ValueError("a fleet has at least one driver and no negative number of cars")
        self.seed = seed
        self.lock = threading.RLock()
        self.now = started_at.astimezone(UTC)
        rng = random.Random(seed)  # noqa: S311  a simulation, not a secret
        self.drivers = [_make_driver(rng, number) for number in range(drivers)]
        self.cars = [self._make_car(rng, number) for number in range(vehicles)]
        self.scenario = Scenario(seed=seed, started_at=self.now, cars=self.cars)

    def car(self, key: str) -> Car:
        """Return the car with that VIN or Smartcar id. Raises `KeyError`."""
        for car in self.cars:
            if key in (car.vin, car.smartcar_id):
                return car
        raise KeyError(key)

    def driver(self, key: str) -> Driver:
        """Return the driver with that e-mail address, name or user id. Raises `KeyError`."""
        for driver in self.drivers:
            if key.casefold() in (driver.email, driver.name.casefold(), driver.user_id):
                return driver
        raise KeyError(key)

    def cars_of(self, driver: Driver) -> list[Car]:
        """Return the cars in the driver's account."""
        return [car for car in self.cars if car.driver == driver.email]

    def add(self, car: Car) -> Car:
        """Put one more car into the fleet; the scenario leaves it alone."""
        with self.lock:
            self.cars.append(car)
        return car

    def advance(self, until: datetime) -> None:
        """Age every car up to `until`; a time already passed changes nothing."""
        with self.lock:
            while self.now < until:
                event = self.scenario.next_event()
                stop = min(until, event.at) if event.at > self.now else self.now
                if stop > self.now:
                    for car in self.cars:
                        self._age(car, self.now, stop)
                    self.now = stop
                if event.at <= self.now:
                    self.scenario.play_next()
            _report(self.cars, self.now)

    def _age(self, car: Car, start: datetime, end: datetime) -> None:
        day = start.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < end:
            begins, ends = max(start, day + DAY_STARTS), min(end, day + DAY_ENDS)
            if begins < ends and is_workday(day):
                share = (ends - begins) / (DAY_ENDS - DAY_STARTS)
                km = 40 + 110 * noise(self.seed, car.vin, day.toordinal())
                car.drive(km * share)
            day += DAY

    def _make_car(self, rng: random.Random, number: int) -> Car:
        model = CATALOGUE[number % len(CATALOGUE)]
        paths = readable_paths(model.make, is_electric=model.is_electric)
        has_systems = "/diagnostics/system_status" in paths
        serial = 100_000 + number * 37 + rng.randrange(37)
        return Car(
            vin=make_vin(model.wmi, model.year, serial),
            smartcar_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            make=model.make,
            model=model.model,
            year=model.year,
            name=f"{'Car' if model.is_electric else 'Van'} {number + 1}",
            driver=self.drivers[number % len(self.drivers)].email,
            is_electric=model.is_electric,
            size=model.size,
            recorded_at=self.now,
            odometer_km=round(rng.uniform(8_000, 140_000), 1),
            oil_life=rng.uniform(0.45, 0.98) if "/engine/oil" in paths else None,
            fuel=None if model.is_electric else rng.uniform(0.3, 0.95),
            battery=rng.uniform(0.4, 0.95) if model.is_electric else None,
            systems={f"SYSTEM_{name}": "OK" for name in SYSTEMS} if has_systems else {},
            location=(round(rng.uniform(42, 43), 4), round(rng.uniform(-84, -83), 4)),
            paths=paths,
        )


def _make_driver(rng: random.Random, number: int) -> Driver:
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    last = LAST_NAMES[(number + number // len(FIRST_NAMES)) % len(LAST_NAMES)]
    again = number // (len(FIRST_NAMES) * len(LAST_NAMES))
    suffix = str(again + 1) if again else ""
    email = f"{first}.{last}{suffix}@example.com".lower()
    name = f"{first} {last} {suffix}".strip()
    return Driver(name, email, str(uuid.UUID(int=rng.getrandbits(128), version=4)))


def _report(cars: Iterable[Car], now: datetime) -> None:
    """Date the cars' data: often while they work, seldom while they rest, never asleep."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    works = is_workday(now) and DAY_STARTS <= now - midnight <= DAY_ENDS
    every = REPORTS_EVERY if works else RESTS_REPORT_EVERY
    recorded_at = midnight + (now - midnight) // every * every
    for car in cars:
        if not car.is_asleep:
            car.recorded_at = max(car.recorded_at, recorded_at)
