"""What the rows themselves promise: secrets that fail closed, and constraints."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, transaction
from django.db import connection as database
from pytest_django import Settings

from integrations.models import (
    ConnectLink,
    Driver,
    Make,
    OAuthToken,
    OutboxEntry,
    PortalSettings,
    Vehicle,
    VehicleGroup,
)
from integrations.models.encryption import DecryptionError, decrypt, encrypt
from tests.factories import (
    NOW,
    make_access,
    make_connection,
    make_driver,
    make_link,
    make_outbox_entry,
    make_reading,
    make_signal,
    make_token,
    make_trouble_code,
    make_vehicle,
)

pytestmark = pytest.mark.django_db


def key() -> str:
    return Fernet.generate_key().decode()


# --- Secrets ----------------------------------------------------------------------------------


def test_the_same_secret_never_looks_the_same_at_rest() -> None:
    assert encrypt("secret") != encrypt("secret")
    assert decrypt(encrypt("sécrèt 🔑")) == "sécrèt 🔑"


def test_old_keys_open_and_the_newest_one_closes(settings: Settings) -> None:
    old, new = key(), key()
    settings.FIELD_ENCRYPTION_KEYS = [old]
    stored = encrypt("secret")

    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert decrypt(stored) == "secret"
    written_now = encrypt("secret")

    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert decrypt(written_now) == "secret"
    with pytest.raises(DecryptionError):
        decrypt(stored)


@pytest.mark.parametrize("stored", ["secret-refresh-token", "gAAAAA", "x" * 100])
def test_what_no_key_opens_is_never_handed_out_as_it_stands(stored: str) -> None:
    token = make_token()
    with database.cursor() as cursor:
        cursor.execute("UPDATE integrations_oauthtoken SET refresh_token = %s", [stored])

    with pytest.raises(DecryptionError) as caught:
        token.refresh_from_db()

    assert stored not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_text_that_was_tampered_with_is_not_opened() -> None:
    stored = encrypt("secret")
    middle = len(stored) // 2
    tampered = stored[:middle] + ("A" if stored[middle] != "A" else "B") + stored[middle + 1 :]

    with pytest.raises(DecryptionError):
        decrypt(tampered)


def test_something_that_is_no_key_is_named_as_a_setting_and_not_shown(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = ["not-a-key"]

    with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS") as caught:
        encrypt("secret")

    assert "not-a-key" not in str(caught.value)


def test_empty_stays_empty_and_is_found_as_empty() -> None:
    make_token(access_token="", refresh_token="")
    make_token()

    assert OAuthToken.objects.get(refresh_token="").access_token == ""
    assert OAuthToken.objects.exclude(refresh_token="").count() == 1


def test_an_update_of_many_rows_encrypts_as_well() -> None:
    make_token()
    OAuthToken.objects.update(refresh_token="plain")

    with database.cursor() as cursor:
        cursor.execute("SELECT refresh_token FROM integrations_oauthtoken")
        ((stored,),) = cursor.fetchall()
    assert stored.startswith("gAAAA")
    assert OAuthToken.objects.get().refresh_token == "plain"


# --- Constraints ------------------------------------------------------------------------------


def twice(make: Callable[..., Any], **fields: Any) -> None:
    make(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        make(**fields)


def test_what_exists_once_in_the_world_exists_once_here() -> None:
    car, connection = make_vehicle(), make_connection()

    twice(make_driver, email="ann@example.com")
    twice(make_connection, smartcar_user_id="user")
    twice(make_vehicle, vin="1FTBW2CM0KKA00001")
    twice(make_vehicle, fleetio_id=7)
    twice(make_access, vehicle=car, smartcar_id="one")
    twice(make_token, connection=connection)
    twice(make_signal, vehicle=car)
    twice(make_reading, vehicle=car)
    twice(make_outbox_entry, dedupe_key="key")


def test_cars_without_a_vin_or_a_match_may_be_many() -> None:
    make_vehicle(vin=None, fleetio_id=None)
    make_vehicle(vin=None, fleetio_id=None)

    assert Vehicle.objects.filter(vin__isnull=True).count() == 2


def test_a_trouble_code_is_active_once_and_cleared_as_often_as_it_was() -> None:
    car = make_vehicle()
    make_trouble_code(vehicle=car, cleared_at=NOW)
    make_trouble_code(vehicle=car, cleared_at=NOW)

    twice(make_trouble_code, vehicle=car)


def test_a_connection_has_one_of_three_states() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_connection(status="broken")


def test_a_driver_with_a_connection_is_not_deleted() -> None:
    connection = make_connection()

    with pytest.raises(IntegrityError):
        connection.driver.delete()


def test_the_portals_settings_are_one_row_and_exist_before_anybody_saves_them() -> None:
    assert PortalSettings.load().link_days == 7
    assert not PortalSettings.objects.exists()

    PortalSettings(link_days=3).save()
    PortalSettings(link_days=5).save()

    assert PortalSettings.objects.count() == 1
    assert PortalSettings.load().link_days == 5


# --- Words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "Van 7"}, "Van 7 (2021 FORD Transit)"),
        ({"fleetio_name": "Unit 12"}, "Unit 12 (2021 FORD Transit)"),
        ({"name": "Van 7", "fleetio_name": "Unit 12"}, "Van 7 (2021 FORD Transit)"),
        ({}, "2021 FORD Transit"),
        ({"make": "", "model": "", "year": None, "vin": "V" * 17}, "V" * 17),
        ({"make": "", "model": "", "year": None, "name": "Van 7"}, "Van 7"),
    ],
)
def test_a_car_is_called_by_what_the_fleet_knows_it_as(fields: dict[str, Any], text: str) -> None:
    assert str(make_vehicle(**fields)) == text


def test_a_car_of_which_nothing_is_known_has_its_number() -> None:
    car = make_vehicle(make="", model="", year=None, vin=None)

    assert str(car) == f"Vehicle {car.pk}"


def test_every_row_has_a_name_without_a_secret() -> None:
    token = make_token()
    link = make_link(driver=make_driver(name="Ann"))
    reading = make_reading()
    rows: list[object] = [token, link, reading, make_signal(), make_trouble_code(), make_access()]
    rows += [make_outbox_entry(), make_token(connection=None), PortalSettings()]

    text = " ".join(map(str, rows))
    assert str(link) == f"Ann ({link.pk})"
    assert str(make_driver(name="", email="a@example.com")) == "a@example.com"
    for secret in (token.access_token, token.refresh_token, link.nonce):
        assert secret not in text


def test_makes_are_written_as_smartcar_writes_them() -> None:
    Make.objects.filter(name="FORD").delete()
    Make.objects.create(name=" Ford ", refresh_minutes=5)

    assert Make.objects.filter(name="FORD").exists()


@pytest.mark.parametrize("vin", ["short", "1FTBW2CM0KKA0000I", "1ftbw2cm0kka00001"])
def test_a_vin_that_cannot_be_one_is_not_valid(vin: str) -> None:
    with pytest.raises(ValidationError):
        ConnectLink(driver=make_driver(), vin=vin, created_at=NOW, expires_at=NOW).full_clean()


def test_each_driver_and_link_has_a_nonce_that_nobody_guesses() -> None:
    drivers = [make_driver() for _ in range(3)]

    assert len({driver.nonce for driver in drivers}) == 3
    assert min(len(driver.nonce) for driver in Driver.objects.all()) >= 20
    assert make_link().nonce != make_link().nonce


def test_due_rows_are_waiting_unclear_or_left_behind() -> None:
    def state(state: str, **fields: Any) -> OutboxEntry:
        return make_outbox_entry(state=state, **fields)

    due = {
        state("pending"),
        state("unknown"),
        state("sending", lease_until=NOW),
    }
    for other in ("done", "dead", "cancelled"):
        state(other)

    assert set(OutboxEntry.objects.due(NOW)) == due
    assert VehicleGroup(name="Vans").__str__() == "Vans"
