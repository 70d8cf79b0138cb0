"""People who get mails, and how they like them."""

import zoneinfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.models import Driver


def validate_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("“%s” is no time zone. Write it like Europe/Berlin.") % name)


class Recipient(models.Model):
    """One address. Rows appear by themselves when a rule first mails somebody."""

    class Units(models.TextChoices):
        PORTAL = "", _("as the portal")
        MILES = "mi", _("miles")
        KILOMETRES = "km", _("kilometres")

    email = models.EmailField(_("email"), unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )
    driver = models.ForeignKey(
        Driver,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("driver"),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text=_("Such as America/Denver. Empty: the portal's."),
    )
    language = models.CharField(_("language"), max_length=12, default="en")
    units = models.CharField(_("distances in"), max_length=2, choices=Units.choices, blank=True)

    class Meta:
        ordering = ["email"]
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")

    def __str__(self) -> str:
        return self.email
