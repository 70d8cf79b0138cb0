"""How well a car can be read: its consent, and how often its make refreshes what it gives."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import (
    BigIntegerField,
    BooleanField,
    Case,
    Exists,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Upper
from django.utils import timezone

from integrations.models import Activity, Connection, Make, Signal, Vehicle, VehicleAccess
from integrations.models.prepared import Prepared, Statement, given
from maintenance.engine.facts import ConnectionFact, Consent, Reach
from maintenance.engine.rules import Kind
from maintenance.services.plans import Known

Rows = list[Sequence[Any]]
Status = Connection.Status
KEEPS_FAILING = 3  # exchanges in a row; one that fails alone is tried again within seconds


def _the_car() -> QuerySet[Vehicle]:
    return Vehicle.objects.filter(pk=given("vehicle", BigIntegerField))


def _consent() -> QuerySet[Connection, Any]:
    """The consent that the car is read through; of a car that is not, the one it was last."""
    last = VehicleAccess.objects.filter(vehicle=given("vehicle", BigIntegerField))
    last = last.order_by("-ended_at", "-pk")
    now = Subquery(_the_car().values("connection_id"))
    make = Subquery(_the_car().values(written=Upper("make")))
    by_staff = Activity.objects.filter(
        content_type__app_label="integrations",
        content_type__model="connection",
        object_id=OuterRef("pk"),
        at=OuterRef("status_changed_at"),
        user__isnull=False,
    )
    return (
        Connection.objects.filter(pk=Coalesce(now, Subquery(last.values("connection_id")[:1])))
        .annotate(
            reads=now,
            called=Case(When(driver__name="", then="driver__email"), default="driver__name"),
            habit=Subquery(Make.objects.filter(name=make).values("refresh_minutes")[:1]),
            by_staff=Case(
                When(status=Status.REVOKED, then=Exists(by_staff)),
                default=Value(value=False),
                output_field=BooleanField(),
            ),
        )
        .order_by()
        .values_list(
            "reads",
            "habit",
            "by_staff",
            "called",
            "status",
            "status_reason",
            "status_changed_at",
            "connected_at",
            "consent_ends_on",
            "listed_through",
            "token__failures",
            "token__refresh_expires_at",
        )
    )


_CONSENT = Prepared(_consent)


def matters(known: Known) -> bool:
    """Whether something is open, or was closed by a person, that the car's next word may end."""
    return any(
        not Kind(alert.kind).has_history
        for alert in (*known.unresolved.values(), *known.resolved.values())
    )


def statement(vehicle: Vehicle) -> Statement[Rows]:
    """What `of` wants to know of the car."""
    return _CONSENT.values(vehicle=vehicle.pk)


def of(rows: Rows, signals: Iterable[Signal]) -> Reach:
    """The reach of a car that gave these signals, of its statement's rows."""
    last = max((at for signal in signals if (at := signal.recorded_at)), default=None)
    if not rows:
        return Reach(habit=Make.DEFAULT_HABIT, last_recorded_at=last)
    reads, minutes, by_staff, driver, status, reason, changed_at, connected_at, *ends = rows[0]
    return Reach(
        habit=timedelta(minutes=minutes) if minutes else Make.DEFAULT_HABIT,
        last_recorded_at=last,
        since=max(connected_at, changed_at),
        connection=ConnectionFact(
            consent=_consent_of(status, is_read=reads is not None, by_staff=bool(by_staff)),
            changed_at=changed_at,
            ends_on=_ends_on(*ends),
            driver=driver,
            reason=reason,
        ),
    )


def _consent_of(status: str, *, is_read: bool, by_staff: bool) -> Consent:
    if status == Status.REVOKED:
        return Consent.ENDED_BY_STAFF if by_staff else Consent.REVOKED
    return Consent(status) if is_read else Consent.NOT_SHARED


def _ends_on(
    chosen: date | None, listed_through: str, failures: int | None, expires_at: datetime | None
) -> date | None:
    """The day an admin set, or that on which a pair runs out which cannot be exchanged.

    A pair of v2 that is only kept for the way back from v3 means nothing.
    """
    days = [chosen] if chosen else []
    if listed_through == "v2" and expires_at and (failures or 0) >= KEEPS_FAILING:
        days.append(timezone.localdate(expires_at))
    return min(days, default=None)
