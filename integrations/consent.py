"""What a driver is told, in a driver's words: what is shared and why, and what went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.models import Connection, Driver, Vehicle, VehicleAccess


@dataclass(frozen=True, slots=True)
class Purpose:
    """One thing that is shared, and what it is for."""

    what: str
    why: str


_PURPOSES = {
    "read_vehicle_info": (
        gettext_lazy("Make, model and year"),
        gettext_lazy("to know which maintenance plan fits"),
    ),
    "read_vin": (
        gettext_lazy("Vehicle identification number (VIN)"),
        gettext_lazy("to tell your car from others of the fleet"),
    ),
    "read_odometer": (
        gettext_lazy("Odometer"),
        gettext_lazy("to know when a service is due"),
    ),
    "read_engine_oil": (
        gettext_lazy("Engine oil life"),
        gettext_lazy("to change the oil in time"),
    ),
    "read_diagnostics": (
        gettext_lazy("Warning lamps and trouble codes"),
        gettext_lazy("to have faults repaired early"),
    ),
    "read_tires": (
        gettext_lazy("Tire pressure"),
        gettext_lazy("to notice a tire that loses air"),
    ),
    "read_fuel": (gettext_lazy("Fuel level"), gettext_lazy("to notice a tank that runs low")),
    "read_battery": (
        gettext_lazy("Battery charge"),
        gettext_lazy("to notice a battery that runs low"),
    ),
    "read_service_history": (
        gettext_lazy("Service history"),
        gettext_lazy("to know which services were done"),
    ),
    "read_location": (gettext_lazy("Location"), gettext_lazy("because your fleet asked for it")),
}


def explain(scope: Sequence[str]) -> list[Purpose]:
    """Each permission of the scope in words; for one that we do not know, its name has to do."""
    return [
        Purpose(str(what), str(why))
        for what, why in (_PURPOSES.get(name) or _unknown(name) for name in scope)
    ]


def _unknown(name: str) -> tuple[str, str]:
    what = name.removeprefix("read_").replace("_", " ").capitalize()
    return what, _("because your fleet asked for it")


@dataclass(frozen=True, slots=True)
class Share:
    """What one consent of a driver covers now."""

    connection: Connection
    cars: list[Vehicle]
    purposes: list[Purpose]

    @property
    def is_working(self) -> bool:
        return self.connection.status == Connection.Status.ACTIVE


def shares(driver: Driver) -> list[Share]:
    """The consents that the driver has not withdrawn, newest first."""
    ways = VehicleAccess.objects.filter(ended_at__isnull=True).select_related("vehicle")
    rows = driver.connections.exclude(status=Connection.Status.REVOKED)
    return [
        _share(connection, list(connection.accesses.all()))
        for connection in rows.prefetch_related(Prefetch("accesses", ways))
    ]


def _share(connection: Connection, ways: list[VehicleAccess]) -> Share:
    # What was granted is known after the first read; until then it is what was asked for.
    granted = [way.permissions for way in ways if way.permissions is not None]
    is_known = ways and len(granted) == len(ways)
    scope = sorted({name for names in granted for name in names}) if is_known else connection.scope
    return Share(connection, [way.vehicle for way in ways], explain(scope))


@dataclass(frozen=True, slots=True)
class Problem:
    """Why connecting did not work, and what the driver can do."""

    title: str
    text: str
    advice: str


def problem(error: str, details: Mapping[str, str]) -> Problem:
    """Connect's error in words: https://smartcar.com/docs/errors/connect-errors"""
    match error:
        case "access_denied":
            return Problem(
                _("You did not share the data"),
                _("Nothing was connected, and nothing is read from your car."),
                _("If that was a mistake, start again and choose “Allow”."),
            )
        case "vehicle_incompatible":
            return Problem(
                _("This car cannot be connected"),
                _("%(car)s does not support it.") % {"car": _car(details)},
                _("Tell your fleet. If you have another car, start again and choose that one."),
            )
        case "invalid_subscription":
            return Problem(
                _("Your car's online services are not active"),
                _("The maker's connected services have ended or were never switched on."),
                _("Switch them on in the maker's app, then start again."),
            )
        case "no_vehicles":
            return Problem(
                _("No car in this account"),
                _("The maker's account that you signed in to has no car."),
                _("Add your car in the maker's app, or start again with another account."),
            )
        case "configuration_error":
            return Problem(
                _("The portal is not set up correctly"),
                _("This is not your fault, and nothing was connected."),
                _("Tell your fleet; they can mend it. Then start again."),
            )
        case _:
            return Problem(
                _("That did not work"),
                _("The service that connects cars has a problem at the moment."),
                _("Wait some minutes and start again."),
            )


def _car(details: Mapping[str, str]) -> str:
    parts = [str(details.get(name, ""))[:40] for name in ("year", "make", "model")]
    return " ".join(part for part in parts if part) or _("Your car")
