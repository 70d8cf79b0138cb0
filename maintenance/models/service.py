"""Services that were done: they restart intervals."""

from datetime import date

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.models import Vehicle

EARLIEST = date(1950, 1, 1)  # an older one is a slip of the keyboard


class ServiceRecordQuerySet(models.QuerySet["ServiceRecord"]):
    def counting(self) -> "ServiceRecordQuerySet":
        """What intervals are counted from."""
        return self.filter(is_proposed=False)

    def proposed(self) -> "ServiceRecordQuerySet":
        """What waits for somebody to say whether it was done."""
        return self.filter(is_proposed=True, dismissed_at=None)

    def shown(self) -> "ServiceRecordQuerySet":
        """All but what somebody dismissed."""
        return self.filter(dismissed_at=None)


class ServiceRecord(models.Model):
    """A service of one topic on one car.

    What was taken from elsewhere and dismissed stays as a row that neither counts nor is shown,
    so that it is not taken once more.
    """

    class Source(models.TextChoices):
        ADMIN = "admin", _("Entered here")
        FLEETIO = "fleetio", _("Fleetio")
        SMARTCAR = "smartcar", _("Smartcar")
        OIL_LIFE = "oil_life", _("Oil life went up")

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="services", verbose_name=_("vehicle")
    )
    topic = models.SlugField(
        _("topic"), max_length=60, help_text=_("The topic of the rule, such as engine-oil.")
    )
    odometer_km = models.FloatField(
        _("odometer (km)"), null=True, blank=True, validators=[MinValueValidator(0)]
    )
    done_on = models.DateField(_("done on"), validators=[MinValueValidator(EARLIEST)])
    source = models.CharField(
        _("source"), max_length=12, choices=Source.choices, default=Source.ADMIN
    )
    is_proposed = models.BooleanField(
        _("proposed"),
        default=False,
        help_text=_("Counts only when somebody has confirmed it."),
    )
    # What it was taken from, such as issue:17: the same service is recorded once.
    reference = models.CharField(max_length=120, blank=True, editable=False)
    dismissed_at = models.DateTimeField(_("dismissed"), null=True, editable=False)
    note = models.CharField(_("note"), max_length=255, blank=True)
    created_at = models.DateTimeField(_("entered"), editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("entered by"),
    )

    objects = ServiceRecordQuerySet.as_manager()

    class Meta:
        ordering = ["-done_on", "-pk"]
        verbose_name = _("service record")
        verbose_name_plural = _("service records")
        constraints = [
            models.UniqueConstraint(
                fields=["vehicle", "topic", "reference"],
                condition=~models.Q(reference=""),
                name="maintenance_service_once",
            ),
            models.CheckConstraint(
                condition=models.Q(dismissed_at=None) | models.Q(is_proposed=True),
                name="maintenance_service_dismissed",
            ),
        ]
        indexes = [
            models.Index(fields=["vehicle", "topic", "-done_on"], name="maintenance_service_latest")
        ]

    def __str__(self) -> str:
        return f"{self.topic}, {self.done_on}"
