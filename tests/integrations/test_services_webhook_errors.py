"""What Smartcar reports to be wrong, and takes back: whom it concerns, and in any order."""

import itertools
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from integrations.clients.errors import Outcome
from integrations.clients.readings import ODOMETER, OIL_LIFE
from integrations.models import (
    Activity,
    Connection,
    ConnectLink,
    OutboxEntry,
    Signal,
    Vehicle,
    VehicleAccess,
)
from integrations.services import connection_status, link_mails, poll_outcomes
from integrations.signals import connection_changed
from tests.factories import NOW, make_access, make_connection, make_signal, make_vehicle
from tests.integrations.deliveries import error, errors, later, millis, odometer, process, state
from tests.integrations.world import without_rules

pytestmark = pytest.mark.django_db

ACCOUNT = "CONNECTED_SERVICES_ACCOUNT"
SIGN_IN = f"{ACCOUNT}:AUTHENTICATION_FAILED"


@pytest.fixture(autouse=True)
def stop_at_the_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    without_rules(monkeypatch)
    monkeypatch.setattr(connection_changed, "receivers", [])


def reached(**fields: Any) -> VehicleAccess:
    """A car of a consent that was given long ago."""
    connection = fields.pop("connection", None) or make_connection(
        connected_at=later(days=-9), status_changed_at=later(days=-9)
    )
    vehicle = make_vehicle(connection=connection, **fields)
    return make_access(vehicle=vehicle, permissions=["read_odometer"])


@pytest.fixture
def access() -> VehicleAccess:
    return reached(last_read_at=NOW, next_poll_at=later(hours=2))


def car() -> Vehicle:
    return Vehicle.objects.get()


def status(access: VehicleAccess) -> tuple[str, str]:
    connection = Connection.objects.get(pk=access.connection_id)
    return connection.status, connection.status_reason


def mails() -> int:
    return OutboxEntry.objects.filter(kind=link_mails.RECONNECT).count()


# --- The whole account ------------------------------------------------------------------------


def test_a_lost_account_asks_the_driver_once_to_sign_in_again(access: VehicleAccess) -> None:
    event = process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=later(minutes=1)))

    assert (event.state, event.vehicle) == ("processed", access.vehicle)
    assert event.note == f"{SIGN_IN}: the driver has to connect again"
    assert status(access) == ("needs_reconnect", f"Smartcar reports {SIGN_IN}")
    assert mails() == 1
    assert ConnectLink.objects.get().reauthenticates == access
    known = car().reported_errors[SIGN_IN]
    assert (known["state"], known["at"]) == ("ERROR", later(minutes=1).isoformat())
    assert known["signals"] is None


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        (ACCOUNT, "PERMISSION"),
        (ACCOUNT, "NO_VEHICLES"),
        (ACCOUNT, "VEHICLE_MISSING"),
        ("COMPATIBILITY", "PLATFORM_NOT_CAPABLE"),
    ],
)
def test_a_consent_that_is_lost_asks_for_a_new_one(
    access: VehicleAccess, type_: str, code: str
) -> None:
    process(error(access, type_, code))

    assert status(access) == ("needs_reconnect", f"Smartcar reports {type_}:{code}")
    assert ConnectLink.objects.get().reauthenticates is None


def test_a_car_that_was_sold_does_not_end_the_drivers_other_cars(access: VehicleAccess) -> None:
    make_access(vehicle=make_vehicle(connection=access.connection))

    process(error(access, ACCOUNT, "VEHICLE_MISSING"))

    assert status(access)[0] == "active"
    access.vehicle.refresh_from_db()
    assert access.vehicle.poll_outcome == Outcome.DRIVER
    assert access.vehicle.poll_error == f"{ACCOUNT}:VEHICLE_MISSING"


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        (ACCOUNT, "ACCOUNT_ISSUE"),
        (ACCOUNT, "SUBSCRIPTION"),
        (ACCOUNT, "VIRTUAL_KEY_REQUIRED"),
        (ACCOUNT, "SOMETHING_NEW"),
        ("VEHICLE_STATE", "REMOTE_ACCESS_DISABLED"),
    ],
)
def test_what_the_driver_has_to_do_is_told_once(
    access: VehicleAccess, type_: str, code: str
) -> None:
    for minute in range(3):
        event = process(error(access, type_, code, at=later(minutes=minute)), now=later(minutes=9))

    vehicle = car()
    assert (vehicle.poll_outcome, vehicle.poll_error) == ("driver", f"{type_}:{code}")
    assert vehicle.poll_outcome_since == later(minutes=9)
    assert Activity.objects.get().what == f"The driver has to act: {type_}:{code}"
    assert event.note == f"{type_}:{code}: the driver has to act"
    assert status(access)[0] == "active"
    assert mails() == 0


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        ("PERMISSION", None),
        ("VEHICLE_STATE", "ASLEEP"),
        ("VEHICLE_STATE", "UNREACHABLE"),
        ("UPSTREAM", "NO_RESPONSE"),
        ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE"),
        ("RATE_LIMIT", "VEHICLE"),
        ("BILLING", "ACCOUNT_SUSPENDED"),
        ("NEVER_HEARD_OF", "IT"),
    ],
)
def test_the_rest_is_only_noted(access: VehicleAccess, type_: str, code: str | None) -> None:
    event = process(error(access, type_, code))

    pair = poll_outcomes.pair(type_, code or "")
    assert (event.state, event.note) == ("processed", pair)
    vehicle = car()
    assert list(vehicle.reported_errors) == [pair]
    assert (vehicle.poll_outcome, vehicle.next_poll_at) == ("", later(hours=2))
    assert status(access)[0] == "active"
    assert not Signal.objects.exists()
    assert not Activity.objects.exists()


def test_that_a_resolution_asks_for_it_does_not_make_a_driver_reconnect(
    access: VehicleAccess,
) -> None:
    item = {"type": "NEW_TYPE", "code": "X", "resolution": {"type": "REAUTHENTICATE"}}

    process(errors(access, item))

    assert status(access)[0] == "active"


def test_an_error_of_a_way_that_is_not_used_says_nothing_of_the_car(
    access: VehicleAccess,
) -> None:
    old = reached(smartcar_id="old", vin=None)
    VehicleAccess.objects.filter(pk=old.pk).update(vehicle=access.vehicle)

    process(error(old, ACCOUNT, "ACCOUNT_ISSUE"))
    process(error(old, ACCOUNT, "AUTHENTICATION_FAILED"))

    access.vehicle.refresh_from_db()
    assert access.vehicle.poll_outcome == ""
    assert status(access)[0] == "active"
    assert status(old)[0] == "needs_reconnect"


@pytest.mark.parametrize(
    ("code", "is_other", "what"),
    [
        ("AUTHENTICATION_FAILED", False, "account"),
        ("AUTHENTICATION_FAILED", True, "account"),
        ("ACCOUNT_ISSUE", False, "car"),
    ],
)
def test_an_error_that_comes_after_the_proof_of_the_contrary_asks_nobody(
    access: VehicleAccess, code: str, is_other: bool, what: str
) -> None:
    other = make_access(vehicle=make_vehicle(connection=access.connection))
    read = other if is_other else access
    process(state(read, odometer(1_000, later(minutes=5)), sent_at=later(minutes=5)))

    event = process(error(access, ACCOUNT, code), now=later(minutes=6))

    assert event.note == f"{ACCOUNT}:{code}: the {what} was read since"
    assert status(access)[0] == "active"
    assert Vehicle.objects.get(pk=access.vehicle_id).poll_outcome == ""


def test_a_clock_far_ahead_does_not_make_us_deaf_to_what_follows(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=later(days=900)))

    process(
        error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=later(minutes=1), is_over=True),
        now=later(minutes=1),
    )

    assert status(access)[0] == "active"


# --- Some signals -----------------------------------------------------------------------------


def test_signals_that_are_not_granted_are_shown_and_no_driver_is_asked(
    access: VehicleAccess,
) -> None:
    make_signal(vehicle=access.vehicle, fetched_at=later(hours=-1))

    process(error(access, "PERMISSION", signals=[ODOMETER, "closure-islocked"]))

    wanted = Signal.objects.get(code=ODOMETER)
    assert (wanted.support, wanted.last_error) == ("not_granted", "PERMISSION")
    assert wanted.recheck_at == NOW + timedelta(days=30)
    assert wanted.value == 80_467.2
    assert Signal.objects.get(code="closure-islocked").support == "not_granted"
    assert status(access)[0] == "active"
    assert mails() == 0
    assert car().next_poll_at == later(hours=2)


def test_signals_that_the_car_cannot_give_are_not_asked_again_soon(access: VehicleAccess) -> None:
    process(error(access, "COMPATIBILITY", "VEHICLE_NOT_CAPABLE", signals=[OIL_LIFE]))

    signal = Signal.objects.get()
    assert signal.support == "not_capable"
    assert signal.last_error == "COMPATIBILITY:VEHICLE_NOT_CAPABLE"


def test_a_signal_that_was_read_since_stays_readable(access: VehicleAccess) -> None:
    make_signal(vehicle=access.vehicle, fetched_at=later(minutes=1))

    process(error(access, "PERMISSION", signals=[ODOMETER]), now=later(minutes=2))

    assert Signal.objects.get().support == "ok"


@pytest.mark.parametrize(("is_wanted", "next_poll"), [(True, NOW), (False, later(hours=2))])
def test_a_lost_account_of_some_wanted_signals_is_judged_by_a_poll(
    access: VehicleAccess, is_wanted: bool, next_poll: datetime
) -> None:
    make_signal(vehicle=access.vehicle, is_wanted=is_wanted, fetched_at=later(hours=-1))

    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED", signals=[ODOMETER]))

    assert status(access)[0] == "active"
    assert car().next_poll_at == next_poll
    assert Signal.objects.get().support == "ok"


def test_names_that_say_nothing_are_not_the_whole_account(access: VehicleAccess) -> None:
    item = {"type": ACCOUNT, "code": "AUTHENTICATION_FAILED", "signals": [None, 7]}

    process(errors(access, item))

    assert status(access)[0] == "active"
    assert car().reported_errors[SIGN_IN]["signals"] == []


def test_one_event_may_report_the_same_of_several_signals(access: VehicleAccess) -> None:
    items = [
        {"type": "PERMISSION", "code": None, "signals": [{"code": code}]}
        for code in (ODOMETER, OIL_LIFE)
    ]
    process(errors(access, *items))

    assert car().reported_errors["PERMISSION"]["signals"] == sorted([ODOMETER, OIL_LIFE])
    assert Signal.objects.filter(support="not_granted").count() == 2


# --- It is over -------------------------------------------------------------------------------


def test_a_lost_account_that_is_back_needs_no_driver(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))

    event = process(
        error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=later(minutes=5), is_over=True),
        now=later(minutes=6),
    )

    assert event.note == f"{SIGN_IN}: over"
    assert status(access)[0] == "active"
    assert car().next_poll_at == later(minutes=6)
    assert car().reported_errors[SIGN_IN]["state"] == "RESOLVED"


def test_only_what_a_webhook_found_is_undone_by_one(access: VehicleAccess) -> None:
    connection_status.needs_reconnect(
        access.connection, reason=f"Smartcar: {SIGN_IN} (HTTP 400)", now=NOW
    )
    over = error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=later(minutes=5), is_over=True)

    process(over, now=later(minutes=6))
    process(state(access, odometer(1, later(minutes=7))), now=later(minutes=7))

    assert status(access)[0] == "needs_reconnect"


def test_another_error_that_is_over_does_not_bring_it_back(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))

    process(error(access, ACCOUNT, "PERMISSION", at=later(minutes=5), is_over=True))

    assert status(access)[0] == "needs_reconnect"


def test_a_withdrawn_consent_stays_withdrawn(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))
    connection_status.mark_revoked(
        Connection.objects.get(), reason=f"Smartcar reports {SIGN_IN}", now=NOW
    )

    event = process(
        error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=later(minutes=5), is_over=True)
    )

    assert event.note == "no longer shared"
    assert status(access)[0] == "revoked"


def test_what_the_driver_had_to_do_is_done(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "ACCOUNT_ISSUE"))
    process(error(access, ACCOUNT, "SUBSCRIPTION", at=later(minutes=1), is_over=True))
    assert car().poll_outcome == "driver"

    process(error(access, ACCOUNT, "ACCOUNT_ISSUE", at=later(minutes=5), is_over=True))

    vehicle = car()
    assert (vehicle.poll_outcome, vehicle.poll_error) == ("", "")
    assert vehicle.poll_outcome_since is None
    assert vehicle.next_poll_at == NOW


def test_signals_are_asked_for_again(access: VehicleAccess) -> None:
    process(error(access, "PERMISSION", signals=[ODOMETER, OIL_LIFE]))

    process(error(access, "PERMISSION", at=later(minutes=5), is_over=True, signals=[ODOMETER]))

    back, other = Signal.objects.get(code=ODOMETER), Signal.objects.get(code=OIL_LIFE)
    assert (back.support, back.recheck_at, back.last_error) == ("unknown", None, "")
    assert (other.support, other.last_error) == ("not_granted", "PERMISSION")


def test_without_a_list_all_signals_of_the_error_are_back(access: VehicleAccess) -> None:
    process(error(access, "PERMISSION", signals=[ODOMETER, OIL_LIFE]))

    process(error(access, "PERMISSION", at=later(minutes=5), is_over=True))

    assert set(Signal.objects.values_list("support", "last_error")) == {("unknown", "")}


def test_a_readable_signal_stays_readable_when_its_last_error_is_over(
    access: VehicleAccess,
) -> None:
    make_signal(vehicle=access.vehicle, last_error=SIGN_IN)

    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED", is_over=True))

    signal = Signal.objects.get()
    assert (signal.support, signal.last_error) == ("ok", "")


def test_what_is_over_for_a_week_is_forgotten(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "ACCOUNT_ISSUE"))
    process(error(access, ACCOUNT, "SUBSCRIPTION", is_over=True))

    process(error(access, "VEHICLE_STATE", "ASLEEP", at=later(days=8)), now=later(days=8))

    assert set(car().reported_errors) == {f"{ACCOUNT}:ACCOUNT_ISSUE", "VEHICLE_STATE:ASLEEP"}


# --- Readings prove the contrary --------------------------------------------------------------


def test_a_car_that_is_read_again_brings_its_connection_back(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))

    process(state(access, odometer(1, later(minutes=5))), now=later(minutes=5))

    assert status(access)[0] == "active"
    assert car().connection == access.connection


def test_a_state_from_before_the_error_brings_nothing_back(access: VehicleAccess) -> None:
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))

    process(state(access, odometer(1, later(minutes=-5))), now=later(minutes=5))

    assert status(access)[0] == "needs_reconnect"


def test_another_car_of_the_account_proves_it_as_well(access: VehicleAccess) -> None:
    other = make_access(vehicle=make_vehicle(connection=access.connection))
    process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))

    process(state(other, odometer(1, later(minutes=5))), now=later(minutes=5))

    assert status(access)[0] == "active"


# --- Any order --------------------------------------------------------------------------------


def story(access: VehicleAccess) -> list[dict[str, Any]]:
    def account(minutes: int, *, is_over: bool) -> dict[str, Any]:
        at = later(minutes=minutes)
        return error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=at, is_over=is_over)

    def signals(minutes: int, *, is_over: bool) -> dict[str, Any]:
        at = later(minutes=minutes)
        return error(access, "PERMISSION", at=at, is_over=is_over, signals=[ODOMETER])

    return [
        account(1, is_over=False),
        account(2, is_over=True),
        signals(3, is_over=False),
        signals(4, is_over=True),
    ]


def test_in_any_order_the_newest_word_counts() -> None:
    ends = set()
    for order in itertools.permutations(range(4)):
        access = reached()
        messages = story(access)
        for number in [*order, order[0]]:
            process(messages[number], now=later(minutes=10))
        vehicle = Vehicle.objects.get(pk=access.vehicle_id)
        asked = not vehicle.signals.exclude(recheck_at=None, last_error="").exists()
        words = sorted((k, v["state"], v["at"]) for k, v in vehicle.reported_errors.items())
        ends.add((status(access)[0], str(words), asked))
        assert vehicle.next_poll_at == later(minutes=10)

    assert len(ends) == 1
    assert ends.pop()[0] == "active"


def test_at_the_same_moment_that_it_is_over_counts() -> None:
    for order in ((False, True), (True, False)):
        access = reached()
        for is_over in order:
            process(error(access, ACCOUNT, "AUTHENTICATION_FAILED", is_over=is_over))
        assert status(access)[0] == "active"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_states_and_errors_in_any_order_end_in_the_same_connection(
    access: VehicleAccess, order: Iterable[int]
) -> None:
    messages = [
        state(access, odometer(1_000, later(minutes=1)), sent_at=later(minutes=1)),
        error(access, ACCOUNT, "AUTHENTICATION_FAILED", at=later(minutes=2)),
        state(access, odometer(1_000, later(minutes=3)), sent_at=later(minutes=3)),
    ]
    for number in order:
        process(messages[number], now=later(minutes=9))

    assert status(access)[0] == "active"


def in_every_order(
    count: int, tell: Callable[[], list[dict[str, Any]]], end: Callable[[], Any]
) -> Any:
    """What remains of the story, which has to be the same whatever the order."""
    ends = []
    for order in itertools.permutations(range(count)):
        with transaction.atomic():
            messages = tell()
            for number in order:
                process(messages[number], now=later(minutes=30))
            ends.append(end())
            transaction.set_rollback(True)
    assert all(one == ends[0] for one in ends), ends
    return ends[0]


def account(
    access: VehicleAccess, minutes: float, code: str = "AUTHENTICATION_FAILED", **fields: Any
) -> dict[str, Any]:
    return error(access, ACCOUNT, code, at=later(minutes=minutes), **fields)


def test_one_of_two_errors_that_is_over_does_not_bring_the_account_back(
    access: VehicleAccess,
) -> None:
    def tell() -> list[dict[str, Any]]:
        return [
            account(access, 1, "PERMISSION"),
            account(access, 5),
            account(access, 10, "PERMISSION", is_over=True),
        ]

    assert in_every_order(3, tell, lambda: status(access)[0]) == "needs_reconnect"


def test_that_an_error_of_one_car_is_over_does_not_end_the_newer_one_of_another(
    access: VehicleAccess,
) -> None:
    other = reached(connection=access.connection)

    def tell() -> list[dict[str, Any]]:
        return [account(other, 1), account(access, 10), account(other, 15, is_over=True)]

    assert in_every_order(3, tell, lambda: status(access)[0]) == "needs_reconnect"


def test_when_all_cars_are_well_again_so_is_the_account(access: VehicleAccess) -> None:
    other = reached(connection=access.connection)

    def tell() -> list[dict[str, Any]]:
        return [
            account(other, 1),
            account(access, 2),
            account(other, 15, is_over=True),
            account(access, 16, is_over=True),
        ]

    assert in_every_order(4, tell, lambda: status(access)[0]) == "active"


def test_an_error_after_the_end_of_another_counts_whenever_it_is_worked_off(
    access: VehicleAccess,
) -> None:
    def tell() -> list[dict[str, Any]]:
        return [account(access, 1), account(access, 5, is_over=True), account(access, 10)]

    assert in_every_order(3, tell, lambda: status(access)[0]) == "needs_reconnect"


def test_two_accounts_that_reach_one_car_are_lost_and_found_alone(access: VehicleAccess) -> None:
    other = reached()
    VehicleAccess.objects.filter(pk=other.pk).update(vehicle=access.vehicle)
    other.refresh_from_db()

    def tell() -> list[dict[str, Any]]:
        return [account(access, 1), account(other, 2), account(other, 10, is_over=True)]

    def end() -> Any:
        return status(access)[0], status(other)[0]

    assert in_every_order(3, tell, end) == ("needs_reconnect", "active")


def test_who_has_to_consent_anew_is_not_sent_to_sign_in(access: VehicleAccess) -> None:
    codes = ("AUTHENTICATION_FAILED", "PERMISSION")

    process(errors(access, *({"type": ACCOUNT, "code": code} for code in codes)))

    assert status(access)[1] == f"Smartcar reports {ACCOUNT}:PERMISSION"
    assert ConnectLink.objects.get().reauthenticates is None
    assert mails() == 1


# --- What the driver has to do ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("read_at", "shown"), [(5, ""), (1, f"{ACCOUNT}:ACCOUNT_ISSUE")], ids=["after", "before"]
)
def test_a_car_that_reports_again_shows_nothing_to_do(
    access: VehicleAccess, read_at: int, shown: str
) -> None:
    def tell() -> list[dict[str, Any]]:
        at = later(minutes=read_at)
        read = state(access, odometer(1, at), sent_at=at)
        return [account(access, 2, "ACCOUNT_ISSUE"), read]

    def end() -> Any:
        return car().poll_error, bool(car().poll_outcome_since), car().poll_outcome

    outcome = "driver" if shown else ""
    assert in_every_order(2, tell, end) == (shown, bool(shown), outcome)


def test_another_car_does_not_prove_that_the_driver_did_it(access: VehicleAccess) -> None:
    other = reached(connection=access.connection)

    def tell() -> list[dict[str, Any]]:
        at = later(minutes=5)
        read = state(other, odometer(1, at), sent_at=at)
        return [account(access, 2, "VIRTUAL_KEY_REQUIRED"), read]

    def end() -> Any:
        return Vehicle.objects.get(pk=access.vehicle_id).poll_outcome

    assert in_every_order(2, tell, end) == "driver"


def test_of_two_things_to_do_the_one_that_is_left_is_shown(access: VehicleAccess) -> None:
    def tell() -> list[dict[str, Any]]:
        return [
            account(access, 1, "ACCOUNT_ISSUE"),
            account(access, 5, "SUBSCRIPTION"),
            account(access, 10, "SUBSCRIPTION", is_over=True),
        ]

    def end() -> Any:
        return car().poll_outcome, car().poll_error

    assert in_every_order(3, tell, end) == ("driver", f"{ACCOUNT}:ACCOUNT_ISSUE")


def test_what_a_poll_found_later_is_not_undone_by_a_report_of_before(
    access: VehicleAccess,
) -> None:
    process(account(access, 1, "ACCOUNT_ISSUE"))
    Vehicle.objects.update(last_polled_at=later(minutes=20))

    at = later(minutes=10)
    process(state(access, odometer(1, at), sent_at=at), now=later(minutes=21))
    assert car().poll_outcome == "driver"

    at = later(minutes=25)
    process(state(access, odometer(2, at), sent_at=at), now=later(minutes=25))
    assert car().poll_outcome == ""


# --- From before the consent ------------------------------------------------------------------


@pytest.mark.parametrize("code", ["AUTHENTICATION_FAILED", "ACCOUNT_ISSUE"])
@pytest.mark.parametrize("minutes", [-5, -1])
def test_what_was_wrong_before_the_newest_consent_asks_nobody(
    access: VehicleAccess, code: str, minutes: int
) -> None:
    Connection.objects.update(connected_at=NOW)

    event = process(account(access, minutes, code), now=later(minutes=1))

    assert event.note == f"{ACCOUNT}:{code}: from before the newest consent"
    assert status(access)[0] == "active"
    assert car().poll_outcome == ""
    assert car().reported_errors == {}
    assert mails() == 0


@pytest.mark.parametrize("minutes", [-5, -1])
def test_what_was_wrong_before_the_driver_signed_in_again_asks_nobody(
    access: VehicleAccess, minutes: int
) -> None:
    Connection.objects.update(status_changed_at=NOW, status_reason="Jo signed in again")

    process(account(access, minutes), now=later(minutes=1))

    assert status(access)[0] == "active"
    process(account(access, 2), now=later(minutes=3))
    assert status(access)[0] == "needs_reconnect"


def test_what_was_reported_before_a_new_consent_does_not_end_it(access: VehicleAccess) -> None:
    process(account(access, 0))
    Connection.objects.update(status="active", status_reason="", connected_at=later(minutes=5))

    process(account(access, 6, "PERMISSION", is_over=True), now=later(minutes=7))

    assert status(access)[0] == "active"


def test_what_happens_in_the_second_of_the_consent_or_of_a_read_counts(
    access: VehicleAccess,
) -> None:
    """The clocks differ a little, and some of Smartcar's times have no fractions of a second."""
    within = NOW + timedelta(milliseconds=700)
    Connection.objects.update(connected_at=within)
    Signal.objects.filter(vehicle=access.vehicle).update(fetched_at=within)

    process(account(access, 0), now=later(minutes=1))

    assert status(access)[0] == "needs_reconnect"


# --- Deliveries that were repeated ------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "end"), [(170, "active"), (180, "active"), (181, "needs_reconnect")]
)
def test_an_error_may_be_dated_later_than_its_end(
    access: VehicleAccess, seconds: int, end: str
) -> None:
    def tell() -> list[dict[str, Any]]:
        return [account(access, 1, is_over=True), account(access, 1 + seconds / 60)]

    assert in_every_order(2, tell, lambda: status(access)[0]) == end


def test_a_sequence_is_believed_to_the_millisecond(access: VehicleAccess) -> None:
    def tell() -> list[dict[str, Any]]:
        messages = [account(access, 3, is_over=True), account(access, 1)]
        for seconds, message in enumerate(messages):
            message["meta"]["sequence"] = millis(later(seconds=seconds))
        return messages

    assert in_every_order(2, tell, lambda: status(access)[0]) == "needs_reconnect"


def test_the_end_of_one_signals_error_does_not_hide_anothers(access: VehicleAccess) -> None:
    messages = [
        error(access, "PERMISSION", at=NOW, is_over=True, signals=[ODOMETER]),
        error(access, "PERMISSION", at=later(minutes=1), signals=[OIL_LIFE]),
    ]

    def end() -> Any:
        return set(Signal.objects.values_list("code", "support"))

    assert in_every_order(2, lambda: messages, end) == {(OIL_LIFE, "not_granted")}


# --- The next poll ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_over", [False, True])
def test_a_poll_that_an_error_asks_for_comes_soon(access: VehicleAccess, is_over: bool) -> None:
    make_signal(vehicle=access.vehicle, fetched_at=later(hours=-1))

    def tell() -> list[dict[str, Any]]:
        at = later(minutes=-1)
        read = state(access, odometer(1, at), sent_at=at)
        return [account(access, 1, signals=[ODOMETER], is_over=is_over), read]

    assert in_every_order(2, tell, lambda: car().next_poll_at) == later(minutes=30)


def test_of_a_revoked_or_unknown_car_nothing_is_kept() -> None:
    access = make_access(vehicle=make_vehicle(connection=make_connection(status="revoked")))

    event = process(error(access, ACCOUNT, "AUTHENTICATION_FAILED"))

    assert (event.state, event.note) == ("ignored", "no longer shared")
    assert car().reported_errors == {}
