"""People who get mails, and how they like them."""

import zoneinfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from integrations.models import Driver
from integrations.models.encryption import EncryptedTextField
from maintenance.models.rules import Severity


def validate_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("“%s” is no time zone. Write it like Europe/Berlin.") % name)


class Recipient(models.Model):
    """One address. Rows appear by themselves when a rule first mails somebody."""

    class Units(models.TextChoices):
        PORTAL = "", _("as the portal")
        MILES = "mi", _("miles")
        KILOMETRES = "km", _("kilometres")

    class Delivery(models.TextChoices):
        IMMEDIATE = "immediate", _("each message at once")
        DAILY = "daily", _("one summary a day")
        WEEKLY = "weekly", _("one summary a week")

    class Weekday(models.IntegerChoices):
        MONDAY = 0, _("Monday")
        TUESDAY = 1, _("Tuesday")
        WEDNESDAY = 2, _("Wednesday")
        THURSDAY = 3, _("Thursday")
        FRIDAY = 4, _("Friday")
        SATURDAY = 5, _("Saturday")
        SUNDAY = 6, _("Sunday")

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

    delivery = models.CharField(
        _("gets"), max_length=9, choices=Delivery.choices, default=Delivery.IMMEDIATE
    )
    digest_hour = models.PositiveSmallIntegerField(
        _("summary at (hour)"), default=7, validators=[MaxValueValidator(23)]
    )
    digest_weekday = models.PositiveSmallIntegerField(
        _("weekly summary on"), choices=Weekday.choices, default=Weekday.MONDAY
    )
    min_severity = models.CharField(
        _("from severity"), max_length=8, choices=Severity.choices, default=Severity.LOW
    )
    kinds = models.JSONField(
        _("kinds of rules"), default=list, blank=True, help_text=_("None chosen: all.")
    )
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    most_per_hour = models.PositiveSmallIntegerField(
        _("messages per hour"),
        default=10,
        validators=[MinValueValidator(1)],
        help_text=_("What is more comes together in one message."),
    )
    unsubscribed_at = models.DateTimeField(_("unsubscribed"), null=True, blank=True)

    class Meta:
        ordering = ["email"]
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")

    def __str__(self) -> str:
        return self.email


class Channel(models.Model):
    """Another way to reach a recipient: Slack, Teams, ntfy, Telegram, SMS, a plain webhook."""

    recipient = models.ForeignKey(
        Recipient, on_delete=models.CASCADE, related_name="channels", verbose_name=_("recipient")
    )
    name = models.CharField(_("name"), max_length=60)
    # An Apprise URL: https://github.com/caronc/apprise/wiki. It holds tokens.
    url = EncryptedTextField(_("address"))
    is_enabled = models.BooleanField(_("enabled"), default=True)
    last_sent_at = models.DateTimeField(_("last sent"), null=True, blank=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=255, blank=True, editable=False)

    class Meta:
        ordering = ["recipient", "name", "pk"]
        verbose_name = _("channel")
        verbose_name_plural = _("channels")

    def __str__(self) -> str:
        return self.name
