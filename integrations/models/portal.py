"""What an admin may change without a deployment: one row."""

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class PortalSettings(models.Model):
    """The portal's own settings. There is always exactly one row, with the key 1."""

    class Distance(models.TextChoices):
        MILES = "mi", _("miles")
        KILOMETRES = "km", _("kilometres")

    fleet_name = models.CharField(
        _("fleet name"),
        max_length=120,
        default="Your fleet",
        help_text=_("Who asks the driver to connect the car."),
    )
    contact_email = models.EmailField(
        _("contact"), blank=True, help_text=_("Whom drivers can ask about their data.")
    )
    country = models.CharField(
        _("country"),
        max_length=2,
        default="US",
        blank=True,
        validators=[RegexValidator(r"^[A-Z]{2}$", _("Two capital letters, such as US or DE."))],
        help_text=_("Which makes Smartcar offers to the driver."),
    )
    distance_unit = models.CharField(
        _("distances in"), max_length=2, choices=Distance.choices, default=Distance.MILES
    )
    link_days = models.PositiveSmallIntegerField(
        _("portal links last (days)"),
        default=7,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
    )
    extra_permissions = models.JSONField(
        _("more permissions to ask for"),
        default=list,
        blank=True,
        help_text=_("Beyond what the enabled rules need, as a list, such as read_fuel."),
    )
    send_odometers = models.BooleanField(_("send odometers to Fleetio"), default=True)

    class Meta:
        verbose_name = _("portal settings")
        verbose_name_plural = _("portal settings")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)

    @classmethod
    def load(cls) -> "PortalSettings":
        """The row, or its defaults as long as nobody saved it."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)
