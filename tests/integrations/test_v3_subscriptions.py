"""Which cars report by themselves, and how those that do not are found and asked for again."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from integrations import tasks
from integrations.clients.errors import ClientError
from integrations.models import Connection, ProviderGate, Vehicle, VehicleAccess
from integrations.services import connect_links, subscriptions
from tests.integrations.world import World, running, without_rules

pytestmark = pytest.mark.django_db

SUBSCRIPTIONS = "/v3/subscriptions"


@pytest.fixture
def world(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    without_rules(monkeypatch)
    with running(settings, vehicles=4, drivers=2, version="v3", webhooks=True) as running_world:
        yield running_world


@pytest.fixture
def hook(world: World) -> str:
    return world.sandbox.smartcar.webhooks.webhook_id


def at_smartcar(world: World) -> set[tuple[str, str]]:
    """The users and cars that Smartcar lists."""
    listed = world.sandbox.smartcar.subscriptions.all()
    return {(one.user_id, one.vehicle_id) for one in listed}


def states() -> list[str]:
    return list(VehicleAccess.objects.order_by("pk").values_list("subscription", flat=True))


def ways() -> list[VehicleAccess]:
    return list(VehicleAccess.objects.order_by("pk").select_related("connection"))


def asked(world: World) -> int:
    return world.sandbox.smartcar.requests.count("POST", SUBSCRIPTIONS)


# --- At once, or some time after --------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_cars_are_subscribed_when_their_driver_connects(
    world: World, hook: str, settings: Settings, version: str
) -> None:
    settings.SMARTCAR_API_VERSION = version

    connected = world.connect()

    assert at_smartcar(world) == {
        (connected.connection.smartcar_user_id, car.smartcar_id) for car in connected.vehicles
    }
    if version == "v3":  # it says yes, and does it some time after
        assert states() == ["asked", "asked"]
        assert subscriptions.missing(hook).count() == 2
        world.pass_time(minutes=11)
        tasks.subscribe_vehicles()
    assert states() == ["subscribed", "subscribed"]
    assert {way.subscribed_to for way in ways()} == {hook}
    assert not subscriptions.missing(hook).exists()


def test_the_driver_is_thanked_although_the_cars_could_not_be_subscribed(
    world: World, client: Client
) -> None:
    world.smartcar_fault(path=SUBSCRIPTIONS, status=500, times=None)
    link = connect_links.path(world.make_link())

    url = client.post(link)["Location"]
    back = world.sandbox.smartcar.connect.approve(url)

    page = client.get(back[back.index("/connect/") :])
    assert page.status_code == 200
    assert "Your 2 cars are connected." in page.content.decode()
    assert asked(world) == 1, "nobody waits for one car after the other"
    assert Vehicle.objects.readable().count() == 2


def test_without_a_webhook_nobody_is_subscribed(world: World, settings: Settings) -> None:
    settings.SMARTCAR_WEBHOOK_ID = ""

    world.connect()

    assert tasks.subscribe_vehicles() == 0
    assert tasks.reconcile_subscriptions() == 0
    assert asked(world) == 0
    assert states() == ["", ""]


def test_a_car_that_was_asked_for_is_left_alone_for_ten_minutes(world: World, hook: str) -> None:
    world.sandbox.smartcar.subscription_delay = timedelta(minutes=7)
    world.connect()
    assert at_smartcar(world) == set()
    assert asked(world) == 2

    world.pass_time(minutes=9)
    assert tasks.subscribe_vehicles() == 0
    assert tasks.reconcile_subscriptions() == 0, "the list shows them by now"

    assert len(at_smartcar(world)) == 2
    assert states() == ["subscribed", "subscribed"]
    assert asked(world) == 2


def test_a_look_at_the_list_does_not_hurry_what_was_asked_for_just_now(world: World) -> None:
    world.sandbox.smartcar.subscription_delay = timedelta(minutes=7)
    world.connect()
    world.pass_time(minutes=1)

    assert tasks.reconcile_subscriptions() == 0

    assert states() == ["asked", "asked"]
    assert asked(world) == 2


def test_what_was_asked_for_and_never_came_is_asked_for_again(world: World) -> None:
    world.smartcar_fault(method="POST", path=SUBSCRIPTIONS, status=202, body={}, times=2)
    world.connect()
    assert (states(), at_smartcar(world)) == (["asked", "asked"], set())

    world.pass_time(minutes=10)
    assert tasks.subscribe_vehicles() == 2

    assert len(at_smartcar(world)) == 2


def test_a_car_that_reports_is_subscribed_whoever_did_it(world: World, hook: str) -> None:
    world.connect()
    way = ways()[0]

    subscriptions.seen(way, webhook_id=hook, now=world.now)

    assert states() == ["subscribed", "asked"]


# --- Refused ----------------------------------------------------------------------------------


def test_a_refused_car_is_shown_with_the_reason_and_tried_again_after_a_day(
    world: World, hook: str
) -> None:
    world.smartcar_fault(method="POST", path=SUBSCRIPTIONS, error=("PERMISSION", None))

    world.connect()

    assert states() == ["refused", "asked"]
    refused = subscriptions.missing(hook).get(subscription="refused")
    assert "PERMISSION" in refused.subscription_error
    world.pass_time(hours=23)
    tasks.subscribe_vehicles()
    assert states() == ["refused", "subscribed"]
    assert tasks.reconcile_subscriptions() == 0
    assert states() == ["refused", "subscribed"], "nor does a look at the list hurry it"

    world.pass_time(hours=1)
    assert tasks.subscribe_vehicles() == 1
    assert ways()[0].subscription_error == ""
    assert len(at_smartcar(world)) == 2


def test_a_car_that_fails_every_time_does_not_keep_the_others_from_it(world: World) -> None:
    def concerns_the_first(request: Any) -> bool:
        wanted = request.json()["data"]["attributes"]["vehicleId"]
        return bool(wanted == world.sandbox.fleet.cars[0].smartcar_id)

    world.smartcar_fault(
        method="POST", path=SUBSCRIPTIONS, status=500, when=concerns_the_first, times=None
    )
    world.connect()

    for _ in range(3):
        world.pass_time(minutes=1)
        tasks.subscribe_vehicles()

    unlucky = VehicleAccess.objects.get(smartcar_id=world.sandbox.fleet.cars[0].smartcar_id)
    assert unlucky.subscription == ""
    assert "500" in unlucky.subscription_error
    assert len(at_smartcar(world)) == 1


def test_refused_credentials_are_no_cars_fault(world: World, settings: Settings) -> None:
    settings.SMARTCAR_WEBHOOK_ID = ""
    world.connect()
    settings.SMARTCAR_WEBHOOK_ID = world.sandbox.smartcar.webhooks.webhook_id
    settings.SMARTCAR_V3_CLIENT_SECRET = "wrong"
    world.pass_time(hours=2)

    assert tasks.subscribe_vehicles() == 0

    assert states() == ["", ""]
    assert ProviderGate.objects.get(refused_at__isnull=False).name == "smartcar tokens"


# --- Another webhook --------------------------------------------------------------------------


@pytest.fixture
def done(world: World) -> Connection:
    """One driver whose two cars report."""
    connection: Connection = world.connect().connection
    world.pass_time(minutes=10)
    tasks.subscribe_vehicles()
    assert states() == ["subscribed", "subscribed"]
    world.sandbox.smartcar.requests.clear()
    return connection


@pytest.mark.parametrize("gone", [False, True], ids=["the old one is empty", "it was deleted"])
def test_cars_are_subscribed_to_another_webhook_when_the_settings_name_it(
    world: World, done: Connection, hook: str, settings: Settings, gone: bool
) -> None:
    world.sandbox.smartcar.subscriptions.webhook_id = settings.SMARTCAR_WEBHOOK_ID = "new-hook"
    if gone:
        world.smartcar_fault(
            method="GET",
            path=SUBSCRIPTIONS,
            error=("RESOURCE_NOT_FOUND", "NOT_FOUND"),
            times=None,
        )
    assert subscriptions.missing("new-hook").count() == 2

    assert tasks.subscribe_vehicles() == 2

    log = world.sandbox.smartcar.requests
    assert {r.query["filter[webhookId]"][0] for r in log.matching("GET", SUBSCRIPTIONS)} == {hook}
    wanted = [r.body["data"]["attributes"]["webhookId"] for r in log.matching("POST")]
    assert wanted == ["new-hook", "new-hook"]
    assert {way.subscribed_to for way in ways()} == {"new-hook"}
    assert not subscriptions.missing("new-hook").exists()


def test_a_webhook_that_smartcar_does_not_know_is_shown_and_the_cars_go_on_reporting(
    world: World, done: Connection, hook: str, settings: Settings
) -> None:
    settings.SMARTCAR_WEBHOOK_ID = "mistyped"
    assert tasks.subscribe_vehicles() == 0
    assert states() == ["refused", "refused"]
    shown = subscriptions.missing("mistyped")
    assert all("NOT_FOUND" in way.subscription_error for way in shown)
    assert len(at_smartcar(world)) == 2

    settings.SMARTCAR_WEBHOOK_ID = hook
    assert tasks.subscribe_vehicles() == 2

    assert states() == ["subscribed", "subscribed"]


# --- Compared with Smartcar's list ------------------------------------------------------------


def test_a_car_that_the_list_lacks_is_subscribed_again(world: World, done: Connection) -> None:
    lost = world.sandbox.smartcar.subscriptions.all()[0]
    world.sandbox.smartcar.subscriptions.end(lost.id)

    assert tasks.reconcile_subscriptions() == 1

    assert len(at_smartcar(world)) == 2
    assert asked(world) == 1
    assert sorted(states()) == ["asked", "subscribed"]
    assert tasks.reconcile_subscriptions() == 0
    assert states() == ["subscribed", "subscribed"]


def test_a_car_that_somebody_subscribed_by_hand_is_noted(world: World, done: Connection) -> None:
    VehicleAccess.objects.update(subscription="", subscribed_to="")

    assert tasks.reconcile_subscriptions() == 0

    assert states() == ["subscribed", "subscribed"]
    assert asked(world) == 0


def test_a_list_that_names_no_driver_is_understood_all_the_same(
    world: World, done: Connection
) -> None:
    def without_users(body: dict[str, Any]) -> dict[str, Any]:
        for row in body["data"]:
            del row["attributes"]["userId"]
        return body

    world.smartcar_fault(method="GET", path=SUBSCRIPTIONS, alter=without_users)

    assert tasks.reconcile_subscriptions() == 0
    assert states() == ["subscribed", "subscribed"]


def test_a_list_that_is_not_whole_changes_nothing(
    world: World, done: Connection, hook: str
) -> None:
    body = {"data": [], "meta": {"totalCount": 2}}
    world.smartcar_fault(method="GET", path=SUBSCRIPTIONS, body=body, times=None)

    with pytest.raises(ClientError):
        subscriptions.reconcile(client=world.smartcar, webhook_id=hook, now=world.now)

    assert tasks.reconcile_subscriptions() == 0
    assert states() == ["subscribed", "subscribed"]
    assert asked(world) == 0


def test_a_consent_that_has_ended_is_unsubscribed_where_it_is_still_listed(
    world: World, done: Connection
) -> None:
    other = world.connect(driver=world.sandbox.fleet.drivers[1].email).connection
    Connection.objects.filter(pk=done.pk).update(status="revoked")

    tasks.reconcile_subscriptions()

    assert {user for user, _car in at_smartcar(world)} == {other.smartcar_user_id}
    assert set(done.accesses.values_list("subscription", flat=True)) == {""}


def test_under_v2_a_car_that_has_not_reported_for_a_day_is_subscribed_once_more(
    world: World, hook: str, settings: Settings
) -> None:
    settings.SMARTCAR_API_VERSION = "v2"
    world.connect()
    reports, quiet = ways()
    for one in world.sandbox.smartcar.subscriptions.all():
        world.sandbox.smartcar.subscriptions.end(one.id)
    world.pass_time(days=2)
    Vehicle.objects.filter(pk=reports.vehicle_id).update(last_webhook_at=world.now)

    assert tasks.reconcile_subscriptions() == 1

    assert {car for _user, car in at_smartcar(world)} == {quiet.smartcar_id}
    assert states() == ["subscribed", "subscribed"]


# --- Who is missing ---------------------------------------------------------------------------


def test_only_cars_that_are_shared_now_can_be_missing(world: World, hook: str) -> None:
    world.smartcar_fault(method="POST", path=SUBSCRIPTIONS, error=("PERMISSION", None), times=None)
    connection = world.connect().connection
    first, second = ways()
    assert list(subscriptions.missing(hook)) == [first, second]

    VehicleAccess.objects.filter(pk=first.pk).update(ended_at=world.now)
    assert list(subscriptions.missing(hook)) == [second]
    Connection.objects.filter(pk=connection.pk).update(status="needs_reconnect")
    assert list(subscriptions.missing(hook)) == []
