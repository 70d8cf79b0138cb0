"""The admin as a whole: every model, every page, who may see it, and how much it asks."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fleetportal import clock
from integrations.models import (
    Heartbeat,
    Make,
    OutboxEntry,
    PortalSettings,
    ProviderGate,
    Signal,
    WebhookEndpoint,
)
from integrations.services import webhook_setup
from maintenance.models import Channel, CodeOverride, MaintenanceMode, NoticeTemplate, Rule
from tests import factories as make
from tests.factories import NOW
from tests.integrations import deliveries

MODELS = [*apps.get_app_config("integrations").get_models()]
MODELS += [*apps.get_app_config("maintenance").get_models()]
# Their lists are pages of their own.
LISTED = [model for model in MODELS if model not in {PortalSettings, WebhookEndpoint}]

ROWS: dict[str, Callable[[], Any]] = {
    "Activity": lambda: make.make_activity(vehicle=make.make_vehicle(), about=make.make_driver()),
    "Heartbeat": lambda: Heartbeat.objects.create(name=f"b{Heartbeat.objects.count()}", at=NOW),
    "ProviderGate": lambda: ProviderGate.objects.create(name=f"p{ProviderGate.objects.count()}"),
    "OutboxEntry": lambda: make.make_outbox_entry(
        vehicle=make.make_vehicle(), about=make.make_alert()
    ),
    "ConnectLink": lambda: make.make_link(group=make.make_group()),
    "Connection": lambda: make.make_vehicle().connection,
    "Driver": lambda: make.make_connection().driver,
    "PortalSettings": PortalSettings.load,
    "Reading": make.make_reading,
    "Signal": make.make_signal,
    "TroubleCode": make.make_trouble_code,
    "OAuthToken": make.make_token,
    "Make": lambda: Make.objects.create(name=f"M{Make.objects.count()}", refresh_minutes=5),
    "Vehicle": lambda: make.make_alert(vehicle=make.make_vehicle(group=make.make_group())).vehicle,
    "VehicleAccess": make.make_access,
    "WebhookEvent": lambda: deliveries.process(deliveries.state(make.make_access())),
    "WebhookEndpoint": webhook_setup.endpoint,
    "VehicleGroup": lambda: make.make_vehicle(group=make.make_group()).group,
    "Alert": lambda: make.make_issue().alert,
    "FleetioIssue": make.make_issue,
    "CodeOverride": lambda: make.make_override(pattern=f"P{CodeOverride.objects.count():04d}"),
    "Recipient": lambda: make.make_recipient(driver=make.make_driver(), user=make.make_user()),
    "Rule": lambda: make.make_rule(vehicle=make.make_vehicle(), group=make.make_group()),
    "ServiceRecord": lambda: make.make_service(created_by=make.make_user()),
    "MaintenanceMode": lambda: MaintenanceMode.objects.create(
        vehicle=make.make_vehicle(), begins_at=NOW
    ),
    "Channel": lambda: Channel.objects.create(
        recipient=make.make_recipient(), name="ops", url="json://127.0.0.1/secret"
    ),
    "NoticeTemplate": lambda: NoticeTemplate.objects.get_or_create(
        name="alert", subject="{{ what }}", body="{{ vehicle }}"
    )[0],
}  # fmt: skip
ADDABLE = {
    "Driver", "ConnectLink", "VehicleGroup", "Make", "Rule", "CodeOverride", "ServiceRecord",
    "Recipient", "Channel", "MaintenanceMode", "NoticeTemplate",
}  # fmt: skip

pytestmark = pytest.mark.django_db
named = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
listed = pytest.mark.parametrize("model", LISTED, ids=lambda model: model.__name__)


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW + timedelta(hours=1))
    yield
    clock.set_source(None)


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def queries_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert client.get(address).status_code == 200
    return len(asked)


@named
def test_every_model_is_in_the_admin(model: type[Model]) -> None:
    assert admin.site.is_registered(model)


@listed
def test_an_empty_list_says_what_to_do_next(admin_client: Client, model: type[Model]) -> None:
    if model.__name__ not in {"Make", "Rule"}:  # these come with rows
        model._default_manager.all().delete()
        assert "fp-empty" in admin_client.get(url(model, "changelist")).content.decode()
    assert str(admin.site._registry[model].empty_hint)  # type: ignore[attr-defined]


@listed
def test_a_list_asks_as_many_queries_for_thirty_rows_as_for_three(
    admin_client: Client, model: type[Model]
) -> None:
    for _ in range(3):
        ROWS[model.__name__]()
    address = url(model, "changelist") + ("?status=all" if model.__name__ == "Alert" else "")
    admin_client.get(address)
    few = queries_of(admin_client, address)
    for _ in range(27):
        ROWS[model.__name__]()

    assert queries_of(admin_client, address) == few


@listed
def test_a_list_can_be_searched(admin_client: Client, model: type[Model]) -> None:
    ROWS[model.__name__]()

    assert admin_client.get(url(model, "changelist") + "?q=1").status_code == 200


@named
def test_the_page_of_one_object_opens(admin_client: Client, model: type[Model]) -> None:
    row = ROWS[model.__name__]()

    page = admin_client.get(url(model, "change", row.pk))

    assert page.status_code == 200
    assert 'style="' not in page.content.decode()
    assert admin_client.get(url(model, "history", row.pk)).status_code == 200


@named
def test_only_what_people_decide_can_be_added(admin_client: Client, model: type[Model]) -> None:
    answer = admin_client.get(url(model, "add"))

    assert answer.status_code == (200 if model.__name__ in ADDABLE else 403)


@named
def test_a_stranger_is_sent_to_the_login(client: Client, model: type[Model]) -> None:
    for page in (url(model, "changelist"), url(model, "add")):
        answer = client.get(page)

        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("admin:login"))


@named
def test_staff_without_permission_see_nothing(client: Client, model: type[Model]) -> None:
    row = ROWS[model.__name__]()
    client.force_login(make.make_user())

    assert client.get(url(model, "change", row.pk)).status_code in {302, 403}
    assert client.get(url(model, "add")).status_code == 403
    if model is not PortalSettings:
        assert client.get(url(model, "changelist")).status_code == 403


@listed
def test_staff_who_may_only_look_get_no_actions(client: Client, model: type[Model]) -> None:
    ROWS[model.__name__]()
    name = f"{model._meta.app_label}.view_{model._meta.model_name}"
    client.force_login(make.make_user(name))

    page = client.get(url(model, "changelist"))

    assert page.status_code == 200
    assert 'name="action"' not in page.content.decode()


def test_the_overview_shows_what_needs_somebody(admin_client: Client) -> None:
    vehicle = make.make_alert(stage="overdue").vehicle
    assert vehicle is not None
    vehicle.poll_failures = 5
    vehicle.save()
    make.make_outbox_entry(state=OutboxEntry.State.DEAD)
    ProviderGate.objects.create(
        name="fleetio", paused_until=NOW + timedelta(hours=5), paused_reason="Token refused"
    )
    Heartbeat.objects.create(name="beat", at=NOW)

    page = admin_client.get(reverse("admin:index"))

    tiles = {tile.label: tile for tile in page.context["tiles"]}
    assert tiles["Alerts: Overdue"].value == "1"
    assert tiles["Alerts: Due"].value == "0"
    assert tiles["Vehicles needing attention"].lines[0][0] == "Polls fail: 1"
    assert tiles["Messages given up"].value == "1"
    assert "Token refused" in page.content.decode()
    assert "1 hour ago" in page.content.decode().replace("\xa0", " ")
    for tile in page.context["tiles"]:
        assert admin_client.get(tile.url).status_code == 200


def test_the_overview_asks_a_constant_number_of_queries(admin_client: Client) -> None:
    make.make_alert()
    admin_client.get(reverse("admin:index"))
    few = queries_of(admin_client, reverse("admin:index"))
    for _ in range(10):
        make.make_alert()
        make.make_signal()

    assert queries_of(admin_client, reverse("admin:index")) == few


def test_the_first_steps_go_once_they_are_done(admin_client: Client) -> None:
    before = admin_client.get(reverse("admin:index")).context["first_steps"]
    make.make_vehicle(fleetio_id=1, last_read_at=NOW)
    after = admin_client.get(reverse("admin:index")).context["first_steps"]

    assert [step.is_done for step in before] == [False] * 4
    assert after == []


def test_staff_without_permission_get_an_empty_overview(client: Client) -> None:
    make.make_alert()
    client.force_login(make.make_user())

    page = client.get(reverse("admin:index"))

    assert page.status_code == 200
    assert page.context["tiles"] == []
    assert page.context["first_steps"] == []


def test_no_page_shows_a_token_or_a_nonce(admin_client: Client, admin_user: User) -> None:
    token = make.make_token()
    assert token.connection is not None
    link = make.make_link(driver=token.connection.driver)
    pages = [
        url(type(token), "changelist"),
        url(type(token), "change", token.pk),
        url(type(token), "history", token.pk),
        url(type(token.connection), "change", token.connection.pk),
        url(type(link.driver), "change", link.driver.pk),
        url(type(link), "changelist"),
    ]
    for address in pages:
        text = admin_client.get(address).content.decode()

        for secret in ("secret-access", "secret-refresh", link.nonce, link.driver.nonce):
            assert secret not in text


def test_tokens_are_shown_even_when_no_key_opens_them(admin_client: Client) -> None:
    token = make.make_token()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_oauthtoken SET access_token = 'garbage'")

    assert admin_client.get(url(type(token), "changelist")).status_code == 200
    assert admin_client.get(url(type(token), "change", token.pk)).status_code == 200


def test_the_page_of_a_vehicle_asks_as_much_for_many_signals_as_for_one(
    admin_client: Client,
) -> None:
    vehicle = make.make_signal().vehicle
    make.make_reading(vehicle=vehicle)
    make.make_alert(vehicle=vehicle, rule=Rule.objects.first())
    make.make_access(vehicle=vehicle)
    address = url(type(vehicle), "change", vehicle.pk)
    admin_client.get(address)
    few = queries_of(admin_client, address)
    for n in range(10):
        make.make_signal(vehicle=vehicle, code=f"code-{n}", support=Signal.Support.NOT_CAPABLE)
        make.make_reading(vehicle=vehicle, recorded_at=NOW - timedelta(days=n + 1))
        make.make_alert(vehicle=vehicle, subject=f"S{n}", rule=None)
        make.make_activity(vehicle=vehicle)
        make.make_service(vehicle=vehicle)

    assert queries_of(admin_client, address) == few
