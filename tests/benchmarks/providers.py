"""The stand-in providers as a process of their own, so that their CPU is nobody else's.

    python -m tests.benchmarks.providers VEHICLES DRIVERS

Prints the settings that point a portal here as one line of JSON and serves until its standard
input ends. What the benchmark wants of the cars and drivers comes as POST /benchmark/<word>.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from integrations.sandbox import FOREVER, Sandbox
from integrations.sandbox.cars import only
from integrations.sandbox.faults import slow
from integrations.sandbox.messages import Reply, Request, json_reply, utc_now

KM = 8.0  # driven between two readings
TROUBLE = "P0301"
# A cylinder misfires for three readings in one car of fifty that can tell, then in the next.
CARS_PER_TROUBLE = 50
READINGS_WITH_TROUBLE = 3


class Scene:
    """The sandbox's own mix of cars, and what they are told to do."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._round = sandbox, 0
        words: dict[str, Callable[[dict[str, Any]], Any]] = {
            "drivers": self.drivers,
            "approve": self.approve,
            "drive": self.drive,
            "slow": self.slow,
        }
        for word, obey in words.items():
            sandbox.smartcar.route("POST", f"/benchmark/{word}", _answer(obey))

    def drivers(self, _: dict[str, Any]) -> list[str]:
        """Their e-mail addresses."""
        return [driver.email for driver in self._sandbox.fleet.drivers]

    def approve(self, asked: dict[str, Any]) -> str:
        """Allow everything on the page of Connect; returns where the driver is sent back to."""
        return self._sandbox.smartcar.connect.approve(asked["url"], driver=asked["driver"])

    def drive(self, _: dict[str, Any]) -> None:
        """Every car reports newer data; trouble moves on through those that can tell of it."""
        fleet = self._sandbox.fleet
        with fleet.lock:
            for car in fleet.cars:
                car.drive(KM)
                car.report(utc_now())
            for number, car in enumerate(only(fleet.cars, "/diagnostics/dtcs")):
                since = (self._round - number) % CARS_PER_TROUBLE
                car.trouble_codes = [TROUBLE] if since < READINGS_WITH_TROUBLE else []
            self._round += 1

    def slow(self, asked: dict[str, Any]) -> None:
        """Answer every call for a car so many seconds late."""
        late = slow(asked["seconds"], path="/v2.0/vehicles/", times=FOREVER)
        self._sandbox.smartcar.faults.add(late)


def _answer(obey: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Reply]:
    return lambda request: json_reply(obey(request.json()))


def main() -> None:
    vehicles, drivers = map(int, sys.argv[1:])
    with Sandbox(vehicles=vehicles, drivers=drivers) as sandbox:
        Scene(sandbox)
        sys.stdout.write(json.dumps(sandbox.environment()) + "\n")
        sys.stdout.flush()
        sys.stdin.read()  # ends with whoever started us


if __name__ == "__main__":
    main()
