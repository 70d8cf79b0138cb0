"""What the admin says of a car that is not read, besides the table of errors."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from fleetportal import clock
from integrations.clients import readings as codes
from integrations.models import ProviderGate, Signal, Vehicle
from tests import factories as make
from tests.factories import NOW

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
NEXT_MONTH = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


def page_of(client: Client, row: Any) -> str:
    kind = row._meta.model_name
    page = client.get(reverse(f"admin:integrations_{kind}_change", args=[row.pk]))
    return unescape(page.content.decode())


def listed(client: Client, kind: str = "vehicle") -> str:
    page = client.get(reverse(f"admin:integrations_{kind}_changelist"))
    return unescape(page.content.decode())


def test_a_car_that_is_read_has_no_problem(admin_client: Client) -> None:
    vehicle = make.make_vehicle(last_read_at=NOW, next_poll_at=NOW + HOUR)

    page = page_of(admin_client, vehicle)

    assert "fp-badge fp-due" not in page
    assert "Asked again" not in page + listed(admin_client)


def test_the_last_calls_of_the_month_went_into_a_good_poll(admin_client: Client) -> None:
    vehicle = make.make_vehicle(last_read_at=NOW - HOUR, next_poll_at=NEXT_MONTH)

    for text in (page_of(admin_client, vehicle), listed(admin_client)):
        assert "This month's calls are used up" in text
        assert "Not read before April 1, 2026, midnight" in text


def test_a_car_of_which_no_rule_wants_anything_says_so(admin_client: Client) -> None:
    make.make_vehicle(poll_error="NOTHING_WANTED", last_error="x", next_poll_at=NOW + HOUR)

    assert "No enabled rule wants anything that this car can give" in listed(admin_client)
    assert "Asked again at 1 p.m." in listed(admin_client)


def test_an_error_from_before_outcomes_were_kept_is_still_shown(admin_client: Client) -> None:
    vehicle = make.make_vehicle(last_error="Smartcar: POST batch: HTTP 502")

    assert "Smartcar: POST batch: HTTP 502" in page_of(admin_client, vehicle)


def test_an_outcome_of_an_error_that_is_not_known_yet_has_words(admin_client: Client) -> None:
    make.make_vehicle(poll_outcome="driver", poll_error="CONNECTED_SERVICES_ACCOUNT:NEW")

    assert "The maker wants something of the driver" in listed(admin_client)
    assert "The driver must act in the maker's app." in listed(admin_client)


def test_the_next_poll_is_never_shown_before_the_end_of_a_wait(admin_client: Client) -> None:
    vehicle = make.make_vehicle(next_poll_at=NOW, not_before=NOW + 5 * HOUR)

    assert "in 5\xa0hours" in page_of(admin_client, vehicle)


def test_a_wait_that_is_over_is_not_shown_as_one(admin_client: Client) -> None:
    make.make_vehicle(poll_outcome="wait", poll_error="RATE_LIMIT:VEHICLE", not_before=NOW - HOUR)

    assert "Waits until" not in listed(admin_client)
    assert "Asked again as soon as it is its turn" in listed(admin_client)


@pytest.mark.parametrize("name", ["smartcar", "smartcar tokens"])
def test_a_refusal_of_us_says_when_it_is_tried_again(admin_client: Client, name: str) -> None:
    ProviderGate.objects.create(name=name, paused_until=NOW + HOUR, refused_at=NOW)
    make.make_vehicle(poll_outcome="stop", poll_error="invalid_client")

    assert "Smartcar refuses our credentials" in listed(admin_client)
    assert "No car is read; tried again at 1 p.m." in listed(admin_client)


def test_a_pause_is_said_of_cars_that_it_holds_back_and_of_no_others(admin_client: Client) -> None:
    ProviderGate.objects.create(name="smartcar", paused_until=NOW + HOUR)
    held, later = make.make_vehicle(), make.make_vehicle(next_poll_at=NOW + 2 * HOUR)

    assert "Calls to Smartcar are paused" in page_of(admin_client, held)
    assert "Calls to Smartcar are paused" not in page_of(admin_client, later)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "Smartcar: POST batch: CONNECTED_SERVICES_ACCOUNT:NO_VEHICLES (HTTP 400)",
            "The driver's account at the maker has no car",
        ),
        ("Smartcar no longer accepts our token", "Smartcar no longer has the driver's consent"),
    ],
)
def test_a_lost_connection_reads_the_same_on_its_own_pages_and_on_its_cars(
    admin_client: Client, reason: str, said: str
) -> None:
    lost = make.make_connection(status="needs_reconnect", status_reason=reason)
    vehicle = make.make_vehicle(connection=lost)

    pages = [page_of(admin_client, row) for row in (lost, vehicle)]
    for text in (*pages, listed(admin_client), listed(admin_client, "connection")):
        assert said in text
        assert "The driver must connect again" in text
    assert all(reason in page for page in pages)


def test_the_reason_of_a_connection_that_was_revoked_is_its_own(admin_client: Client) -> None:
    gone = make.make_connection(status="revoked", status_reason="Revoked by the fleet")
    make.make_vehicle(connection=gone, poll_outcome="asleep")

    assert "Revoked by the fleet" in listed(admin_client, "connection")
    assert "Asked again" not in listed(admin_client)


def test_what_is_missing_is_named_in_the_list_and_systems_count_as_one(
    admin_client: Client,
) -> None:
    vehicle = make.make_vehicle()
    for code in (codes.OIL_LIFE, codes.TIRES):
        make.make_signal(vehicle=vehicle, code=code, support="not_granted", recorded_at=None)
    for code in (*codes.SYSTEM_STATUS, codes.FUEL_LEVEL):
        make.make_signal(vehicle=vehicle, code=code, support="not_capable", recorded_at=None)
    make.make_signal(
        vehicle=vehicle, code=codes.TROUBLE_CODES, support="not_capable", is_wanted=False
    )

    text = listed(admin_client)

    assert "The driver has not shared: Oil life, Tire pressure<" in text
    assert "The car cannot give: Fuel level, System status<" in text


def test_many_missing_signals_are_counted(admin_client: Client) -> None:
    vehicle = make.make_vehicle()
    for code in (codes.OIL_LIFE, codes.TIRES, codes.FUEL_LEVEL, codes.ODOMETER):
        make.make_signal(vehicle=vehicle, code=code, support="not_granted")

    assert "2 more<" in listed(admin_client)


def test_signals_without_a_value_stand_together_by_their_reason(admin_client: Client) -> None:
    vehicle = make.make_vehicle()
    for code in codes.SYSTEM_STATUS:
        make.make_signal(
            vehicle=vehicle, code=code, value=None, recorded_at=None, support="unknown"
        )
    make.make_signal(
        vehicle=vehicle,
        code=codes.OIL_LIFE,
        value=None,
        recorded_at=None,
        support="unknown",
        last_error="UPSTREAM:NO_RESPONSE",
    )

    page = page_of(admin_client, vehicle)

    assert f"{len(codes.SYSTEM_STATUS)} more signals" in page
    assert "Not read yet; last time: The maker does not answer Smartcar" in page


def test_a_signal_says_the_same_in_its_own_list(admin_client: Client) -> None:
    make.make_signal(support="not_capable", recheck_at=NOW + HOUR, last_error="NOT_IN_V2")
    make.make_signal(last_error="SOMETHING:NEW")

    text = listed(admin_client, "signal")

    assert "Only Smartcar's newer API gives it; asked again at 1 p.m." in text
    assert "Readable; last time: SOMETHING:NEW" in text


def test_rules_that_failed_are_a_problem_too(admin_client: Client) -> None:
    vehicle = make.make_vehicle(evaluation_error="KeyError: x")

    assert "The rules failed: KeyError: x" in page_of(admin_client, vehicle)
    assert "The rules failed: KeyError: x" in listed(admin_client)


def test_the_list_asks_the_same_number_of_questions_for_many_cars(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(12):
        vehicle = make.make_vehicle(poll_outcome="driver", poll_outcome_since=NOW)
        make.make_signal(vehicle=vehicle, support="not_granted")

    with django_assert_max_num_queries(20):
        listed(admin_client)
    assert Vehicle.objects.count() == Signal.objects.count() == 12
