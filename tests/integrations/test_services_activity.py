"""What is written down about what happened."""

import pytest

from integrations.models import Activity
from integrations.services import activity
from tests.factories import NOW, make_connection, make_user, make_vehicle

pytestmark = pytest.mark.django_db


def test_the_portal_itself_acted_when_nobody_else_is_named() -> None:
    line = activity.record("Something happened", now=NOW)

    assert (line.actor, line.user, line.about, line.at) == ("Fleet Portal", None, None, NOW)


def test_a_person_is_named_by_account_and_anybody_else_by_name() -> None:
    user = make_user(username="anna")

    assert activity.record("x", now=NOW, user=user).actor == "anna"
    assert activity.record("x", now=NOW, actor="Maria Lopez").actor == "Maria Lopez"
    assert activity.record("x", now=NOW, actor="y" * 300).actor == "y" * 120


def test_a_line_about_a_car_is_found_through_the_car() -> None:
    car = make_vehicle()
    about_car = activity.record("x", now=NOW, about=car)
    connection = make_connection()
    beside = activity.record("x", now=NOW, about=connection, vehicle=car)

    assert set(car.activities.all()) == {about_car, beside}
    assert (about_car.about, beside.about) == (car, connection)


def test_lines_outlive_what_they_are_about() -> None:
    user, car = make_user(username="anna"), make_vehicle(name="Van 7")
    activity.record("Serviced", now=NOW, about=car, user=user)
    car.delete()
    user.delete()

    line = Activity.objects.get()
    assert (line.vehicle, line.user, line.about) == (None, None, None)
    assert (line.actor, line.about_text) == ("anna", "Van 7 (2021 FORD Transit)")


def test_long_words_are_cut() -> None:
    assert len(activity.record("x" * 999, now=NOW).what) == 255
