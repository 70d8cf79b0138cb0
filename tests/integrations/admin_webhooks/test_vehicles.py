"""Which cars report by themselves, on the pages of cars, of connections, and on the overview."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from integrations.clients import readings as codes
from integrations.models import Connection, Make, Vehicle, VehicleAccess, WebhookEvent
from tests import factories as make
from tests.factories import NOW
from tests.integrations.admin_webhooks.pages import (
    REFUSED,
    SUBSCRIBED,
    VEHICLES,
    make_car,
    make_event,
    page_of,
    queries_of,
    read,
    staff,
    text_of,
)
from tests.integrations.deliveries import error, later, process

pytestmark = pytest.mark.django_db


# --- Vehicles -----------------------------------------------------------------------------------


def test_a_car_says_when_it_was_polled_and_when_it_reported(admin_client: Client) -> None:
    car = make_car(webhook_at=later(minutes=-5), **SUBSCRIBED)
    Vehicle.objects.filter(pk=car.pk).update(last_read_at=later(hours=-3))

    for text in (text_of(admin_client, VEHICLES), page_of(admin_client, car)):
        assert "3 hours ago" in text
        assert "5 minutes ago" in text
    assert "polled once a day" in text
    assert "Subscribed" in text


def test_a_car_that_went_quiet_says_since_when(admin_client: Client) -> None:
    text = page_of(admin_client, make_car(webhook_at=later(days=-2), **SUBSCRIBED))

    assert "Its webhook has been quiet since Feb. 28, 2026, noon, so it is polled again." in text


def test_a_car_that_never_reported_has_nothing_to_explain(admin_client: Client) -> None:
    text = page_of(admin_client, make_car())

    assert "never" in text
    assert "quiet since" not in text


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ({}, "Not subscribed to the webhook yet"),
        ({"subscription": "asked", "subscribed_to": "webhook-1"}, "was asked to subscribe it"),
        (SUBSCRIBED | {"subscribed_to": "webhook-0"}, "Subscribed to another webhook"),
        (REFUSED, "Smartcar refuses to subscribe it"),
        (REFUSED | {"subscribed_to": "webhook-0"}, "Not subscribed to the webhook yet"),
    ],
)
def test_a_car_that_is_not_subscribed_is_named_in_the_list_and_on_its_page(
    admin_client: Client, settings: Settings, access: dict[str, Any], words: str
) -> None:
    car = make_car(**access)

    assert words in text_of(admin_client, VEHICLES)
    assert words in page_of(admin_client, car)

    settings.SMARTCAR_WEBHOOK_ID = ""
    assert words not in text_of(admin_client, VEHICLES)
    assert "No webhook is set up" in page_of(admin_client, car)


@pytest.mark.parametrize("status", [Connection.Status.REVOKED, Connection.Status.NEEDS_RECONNECT])
def test_a_car_that_nobody_shares_need_not_be_subscribed(
    admin_client: Client, status: Connection.Status
) -> None:
    car = make_car(**REFUSED)
    Connection.objects.update(status=status)

    assert "refuses to subscribe" not in text_of(admin_client, VEHICLES)
    assert "nobody shares it now" in page_of(admin_client, car)
    assert admin_client.get(VEHICLES, {"reports": "no"}).context["cl"].result_count == 0


def test_a_page_says_what_smartcar_reports_by_itself(admin_client: Client) -> None:
    access = make_car(**SUBSCRIBED).accesses.get()
    long_ago = later(days=-9)
    Connection.objects.update(connected_at=long_ago, status_changed_at=long_ago)
    process(error(access, "VEHICLE_STATE", "ASLEEP", signals=[codes.ODOMETER, codes.OIL_LIFE]))
    process(error(access, "CONNECTED_SERVICES_ACCOUNT", "SUBSCRIPTION", at=later(hours=-1)))
    process(error(access, "VEHICLE_STATE", "UNREACHABLE", is_over=True))
    process(error(access, "NEW_TYPE", "NEVER_HEARD_OF"))

    text = read(page_of(admin_client, access.vehicle))
    said_there = text.split("Smartcar reports:")[1].split("Calls this month")[0]

    assert "The car is asleep: Oil life, Odometer" in said_there
    assert "The subscription at the maker has ended or is too small" in said_there
    assert "NEW_TYPE:NEVER_HEARD_OF" in said_there
    assert "no network" not in said_there  # it is over
    assert "1 hour ago" in said_there


def test_the_latest_events_of_a_car_stand_on_its_page(admin_client: Client) -> None:
    car = make_car()
    for n in range(12):
        make_event(vehicle=car, note=f"note number {n}", received_at=later(minutes=n))
    address = reverse("admin:integrations_vehicle_change", args=[car.pk])
    page = admin_client.get(address)

    (panel,) = (panel for panel in page.context["panels"] if panel.title == "Webhook events")

    assert len(panel.rows) == 10
    assert panel.rows[0][-1] == "note number 11"
    assert len(admin_client.get(panel.more).context["cl"].queryset) == 12
    few = len(queries_of(admin_client, address))
    WebhookEvent.objects.filter(note__gt="note number 2").delete()
    assert len(queries_of(admin_client, address)) == few


@pytest.mark.parametrize("which", ["yes", "no", "quiet"])
def test_cars_are_filtered_by_whether_they_report(admin_client: Client, which: str) -> None:
    cars = {
        "yes": [make_car(webhook_at=later(hours=-6), **SUBSCRIBED)],
        "no": [make_car(webhook_at=NOW), make_car(**REFUSED)],
        "quiet": [make_car(webhook_at=later(hours=-7), **SUBSCRIBED), make_car(**SUBSCRIBED)],
    }
    make.make_vehicle(connection=None)  # nobody shares it

    page = admin_client.get(VEHICLES, {"reports": which})

    assert list(page.context["cl"].queryset) == cars[which]


def test_a_make_that_seldom_refreshes_is_quiet_later(admin_client: Client) -> None:
    Make.objects.update_or_create(name="FORD", defaults={"refresh_minutes": 240})
    car = make_car(webhook_at=later(hours=-11), **SUBSCRIBED)

    assert "polled once a day" in page_of(admin_client, car)
    assert admin_client.get(VEHICLES, {"reports": "yes"}).context["cl"].result_count == 1
    assert admin_client.get(VEHICLES, {"reports": "quiet"}).context["cl"].result_count == 0


def test_without_a_webhook_there_is_no_filter(admin_client: Client, settings: Settings) -> None:
    make_car()
    assert "reports by itself" in text_of(admin_client, VEHICLES)

    settings.SMARTCAR_WEBHOOK_ID = ""
    assert "reports by itself" not in text_of(admin_client, VEHICLES)
    assert admin_client.get(VEHICLES, {"reports": "no"}).status_code == 200


@pytest.mark.parametrize("query", ["", "?reports=yes", "?reports=no", "?reports=quiet"])
def test_the_list_of_vehicles_asks_as_much_for_many(admin_client: Client, query: str) -> None:
    for access in (SUBSCRIBED, REFUSED):
        make_car(webhook_at=NOW, **access)
        make_car(**access)
    admin_client.get(VEHICLES + query)
    few = len(queries_of(admin_client, VEHICLES + query))
    for access in (SUBSCRIBED, REFUSED) * 5:
        make_car(webhook_at=NOW, **access)
        make_car(**access)

    assert len(queries_of(admin_client, VEHICLES + query)) == few


# --- Ways, connections, overview ----------------------------------------------------------------


def test_the_ways_to_a_car_show_their_subscription(admin_client: Client) -> None:
    car = make_car(**REFUSED)
    (way,) = VehicleAccess.objects.all()

    for text in (
        page_of(admin_client, car),
        page_of(admin_client, way.connection),
        text_of(admin_client, "/admin/integrations/vehicleaccess/"),
    ):
        assert '<span class="fp-badge fp-due">Refused</span>' in text
    assert "BILLING:INVALID_PLAN" in page_of(admin_client, way)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, ">v2<"),
        ({"listed_through": "v3"}, "v3; v2, which is in use now, has not listed them yet"),
    ],
)
def test_a_connection_says_which_generation_listed_its_cars(
    admin_client: Client, fields: dict[str, Any], shown: str
) -> None:
    assert shown in page_of(admin_client, make.make_connection(**fields))


def tiles(client: Client) -> dict[str, Any]:
    return {tile.label: tile for tile in client.get("/admin/").context["tiles"]}


def test_the_overview_is_silent_while_all_is_well(admin_client: Client) -> None:
    make_car(**SUBSCRIBED)
    make_car(subscription="asked", subscribed_to="webhook-1", subscription_at=later(minutes=-5))
    make_event()
    make_event(state="received", received_at=later(minutes=-4))

    assert not {"Webhook events not worked off", "Cars not subscribed to the webhook"} & {
        *tiles(admin_client)
    }


def test_the_overview_tells_of_events_that_failed_or_wait(admin_client: Client) -> None:
    make_event(state="failed")
    make_event(state="received", received_at=later(minutes=-6))

    tile = tiles(admin_client)["Webhook events not worked off"]

    assert tile.value == "2"
    assert [text for text, _url in tile.lines] == [
        "Failed: 1",
        "Waiting for more than 5 minutes: 1",
    ]
    assert [len(admin_client.get(url).context["cl"].queryset) for _text, url in tile.lines] == [
        1,
        1,
    ]


def test_the_overview_tells_of_cars_that_are_not_subscribed(
    admin_client: Client, settings: Settings
) -> None:
    make_car(**REFUSED)
    make_car()

    tile = tiles(admin_client)["Cars not subscribed to the webhook"]
    assert tile.value == "2"
    assert len(admin_client.get(tile.url).context["cl"].queryset) == 2

    settings.SMARTCAR_WEBHOOK_ID = ""
    assert "Cars not subscribed to the webhook" not in tiles(admin_client)


def test_tiles_are_for_those_who_may_see_what_they_tell_of(client: Client) -> None:
    make_event(state="failed")
    make_car(**REFUSED)

    looker = staff(client, "view_webhookevent")
    assert [*tiles(looker)] == ["Webhook events not worked off"]
