"""Simulated cars: real makes and models, what each can tell, and how it is aged by driving."""

import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

GM = frozenset({"CHEVROLET", "GMC", "BUICK", "CADILLAC"})
STELLANTIS = frozenset({"RAM", "JEEP", "DODGE", "CHRYSLER"})
SERVICE_HISTORY = frozenset({"FORD", "LINCOLN", "TOYOTA", "LEXUS", "MAZDA", "VOLKSWAGEN"})
WITHOUT_OIL = frozenset({"SUBARU", "NISSAN"})
WITHOUT_TIRES = frozenset({"MAZDA", "TOYOTA", "LEXUS"})
# Smartcar connects these from phone apps only: https://smartcar.com/docs/help/brand-quirks
MOBILE_ONLY = frozenset({"FORD", "LINCOLN"})

SYSTEMS = ("ABS", "AIRBAG", "BRAKE_FLUID", "ENGINE", "MIL", "OIL_PRESSURE", "TIRE_PRESSURE")
WHEELS = ("frontLeft", "frontRight", "backLeft", "backRight")
OIL_INTERVAL_KM = 12_000
LITRES_PER_100_KM = 13.0
KWH_PER_100_KM = 22.0


@dataclass(frozen=True, slots=True)
class CarModel:
    """One line of the catalogue; `wmi` begins the VIN, `size` is litres or kWh."""

    make: str
    model: str
    year: int
    wmi: str
    size: float
    is_electric: bool = False


CATALOGUE = (
    CarModel("CHEVROLET", "Silverado 1500", 2022, "1GC", 91),
    CarModel("TOYOTA", "Tacoma", 2021, "3TM", 80),
    CarModel("RAM", "ProMaster 2500", 2022, "3C6", 91),
    CarModel("TESLA", "Model 3", 2022, "5YJ", 60, is_electric=True),
    CarModel("GMC", "Sierra 1500", 2021, "1GT", 91),
    CarModel("HONDA", "CR-V", 2022, "7FA", 53),
    CarModel("CHEVROLET", "Express 2500", 2020, "1GC", 117),
    CarModel("JEEP", "Grand Cherokee", 2023, "1C4", 87),
    CarModel("VOLKSWAGEN", "ID.4", 2023, "1V2", 77, is_electric=True),
    CarModel("NISSAN", "Rogue", 2021, "5N1", 55),
    CarModel("HYUNDAI", "Tucson", 2022, "KM8", 54),
    CarModel("BUICK", "Enclave", 2022, "5GA", 73),
    CarModel("MAZDA", "CX-5", 2021, "JM3", 58),
    CarModel("CHEVROLET", "Bolt EV", 2022, "1G1", 65, is_electric=True),
    CarModel("KIA", "Sportage", 2023, "5XY", 54),
    CarModel("SUBARU", "Outback", 2022, "4S4", 70),
)


@dataclass(slots=True, kw_only=True, eq=False)
class Car:
    """What one car's maker knows of it. Every value may be set; `recorded_at` dates them all.

    `trouble_codes` holds codes, or (code, datetime or None) where the time matters. A set
    `error` (type, code) answers every read of the car. `next_odometer` is reported once instead
    of the true one, in km.
    """

    vin: str
    smartcar_id: str
    make: str
    model: str
    year: int
    name: str
    driver: str
    is_electric: bool
    size: float
    recorded_at: datetime
    odometer_km: float
    oil_life: float | None = None
    fuel: float | None = None
    battery: float | None = None
    tires: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WHEELS, 240.0))
    trouble_codes: list[str | tuple[str, datetime | None]] = field(default_factory=list)
    systems: dict[str, str] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    location: tuple[float, float] = (42.33, -83.05)
    is_asleep: bool = False
    is_parked: bool = False
    error: tuple[str, str | None] | None = None
    next_odometer: float | None = None
    recorded_at_by_path: dict[str, datetime] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)

    def report(self, recorded_at: datetime, **values: Any) -> None:
        """Set `values` as the car's data of that time."""
        for name, value in values.items():
            setattr(self, name, value)
        self.recorded_at = recorded_at

    def change_oil(self) -> None:
        """New oil; makers that keep a history write it down (v2.0's shape, odometer in km)."""
        self.oil_life = 1.0
        if "/service/history" in self.paths:
            done = {
                "serviceId": f"{self.vin}-{len(self.services) + 1}",
                "odometerDistance": round(self.odometer_km, 2),
                "serviceDate": self.recorded_at.isoformat(timespec="milliseconds"),
                "serviceTasks": [{"taskId": "1", "taskDescription": "Oil Change"}],
                "serviceDetails": [],
                "serviceCost": {"totalCost": None, "currency": None},
            }
            self.services = [*self.services, done]

    def drive(self, km: float) -> None:
        """Add the distance and what it costs in oil, fuel or charge; refuel when low."""
        if self.is_parked:
            return
        self.odometer_km += km
        if self.oil_life is not None:
            self.oil_life = max(0.0, self.oil_life - km / OIL_INTERVAL_KM)
        if self.fuel is not None:
            self.fuel = _use(self.fuel, km * LITRES_PER_100_KM / 100 / self.size)
        if self.battery is not None:
            self.battery = _use(self.battery, km * KWH_PER_100_KM / 100 / self.size)


def _use(level: float, share: float) -> float:
    level -= share
    while level < 0.12:
        level += 0.8
    return level


def readable_paths(make: str, *, is_electric: bool) -> set[str]:
    """Return the v2.0 endpoints a car of this make can answer; the rest is 501.

    Diagnostics: https://smartcar.com/docs/api-reference/get-dtcs (GM), .../get-system-status
    (GM, Stellantis in North America); .../get-service-records for the service history.
    """
    paths = {"/", "/vin", "/odometer", "/location", "/security"}
    if is_electric:
        paths |= {"/battery", "/battery/nominal_capacity", "/charge", "/charge/limit"}
    else:
        paths |= {"/fuel"} | ({"/engine/oil"} if make not in WITHOUT_OIL else set())
    if make not in WITHOUT_TIRES:
        paths.add("/tires/pressure")
    if make in GM:
        paths.add("/diagnostics/dtcs")
    if make in GM | STELLANTIS:
        paths.add("/diagnostics/system_status")
    if make in SERVICE_HISTORY:
        paths.add("/service/history")
    return paths


def make_vin(wmi: str, year: int, serial: int) -> str:
    """Return a 17-character VIN with the right year letter and check digit (ISO 3779)."""
    # 30 years share the letters; 2010 began again with A.
    year_code = "ABCDEFGHJKLMNPRSTVWXY123456789"[(year - 2010) % 30]
    vin = f"{wmi}CR{serial % 10}E{serial // 10 % 10}0{year_code}A{serial % 1_000_000:06d}"
    return vin[:8] + _check_digit(vin) + vin[9:]


def _check_digit(vin: str) -> str:
    values: dict[str, int] = {digit: int(digit) for digit in string.digits}
    for letters in ("ABCDEFGH", "JKLMN"):
        values |= {letter: place for place, letter in enumerate(letters, start=1)}
    values |= {"P": 7, "R": 9} | {letter: n for n, letter in enumerate("STUVWXYZ", start=2)}
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    rest = sum(values[sign] * weight for sign, weight in zip(vin, weights, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def only(cars: Sequence[Car], path: str) -> list[Car]:
    """Return the cars that can answer `path`."""
    return [car for car in cars if path in car.paths]
