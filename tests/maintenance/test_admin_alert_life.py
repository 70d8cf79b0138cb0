"""What staff do with alerts and with vehicles in the shop, in the admin."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.test import Client

from fleetportal import clock
from maintenance.models import Alert, MaintenanceMode
from maintenance.services import modes
from tests import factories as make
from tests.factories import NOW
from tests.maintenance.cars import DAY, HOUR, add_default_rules, open_alert
from tests.maintenance.test_admin import act, change, listing, said

pytestmark = pytest.mark.django_db
Status = Alert.Status


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


def until(days: float) -> dict[str, str]:
    moment = NOW + timedelta(days=days)
    return {"ask-until_0": f"{moment:%Y-%m-%d}", "ask-until_1": f"{moment:%H:%M:%S}"}


def test_snoozing_asks_until_when(admin_client: Client) -> None:
    alert = make.make_alert()
    page = act(admin_client, "snooze", alert)
    assert "Nobody hears of these until" in page.content.decode()

    answer = act(admin_client, "snooze", alert, confirmed="yes", **until(3))

    alert.refresh_from_db()
    assert (alert.status, alert.snoozed_until) == (Status.SNOOZED, NOW + 3 * DAY)
    assert "1 alert snoozed" in said(answer)


@pytest.mark.parametrize(
    ("days", "complaint"), [(-1, "This moment is over"), (900, "more than a year away")]
)
def test_nobody_snoozes_into_the_past_or_for_ever(
    admin_client: Client, days: float, complaint: str
) -> None:
    alert = make.make_alert()

    page = act(admin_client, "snooze", alert, confirmed="yes", **until(days))

    assert complaint in page.content.decode()
    alert.refresh_from_db()
    assert alert.snoozed_until is None


def test_what_will_not_be_fixed_says_who_says_so(admin_client: Client, admin_user: User) -> None:
    alert = make.make_alert()

    act(admin_client, "waive", alert, confirmed="yes", **{"ask-note": "Sold in May"})

    page = admin_client.get(change(alert)).content.decode()
    assert "Nobody until it has cleared" in page
    assert "Sold in May" in page
    assert admin_user.get_username() in page


def test_reopening_asks_first(admin_client: Client) -> None:
    alert = make.make_alert(status=Status.RESOLVED, resolved_at=NOW - HOUR, resolution="person")
    resolved = listing(Alert) + "?status=resolved"
    data = {"action": "reopen", ACTION_CHECKBOX_NAME: [alert.pk]}
    assert "open again" in admin_client.post(resolved, data).content.decode()

    admin_client.post(resolved, {**data, "confirmed": "yes"})

    alert.refresh_from_db()
    assert alert.status == Status.OPEN


@pytest.mark.parametrize("action", ["snooze", "waive", "reopen"])
def test_staff_who_may_only_look_do_nothing_of_it(client: Client, action: str) -> None:
    client.force_login(make.make_user("maintenance.view_alert"))
    alert = make.make_alert()
    before = Alert.objects.values().get(pk=alert.pk)

    act(client, action, alert, confirmed="yes", **until(2))

    assert Alert.objects.values().get(pk=alert.pk) == before


# --- In the shop ----------------------------------------------------------------------------------


def test_a_vehicle_goes_into_the_shop_and_out_again(admin_client: Client) -> None:
    add_default_rules()
    car = make.make_vehicle()
    assert "in the shop" in act(admin_client, "begin_mode", car).content.decode()
    answer = act(admin_client, "begin_mode", car, confirmed="yes", **{"ask-reason": "Brakes"})
    assert "1 vehicle is in maintenance mode" in said(answer)
    alert = open_alert(car)
    assert "The vehicle is in the shop" in admin_client.get(change(alert)).content.decode()
    mode = MaintenanceMode.objects.get()
    assert alert.summary in admin_client.get(change(mode)).content.decode()

    answer = act(admin_client, "end_mode", car)

    assert "Maintenance mode ended for 1 vehicle" in said(answer)
    alert.refresh_from_db()
    assert (alert.held_because, alert.announced_stage) == ("", "due")


def test_a_mode_that_would_end_before_it_begins_is_refused(admin_client: Client) -> None:
    car = make.make_vehicle()
    typed = {"ask-ends_at_0": "2026-03-01", "ask-ends_at_1": "12:00:00"}

    page = act(admin_client, "begin_mode", car, confirmed="yes", **typed)

    assert "This moment is over" in page.content.decode()
    assert not MaintenanceMode.objects.exists()


def test_a_second_begin_changes_the_one_in_force(admin_client: Client) -> None:
    car = make.make_vehicle()
    act(admin_client, "begin_mode", car, confirmed="yes")
    typed = {"ask-ends_at_0": "2026-03-04", "ask-ends_at_1": "12:00:00"}

    act(admin_client, "begin_mode", car, confirmed="yes", **typed)

    assert MaintenanceMode.objects.get().ends_at == NOW + 2 * DAY


def test_modes_are_listed_with_their_state(admin_client: Client) -> None:
    modes.begin(vehicle=make.make_vehicle(name="Van 7"), now=NOW)
    ended = modes.begin(group=make.make_group(name="North"), now=NOW - DAY)
    modes.end(ended, now=NOW - HOUR)

    everything = admin_client.get(listing(MaintenanceMode)).content.decode()
    in_force = admin_client.get(listing(MaintenanceMode), {"in_force": "yes"}).content.decode()

    assert "Van 7" in everything
    assert "North" in everything
    assert "1 maintenance mode" in in_force
    assert "2 maintenance modes" in everything
    assert "Van 7" in in_force


def test_a_mode_needs_a_vehicle_or_a_group(admin_client: Client) -> None:
    url = listing(MaintenanceMode) + "add/"
    typed = {"begins_at_0": "2026-03-02", "begins_at_1": "12:00:00"}

    assert "Choose a vehicle or a group" in admin_client.post(url, typed).content.decode()
    car = make.make_vehicle()
    admin_client.post(url, {**typed, "vehicle": car.pk})
    assert MaintenanceMode.objects.get().vehicle == car


def test_ending_a_mode_asks_first(admin_client: Client) -> None:
    mode = modes.begin(vehicle=make.make_vehicle(), now=NOW)
    assert "People hear now" in act(admin_client, "end", mode).content.decode()
    mode.refresh_from_db()
    assert mode.ended_at is None

    act(admin_client, "end", mode, confirmed="yes")

    mode.refresh_from_db()
    assert mode.ended_at == NOW
