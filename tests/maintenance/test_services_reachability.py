"""Cars that went quiet, and consents that are lost or end: told once, by the rules."""

import threading
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext

from integrations.models import Connection, Make, OAuthToken, OutboxEntry, Vehicle
from integrations.registry import MAIL
from integrations.services import connection_status, delivery, vehicles
from maintenance.engine.facts import Consent
from maintenance.models import Alert, Rule
from maintenance.services import evaluation, reach
from tests.factories import (
    NOW,
    make_access,
    make_connection,
    make_driver,
    make_token,
    make_user,
    make_vehicle,
)
from tests.integrations.world import together
from tests.maintenance.cars import DAY, HOUR, add_default_rules, alerts_of, say

pytestmark = pytest.mark.django_db
STAFF = "maintenance@example.com"
LATER = NOW + HOUR


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def car() -> Vehicle:
    driver = make_driver(name="Maria Lopez", email="maria@example.com")
    car = make_vehicle(connection=make_connection(driver=driver))
    make_access(vehicle=car)
    return car


def consent_of(car: Vehicle) -> Connection:
    connection = Connection.objects.get(accesses__vehicle=car)
    assert isinstance(connection, Connection)
    return connection


def lose(car: Vehicle, at: timedelta = HOUR) -> bool:
    return connection_status.needs_reconnect(consent_of(car), reason="Token refused", now=NOW + at)


def told(now: timedelta) -> list[str]:
    """Subjects of the mails that staff get of what is due."""
    before = len(mail.outbox)
    delivery.deliver_due(clock=lambda: NOW + now, lanes=[MAIL])
    return [str(message.subject) for message in mail.outbox[before:] if message.to == [STAFF]]


def states_of(topic: str) -> list[tuple[str, str]]:
    rows = Alert.objects.filter(topic=topic).order_by("pk")
    return list(rows.values_list("status", "stage"))


# --- Lost -------------------------------------------------------------------------------------


def test_a_lost_connection_alerts_in_the_transaction_that_lost_it(car: Vehicle) -> None:
    assert lose(car)
    assert not lose(car)

    alert = Alert.objects.get()
    assert (alert.kind, alert.status, alert.stage) == ("connection", "open", "overdue")
    assert alert.summary == "Connection lost: the driver has to connect again"
    assert (alert.evidence["why"], alert.evidence["driver"]) == ("Token refused", "Maria Lopez")
    assert len(told(HOUR)) == 1
    assert told(2 * DAY) == []
    assert not OutboxEntry.objects.filter(kind="fleetio_issue").exists()


def test_staff_read_whose_car_it_is_and_why(car: Vehicle) -> None:
    lose(car)
    told(HOUR)

    (message,) = (m for m in mail.outbox if m.to == [STAFF])
    for part in (str(car), "Maria Lopez", "Token refused"):
        assert part in str(message.body)
    assert "/connect/" not in str(message.body), "the link is the driver's alone"


def test_every_car_of_the_connection_is_looked_at_and_no_other(car: Vehicle) -> None:
    second = make_vehicle(connection=car.connection)
    make_access(vehicle=second)
    other = make_vehicle()
    lose(car)

    assert {alert.vehicle for alert in Alert.objects.all()} == {car, second}
    assert alerts_of(other) == []


def test_a_connection_that_is_good_again_ends_the_alert(car: Vehicle) -> None:
    lose(car)
    connection_status.mark_active(consent_of(car), now=LATER)
    assert states_of("connection") == [("resolved", "overdue")]

    lose(car, 2 * HOUR)
    assert states_of("connection") == [("open", "overdue")], "the same, back again"
    assert Alert.objects.get().times_opened == 2


def test_what_was_mended_before_the_mail_went_out_is_not_told(car: Vehicle) -> None:
    lose(car)
    connection_status.mark_active(consent_of(car), now=LATER)

    assert told(2 * HOUR) == []


def test_a_driver_who_withdraws_is_told_of_and_staff_who_revoke_are_not(car: Vehicle) -> None:
    connection_status.mark_revoked(consent_of(car), reason="Withdrawn by the driver", now=NOW)
    assert Alert.objects.get().summary == "Connection ended: the car is no longer shared"

    connection_status.mark_active(consent_of(car), now=NOW + HOUR)
    revoked_at, user = NOW + 2 * HOUR, make_user()
    connection_status.mark_revoked(consent_of(car), reason="sold", now=revoked_at, user=user)
    assert states_of("connection") == [("resolved", "overdue")]
    evaluation.evaluate_all(now=NOW + 3 * DAY)
    assert states_of("connection") == [("resolved", "overdue")]


def test_staff_who_revoke_what_was_lost_end_the_alert(car: Vehicle) -> None:
    lose(car)
    connection_status.mark_revoked(consent_of(car), reason="sold", now=LATER, user=make_user())

    assert states_of("connection") == [("resolved", "overdue")]


def test_a_car_that_its_driver_took_out_is_no_longer_shared(car: Vehicle) -> None:
    vehicles.attach(consent_of(car), [], now=NOW)
    evaluation.evaluate_all(now=NOW)

    assert Alert.objects.get().evidence["consent"] == Consent.NOT_SHARED


def test_a_consent_that_ended_at_smartcar_leaves_the_car_without_one(car: Vehicle) -> None:
    connection = consent_of(car)
    vehicles.attach(connection, [], now=NOW)
    connection_status.mark_revoked(connection, reason="Ended at Smartcar", now=NOW)

    assert Alert.objects.get().evidence["consent"] == Consent.REVOKED


def test_a_car_that_never_had_a_connection_is_not_spoken_of() -> None:
    bare = make_vehicle(connection=None)
    evaluation.evaluate_all(now=NOW + 9 * DAY)

    assert alerts_of(bare) == []


def test_without_the_rule_nobody_is_told(car: Vehicle) -> None:
    Rule.objects.filter(kind="connection").update(is_enabled=False)
    lose(car)

    assert told(HOUR) == []


def test_a_rule_that_fails_keeps_no_connection_from_being_lost(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maintenance.engine.reachability._LOST", None)
    assert lose(car)

    assert consent_of(car).status == "needs_reconnect"
    car.refresh_from_db()
    assert car.evaluation_error
    assert car.evaluation_due_at


@pytest.mark.django_db(transaction=True)
def test_a_car_that_somebody_holds_is_not_waited_for_and_looked_at_soon() -> None:
    """Whoever holds it may wait for a car that we hold."""
    if database.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    add_default_rules()
    held, free = (make_vehicle() for _ in range(2))
    connection = consent = held.connection
    assert consent is not None
    Vehicle.objects.update(connection=connection)
    for vehicle in Vehicle.objects.all():
        make_access(vehicle=vehicle)
    is_held, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Vehicle.objects.select_for_update().get(pk=held.pk)
            is_held.set()
            assert is_done.wait(10)

    def lose_it() -> bool:
        assert is_held.wait(10)
        with transaction.atomic():
            lost = connection_status.needs_reconnect(consent, reason="gone", now=NOW)
            is_done.set()
        return lost

    assert together(2, lambda n: [hold, lose_it][n]()) == [None, True]
    assert (alerts_of(held), len(alerts_of(free))) == ([], 1)
    held.refresh_from_db()
    assert held.evaluation_due_at == NOW


# --- Ending -----------------------------------------------------------------------------------


def test_a_consent_that_ends_is_told_in_three_steps_and_ends_with_a_new_one(car: Vehicle) -> None:
    day = NOW.date() + timedelta(days=20)
    Connection.objects.update(consent_ends_on=day)
    stages = {}
    for days in (5, 6, 12, 13, 18, 19):
        evaluation.evaluate_all(now=NOW + days * DAY)
        Alert.objects.filter(topic="stale-data").delete()
        stages[days] = [stage for _topic, _status, stage in alerts_of(car)]

    assert stages == {5: [], 6: ["soon"], 12: ["soon"], 13: ["due"], 18: ["due"], 19: ["overdue"]}
    assert Alert.objects.get().summary == "The consent ends on March 22, 2026"

    Connection.objects.update(consent_ends_on=None)
    evaluation.evaluate_all(now=NOW + 19 * DAY)
    assert states_of("connection") == [("resolved", "overdue")]


@pytest.mark.parametrize(
    ("columns", "ends"),
    [
        ({"failures": 3}, True),
        ({"failures": 2}, False),
        ({"failures": 3, "refresh_expires_at": NOW + 30 * DAY}, False),
        ({"failures": 3, "refresh_expires_at": None}, False),
    ],
)
def test_a_pair_that_runs_out_and_cannot_be_exchanged_ends_the_consent(
    car: Vehicle, columns: dict[str, object], *, ends: bool
) -> None:
    token = make_token(connection=car.connection, refresh_expires_at=NOW + 5 * DAY)
    OAuthToken.objects.filter(pk=token.pk).update(**columns)
    evaluation.evaluate_all(now=NOW)

    assert states_of("connection") == ([("open", "due")] if ends else [])


def test_a_pair_that_is_only_kept_for_the_way_back_means_nothing(car: Vehicle) -> None:
    make_token(connection=car.connection, refresh_expires_at=NOW + DAY, failures=9)
    Connection.objects.update(listed_through="v3")
    evaluation.evaluate_all(now=NOW)

    assert states_of("connection") == []


# --- Quiet ------------------------------------------------------------------------------------


def test_a_quiet_car_is_told_of_once_and_heard_again_with_its_next_reading(car: Vehicle) -> None:
    say(car, NOW, km=1_000)
    for hours in (72, 73, 80):
        evaluation.evaluate_all(now=NOW + hours * HOUR)
        opened = [("open", "due")] if hours > 72 else []
        assert states_of("stale-data") == opened
    assert Alert.objects.get().summary == "No fresh data since March 2, 2026"
    assert len(told(80 * HOUR)) == 1

    say(car, NOW + 81 * HOUR, km=1_001)
    assert states_of("stale-data") == [("resolved", "due")]


def test_an_old_reading_that_comes_late_is_no_sign_of_life(car: Vehicle) -> None:
    say(car, NOW, km=1_000)
    evaluation.evaluate_all(now=NOW + 80 * HOUR)
    say(car, NOW + HOUR, now=NOW + 81 * HOUR, oil=80)

    assert states_of("stale-data") == [("open", "due")]


def test_a_make_that_is_slow_by_habit_has_more_time(car: Vehicle) -> None:
    Make.objects.update_or_create(name=car.make, defaults={"refresh_minutes": 2 * 24 * 60})
    say(car, NOW, km=1_000)
    evaluation.evaluate_all(now=NOW + 144 * HOUR)
    assert states_of("stale-data") == []
    evaluation.evaluate_all(now=NOW + 145 * HOUR)
    assert states_of("stale-data") == [("open", "due")]


def test_a_car_that_never_gave_anything_counts_from_its_connection(car: Vehicle) -> None:
    evaluation.evaluate_all(now=NOW + 73 * HOUR)

    assert Alert.objects.get().summary == ("No data at all since it was connected on March 2, 2026")


def test_while_the_connection_is_lost_a_car_is_not_called_quiet(car: Vehicle) -> None:
    say(car, NOW, km=1_000)
    lose(car)
    evaluation.evaluate_all(now=NOW + 9 * DAY)
    assert states_of("stale-data") == []

    connection_status.mark_active(consent_of(car), now=NOW + 9 * DAY)
    evaluation.evaluate_all(now=NOW + 9 * DAY + 72 * HOUR)
    assert states_of("stale-data") == [], "it has time to report"
    evaluation.evaluate_all(now=NOW + 9 * DAY + 73 * HOUR)
    assert states_of("stale-data") == [("open", "due")]


# --- What it costs ----------------------------------------------------------------------------


def test_the_reach_of_a_car_is_one_statement(car: Vehicle) -> None:
    reach.statement(car).run()  # its SQL is written once
    with CaptureQueriesContext(database) as captured:
        reach.of(reach.statement(car).run(), [])

    assert len(captured) == 1
