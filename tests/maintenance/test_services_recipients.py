"""Who is told."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.contrib.auth.models import Group
from pytest_django import Settings

from maintenance.models import Recipient, Rule
from maintenance.services import recipients
from tests.factories import (
    make_alert,
    make_connection,
    make_driver,
    make_recipient,
    make_rule,
    make_user,
    make_vehicle,
)

pytestmark = pytest.mark.django_db


def told(rule: Rule, **alert: object) -> list[str]:
    return [person.email for person in recipients.of(make_alert(rule=rule, **alert))]


@pytest.fixture
def rule(settings: Settings) -> Rule:
    settings.MAINTENANCE_EMAILS = ["fallback@example.com", "second@example.com"]
    return make_rule()


def test_a_rule_that_names_nobody_mails_the_maintenance_addresses(rule: Rule) -> None:
    assert told(rule) == ["fallback@example.com", "second@example.com"]


def test_staff_groups_and_more_addresses_are_told_and_nobody_else(rule: Rule) -> None:
    chosen, member = make_user(email="chosen@example.com"), make_user(email="member@example.com")
    make_user(email="stranger@example.com")
    team = Group.objects.create(name="Workshop")
    member.groups.add(team)
    rule.staff.add(chosen)
    rule.staff_groups.add(team)
    rule.extra_addresses = "one@example.com; two@example.com\nthree@example.com"

    assert told(rule) == [
        "chosen@example.com",
        "member@example.com",
        "one@example.com",
        "two@example.com",
        "three@example.com",
    ]
    assert Recipient.objects.get(email="member@example.com").user == member


def test_inactive_users_and_users_without_an_address_are_never_told(rule: Rule) -> None:
    team = Group.objects.create(name="Workshop")
    left = make_user(email="left@example.com", is_active=False)
    nowhere = make_user(email="")
    for user in (left, nowhere):
        user.groups.add(team)
        rule.staff.add(user)
    rule.staff_groups.add(team)

    assert told(rule) == ["fallback@example.com", "second@example.com"]


def test_each_address_is_told_once_however_often_it_is_named(rule: Rule) -> None:
    user = make_user(email="Chief@Example.com")
    twin = make_user(email="chief@example.com")
    team = Group.objects.create(name="Workshop")
    user.groups.add(team, Group.objects.create(name="Other"))
    rule.staff.add(user, twin)
    rule.staff_groups.add(team, *Group.objects.all())
    rule.extra_addresses = "CHIEF@example.com, chief@EXAMPLE.com"

    assert told(rule) == ["chief@example.com"]
    assert Recipient.objects.count() == 1


def test_the_driver_is_told_only_when_the_rule_says_so(rule: Rule) -> None:
    vehicle = make_vehicle(connection=make_connection(driver=make_driver(email="d@example.com")))
    assert "d@example.com" not in told(rule, vehicle=vehicle)

    rule.notify_driver = True
    assert told(rule, vehicle=make_vehicle(connection=vehicle.connection))[-1] == "d@example.com"
    assert Recipient.objects.get(email="d@example.com").driver is not None


def test_a_driver_who_left_or_a_car_without_one_tells_nobody_more(rule: Rule) -> None:
    rule.notify_driver = True
    left = make_connection(driver=make_driver(email="d@example.com", is_active=False))
    for vehicle in (make_vehicle(connection=left), make_vehicle(connection=None), None):
        assert told(rule, vehicle=vehicle, topic=f"t{vehicle and vehicle.pk}") == [
            "fallback@example.com",
            "second@example.com",
        ]


def test_the_row_that_an_admin_wrote_in_capitals_is_used(rule: Rule) -> None:
    known = make_recipient(email="Chief@Example.com", time_zone="America/Denver")
    rule.extra_addresses = "chief@example.com"

    assert recipients.of(make_alert(rule=rule)) == [known]
    assert Recipient.objects.count() == 1


def test_more_recipients_cost_no_more_questions(
    rule: Rule, django_assert_num_queries: Callable[..., AbstractContextManager[Any]]
) -> None:
    """In a storm they are asked for a thousand times."""
    addresses = [f"to{n}@example.com" for n in range(20)]
    rule.extra_addresses = "\n".join(addresses)
    alert = make_alert(rule=rule)
    assert [one.email for one in recipients.of(alert)] == addresses  # the rows are made

    with django_assert_num_queries(2):  # the rule's staff, and these
        assert [one.email for one in recipients.of(alert)] == addresses


def test_without_a_rule_nobody_is_told() -> None:
    assert recipients.of(make_alert(rule=None)) == []
