"""Drivers, the links that invite them, and what they consented to."""

import secrets
from datetime import datetime

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

vin_validator = RegexValidator(
    r"^[A-HJ-NPR-Z0-9]{17}$", _("A VIN has 17 letters and digits, without I, O and Q.")
)


def new_nonce() -> str:
    return secrets.token_urlsafe(16)


class Driver(models.Model):
    """A person who drives a car of the fleet and can share its data."""

    email = models.EmailField(_("email"), unique=True)
    name = models.CharField(_("name"), max_length=120)
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Inactive drivers cannot connect a car.")
    )
    # Part of the driver page's address: a new value makes the old address useless.
    nonce = models.CharField(max_length=32, default=new_nonce, editable=False)
    created_at = models.DateTimeField(_("added"), null=True, editable=False)

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = _("driver")
        verbose_name_plural = _("drivers")
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="integrations_driver_email_once",
                violation_error_message=_("There is a driver with this address already."),
            )
        ]

    def __str__(self) -> str:
        return self.name or self.email


class ConnectLink(models.Model):
    """An invitation to connect a car. The link's token is signed from this row, never stored."""

    driver = models.ForeignKey(
        Driver, on_delete=models.CASCADE, related_name="connect_links", verbose_name=_("driver")
    )
    vin = models.CharField(
        _("VIN"),
        max_length=17,
        blank=True,
        validators=[vin_validator],
        help_text=_("Only this car can be connected. Empty: whatever the driver picks."),
    )
    make = models.CharField(
        _("make"), max_length=60, blank=True, help_text=_("Skips the choice of brand.")
    )
    group = models.ForeignKey(
        "integrations.VehicleGroup",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("group"),
        help_text=_("Cars connected through this link join this group."),
    )
    # The driver only has to sign in at the maker again: for this car, by Smartcar's own page.
    reauthenticates = models.ForeignKey(
        "integrations.VehicleAccess",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
        verbose_name=_("signs in again for"),
    )
    nonce = models.CharField(max_length=32, default=new_nonce, editable=False)
    created_at = models.DateTimeField(_("made"), editable=False)
    expires_at = models.DateTimeField(_("expires"))
    sent_at = models.DateTimeField(_("mailed"), null=True, blank=True, editable=False)
    # While a callback exchanges its code; one that is killed leaves the link usable soon after.
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    used_at = models.DateTimeField(_("used"), null=True, blank=True, editable=False)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True, editable=False)

    class State(models.TextChoices):
        VALID = "valid", _("Open")
        USED = "used", _("Used")
        EXPIRED = "expired", _("Expired")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        INACTIVE = "inactive", _("Driver inactive")

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = _("portal link")
        verbose_name_plural = _("portal links")

    def __str__(self) -> str:
        return f"{self.driver} ({self.pk})"

    def state(self, now: datetime) -> State:
        """Where the link stands; only a VALID one opens Connect."""
        if self.withdrawn_at:
            return self.State.WITHDRAWN
        if self.used_at:
            return self.State.USED
        if not self.driver.is_active:
            return self.State.INACTIVE
        if self.expires_at <= now:
            return self.State.EXPIRED
        return self.State.VALID


class ConnectionQuerySet(models.QuerySet["Connection"]):
    def active(self) -> "ConnectionQuerySet":
        return self.filter(status=Connection.Status.ACTIVE)


class Connection(models.Model):
    """A driver's consent at Smartcar: one account at a maker, one or more cars."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        NEEDS_RECONNECT = "needs_reconnect", _("Needs reconnect")
        REVOKED = "revoked", _("Revoked")

    driver = models.ForeignKey(
        Driver, on_delete=models.PROTECT, related_name="connections", verbose_name=_("driver")
    )
    smartcar_user_id = models.CharField(_("Smartcar user"), max_length=64, unique=True)
    status = models.CharField(
        _("status"), max_length=20, choices=Status.choices, default=Status.ACTIVE
    )
    status_reason = models.CharField(_("why"), max_length=255, blank=True)
    status_changed_at = models.DateTimeField(_("since"))
    scope = models.JSONField(_("permissions asked for"), default=list)
    mode = models.CharField(_("mode"), max_length=12, default="live")
    connected_at = models.DateTimeField(_("connected"))
    consent_ends_on = models.DateField(
        _("consent ends on"),
        null=True,
        blank=True,
        help_text=_("Staff and driver are reminded 14, 7 and 1 days before."),
    )
    vehicles_listed_at = models.DateTimeField(_("cars listed"), null=True, blank=True)
    # Revoked here, but Smartcar has not heard of it yet.
    is_ending = models.BooleanField(default=False, editable=False)
    # Smartcar's generation that listed them: the other one may know a car by another id.
    listed_through = models.CharField(
        _("listed through"), max_length=4, default="v2", editable=False
    )
    # Of which application: v3's token opens whatever application its credentials belong to.
    listed_as = models.CharField(max_length=160, blank=True, editable=False)
    group = models.ForeignKey(
        "integrations.VehicleGroup",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("group for new cars"),
    )

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        ordering = ["-connected_at", "-pk"]
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["active", "needs_reconnect", "revoked"]),
                name="integrations_connection_status",
            )
        ]

    def __str__(self) -> str:
        return f"{self.driver} ({self.pk})"
