"""A connection's status: who may change it from what, and that it is told once."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations.models import Activity, Connection
from integrations.services import connection_status
from integrations.signals import connection_changed
from tests.factories import NOW, make_access, make_connection, make_user, make_vehicle

pytestmark = pytest.mark.django_db

ACTIVE, BROKEN, REVOKED = "active", "needs_reconnect", "revoked"


@pytest.fixture
def told() -> Iterator[list[str]]:
    statuses: list[str] = []

    def listen(connection: Connection, **_: Any) -> None:
        statuses.append(connection.status)

    connection_changed.connect(listen)
    yield statuses
    connection_changed.disconnect(listen)


@pytest.mark.parametrize(
    ("before", "to", "changes"),
    [
        (ACTIVE, BROKEN, True),
        (BROKEN, BROKEN, False),
        (REVOKED, BROKEN, False),  # the driver ended it: nothing is broken
        (ACTIVE, ACTIVE, False),
        (BROKEN, ACTIVE, True),
        (REVOKED, ACTIVE, True),
        (ACTIVE, REVOKED, True),
        (BROKEN, REVOKED, True),
        (REVOKED, REVOKED, False),
    ],
)
def test_status_changes_as_it_may_and_each_change_is_told_once(
    before: str, to: str, changes: bool, told: list[str]
) -> None:
    connection = make_connection(status=before)
    user = make_user()

    def change() -> bool:
        if to == BROKEN:
            return connection_status.needs_reconnect(connection, reason="why", now=NOW)
        if to == ACTIVE:
            return connection_status.mark_active(connection, now=NOW, user=user)
        return connection_status.mark_revoked(connection, reason="why", now=NOW, user=user)

    assert change() is changes
    assert not change()

    stored = Connection.objects.get()
    assert stored.status == connection.status == (to if changes else before)
    assert told == ([to] if changes else [])
    changes_told = Activity.objects.filter(what__startswith="Connection is now")
    assert changes_told.count() == len(told)


def test_a_stale_object_does_not_bring_an_ended_connection_back(told: list[str]) -> None:
    stale = make_connection()
    Connection.objects.update(status=REVOKED)

    assert not connection_status.needs_reconnect(stale, reason="old news", now=NOW)
    assert stale.status == REVOKED
    assert told == []


def test_a_long_reason_is_cut_and_the_change_says_when() -> None:
    connection = make_connection()

    connection_status.needs_reconnect(connection, reason="x" * 999, now=NOW)

    assert len(connection.status_reason) == 255
    assert connection.status_changed_at == NOW


def test_listeners_find_the_cars_already_moved_to_another_way() -> None:
    connection = make_connection()
    car = make_vehicle(connection=connection)
    make_access(vehicle=car)
    other = make_access(vehicle=car, connection=make_connection(), smartcar_id="other")
    seen: list[str] = []

    def listen(**_: Any) -> None:
        car.refresh_from_db()
        seen.append(car.smartcar_id)

    connection_changed.connect(listen)
    try:
        connection_status.needs_reconnect(connection, reason="gone", now=NOW)
    finally:
        connection_changed.disconnect(listen)

    assert seen == [other.smartcar_id]
