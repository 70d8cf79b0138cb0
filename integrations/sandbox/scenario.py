"""What happens to the cars, and when: a script of eight weeks that repeats with other cars."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from integrations.sandbox.cars import WHEELS, Car, only

CYCLE = timedelta(weeks=8)
TROUBLE_CODES = ("P0420", "P0301", "P0171", "P0442", "C0035")
NONSENSE_ODOMETERS = (4_294_967_295.0, 0.0)
SATURDAY = 5


def is_workday(moment: datetime) -> bool:
    """Is this a day on which the fleet works?"""
    return moment.weekday() < SATURDAY


def noise(seed: int, *parts: object) -> float:
    """Return a number in [0, 1), always the same for the same arguments."""
    text = ":".join(map(str, (seed, *parts)))
    return zlib.crc32(text.encode()) / 2**32


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a car at a moment."""

    at: datetime
    what: str
    happen: Callable[[], None]


class Scenario:
    """The events in order of time, without end; made eight weeks at a time."""

    def __init__(self, *, seed: int, started_at: datetime, cars: Sequence[Car]) -> None:
        self._seed = seed
        self._started_at = started_at
        self._cars = list(cars)
        self._cycle = 0
        self._waiting: list[Event] = []
        for car in self._worn():
            car.oil_life = 0.215

    def next_event(self) -> Event:
        """Return the event that happens next."""
        while not self._waiting:
            self._waiting = sorted(self._write_cycle(), key=lambda event: event.at)
            self._cycle += 1
        return self._waiting[0]

    def play_next(self) -> None:
        """Let the next event happen."""
        event = self.next_event()
        self._waiting.remove(event)
        event.happen()

    def _worn(self) -> list[Car]:
        return self._pick(only(self._cars, "/engine/oil"), 2)

    def _pick(self, cars: Sequence[Car], count: int, salt: str = "") -> list[Car]:
        """Return up to `count` of the cars; another cycle, another choice."""
        chosen = sorted(cars, key=lambda car: noise(self._seed, salt, self._cycle, car.vin))
        return chosen[:count]

    def _workday(self, number: int, hour: int) -> datetime:
        """Return the hour on the `number`-th working day after the cycle's start."""
        start = self._started_at + self._cycle * CYCLE
        day = start.replace(hour=hour, minute=0, second=0, microsecond=0)
        while number:
            day += timedelta(days=1)
            number -= is_workday(day)
        return day

    def _write_cycle(self) -> list[Event]:
        events = [Event(self._workday(1, 0), "a new cycle begins", lambda: None)]
        worn = self._worn()
        events += [self._event(1, 1, "oil is low", car, _wear_oil) for car in worn]
        events += [self._event(6, 16, "oil is changed", car, _change_oil) for car in worn[:1]]
        events += [
            self._event(30, 17, "worn oil is changed", car, _change_worn_oil)
            for car in only(self._cars, "/engine/oil")
        ]
        events += self._diagnostics()
        events += self._absences()
        return events

    def _diagnostics(self) -> list[Event]:
        events: list[Event] = []
        for place, car in enumerate(self._pick(only(self._cars, "/diagnostics/dtcs"), 2, "dtc")):
            code = TROUBLE_CODES[(2 * self._cycle + place) % len(TROUBLE_CODES)]
            events += [
                self._event(2 + place, 15, f"{code} appears", car, _appear(code)),
                self._event(7 + place, 15, f"{code} clears", car, _clear(code)),
            ]
        for car in self._pick(only(self._cars, "/diagnostics/system_status"), 1, "status"):
            events += [
                self._event(2, 14, "a tire loses air", car, _lose_air),
                self._event(5, 14, "the tire is mended", car, _mend_tire),
            ]
        return events

    def _absences(self) -> list[Event]:
        events: list[Event] = []
        worn = self._worn()
        spared = [car for car in self._cars if car not in worn]
        cars = self._pick(spared, 3, "absence")
        for car in cars[:1]:
            events += [
                self._event(4, 0, "falls asleep", car, _sleep(asleep=True)),
                self._event(5, 0, "wakes up", car, _sleep(asleep=False)),
            ]
        for car in cars[1:2]:
            events += [
                self._event(1, 2, "is parked", car, _park(parked=True)),
                self._event(20, 2, "is used again", car, _park(parked=False)),
            ]
        for car in cars[2:3]:
            value = NONSENSE_ODOMETERS[self._cycle % len(NONSENSE_ODOMETERS)]
            events.append(self._event(3, 15, "reports nonsense once", car, _nonsense(value)))
        return events

    def _event(
        self, day: int, hour: int, what: str, car: Car, happen: Callable[[Car], None]
    ) -> Event:
        return Event(self._workday(day, hour), f"{car.name}: {what}", lambda: happen(car))


def _wear_oil(car: Car) -> None:
    car.oil_life = min(car.oil_life or 0.0, 0.205)


def _change_oil(car: Car) -> None:
    car.change_oil()


def _change_worn_oil(car: Car) -> None:
    if (car.oil_life or 0.0) < 0.3:
        car.change_oil()


def _appear(code: str) -> Callable[[Car], None]:
    def happen(car: Car) -> None:
        car.trouble_codes = [*car.trouble_codes, code]
        car.systems = {**car.systems, "SYSTEM_MIL": "ALERT"}

    return happen


def _clear(code: str) -> Callable[[Car], None]:
    def happen(car: Car) -> None:
        car.trouble_codes = [known for known in car.trouble_codes if known != code]
        if not car.trouble_codes:
            car.systems = {**car.systems, "SYSTEM_MIL": "OK"}

    return happen


def _lose_air(car: Car) -> None:
    car.systems = {**car.systems, "SYSTEM_TIRE_PRESSURE": "ALERT"}
    car.tires = {**car.tires, WHEELS[0]: 172.0}


def _mend_tire(car: Car) -> None:
    car.systems = {**car.systems, "SYSTEM_TIRE_PRESSURE": "OK"}
    car.tires = dict.fromkeys(WHEELS, 240.0)


def _sleep(*, asleep: bool) -> Callable[[Car], None]:
    def happen(car: Car) -> None:
        car.is_asleep = asleep

    return happen


def _park(*, parked: bool) -> Callable[[Car], None]:
    def happen(car: Car) -> None:
        car.is_parked = parked

    return happen


def _nonsense(value: float) -> Callable[[Car], None]:
    def happen(car: Car) -> None:
        car.next_odometer = value

    return happen
