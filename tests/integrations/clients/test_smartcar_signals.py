"""One signal at a time: what it says, when, and why not."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.clients.errors import Outcome
from integrations.clients.readings import ODOMETER, SignalError, SignalReading
from integrations.clients.smartcar_signals import parse_moment, read_signal

RECORDED = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
FETCHED = datetime(2026, 3, 1, 8, 5, tzinfo=UTC)
KM = {"value": 41_250.5, "unit": "km"}


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def milliseconds(moment: datetime) -> int:
    return seconds(moment) * 1000


TIMES: dict[str, Any] = {
    "oemUpdatedAt": milliseconds(RECORDED),
    "retrievedAt": milliseconds(FETCHED),
}


def signal(**fields: Any) -> dict[str, Any]:
    return {"code": ODOMETER, "name": "TraveledDistance", "group": "Odometer"} | fields


def read(meta: Any = TIMES, **fields: Any) -> SignalReading:
    result = read_signal(signal(**({"body": KM} | fields)), meta)
    assert isinstance(result, SignalReading)
    return result


def refused(meta: Any = TIMES, **fields: Any) -> SignalError:
    result = read_signal(signal(**fields), meta)
    assert isinstance(result, SignalError)
    return result


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(seconds(RECORDED), id="seconds"),
        pytest.param(milliseconds(RECORDED), id="milliseconds"),
        pytest.param(float(milliseconds(RECORDED)), id="milliseconds as a fraction"),
        pytest.param(str(seconds(RECORDED)), id="seconds as text"),
        pytest.param(f" {milliseconds(RECORDED)} ", id="milliseconds as text"),
        pytest.param("2026-03-01T08:00:00.000Z", id="ISO"),
        pytest.param("2026-03-01T10:00:00+02:00", id="ISO with another zone"),
        pytest.param("2026-03-01T08:00:00", id="ISO without a zone"),
    ],
)
def test_a_moment_is_read_however_it_is_written(value: Any) -> None:
    assert parse_moment(value) == RECORDED


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 0.0, "0", "-5", True, False, None, "", "soon", [], {}, [1], "1e400"),
        *(math.nan, math.inf, -math.inf, "nan", "inf", 10**400, 10**30, "9" * 50),
        *("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+02:00"),
        "9999-12-31T23:59:59-02:00",
    ],
)
def test_what_is_no_moment_is_none(value: Any) -> None:
    assert parse_moment(value) is None


@given(st.integers(min_value=200_000_000_000, max_value=8_000_000_000_000))
def test_milliseconds_are_read_to_the_millisecond(count: int) -> None:
    moment = parse_moment(count)

    assert moment is not None
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1) == count


def test_a_signal_becomes_a_reading() -> None:
    found = read_signal(signal(status={"value": "SUCCESS"}, body=KM), TIMES, request_id="r-1")

    assert found == SignalReading(
        code=ODOMETER, body=KM, recorded_at=RECORDED, fetched_at=FETCHED, request_id="r-1"
    )


@pytest.mark.parametrize(
    "status", [None, "SUCCESS", "success", " Success ", {}, {"value": None}, {"value": "success"}]
)
def test_success_may_be_said_in_many_ways_or_not_at_all(status: Any) -> None:
    assert read(status=status).body == KM
    assert read().body == KM


def test_the_code_is_written_our_way() -> None:
    assert read(code=" Odometer-TraveledDistance ").code == ODOMETER


@pytest.mark.parametrize("code", [None, 7, "", "  ", "x" * 81, "a\x00b", "a\nb", "\ud800", ["x"]])
def test_without_a_code_there_is_no_signal(code: Any) -> None:
    assert read_signal(signal(code=code, body=KM), TIMES) is None


@pytest.mark.parametrize("attributes", [None, [], "odometer", 7, {}])
def test_what_is_no_object_is_no_signal(attributes: Any) -> None:
    assert read_signal(attributes, TIMES) is None


@pytest.mark.parametrize(
    "meta",
    [
        pytest.param({"retrievedAt": seconds(FETCHED)}, id="as recorded"),
        pytest.param({"fetchedAt": "2026-03-01T08:05:00Z"}, id="as documented"),
        pytest.param({"retrievedAt": 0, "ingestedAt": milliseconds(FETCHED)}, id="ingested"),
        pytest.param({"retrievedAt": 0, "fetchedAt": "soon"}, id="as the caller knows"),
        pytest.param(None, id="nothing at all"),
    ],
)
def test_when_it_was_fetched_has_several_names(meta: Any) -> None:
    found = read_signal(signal(body=KM), meta, fetched_fallback=FETCHED)

    assert isinstance(found, SignalReading)
    assert (found.recorded_at, found.fetched_at) == (None, FETCHED)


@pytest.mark.parametrize("unsaid", [0, "0", None, "", "1970-01-01T00:00:00.000Z"])
def test_a_time_that_is_not_said_is_no_fault(unsaid: Any) -> None:
    assert read(meta={"oemUpdatedAt": unsaid, "retrievedAt": unsaid}).recorded_at is None


@pytest.mark.parametrize("garbled", ["soon", -1, True, [], {}, math.nan, 10**30, "2026-02-30"])
def test_a_value_of_no_known_age_does_not_pass_for_a_new_one(garbled: Any) -> None:
    error = refused(meta=TIMES | {"oemUpdatedAt": garbled}, body=KM)

    assert (error.outcome, error.type) == (Outcome.RETRY, "MALFORMED")


@pytest.mark.parametrize(
    ("error", "outcome", "pair"),
    [
        (("PERMISSION", "UNKNOWN"), Outcome.NOT_GRANTED, ("PERMISSION", "UNKNOWN")),
        (("PERMISSION", None), Outcome.NOT_GRANTED, ("PERMISSION", "")),
        (
            ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE"),
            Outcome.NOT_CAPABLE,
            ("COMPATIBILITY", "VEHICLE_NOT_CAPABLE"),
        ),
        (("VEHICLE_STATE", "ASLEEP"), Outcome.ASLEEP, ("VEHICLE_STATE", "ASLEEP")),
        (("UPSTREAM", "NO_RESPONSE"), Outcome.RETRY, ("UPSTREAM", "NO_RESPONSE")),
        (("SOMETHING_NEW", "ODD"), Outcome.RETRY, ("SOMETHING_NEW", "ODD")),
    ],
)
def test_an_error_is_judged_alone_and_its_old_body_is_no_reading(
    error: tuple[str, str | None], outcome: Outcome, pair: tuple[str, str]
) -> None:
    status = {"value": "ERROR", "error": {"type": error[0], "code": error[1]}}

    found = refused(status=status, body=KM)

    assert found.outcome is outcome
    assert (found.type, found.error_code) == pair


def test_an_error_keeps_what_it_says_to_people_and_what_resolves_it() -> None:
    status = {
        "value": "error",
        "error": {
            "type": "SOMETHING_NEW",
            "resolution": {"type": "REAUTHENTICATE"},
            "description": "Connect  again.",
        },
    }

    found = refused(status=status)

    assert (found.outcome, found.message) == (Outcome.RECONNECT, "Connect again.")


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        ("ERROR", "ERROR"),
        ({"value": "ERROR"}, "ERROR"),
        ({"value": "ERROR", "error": "broken"}, "ERROR"),
        ({"error": {"type": "UPSTREAM"}}, "UPSTREAM"),
        ("UNAVAILABLE", "UNAVAILABLE"),
        ({"value": "unavailable"}, "UNAVAILABLE"),
        ({"value": 7}, "MALFORMED"),
        ({"value": "<b>"}, "MALFORMED"),
        ([], "MALFORMED"),
        (True, "MALFORMED"),
    ],
)
def test_any_other_status_is_tried_again(status: Any, type_: str) -> None:
    found = refused(status=status, body=KM)

    assert (found.outcome, found.type) == (Outcome.RETRY, type_)


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (None, "MISSING"),
        ({}, "MISSING"),
        ({"value": None, "unit": "km"}, "MISSING"),
        ({"values": None}, "MISSING"),
        ({"latitude": None, "longitude": None}, "MISSING"),
        ([], "MALFORMED"),
        ("41250", "MALFORMED"),
        (41_250, "MALFORMED"),
    ],
)
def test_success_without_a_usable_body_is_none(body: Any, type_: str) -> None:
    found = refused(body=body)

    assert (found.outcome, found.type) == (Outcome.RETRY, type_)


@pytest.mark.parametrize("body", [{"value": 0}, {"value": False}, {"values": []}, {"unit": "km"}])
def test_little_is_more_than_nothing(body: Any) -> None:
    assert read(body=body).body == body
