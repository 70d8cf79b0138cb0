"""Maintenance mode: the vehicle is in the shop, so nobody needs to be told for a while."""

from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.models import Vehicle, VehicleGroup


class MaintenanceModeQuerySet(models.QuerySet["MaintenanceMode"]):
    def in_force(self, now: datetime) -> "MaintenanceModeQuerySet":
        return self.filter(
            Q(ends_at__isnull=True) | Q(ends_at__gt=now), begins_at__lte=now, ended_at__isnull=True
        )

    def over(self, now: datetime) -> "MaintenanceModeQuerySet":
        """Ended by the clock, and nobody has looked yet at what they held."""
        return self.filter(ends_at__lte=now, ended_at__isnull=True)


class MaintenanceMode(models.Model):
    """Announcements of one vehicle, or of a group, wait from `begins_at` until it ends."""

    vehicle = models.ForeignKey(
        Vehicle,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="maintenance_modes",
        verbose_name=_("vehicle"),
    )
    group = models.ForeignKey(
        VehicleGroup,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="maintenance_modes",
        verbose_name=_("group"),
    )
    reason = models.CharField(_("why"), max_length=200, blank=True)
    begins_at = models.DateTimeField(_("begins"))
    ends_at = models.DateTimeField(
        _("ends"), null=True, blank=True, help_text=_("Empty: until somebody ends it.")
    )
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True, editable=False)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("begun by"),
    )

    objects = MaintenanceModeQuerySet.as_manager()

    class Meta:
        ordering = ["-begins_at", "-pk"]
        verbose_name = _("maintenance mode")
        verbose_name_plural = _("maintenance modes")
        constraints = [
            models.CheckConstraint(
                condition=Q(vehicle__isnull=False, group__isnull=True)
                | Q(vehicle__isnull=True, group__isnull=False),
                name="maintenance_mode_one_scope",
            )
        ]

    def __str__(self) -> str:
        return f"{self.vehicle or self.group}"

    def clean(self) -> None:
        if (self.vehicle is None) == (self.group is None):
            raise ValidationError(gettext("Choose a vehicle or a group, not both."))
        begins_at: datetime | None = self.begins_at  # what was typed may be no time at all
        if self.ends_at and begins_at and self.ends_at <= begins_at:
            raise ValidationError({"ends_at": gettext("This is before it begins.")})
