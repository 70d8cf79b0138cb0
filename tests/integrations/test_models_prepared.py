"""Prepared queries do what the queryset that they were made of does, however often they run."""

from datetime import timedelta
from typing import Any, cast

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import BigIntegerField, CharField, DateTimeField, F, FloatField
from django.db.models.functions import Greatest
from pytest_django import DjangoAssertNumQueries

from integrations.models import ProviderGate, Reading, Signal, Vehicle
from integrations.models.prepared import Prepared, given, insert, together
from tests.factories import NOW, make_reading, make_signal, make_token, make_vehicle

pytestmark = pytest.mark.django_db

OF_CAR = Prepared(
    lambda: Signal.objects.filter(vehicle=given("vehicle", BigIntegerField)).order_by("code")
)
COLUMNS: tuple[str, ...] = (
    "vehicle_id",
    "code",
    "recorded_at",
    "fetched_at",
    "value",
    "data",
    "source",
)
COLUMNS += ("request_id", "event_id", "quality", "reason")


def test_each_run_finds_what_is_there_now() -> None:
    car, other = make_vehicle(), make_vehicle()
    make_signal(vehicle=car, code="a", data={"values": [1, "é"]})
    make_signal(vehicle=other, code="b")
    assert OF_CAR.rows(vehicle=car.pk).run() == list(car.signals.all())
    late = make_signal(vehicle=car, code="c", recorded_at=None, value=None)

    (first, second) = OF_CAR.rows(vehicle=car.pk).run()

    assert (first.code, first.data, first.recorded_at) == ("a", {"values": [1, "é"]}, NOW)
    assert (second, second.recorded_at) == (late, None)
    assert [signal.code for signal in OF_CAR.rows(vehicle=other.pk).run()] == ["b"]
    assert OF_CAR.rows(vehicle=None).run() == []


def test_joined_rows_and_annotations_come_along(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    token = make_token(access_token="the token")
    car = make_vehicle(connection=token.connection, calls_used=4)
    prepared = Prepared(
        lambda: (
            Vehicle.objects.select_related("connection__token")
            .annotate(twice=F("calls_used") * 2)
            .filter(pk=given("pk", BigIntegerField))
        )
    )

    with django_assert_num_queries(1):
        (found,) = prepared.rows(pk=car.pk).run()
        assert found.connection is not None
        assert found.connection.token.access_token == "the token"

    assert found == car
    assert vars(found)["twice"] == 8


def test_values_are_those_of_the_columns() -> None:
    car = make_vehicle(next_poll_at=NOW)
    due = Prepared(
        lambda: Vehicle.objects.filter(next_poll_at__lte=given("now", DateTimeField)).values_list(
            "pk", "next_poll_at"
        )
    )
    assert [tuple(row) for row in due.values(now=NOW).run()] == [(car.pk, NOW)]
    assert due.values(now=NOW - timedelta(microseconds=1)).run() == []


def test_an_update_writes_what_it_is_given_where_it_still_applies() -> None:
    car, other = make_vehicle(next_poll_at=NOW), make_vehicle(next_poll_at=NOW)
    due = Prepared(
        lambda: Vehicle.objects.filter(
            pk=given("pk", BigIntegerField), next_poll_at__lte=given("next_poll_at", DateTimeField)
        )
    )
    later = NOW + timedelta(hours=1)
    # The filter's value and the new one of the same name are two values.
    new = {"next_poll_at": later, "last_error": "it's 5 %"}
    assert due.update(new, pk=car.pk, next_poll_at=NOW).run() == 1
    assert due.update({"next_poll_at": later}, pk=car.pk, next_poll_at=NOW).run() == 0
    assert due.update({"next_poll_at": None}, pk=car.pk, next_poll_at=later).run() == 1

    car.refresh_from_db()
    other.refresh_from_db()
    assert (car.next_poll_at, car.last_error) == (None, "it's 5 %")
    assert (other.next_poll_at, other.last_error) == (NOW, "")


def test_an_update_may_reckon_with_what_is_there() -> None:
    ProviderGate.objects.create(name="x", paid_until=5)
    pay = Prepared(
        lambda: ProviderGate.objects.filter(name=given("name", CharField)),
        lambda: {"paid_until": Greatest(F("paid_until"), given("least", FloatField)) + 1},
    )
    assert [pay.update(name="x", least=least).run() for least in (0, 10)] == [1, 1]
    assert ProviderGate.objects.get(name="x").paid_until == 11


def test_what_is_inserted_reads_back_the_same_and_repeated_is_left_alone() -> None:
    known = make_reading(code="a", value=1.5)
    fresh = make_reading(code="b", value=None, data={"status": "OK", "text": 'é"%s'})
    bare = make_reading(code="c", value=7.0, data=None)
    Reading.objects.exclude(pk=known.pk).delete()
    known.value = 2.5

    insert(Reading, [known, fresh, bare], COLUMNS).run()

    readings = {reading.code: reading for reading in Reading.objects.all()}
    assert readings["a"].value == 1.5
    assert (readings["b"].value, readings["b"].data) == (None, {"status": "OK", "text": 'é"%s'})
    assert readings["b"].recorded_at == fresh.recorded_at
    assert readings["c"].value == 7.0
    assert set(Reading.objects.filter(data__isnull=True)) == {known, readings["c"]}  # SQL's null


def test_what_is_there_already_gets_the_columns_that_are_to_be_updated() -> None:
    signal = make_signal(value=1.0, is_wanted=True)
    unique = ("vehicle_id", "code")
    again = Signal(vehicle_id=signal.vehicle_id, code=signal.code, value=2.0, is_wanted=False)
    insert(
        Signal,
        [again],
        (*unique, "value", "is_wanted", "urgency", "event_id", "source", "support", "last_error"),
        unique=unique,
        update=("value",),
    ).run()
    signal.refresh_from_db()
    assert (signal.value, signal.is_wanted) == (2.0, True)


def test_several_run_in_their_order_and_each_has_its_own_answer() -> None:
    car, other = make_vehicle(), make_vehicle()
    make_signal(vehicle=car, code="a")
    car_of = Prepared(lambda: Vehicle.objects.filter(pk=given("pk", BigIntegerField)))

    renamed, found, none, signals, changed = together(
        car_of.update({"name": "50 % off; it's new"}, pk=car.pk),
        car_of.rows(pk=car.pk),
        car_of.update({"name": "x"}, pk=0),
        OF_CAR.values(vehicle=car.pk),
        car_of.update({"name": "y"}, pk=other.pk),
    )

    assert (renamed, none, changed) == (1, 0, 1)
    assert [each.name for each in found] == ["50 % off; it's new"]
    assert len(signals) == 1
    assert together() == []


def test_when_one_of_several_fails_its_error_is_raised_and_a_transaction_undoes_all() -> None:
    car, other = make_vehicle(vin="1FTBW2CM0KKA00001"), make_vehicle(vin="1FTBW2CM0KKA00002")
    car_of = Prepared(lambda: Vehicle.objects.filter(pk=given("pk", BigIntegerField)))

    with pytest.raises(IntegrityError), transaction.atomic():
        together(
            car_of.update({"name": "new"}, pk=car.pk), car_of.update({"vin": other.vin}, pk=car.pk)
        )

    car.refresh_from_db()
    assert car.name != "new"


@pytest.mark.django_db(transaction=True)
def test_statements_go_on_after_the_connection_was_closed() -> None:
    car = make_vehicle()
    make_signal(vehicle=car, code="a")
    for _ in range(2):
        assert len(OF_CAR.rows(vehicle=car.pk).run()) == 1
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_statements_go_on_after_the_server_closed_the_connection() -> None:
    car, database = make_vehicle(), cast(Any, connection)
    make_signal(vehicle=car, code="a")
    assert len(OF_CAR.rows(vehicle=car.pk).run()) == 1
    if database.vendor == "postgresql":  # SQLite has no server, and its tests no file
        database.connection.close()
    # As at the beginning of a task or a request.
    database.health_check_enabled, database.health_check_done = True, False

    assert len(OF_CAR.rows(vehicle=car.pk).run()) == 1
