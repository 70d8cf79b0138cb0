"""Setting up the webhook: the window, and what is said to be wrong."""

from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from fleetportal import clock
from integrations.models import Activity, WebhookEndpoint
from integrations.services import webhook_setup, webhooks
from tests.factories import NOW, make_access, make_user
from tests.integrations.deliveries import deliver, later, odometer, state, verify

pytestmark = pytest.mark.django_db

Verify = WebhookEndpoint.Verify


@pytest.fixture(autouse=True)
def standing_clock() -> None:
    clock.set_source(lambda: NOW)


@pytest.fixture(autouse=True)
def complete(settings: Settings) -> None:
    settings.SITE_URL = "https://fleet.example.com"
    settings.SMARTCAR_MANAGEMENT_TOKENS = ["test-management-token"]
    settings.SMARTCAR_WEBHOOK_ID = "webhook-1"


def found(now: datetime = NOW) -> list[str]:
    return [str(problem.what) for problem in webhook_setup.problems(now)]


def seen(**fields: Any) -> None:
    webhook_setup.endpoint()
    WebhookEndpoint.objects.update(**fields)


# --- The window -------------------------------------------------------------------------------


def test_there_is_one_row_however_often_it_is_looked_at() -> None:
    assert webhook_setup.endpoint().pk == webhook_setup.endpoint().pk
    assert WebhookEndpoint.objects.count() == 1


def test_the_window_is_open_for_a_quarter_of_an_hour_and_it_is_known_who_opened_it() -> None:
    user = make_user()

    row = webhook_setup.open_window(now=NOW, user=user)

    assert row.window_until == later(minutes=15)
    activity = Activity.objects.get()
    assert (activity.user, activity.about) == (user, row)
    assert activity.what == "Verification window opened for 15 minutes"


def test_a_window_that_is_closed_is_closed_at_once(client: Client) -> None:
    webhook_setup.open_window(now=NOW, user=None, minutes=60)
    webhook_setup.close_window(now=NOW, user=None)

    assert deliver(client, verify(), token=None).status_code == 401
    assert Activity.objects.latest("pk").what == "Verification window closed"


# --- What is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://fleet.example.com",
        "http://localhost:8000",
        "https://localhost",
        "https://127.0.0.1:8000",
        "https://[::1]",
        "https://portal.localhost",
        "https://portal",
        "https://localhost.",
        "https://10.1.2.3",
        "https://172.16.0.1",
        "https://192.168.0.10:8443",
        "https://169.254.1.1",
        "https://[fd00::1]",
        "https://0.0.0.0",
        "https://fleet.local",
        "https://fleet.corp.internal",
        "https://",
    ],
)
def test_smartcar_reaches_only_a_public_address(settings: Settings, url: str) -> None:
    settings.SITE_URL = url

    assert any("public https address" in text for text in found())


@pytest.mark.parametrize(
    "url", ["https://fleet.example.com", "https://8.8.8.8", "https://local.example.com:8443/x"]
)
def test_a_public_address_is_one(settings: Settings, url: str) -> None:
    settings.SITE_URL = url

    assert not any("public https address" in text for text in found())


def test_what_is_not_set_is_named(settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = []
    settings.SMARTCAR_WEBHOOK_ID = ""

    texts = " ".join(found())

    assert "SMARTCAR_MANAGEMENT_TOKEN" in texts
    assert "SMARTCAR_WEBHOOK_ID" in texts


def test_at_the_beginning_nothing_has_arrived() -> None:
    assert found() == ["Nothing ever arrived from Smartcar."]
    (problem,) = webhook_setup.problems(NOW)
    assert "open the verification window" in str(problem.to_do)


def test_a_check_that_came_too_early_is_explained(client: Client) -> None:
    deliver(client, verify(), token=None)

    assert found() == [
        "Smartcar's check of the address came while the verification window was closed."
    ]


def test_a_check_that_was_none_is_explained(client: Client) -> None:
    webhook_setup.open_window(now=NOW, user=None)
    deliver(client, verify("{}"), token=None)

    assert found() == ["A check of the address did not look like Smartcar's, and was not answered."]


def test_a_check_without_a_token_is_explained(client: Client, settings: Settings) -> None:
    settings.SMARTCAR_MANAGEMENT_TOKENS = []
    deliver(client, verify(), token=None)

    assert any("there was no management token" in text for text in found())


def test_a_verified_address_waits_for_the_first_car(client: Client) -> None:
    webhook_setup.open_window(now=NOW, user=None)
    deliver(client, verify(), token=None)

    assert found() == ["Smartcar has verified the address, but no car has reported yet."]
    access = make_access()
    deliver(client, state(access, odometer(1)))
    assert found() == []


def test_a_test_delivery_is_proof_enough(client: Client) -> None:
    seen(verified_at=NOW, verify_seen_at=NOW, verify_outcome=Verify.ANSWERED)
    message = state("car")
    message["meta"]["mode"] = "TEST"
    deliver(client, message)
    webhooks.process_due(now=NOW)

    assert found() == []


def test_refused_deliveries_are_told_for_a_day(client: Client) -> None:
    deliver(client, state("car"), token="wrong")

    assert found() == ["Deliveries were refused lately, because their signatures do not match."]
    assert found(later(days=2)) == []


def test_a_check_that_stays_unanswered_is_told_of_for_a_day(client: Client) -> None:
    deliver(client, state("car"))
    seen(verified_at=later(days=-9), verify_seen_at=later(hours=1), verify_outcome=Verify.CLOSED)

    assert len(found(later(hours=2))) == 1
    assert found(later(days=2)) == []


@pytest.mark.parametrize("verified_at", [None, later(days=-9)])
@pytest.mark.parametrize("outcome", [Verify.CLOSED, Verify.IMPLAUSIBLE])
def test_a_stranger_who_asks_for_a_proof_alarms_nobody_while_cars_report(
    client: Client, verified_at: datetime | None, outcome: Verify
) -> None:
    seen(verified_at=verified_at, verify_seen_at=NOW, verify_outcome=outcome)
    clock.set_source(lambda: later(minutes=1))
    deliver(client, state("car"))

    assert found(later(minutes=1)) == []


@pytest.mark.parametrize("message", [b"{}", state("car")])
def test_a_stranger_who_forges_alarms_nobody_while_cars_report(
    client: Client, message: Any
) -> None:
    deliver(client, message, token=None)
    assert len(found()) == 1
    clock.set_source(lambda: later(minutes=1))
    deliver(client, state("car"))

    assert found(later(minutes=1)) == []


def test_something_too_large_is_told_of() -> None:
    seen(refused_at=NOW, refused_why=webhook_setup.TOO_LARGE)

    assert found() == ["A delivery was refused lately, because it was too large to be Smartcar's."]


def test_something_too_large_is_forgotten_when_a_car_reports(client: Client) -> None:
    seen(refused_at=later(minutes=-1), refused_why=webhook_setup.TOO_LARGE)
    deliver(client, state("car"))

    assert found() == []
