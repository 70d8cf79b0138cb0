"""What staff do with drivers, links, connections, vehicles and messages in the admin."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.messages import get_messages
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from kombu.exceptions import OperationalError

from fleetportal import clock
from integrations import tasks
from integrations.admin import sparkline, words
from integrations.clients import readings as codes
from integrations.models import (
    Activity,
    Connection,
    ConnectLink,
    Driver,
    OAuthToken,
    OutboxEntry,
    PortalSettings,
    ProviderGate,
    Signal,
    Vehicle,
)
from integrations.services import connect_links, link_mails
from tests import factories as make
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


def listing(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


class Unreachable:
    """A client that has no token to give."""

    has_application_token = False


def act(client: Client, action: str, *rows: Model, **typed: Any) -> Any:
    data = {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows], **typed}
    return client.post(listing(type(rows[0])), data)


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_adding_a_driver_writes_the_address_in_small_letters(admin_client: Client) -> None:
    typed = {"name": "Ann", "email": "Ann@Example.com", "is_active": "on"}

    admin_client.post(reverse("admin:integrations_driver_add"), typed)

    driver = Driver.objects.get()
    assert (driver.email, driver.created_at) == ("ann@example.com", NOW)
    assert Activity.objects.get().what == "Driver added"


def test_who_changed_a_driver_and_what_is_written_down(admin_client: Client) -> None:
    driver = make.make_driver()
    address = reverse("admin:integrations_driver_change", args=[driver.pk])

    admin_client.post(address, {"name": driver.name, "email": driver.email})
    admin_client.post(address, {"name": driver.name, "email": driver.email})  # changes nothing

    written = Activity.objects.get()
    assert (written.what, written.actor) == ("Driver changed: is_active: False", "admin")


def test_a_driver_is_not_added_twice(admin_client: Client) -> None:
    make.make_driver(email="ann@example.com")
    typed = {"name": "Ann", "email": "ANN@example.com", "is_active": "on"}

    page = admin_client.post(reverse("admin:integrations_driver_add"), typed)

    assert "email" in page.context["adminform"].form.errors
    assert Driver.objects.count() == 1


def test_a_driver_with_connections_cannot_be_deleted(admin_client: Client) -> None:
    driver = make.make_connection().driver

    admin_client.post(
        reverse("admin:integrations_driver_delete", args=[driver.pk]), {"post": "yes"}
    )

    assert Driver.objects.filter(pk=driver.pk).exists()


def test_a_portal_link_is_shown_once_and_kept_in_no_message(admin_client: Client) -> None:
    page = act(admin_client, "make_link", make.make_driver(), make.make_driver())

    links = ConnectLink.objects.all()
    assert len(links) == 2
    for link in links:
        assert f"https://portal.example.com{connect_links.path(link)}" in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert said(page) == ""


def test_a_portal_link_is_mailed_through_the_outbox(admin_client: Client) -> None:
    answer = act(admin_client, "mail_link", make.make_driver(), make.make_driver(is_active=False))

    assert OutboxEntry.objects.get().kind == link_mails.INVITE
    assert "1 portal link is on its way" in said(answer)
    assert "1 inactive driver was left out" in said(answer)


def test_staff_who_may_not_make_links_cannot_invite(client: Client) -> None:
    client.force_login(make.make_user("integrations.view_driver", "integrations.change_driver"))

    act(client, "make_link", make.make_driver())

    assert ConnectLink.objects.count() == 0


def test_a_link_is_added_with_a_vin_in_any_spelling(admin_client: Client) -> None:
    typed = {"driver": make.make_driver().pk, "vin": "1ftbw2cm 0kka00001", "make": "FORD"}

    admin_client.post(reverse("admin:integrations_connectlink_add"), typed)

    link = ConnectLink.objects.get()
    assert (link.vin, link.make) == ("1FTBW2CM0KKA00001", "FORD")
    assert link.expires_at == NOW + timedelta(days=7)


def test_a_bad_vin_is_refused_at_its_field(admin_client: Client) -> None:
    typed = {"driver": make.make_driver().pk, "vin": "OOO"}

    page = admin_client.post(reverse("admin:integrations_connectlink_add"), typed)

    assert "17 letters" in str(page.context["adminform"].form.errors["vin"])
    assert ConnectLink.objects.count() == 0


def test_the_address_of_a_link_is_for_those_who_may_use_it(
    admin_client: Client, client: Client
) -> None:
    link = make.make_link()
    address = reverse("admin:integrations_connectlink_change", args=[link.pk])
    looker = Client()
    looker.force_login(make.make_user("integrations.view_connectlink"))

    assert connect_links.path(link) in admin_client.get(address).content.decode()
    assert connect_links.path(link) not in looker.get(address).content.decode()


def test_links_are_shown_and_mailed_only_while_they_are_open(admin_client: Client) -> None:
    good, gone = make.make_link(), make.make_link(used_at=NOW)

    page = act(admin_client, "show_link", good, gone)
    answer = act(admin_client, "mail_link", good, gone)

    assert connect_links.path(good) in page.content.decode()
    assert connect_links.path(gone) not in page.content.decode()
    assert OutboxEntry.objects.count() == 1
    assert "1 link opens nothing any more" in said(answer)


def test_withdrawing_a_link_asks_first(admin_client: Client) -> None:
    link = make.make_link()

    page = act(admin_client, "withdraw", link)
    link.refresh_from_db()
    assert page.status_code == 200
    assert link.withdrawn_at is None

    answer = act(admin_client, "withdraw", link, confirmed="yes")
    link.refresh_from_db()
    assert link.withdrawn_at == NOW
    assert "1 portal link withdrawn" in said(answer)


@pytest.mark.parametrize("state", ["valid", "used", "expired", "withdrawn"])
def test_links_are_filtered_by_state(admin_client: Client, state: str) -> None:
    rows = {
        "valid": make.make_link(),
        "used": make.make_link(used_at=NOW),
        "expired": make.make_link(expires_at=NOW),
        "withdrawn": make.make_link(withdrawn_at=NOW),
    }

    page = admin_client.get(listing(ConnectLink), {"state": state})

    assert list(page.context["cl"].queryset) == [rows[state]]


def test_revoking_a_connection_asks_first_and_erases_the_tokens(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = make.make_token().connection
    assert connection is not None
    monkeypatch.setattr("integrations.conf.get_smartcar_client", lambda **_: Unreachable())

    act(admin_client, "revoke", connection)
    connection.refresh_from_db()
    assert connection.status == Connection.Status.ACTIVE

    answer = act(admin_client, "revoke", connection, confirmed="yes")
    connection.refresh_from_db()
    assert connection.status == Connection.Status.REVOKED
    assert OAuthToken.objects.get().refresh_token == ""
    assert "1 connection revoked" in said(answer)


def test_staff_who_may_only_look_cannot_revoke(client: Client) -> None:
    connection = make.make_connection()
    client.force_login(make.make_user("integrations.view_connection"))

    act(client, "revoke", connection, confirmed="yes")

    connection.refresh_from_db()
    assert connection.status == Connection.Status.ACTIVE


def test_poll_now_wakes_a_worker_for_each_car(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[tuple[int, str]] = []
    monkeypatch.setattr(
        tasks.poll_vehicle, "delay", lambda pk, *, asked_at: woken.append((pk, asked_at))
    )
    vehicles = [make.make_vehicle(), make.make_vehicle()]

    answer = act(admin_client, "poll_now", *vehicles)

    assert sorted(pk for pk, _asked_at in woken) == [vehicle.pk for vehicle in vehicles]
    assert all(datetime.fromisoformat(asked_at).tzinfo for _pk, asked_at in woken)
    assert "2 cars are being read" in said(answer)


def test_poll_now_says_when_the_workers_cannot_be_reached(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(tasks.poll_vehicle, "delay", fail)

    assert "cannot be reached" in said(act(admin_client, "poll_now", make.make_vehicle()))


def test_poll_now_takes_no_more_than_a_hundred(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr(tasks.poll_vehicle, "delay", lambda pk, **_: woken.append(pk))
    connection = make.make_connection()
    vehicles = [make.make_vehicle(connection=connection) for _ in range(101)]

    answer = act(admin_client, "poll_now", vehicles[0], select_across="1")

    assert len(woken) == 100
    assert "Only the first 100" in said(answer)


def test_saving_a_vehicle_leaves_the_columns_of_workers_alone(admin_client: Client) -> None:
    vehicle = make.make_vehicle()
    group = make.make_group()
    address = reverse("admin:integrations_vehicle_change", args=[vehicle.pk])

    admin_client.post(address, {"name": "Van 7", "group": group.pk, "vin": "X", "calls_used": 99})

    changed = Vehicle.objects.get()
    assert (changed.name, changed.group) == ("Van 7", group)
    assert (changed.vin, changed.calls_used) == (vehicle.vin, 0)
    assert Activity.objects.get().what == f"Vehicle changed: name: Van 7, group: {group}"


@pytest.mark.parametrize("what", ["reconnect", "driver", "failing", "rules", "unmatched", "unread"])
def test_vehicles_are_filtered_by_what_needs_attention(admin_client: Client, what: str) -> None:
    good = {"fleetio_id": 1, "last_read_at": NOW}
    lost = make.make_connection(status=Connection.Status.NEEDS_RECONNECT)
    rows = {
        "reconnect": make.make_vehicle(**{**good, "fleetio_id": 2, "connection": lost}),
        "driver": make.make_vehicle(**{**good, "fleetio_id": 6, "poll_outcome": "driver"}),
        "failing": make.make_vehicle(**{**good, "fleetio_id": 3, "poll_failures": 3}),
        "rules": make.make_vehicle(**{**good, "fleetio_id": 4, "evaluation_error": "KeyError"}),
        "unmatched": make.make_vehicle(last_read_at=NOW),
        "unread": make.make_vehicle(fleetio_id=5),
    }
    make.make_vehicle(**good)

    page = admin_client.get(listing(Vehicle), {"attention": what})

    assert list(page.context["cl"].queryset) == [rows[what]]


def test_the_page_of_a_vehicle_tells_what_is_known_and_why_something_is_not(
    admin_client: Client,
) -> None:
    vehicle = make.make_access(permissions=["read_odometer"]).vehicle
    make.make_signal(vehicle=vehicle)
    make.make_signal(
        vehicle=vehicle, code=codes.OIL_LIFE, value=None, recorded_at=None, support="not_granted"
    )
    make.make_reading(vehicle=vehicle, recorded_at=NOW - timedelta(days=3), value=70_000)
    make.make_reading(vehicle=vehicle)
    make.make_trouble_code(vehicle=vehicle)
    make.make_outbox_entry(vehicle=vehicle, state="dead", last_error="The address was refused")

    address = reverse("admin:integrations_vehicle_change", args=[vehicle.pk])
    text = admin_client.get(address).content.decode()

    for part in ("50,000 mi", "The driver did not share it", "<polyline", "P0300", "read_odometer"):
        assert part in text
    assert "The address was refused" in text


def test_the_links_to_everything_of_a_vehicle_open(admin_client: Client) -> None:
    vehicle = make.make_signal().vehicle
    page = admin_client.get(reverse("admin:integrations_vehicle_change", args=[vehicle.pk]))

    links = [panel.more for panel in page.context["panels"] if panel.more]

    assert len(links) >= 5
    assert [admin_client.get(link).status_code for link in links] == [200] * len(links)


def test_distances_are_shown_in_the_unit_of_the_portal(admin_client: Client) -> None:
    PortalSettings(distance_unit="km").save()
    make.make_signal()

    assert "80,467 km" in admin_client.get(listing(Vehicle)).content.decode()
    assert "80,467 km" in admin_client.get(listing(Signal)).content.decode()


@pytest.mark.parametrize(
    ("code", "value", "data", "shown"),
    [
        (codes.OIL_LIFE, 12.0, None, "12 %"),
        (codes.FUEL_AMOUNT, 33.5, None, "33.5 L"),
        (codes.TIRES, None, {"values": [{"tirePressure": 230.0}]}, "33 psi"),
        (codes.TROUBLE_CODES, None, {"values": [{"code": "P0300"}]}, "P0300"),
        (codes.TROUBLE_CODES, None, {"values": []}, "none"),
        ("diagnostics-abs", None, {"status": "ALERT", "description": "Worn"}, "ALERT: Worn"),
        ("unheard-of", None, {"value": "x"}, "value: x"),
        ("unheard-of", None, None, words.NOTHING),
    ],
)
def test_signals_read_like_words(code: str, value: float | None, data: Any, shown: str) -> None:
    assert words.signal_value(code, value, data, "mi") == shown


def test_a_line_of_history_escapes_what_it_is_told() -> None:
    points = [(NOW, 1.0), (NOW + timedelta(days=1), 2.0)]

    drawn = sparkline.draw(points, title="<b>", caption='"')

    assert "<b>" not in drawn
    assert sparkline.draw(points[:1], title="", caption="") == ""


def test_a_message_that_was_given_up_is_tried_again(admin_client: Client) -> None:
    entry = make.make_outbox_entry(state="dead", started_at=NOW, finished_at=NOW)

    answer = act(admin_client, "try_again", entry)

    entry.refresh_from_db()
    assert entry.state == OutboxEntry.State.UNKNOWN
    assert "1 message is tried again" in said(answer)


def test_cancelling_a_message_asks_first(admin_client: Client) -> None:
    entry = make.make_outbox_entry()

    act(admin_client, "cancel", entry)
    entry.refresh_from_db()
    assert entry.state == OutboxEntry.State.PENDING

    answer = act(admin_client, "cancel", entry, confirmed="yes")
    entry.refresh_from_db()
    assert entry.state == OutboxEntry.State.CANCELLED
    assert "1 message cancelled" in said(answer)
    assert Activity.objects.filter(what__startswith="Cancelled").count() == 1


def test_a_person_may_let_calls_to_a_provider_go_on(admin_client: Client) -> None:
    gate = ProviderGate.objects.create(name="fleetio", paused_until=NOW + timedelta(hours=1))

    answer = act(admin_client, "resume", gate)

    gate.refresh_from_db()
    assert gate.paused_until is None
    assert "allowed again" in said(answer)


def test_the_day_on_which_a_consent_ends_is_all_that_people_change(admin_client: Client) -> None:
    way = make.make_access()
    connection = way.connection
    page = reverse("admin:integrations_connection_change", args=[connection.pk])
    typed = {"consent_ends_on": "2026-05-04", "status": "revoked", "smartcar_user_id": "mine"}
    before = (connection.status, connection.smartcar_user_id)

    assert admin_client.post(page, typed).status_code == 302

    connection.refresh_from_db()
    assert str(connection.consent_ends_on) == "2026-05-04"
    assert (connection.status, connection.smartcar_user_id) == before
    way.vehicle.refresh_from_db()
    assert way.vehicle.evaluation_due_at, "the rules look at its cars soon"
    assert "consent_ends_on: 2026-05-04" in admin_client.get(page).content.decode()
    assert admin_client.post(page, {"consent_ends_on": "soon"}).status_code == 200
