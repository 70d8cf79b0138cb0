"""What an event says: of a car, and of its account."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from integrations.clients import readings as codes
from integrations.clients import smartcar_webhooks_content as content
from integrations.clients.errors import Outcome
from integrations.clients.readings import SignalError, SignalReading
from tests.integrations.clients.webhook_payloads import (
    CAR,
    FETCHED,
    OTHER_CAR,
    RECEIVED,
    RECORDED,
    SENT,
    USER,
    event,
    parsed,
    payload,
)

FUEL_RANGE = "internalcombustionengine-range"


def state(message: dict[str, Any], *, received_at: datetime = RECEIVED) -> content.CarState:
    (found,) = content.read_states(parsed(message), received_at=received_at)
    return found


def by_code(found: content.CarState) -> dict[str, SignalReading | SignalError]:
    assert len({result.code for result in found.results}) == len(found.results)
    return {result.code: result for result in found.results}


def readings(found: content.CarState) -> dict[str, SignalReading]:
    return {k: v for k, v in by_code(found).items() if isinstance(v, SignalReading)}


def failures(found: content.CarState) -> dict[str, Outcome]:
    return {k: v.outcome for k, v in by_code(found).items() if isinstance(v, SignalError)}


def with_signals(*signals: Any) -> dict[str, Any]:
    message = payload("v4_state")
    message["data"]["signals"] = list(signals)
    return message


def odometer(value: float, **meta: Any) -> dict[str, Any]:
    return {"code": codes.ODOMETER, "body": {"value": value, "unit": "km"}, "meta": meta}


def test_a_state_becomes_readings_and_errors() -> None:
    found = state(payload("v4_state"))

    assert (found.smartcar_id, found.user_id) == (CAR, USER)
    assert {
        code: reading.body["value"]
        for code, reading in readings(found).items()
        if "value" in reading.body
    } == {
        codes.ODOMETER: 41_250.5,
        codes.FUEL_LEVEL: 64,
        FUEL_RANGE: 390,
        codes.VIN: "YV1TESTX0N1234567",
    }
    assert failures(found) == {
        codes.OIL_LIFE: Outcome.ASLEEP,  # although an old value is still there
        codes.SERVICE_RECORDS: Outcome.NOT_CAPABLE,
        codes.TROUBLE_CODES: Outcome.NOT_GRANTED,
    }
    odometer = readings(found)[codes.ODOMETER]
    assert (odometer.recorded_at, odometer.fetched_at) == (RECORDED, FETCHED)
    assert len(readings(found)[codes.TIRES].body["values"]) == 2


@pytest.mark.parametrize("name", ["v4_state", "v4_state_documented", "v4_state_by_name"])
def test_recorded_and_documented_shapes_say_the_same(name: str) -> None:
    found = state(payload(name))

    assert (found.smartcar_id, found.user_id) == (CAR, USER)
    odometer = readings(found)[codes.ODOMETER]
    assert odometer.body in ({"value": 41_250.5, "unit": "km"}, {"value": 25_632, "unit": "miles"})
    assert (odometer.recorded_at, odometer.fetched_at) == (RECORDED, FETCHED)


def test_of_signals_by_name_the_odd_ones_are_left_out() -> None:
    assert set(by_code(state(payload("v4_state_by_name")))) == {codes.ODOMETER, codes.FUEL_LEVEL}


def test_what_has_no_time_has_that_of_the_event() -> None:
    vin = readings(state(payload("v4_state")))[codes.VIN]

    assert (vin.recorded_at, vin.fetched_at) == (SENT, SENT)
    assert state(payload("v4_state")) == state(
        payload("v4_state"), received_at=RECEIVED + timedelta(days=2)
    )


def test_what_was_fetched_and_not_dated_is_as_old_as_its_fetching() -> None:
    found = readings(state(with_signals(odometer(5, retrievedAt=FETCHED.isoformat()))))

    assert found[codes.ODOMETER].recorded_at == FETCHED


def test_a_sender_ahead_of_time_does_not_date_anything() -> None:
    message = with_signals(odometer(5))
    message["meta"]["deliveredAt"] = (RECEIVED + timedelta(minutes=6)).isoformat()

    found = readings(state(message))[codes.ODOMETER]

    assert (found.recorded_at, found.fetched_at) == (RECEIVED, RECEIVED)


def test_of_two_entries_for_a_signal_the_newest_counts() -> None:
    old, new = RECORDED.isoformat(), FETCHED.isoformat()
    failed = {"code": codes.ODOMETER, "status": "ERROR"}
    entries = [
        odometer(1, oemUpdatedAt=old, retrievedAt=old),
        odometer(3, oemUpdatedAt=new, retrievedAt=new),
        odometer(2, oemUpdatedAt=old, retrievedAt=new),
    ]

    for order in (entries, entries[::-1]):
        found = readings(state(with_signals(failed, *order, failed)))
        assert found[codes.ODOMETER].body["value"] == 3


@pytest.mark.parametrize("broken", [None, 7, "odometer", [], {}, {"code": None}, {"code": "a\x00"}])
def test_a_broken_entry_does_not_spoil_the_others(broken: Any) -> None:
    found = state(with_signals(broken, odometer(5), broken))

    assert set(by_code(found)) == {codes.ODOMETER}


def test_a_signal_without_a_code_goes_by_group_and_name() -> None:
    entry = odometer(5) | {"code": None, "group": "Odometer", "name": "TraveledDistance"}

    assert set(by_code(state(with_signals(entry)))) == {codes.ODOMETER}


@pytest.mark.parametrize("signals", [None, 7, "all", {}, []])
def test_a_state_without_signals_is_still_one(signals: Any) -> None:
    message = payload("v4_state")
    message["data"]["signals"] = signals

    assert state(message).results == []


TRIGGERS: list[Any] = [
    None,
    "SIGNAL_UPDATED",
    {"type": "FIRST_DELIVERY"},
    [{"type": "SIGNAL_UPDATED", "signal": {"code": codes.ODOMETER}}],
    [{"code": codes.ODOMETER, "name": "TraveledDistance", "group": "Odometer"}],
    [{"type": "SIGNAL_UPDATED", "signal": "Odometer.TraveledDistance"}],
    [{"code": "FIRST_DELIVERY"}],
    [{"type": "FIRST_DELIVERY"}],
    [7, None, [[]]],
]


@pytest.mark.parametrize("triggers", TRIGGERS)
def test_triggers_do_not_matter(triggers: Any) -> None:
    outside, inside = payload("v4_state"), payload("v4_state")
    outside["triggers"] = triggers
    inside["data"]["triggers"] = triggers

    assert state(outside) == state(inside) == state(payload("v4_state"))


def test_a_legacy_event_speaks_of_several_cars() -> None:
    first, second = content.read_states(event("v2_scheduled"), received_at=RECEIVED)

    assert (first.smartcar_id, second.smartcar_id) == (CAR, OTHER_CAR)
    found = readings(first)
    assert found[codes.ODOMETER].body == {"value": 25_632.1, "unit": "miles"}
    assert found[codes.ODOMETER].recorded_at == RECORDED
    assert found[codes.ODOMETER].fetched_at == FETCHED
    assert found[codes.ODOMETER].request_id == "1f2e3d4c-0000-4000-8000-000000000001"
    assert found[codes.FUEL_LEVEL].body == {"value": 64.0, "unit": "percent"}
    assert failures(first) == {codes.OIL_LIFE: Outcome.NOT_CAPABLE}
    assert set(by_code(first)) == {codes.ODOMETER, codes.FUEL_LEVEL, codes.OIL_LIFE}
    assert readings(second)[codes.ODOMETER].body == {"value": 900.0, "unit": "km"}
    assert readings(second)[codes.ODOMETER].recorded_at == FETCHED  # of the event


def test_a_car_that_is_not_named_is_nobodys() -> None:
    message = payload("v2_scheduled")
    del message["payload"]["vehicles"][0]["vehicleId"]

    (found,) = content.read_states(parsed(message), received_at=RECEIVED)

    assert found.smartcar_id == OTHER_CAR
    assert parsed(message).smartcar_id == OTHER_CAR


def test_numbers_beyond_sense_leave_out_only_their_own_path() -> None:
    message = payload("v2_scheduled")
    data = message["payload"]["vehicles"][1]["data"]
    data.append({"path": "/", "code": 200, "body": {"year": "9" * 5000}})
    data.append({"path": "/fuel", "code": 429, "headers": {"Retry-After": 10**400}})
    data.append({"path": "/battery", "code": "9" * 5000})

    _first, second = content.read_states(parsed(message), received_at=RECEIVED)

    assert set(readings(second)) == {codes.ODOMETER}


@pytest.mark.parametrize(
    "name", ["v4_verify", "v2_verify", "v4_error", "v4_error_resolved", "v2_event_based"]
)
def test_other_events_say_nothing_of_a_cars_state(name: str) -> None:
    assert content.read_states(event(name), received_at=RECEIVED) == []


def test_what_nobody_signed_is_never_read_as_a_state() -> None:
    message = payload("v2_scheduled") | payload("v4_state") | {"eventType": "VERIFY"}

    assert content.read_states(parsed(message), received_at=RECEIVED) == []
    assert content.read_errors(parsed(payload("v4_error") | {"eventType": "VERIFY"})) == []


def test_the_car_itself_is_described() -> None:
    assert content.read_vehicle(event("v4_state")) == {
        "make": "VOLVO",
        "model": "XC60",
        "year": 2022,
    }


@pytest.mark.parametrize("vehicle", [None, 7, {}, {"make": 7}, {"year": "9" * 5000}])
def test_a_car_may_stay_without_description(vehicle: Any) -> None:
    message = payload("v4_state")
    message["data"]["vehicle"] = vehicle

    assert content.read_vehicle(parsed(message)) == {}


def test_the_user_is_named_or_not() -> None:
    assert content.user_of(event("v4_error")) == USER
    assert content.user_of(event("v2_event_based")) == ""


def test_errors_say_what_to_do_and_about_which_signals() -> None:
    found = content.read_errors(event("v4_error"))

    assert [(error.pair, error.outcome, error.signals) for error in found] == [
        ("CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED", Outcome.RECONNECT, None),
        ("PERMISSION", Outcome.NOT_GRANTED, ("closure-islocked", codes.ODOMETER)),
        ("COMPATIBILITY:VEHICLE_NOT_CAPABLE", Outcome.NOT_CAPABLE, (codes.OIL_LIFE, codes.TIRES)),
        ("VEHICLE_STATE:UNREACHABLE", Outcome.ASLEEP, None),
    ]
    assert not any(error.is_resolved for error in found)


@pytest.mark.parametrize("word", ["RESOLVED", "resolved", "Resolved"])
def test_an_error_that_is_over_says_so(word: str) -> None:
    message = payload("v4_error_resolved")
    message["data"]["errors"][0]["state"] = word

    (error,) = content.read_errors(parsed(message))

    assert error.is_resolved
    assert error.pair == "CONNECTED_SERVICES_ACCOUNT:AUTHENTICATION_FAILED"
    assert error.outcome is Outcome.RECONNECT


@pytest.mark.parametrize("place", ["errors", "error"])
def test_a_single_error_need_not_be_in_a_list(place: str) -> None:
    message = payload("v4_error")
    first = message["data"].pop("errors")[0]
    message["data"][place] = first

    assert [error.code for error in content.read_errors(parsed(message))] == [
        "AUTHENTICATION_FAILED"
    ]


@pytest.mark.parametrize("broken", [None, 7, "PERMISSION", [], {}, {"type": 7}, {"type": "<b>"}])
def test_an_error_without_a_type_is_left_out(broken: Any) -> None:
    message = payload("v4_error")
    message["data"]["errors"].insert(0, broken)

    assert len(content.read_errors(parsed(message))) == 4
    message["data"]["errors"] = broken
    assert content.read_errors(parsed(message)) == []


def test_signals_that_cannot_be_read_do_not_make_an_error_one_of_the_account() -> None:
    message = payload("v4_error")
    message["data"]["errors"][0]["signals"] = [7, {"name": None}, "Odometer.TraveledDistance"]
    message["data"]["errors"][1]["signals"] = [None]
    message["data"]["errors"][2]["signals"] = "Wheel.Tires"

    found = content.read_errors(parsed(message))

    assert [error.signals for error in found] == [(codes.ODOMETER,), (), (codes.TIRES,), None]
