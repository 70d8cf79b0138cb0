"""Portal links: unguessable, for one driver, used once, and nowhere stored."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import connection as database

from integrations.models import Activity, ConnectLink, Driver, OutboxEntry, PortalSettings
from integrations.services import connect_links, delivery, link_mails
from tests.factories import NOW, make_driver, make_group, make_link, make_user

pytestmark = pytest.mark.django_db


def test_a_link_lasts_as_many_days_as_the_settings_say() -> None:
    PortalSettings(link_days=3).save()

    link = connect_links.create(make_driver(), now=NOW)

    assert link.expires_at == NOW + timedelta(days=3)
    assert link.state(link.expires_at - timedelta(seconds=1)) is ConnectLink.State.VALID
    assert link.state(link.expires_at) is ConnectLink.State.EXPIRED


def test_vin_and_make_are_kept_as_smartcar_writes_them() -> None:
    group = make_group()
    link = connect_links.create(
        make_driver(), now=NOW, vin=" 1ftbw2cm0kka00001 ", make=" ford ", group=group
    )

    assert (link.vin, link.make, link.group) == ("1FTBW2CM0KKA00001", "FORD", group)


@pytest.mark.parametrize("vin", ["SHORT", "1FTBW2CM0KKA0000O", "1FTBW2CM0KKA000011"])
def test_an_impossible_vin_makes_no_link(vin: str) -> None:
    with pytest.raises(ValidationError):
        connect_links.create(make_driver(), now=NOW, vin=vin)

    assert not ConnectLink.objects.exists()


def test_a_driver_is_invited_once_and_keeps_the_name_that_is_known() -> None:
    first = connect_links.invite(email=" Maria@Example.com ", name="Maria Lopez", now=NOW)
    again = connect_links.invite(email="MARIA@example.COM", name="M.", now=NOW)

    assert first == again
    assert (again.email, again.name) == ("maria@example.com", "Maria Lopez")
    assert Activity.objects.filter(what="Driver added").count() == 1


@pytest.mark.parametrize("email", ["", "maria", "maria@", "a@b c.example"])
def test_an_impossible_address_invites_nobody(email: str) -> None:
    with pytest.raises(ValidationError):
        connect_links.invite(email=email, name="Maria", now=NOW)

    assert not Driver.objects.exists()


# --- Tokens -----------------------------------------------------------------------------------


def test_a_token_opens_its_own_link_only() -> None:
    link, other = make_link(), make_link()

    assert connect_links.find(connect_links.token(link)) == link
    assert connect_links.token(link) != connect_links.token(other)


def _tampered(link: ConnectLink, other: ConnectLink) -> list[str]:
    token = connect_links.token(link)
    value, _, signature = token.rpartition(".")
    return [
        "",
        ".",
        value,
        signature,
        f"{value}.",
        f"{other.pk}-{link.nonce}.{signature}",
        f"{link.pk}-{other.nonce}.{signature}",
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token + "A",
        connect_links.driver_path(link.driver).strip("/").rsplit("/", 1)[-1],
        "x" * 10_000,
        "\x00",
    ]


def test_nothing_but_the_signed_token_opens_a_link() -> None:
    link, other = make_link(), make_link()

    for text in _tampered(link, other):
        assert connect_links.find(text) is None, text


def test_a_new_nonce_makes_an_old_token_useless() -> None:
    link = make_link()
    token, page = connect_links.token(link), connect_links.driver_path(link.driver)
    text = page.strip("/").rsplit("/", 1)[-1]
    assert connect_links.find_driver(text) == link.driver

    ConnectLink.objects.update(nonce="new")
    Driver.objects.update(nonce="new")

    assert connect_links.find(token) is None
    assert connect_links.find_driver(text) is None


def test_a_link_token_does_not_open_the_drivers_page() -> None:
    link = make_link()

    assert connect_links.find_driver(connect_links.token(link)) is None
    assert connect_links.find_driver("nonsense") is None


# --- Use --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "active", "works"),
    [
        pytest.param({}, True, True, id="open"),
        pytest.param({"used_at": NOW}, True, False, id="used"),
        pytest.param({"withdrawn_at": NOW}, True, False, id="withdrawn"),
        pytest.param({"expires_at": NOW}, True, False, id="expired"),
        pytest.param({}, False, False, id="driver inactive"),
    ],
)
def test_only_an_open_link_can_be_used(fields: dict[str, Any], active: bool, works: bool) -> None:
    link = make_link(driver=make_driver(is_active=active), **fields)

    with connect_links.claimed(link, now=NOW) as is_ours:
        assert is_ours is works
    assert (link.state(NOW) is ConnectLink.State.VALID) is works


def test_a_link_is_used_once() -> None:
    link = make_link()

    with connect_links.claimed(link, now=NOW):
        connect_links.use(link, now=NOW)
    with connect_links.claimed(link, now=NOW) as is_ours:
        assert not is_ours


def test_a_link_of_which_nothing_came_stays_open() -> None:
    link = make_link()

    with pytest.raises(RuntimeError), connect_links.claimed(link, now=NOW):
        raise RuntimeError
    with connect_links.claimed(link, now=NOW) as is_ours:
        assert is_ours


def test_a_link_is_held_by_one_and_free_soon_after_its_holder_died() -> None:
    link = make_link()

    with connect_links.claimed(link, now=NOW):
        with connect_links.claimed(link, now=NOW + timedelta(seconds=9)) as is_ours:
            assert not is_ours
        with connect_links.claimed(link, now=NOW + timedelta(seconds=10)) as is_ours:
            assert is_ours


def test_who_was_held_up_for_long_does_not_take_the_link_from_its_next_holder() -> None:
    link = make_link()
    first = connect_links.claimed(link, now=NOW)
    first.__enter__()

    with connect_links.claimed(link, now=NOW + timedelta(seconds=10)):
        first.__exit__(None, None, None)
        with connect_links.claimed(link, now=NOW + timedelta(seconds=11)) as is_ours:
            assert not is_ours


def test_withdrawing_is_told_once_and_ends_the_link() -> None:
    link, user = make_link(), make_user()

    assert connect_links.withdraw(link, now=NOW, user=user)
    assert not connect_links.withdraw(link, now=NOW, user=user)
    with connect_links.claimed(link, now=NOW) as is_ours:
        assert not is_ours
    assert Activity.objects.get().user == user


def test_a_used_link_cannot_be_withdrawn() -> None:
    link = make_link(used_at=NOW)

    assert not connect_links.withdraw(link, now=NOW)
    assert not Activity.objects.exists()


# --- Mail -------------------------------------------------------------------------------------


def deliver(now: datetime = NOW) -> delivery.DeliveryCount:
    return delivery.deliver_due(clock=lambda: now, lanes=["mail"])


def test_the_mail_carries_a_working_link_and_the_database_does_not() -> None:
    link = connect_links.create(make_driver(email="ann@example.com"), now=NOW)
    link_mails.send(link, now=NOW)
    token = connect_links.token(link)

    assert deliver().done == 1

    (message,) = mail.outbox
    assert message.to == ["ann@example.com"]
    assert token in str(message.body)
    entry = OutboxEntry.objects.get()
    assert entry.payload == {"link": link.pk}
    assert entry.result == "ann@example.com"
    for table in ("outboxentry", "activity", "connectlink"):
        with database.cursor() as cursor:
            cursor.execute(f"SELECT * FROM integrations_{table}")  # noqa: S608  our own names
            rows = repr(cursor.fetchall())
        assert token not in rows
        assert token.rpartition(".")[2] not in rows


def test_each_request_of_a_person_is_one_more_mail() -> None:
    link = make_link()
    link_mails.send(link, now=NOW)
    link_mails.send(link, now=NOW)

    deliver()

    assert len(mail.outbox) == 2


@pytest.mark.parametrize(
    "change",
    [{"withdrawn_at": NOW}, {"used_at": NOW}, {"expires_at": NOW}],
    ids=["withdrawn", "used", "expired"],
)
def test_a_link_that_ended_before_its_mail_left_is_not_mailed(change: dict[str, Any]) -> None:
    link = make_link()
    link_mails.send(link, now=NOW)
    ConnectLink.objects.update(**change)

    deliver()

    assert mail.outbox == []
    assert OutboxEntry.objects.get().result.startswith("not sent: the link is")
