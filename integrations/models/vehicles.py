"""Vehicles, every way to reach them, and the makes' habits."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from integrations.models.people import Connection, vin_validator


class VehicleGroup(models.Model):
    """Vehicles that share rules."""

    name = models.CharField(_("name"), max_length=120, unique=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("vehicle group")
        verbose_name_plural = _("vehicle groups")

    def __str__(self) -> str:
        return self.name


class Make(models.Model):
    """How often a maker refreshes its cars' data: asking more often costs and brings nothing."""

    DEFAULT_HABIT = timedelta(minutes=30)  # of a make that has no row

    name = models.CharField(
        _("make"), max_length=60, unique=True, help_text=_("In capitals, as Smartcar writes it.")
    )
    refresh_minutes = models.PositiveIntegerField(
        _("refreshes every (minutes)"), help_text=_("Cars of this make are not read more often.")
    )

    class Meta:
        ordering = ["name"]
        verbose_name = _("make")
        verbose_name_plural = _("makes")

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        self.name = self.name.strip().upper()
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class VehicleQuerySet(models.QuerySet["Vehicle"]):
    def readable(self) -> "VehicleQuerySet":
        return self.filter(connection__status=Connection.Status.ACTIVE).exclude(smartcar_id="")

    def allowed(self, now: datetime) -> "VehicleQuerySet":
        """Not told to wait and not being read by somebody else."""
        return self.filter(
            Q(not_before__isnull=True) | Q(not_before__lte=now),
            Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now),
        )

    def due(self, now: datetime) -> "VehicleQuerySet":
        return self.readable().allowed(now).filter(next_poll_at__lte=now).order_by("next_poll_at")


class Vehicle(models.Model):
    """One car. `connection` and `smartcar_id` are the way it is read through now."""

    connection = models.ForeignKey(
        Connection,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="vehicles",
        verbose_name=_("connection"),
    )
    smartcar_id = models.CharField(_("Smartcar id"), max_length=64, blank=True)
    vin = models.CharField(
        _("VIN"), max_length=17, unique=True, null=True, blank=True, validators=[vin_validator]
    )
    name = models.CharField(
        _("name"), max_length=120, blank=True, help_text=_("What the fleet calls it, if it does.")
    )
    make = models.CharField(_("make"), max_length=60, blank=True)
    model = models.CharField(_("model"), max_length=60, blank=True)
    year = models.PositiveSmallIntegerField(_("year"), null=True, blank=True)
    group = models.ForeignKey(
        VehicleGroup,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="vehicles",
        verbose_name=_("group"),
    )
    created_at = models.DateTimeField(_("added"), editable=False)
    identified_at = models.DateTimeField(_("identified"), null=True, blank=True, editable=False)

    next_poll_at = models.DateTimeField(_("next poll"), null=True, blank=True)
    poll_lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    not_before = models.DateTimeField(
        _("not before"), null=True, blank=True, help_text=_("Smartcar or the plan said to wait.")
    )
    last_polled_at = models.DateTimeField(_("last poll"), null=True, blank=True)
    last_read_at = models.DateTimeField(_("last good poll"), null=True, blank=True)
    last_webhook_at = models.DateTimeField(_("last good webhook"), null=True, blank=True)
    # What Smartcar reported by itself and has not taken back: "TYPE:CODE" to what it said.
    reported_errors = models.JSONField(default=dict, editable=False)
    poll_failures = models.PositiveIntegerField(_("failed polls in a row"), default=0)
    last_error = models.CharField(_("last error"), max_length=255, blank=True)
    # What the last poll came to; blank when the car was read. The error is Smartcar's own pair.
    poll_outcome = models.CharField(max_length=16, blank=True, editable=False)
    poll_error = models.CharField(max_length=160, blank=True, editable=False)
    poll_outcome_since = models.DateTimeField(null=True, blank=True, editable=False)
    calls_month = models.DateField(null=True, blank=True, editable=False)
    calls_used = models.PositiveIntegerField(_("calls this month"), default=0)

    fleetio_id = models.PositiveBigIntegerField(_("Fleetio id"), null=True, blank=True, unique=True)
    fleetio_name = models.CharField(_("name in Fleetio"), max_length=255, blank=True)
    fleetio_meter_unit = models.CharField(_("meter unit in Fleetio"), max_length=8, blank=True)
    fleetio_note = models.CharField(_("Fleetio match"), max_length=255, blank=True)
    fleetio_odometer_km = models.FloatField(_("odometer in Fleetio (km)"), null=True, blank=True)

    evaluation_due_at = models.DateTimeField(_("rules run again"), null=True, blank=True)
    evaluation_error = models.CharField(_("rules failed"), max_length=255, blank=True)

    objects = VehicleQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        verbose_name = _("vehicle")
        verbose_name_plural = _("vehicles")
        indexes = [
            models.Index(fields=["next_poll_at"], name="integrations_vehicle_due"),
            models.Index(
                fields=["poll_lease_until"],
                condition=Q(poll_lease_until__isnull=False),
                name="integrations_vehicle_leased",
            ),
            models.Index(
                fields=["evaluation_due_at"],
                condition=Q(evaluation_due_at__isnull=False),
                name="integrations_vehicle_evaluate",
            ),
        ]

    def __str__(self) -> str:
        described = " ".join(str(part) for part in (self.year, self.make, self.model) if part)
        known_as = self.name or self.fleetio_name
        if known_as and described:
            return f"{known_as} ({described})"
        return known_as or described or self.vin or f"Vehicle {self.pk}"


class VehicleAccess(models.Model):
    """One way to reach a vehicle: a Smartcar vehicle id under one connection."""

    class Subscription(models.TextChoices):
        """Whether the car reports by itself, to the webhook in `subscribed_to`."""

        ASKED = "asked", _("Asked for")  # v3 subscribes some time after it said yes
        SUBSCRIBED = "subscribed", _("Subscribed")
        REFUSED = "refused", _("Refused")

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="accesses", verbose_name=_("vehicle")
    )
    connection = models.ForeignKey(
        Connection, on_delete=models.CASCADE, related_name="accesses", verbose_name=_("connection")
    )
    smartcar_id = models.CharField(_("Smartcar id"), max_length=64, unique=True)
    permissions = models.JSONField(_("granted permissions"), null=True, blank=True)
    connected_at = models.DateTimeField(_("connected"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    subscription = models.CharField(
        _("webhook"), max_length=12, choices=Subscription.choices, blank=True
    )
    subscribed_to = models.CharField(_("subscribed to"), max_length=64, blank=True)
    subscription_error = models.CharField(_("why not"), max_length=255, blank=True)
    subscription_at = models.DateTimeField(_("subscription asked"), null=True, blank=True)
    subscribe_after = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-connected_at", "-pk"]
        verbose_name = _("vehicle access")
        verbose_name_plural = _("vehicle accesses")

    def __str__(self) -> str:
        return f"{self.vehicle} through {self.connection}"
