"""The table: what each error is, does and is called."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from integrations.clients.errors import Outcome
from integrations.clients.readings import ODOMETER, OIL_LIFE, TROUBLE_CODES
from tests.factories import NOW

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY = timedelta(days=1)
NEXT_MONTH = datetime(2026, 4, 1, tzinfo=UTC)
AT = NOW + 30 * MINUTE  # when the car is read: its access token is still good
PATHS = {TROUBLE_CODES: "/diagnostics/dtcs", OIL_LIFE: "/engine/oil", ODOMETER: "/odometer"}
ACCOUNT = "CONNECTED_SERVICES_ACCOUNT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a kind of error does to the car and shows of it, besides the words of the row.

    `polls` is the choice of the list's filter, `until` what the page says about when it goes on.
    """

    polls: str
    until: str
    due: timedelta | None = None  # from now; None: as it was
    waits: timedelta | None = None  # until when nobody may ask, whatever they want
    backs_off: bool = False  # both of the former, by chance, within half a minute and two
    fails: bool = False  # counts as a failed poll
    pauses: timedelta | None = None  # calls for all cars
    status: str = "active"  # of the connection
    told: str = ""  # what is written down for people, once


EFFECTS = {
    "wait": Effect(polls="wait", until="Waits until 12:32 p.m.", due=2 * MINUTE, waits=2 * MINUTE),
    "wait all": Effect(
        polls="wait",
        until="All cars wait until 12:31 p.m.",
        pauses=MINUTE,
        told="Calls to smartcar paused",
    ),
    "stop": Effect(
        polls="refused",
        until="No car is read; tried again at 12:35 p.m.",
        pauses=5 * MINUTE,
        told="refuses our credentials",
    ),
    "month": Effect(
        polls="quota",
        until="Not read before April 1, 2026, midnight",
        due=NEXT_MONTH - AT,
        waits=NEXT_MONTH - AT,
        told="Not read before next month",
    ),
    "reconnect": Effect(
        polls="reconnect",
        until="The driver must connect again",
        status="needs_reconnect",
        told="Connection is now: Needs reconnect",
    ),
    "driver": Effect(
        polls="driver",
        until="Asked again on March 3, 2026, 12:30 p.m.",
        due=DAY,
        fails=True,
        told="The driver has to act",
    ),
    "later": Effect(polls="asleep", until="Asked again at 2:30 p.m.", due=2 * HOUR),
    "soon": Effect(polls="asleep", until="Asked again at 1 p.m.", due=30 * MINUTE),
    "after the trip": Effect(polls="asleep", until="Asked again at 1:15 p.m.", due=45 * MINUTE),
    "tomorrow": Effect(polls="asleep", until="Asked again on March 3, 2026, 12:30 p.m.", due=DAY),
    "maker waits": Effect(
        polls="wait", until="Waits until 4:30 p.m.", due=4 * HOUR, waits=4 * HOUR
    ),
    "no room": Effect(
        polls="quota",
        until="Not read before March 3, 2026, 12:30 p.m.",
        due=DAY,
        waits=DAY,
        told="Not read: BILLING:VEHICLE_LIMIT",
    ),
    "not understood": Effect(
        polls="refused",
        until="Asked again on March 3, 2026, 12:30 p.m.",
        due=DAY,
        fails=True,
        told="Smartcar refuses: ",
    ),
    "back off": Effect(polls="failed", until="Asked again at 12:3", backs_off=True, fails=True),
    "refused": Effect(
        polls="refused", until="Asked again on March 3, 2026, 12:30 p.m.", due=DAY, fails=True
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: how the client sorts it, what it does as the answer to a whole poll,
    and how it reads. `of_one` is how it reads beside a single signal, where that differs.
    """

    type: str
    code: str | None
    outcome: Outcome
    effect: str
    matter: str
    of_one: str = ""

    @property
    def error(self) -> tuple[str, str | None]:
        return self.type, self.code

    @property
    def pair(self) -> str:
        return f"{self.type}:{self.code}" if self.code else self.type


WAITS = {
    "UNREACHABLE": "soon",
    "IN_MOTION": "after the trip",
    "IGNITION_ON": "after the trip",
    "VEHICLE_OFFLINE_FOR_SERVICE": "tomorrow",
}
NOTHING_TO_GIVE = "The car cannot give anything that is asked for"

TABLE = [
    Row("AUTHENTICATION", None, Outcome.REFRESH, "back off", "Smartcar refuses us this car alone"),
    Row(
        "PERMISSION",
        None,
        Outcome.NOT_GRANTED,
        "refused",
        "The driver has not shared what is asked for",
        "The driver did not share it",
    ),
    Row(
        "VALIDATION",
        None,
        Outcome.REJECTED,
        "not understood",
        "Smartcar does not understand our request",
    ),
    Row(
        "VALIDATION",
        "PARAMETER",
        Outcome.REJECTED,
        "not understood",
        "Smartcar does not understand our request",
    ),
    Row(
        "RESOURCE_NOT_FOUND",
        "PATH",
        Outcome.REJECTED,
        "not understood",
        "Smartcar does not know what we ask for",
    ),
    Row(
        "RESOURCE_NOT_FOUND",
        "VERSION",
        Outcome.REJECTED,
        "not understood",
        "Smartcar has ended this version of its API",
    ),
    Row(
        "RATE_LIMIT",
        "SMARTCAR_API",
        Outcome.WAIT_ALL,
        "wait all",
        "Smartcar was asked too often by all of us",
    ),
    Row(
        "RATE_LIMIT",
        "VEHICLE",
        Outcome.WAIT,
        "wait",
        "Smartcar was asked for this car too often",
    ),
    Row(
        "BILLING",
        "VEHICLE_REQUEST_LIMIT",
        Outcome.QUOTA,
        "month",
        "This month's calls are used up",
    ),
    Row(
        "BILLING",
        "VEHICLE_LIMIT",
        Outcome.QUOTA,
        "no room",
        "Smartcar's plan has no room for this car",
    ),
    Row(
        "BILLING",
        "INVALID_PLAN",
        Outcome.NOT_CAPABLE,
        "refused",
        "Smartcar's plan does not include what is asked for",
        "Smartcar's plan does not include it",
    ),
    Row(
        "BILLING",
        "ACCOUNT_SUSPENDED",
        Outcome.STOP,
        "stop",
        "Smartcar has suspended our account",
    ),
    Row(
        "COMPATIBILITY",
        "VEHICLE_NOT_CAPABLE",
        Outcome.NOT_CAPABLE,
        "refused",
        NOTHING_TO_GIVE,
        "The car cannot give it",
    ),
    Row(
        "COMPATIBILITY",
        "SMARTCAR_NOT_CAPABLE",
        Outcome.NOT_CAPABLE,
        "refused",
        NOTHING_TO_GIVE,
        "Smartcar cannot read it from this car",
    ),
    Row(
        "COMPATIBILITY",
        "MAKE_NOT_COMPATIBLE",
        Outcome.NOT_CAPABLE,
        "refused",
        NOTHING_TO_GIVE,
        "Smartcar cannot read it from this make",
    ),
    Row(
        "COMPATIBILITY",
        "PLATFORM_NOT_CAPABLE",
        Outcome.RECONNECT,
        "reconnect",
        "The maker has moved to a new platform",
    ),
    Row(
        ACCOUNT,
        "AUTHENTICATION_FAILED",
        Outcome.RECONNECT,
        "reconnect",
        "The maker no longer accepts the driver's sign-in",
    ),
    Row(
        ACCOUNT,
        "PERMISSION",
        Outcome.RECONNECT,
        "reconnect",
        "The owner took our access back at the maker",
    ),
    Row(
        ACCOUNT,
        "NO_VEHICLES",
        Outcome.RECONNECT,
        "reconnect",
        "The driver's account at the maker has no car",
    ),
    Row(
        ACCOUNT,
        "VEHICLE_MISSING",
        Outcome.RECONNECT,
        "driver",  # the driver has another car, which must go on
        "The car is no longer in the driver's account at the maker",
    ),
    Row(
        ACCOUNT,
        "ACCOUNT_ISSUE",
        Outcome.DRIVER,
        "driver",
        "The driver's account at the maker wants attention",
    ),
    Row(
        ACCOUNT,
        "SUBSCRIPTION",
        Outcome.DRIVER,
        "driver",
        "The subscription at the maker has ended or is too small",
    ),
    Row(
        ACCOUNT,
        "VIRTUAL_KEY_REQUIRED",
        Outcome.DRIVER,
        "driver",
        "The car lacks Smartcar's virtual key",
    ),
    Row(
        "VEHICLE_STATE",
        "REMOTE_ACCESS_DISABLED",
        Outcome.DRIVER,
        "driver",
        "Remote access is switched off in the car",
    ),
    *(
        Row("VEHICLE_STATE", code, Outcome.ASLEEP, WAITS.get(code, "later"), matter)
        for code, matter in {
            "ASLEEP": "The car is asleep",
            "UNREACHABLE": "The car has no network",
            "UNKNOWN": "The car cannot be read, for no known reason",
            "LOW_BATTERY": "The car's battery is low",
            "IN_MOTION": "The car is being driven",
            "IGNITION_ON": "The car's ignition is on",
            "VEHICLE_OFFLINE_FOR_SERVICE": "The car is in service mode",
            "CHARGING_IN_PROGRESS": "The car is charging",
            "CHARGING_PLUG_CONNECTED": "The charging plug is connected",
            "CHARGING_PLUG_NOT_CONNECTED": "The charging plug is not connected",
            "FULLY_CHARGED": "The car is fully charged",
            "NOT_CHARGING": "The car is not charging",
            "CHARGE_FAULT": "Charging the car has failed",
            "DOOR_OPEN": "A door of the car is open",
            "HOOD_OPEN": "The hood of the car is open",
            "TRUNK_OPEN": "The trunk of the car is open",
        }.items()
    ),
    *(
        Row("UPSTREAM", code, Outcome.RETRY, "back off", matter)
        for code, matter in {
            "INVALID_DATA": "The maker sent data that cannot be right",
            "KNOWN_ISSUE": "The maker has a problem that Smartcar knows of",
            "NO_RESPONSE": "The maker does not answer Smartcar",
            "UNKNOWN_ISSUE": "The maker has a problem",
        }.items()
    ),
    Row(
        "UPSTREAM",
        "RATE_LIMIT",
        Outcome.WAIT,
        "maker waits",
        "The maker was asked for this car too often",
    ),
    Row("SERVER", "INTERNAL", Outcome.RETRY, "back off", "Smartcar has a problem of its own"),
    Row(
        "SERVER",
        "RECORD_NOT_FOUND",
        Outcome.NOT_CAPABLE,
        "refused",
        "Smartcar has no record of it for this car",
    ),
    Row(
        "SERVER",
        "MULTIPLE_RECORDS_FOUND",
        Outcome.NOT_CAPABLE,
        "refused",
        "Smartcar has no clear record of it for this car",
    ),
]
SUPPORT = {Outcome.NOT_CAPABLE: "not_capable", Outcome.NOT_GRANTED: "not_granted"}

each_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pair)
# One row stands for all that do the same; that they do is what the tests of each row say.
ALIKE = {(row.outcome, row.effect): row for row in TABLE}
each_effect = pytest.mark.parametrize("row", ALIKE.values(), ids=lambda row: row.pair)
