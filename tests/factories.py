"""Rows for tests. Each function makes one row that is valid, and takes what shall differ."""

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from django.contrib.auth.models import Permission, User

from integrations.clients import readings as codes
from integrations.models import (
    Activity,
    Connection,
    ConnectLink,
    Driver,
    OAuthToken,
    OutboxEntry,
    Reading,
    Signal,
    TroubleCode,
    Vehicle,
    VehicleAccess,
    VehicleGroup,
)
from maintenance.models import Alert, CodeOverride, FleetioIssue, Recipient, Rule, ServiceRecord

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
_numbers = count(1)


def make_user(*permissions: str, **overrides: Any) -> User:
    """A staff user who may do just this: names such as integrations.view_vehicle."""
    values = {"username": f"staff{next(_numbers)}", "is_staff": True, **overrides}
    user = User.objects.create_user(**values)
    for name in permissions:
        app, codename = name.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def make_driver(**overrides: Any) -> Driver:
    n = next(_numbers)
    values = {"email": f"driver{n}@example.com", "name": f"Driver {n}", "created_at": NOW}
    return Driver.objects.create(**{**values, **overrides})


def make_link(**overrides: Any) -> ConnectLink:
    values: dict[str, Any] = {"created_at": NOW, "expires_at": NOW + timedelta(days=7)}
    if "driver" not in overrides:
        values["driver"] = make_driver()
    return ConnectLink.objects.create(**{**values, **overrides})


def make_connection(**overrides: Any) -> Connection:
    values: dict[str, Any] = {
        "smartcar_user_id": f"user-{next(_numbers)}",
        "connected_at": NOW,
        "status_changed_at": NOW,
        "vehicles_listed_at": NOW,
        "scope": ["read_odometer"],
    }
    if "driver" not in overrides:
        values["driver"] = make_driver()
    return Connection.objects.create(**{**values, **overrides})


def make_token(**overrides: Any) -> OAuthToken:
    values: dict[str, Any] = {
        "access_token": "secret-access-token",
        "refresh_token": "secret-refresh-token",
        "access_expires_at": NOW + timedelta(hours=2),
        "refresh_expires_at": NOW + timedelta(days=60),
        "issued_at": NOW,
    }
    if "connection" not in overrides:
        values["connection"] = make_connection()
    return OAuthToken.objects.create(**{**values, **overrides})


def make_group(**overrides: Any) -> VehicleGroup:
    return VehicleGroup.objects.create(**{"name": f"Group {next(_numbers)}", **overrides})


def make_vehicle(**overrides: Any) -> Vehicle:
    """A car that is identified, reached through an active connection, and due to be read."""
    n = next(_numbers)
    values: dict[str, Any] = {
        "smartcar_id": f"car-{n}",
        "vin": f"1FTBW2CM0KK{n:06d}",
        "make": "FORD",
        "model": "Transit",
        "year": 2021,
        "created_at": NOW,
        "identified_at": NOW,
        "next_poll_at": NOW,
    }
    if "connection" not in overrides:
        values["connection"] = make_connection()
    return Vehicle.objects.create(**{**values, **overrides})


def make_access(**overrides: Any) -> VehicleAccess:
    """The way that a vehicle is read through now."""
    vehicle = overrides.pop("vehicle", None) or make_vehicle()
    values = {
        "vehicle": vehicle,
        "connection": vehicle.connection,
        "smartcar_id": vehicle.smartcar_id,
        "connected_at": NOW,
    }
    return VehicleAccess.objects.create(**{**values, **overrides})


def make_signal(**overrides: Any) -> Signal:
    values: dict[str, Any] = {
        "code": codes.ODOMETER,
        "value": 80_467.2,  # 50,000 miles
        "recorded_at": NOW,
        "fetched_at": NOW,
        "source": Reading.Source.POLL,
        "support": Signal.Support.OK,
        "is_wanted": True,
    }
    if "vehicle" not in overrides:
        values["vehicle"] = make_vehicle()
    return Signal.objects.create(**{**values, **overrides})


def make_reading(**overrides: Any) -> Reading:
    values: dict[str, Any] = {
        "code": codes.ODOMETER,
        "value": 80_467.2,
        "recorded_at": NOW,
        "fetched_at": NOW,
        "source": Reading.Source.POLL,
        "quality": Reading.Quality.CLEAN,
    }
    if "vehicle" not in overrides:
        values["vehicle"] = make_vehicle()
    return Reading.objects.create(**{**values, **overrides})


def make_trouble_code(**overrides: Any) -> TroubleCode:
    values: dict[str, Any] = {"code": "P0300", "first_seen_at": NOW, "last_seen_at": NOW}
    if "vehicle" not in overrides:
        values["vehicle"] = make_vehicle()
    return TroubleCode.objects.create(**{**values, **overrides})


def make_outbox_entry(**overrides: Any) -> OutboxEntry:
    n = next(_numbers)
    values = {
        "kind": "mail_alert",
        "lane": "mail",
        "dedupe_key": f"key-{n}",
        "next_attempt_at": NOW,
        "created_at": NOW,
    }
    return OutboxEntry.objects.create(**{**values, **overrides})


def make_activity(**overrides: Any) -> Activity:
    values = {"at": NOW, "actor": "Fleet Portal", "what": "Something happened"}
    return Activity.objects.create(**{**values, **overrides})


def make_rule(**overrides: Any) -> Rule:
    """Engine oil every 5,000 miles, for every vehicle."""
    values = {
        "name": f"Rule {next(_numbers)}",
        "kind": Rule.Kind.SERVICE_INTERVAL,
        "topic": "engine-oil",
        "distance_km": 8046.72,
    }
    return Rule.objects.create(**{**values, **overrides})


def make_override(**overrides: Any) -> CodeOverride:
    """A code that the fleet ignores."""
    return CodeOverride.objects.create(**{"pattern": "P0420", "is_ignored": True, **overrides})


def make_alert(**overrides: Any) -> Alert:
    """An open alert that is due."""
    values: dict[str, Any] = {
        "kind": Rule.Kind.SERVICE_INTERVAL,
        "topic": "engine-oil",
        "summary": "Engine oil service due",
        "status": Alert.Status.OPEN,
        "stage": "due",
        "pending_since": NOW,
        "opened_at": NOW,
        "reported_at": NOW,
        "times_opened": 1,
    }
    if "vehicle" not in overrides:
        values["vehicle"] = make_vehicle()
    if "rule" not in overrides:
        values["rule"] = make_rule()
    return Alert.objects.create(**{**values, **overrides})


def make_issue(**overrides: Any) -> FleetioIssue:
    n = next(_numbers)
    values: dict[str, Any] = {"fleetio_id": 9_000 + n, "number": str(n), "created_at": NOW}
    if "alert" not in overrides:
        values["alert"] = make_alert()
    return FleetioIssue.objects.create(**{**values, **overrides})


def make_recipient(**overrides: Any) -> Recipient:
    return Recipient.objects.create(**{"email": f"to{next(_numbers)}@example.com", **overrides})


def make_service(**overrides: Any) -> ServiceRecord:
    values: dict[str, Any] = {
        "topic": "engine-oil",
        "odometer_km": 72_420.48,  # 45,000 miles
        "done_on": date(2026, 1, 15),
        "created_at": NOW,
    }
    if "vehicle" not in overrides:
        values["vehicle"] = make_vehicle()
    return ServiceRecord.objects.create(**{**values, **overrides})
