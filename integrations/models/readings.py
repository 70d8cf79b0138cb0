"""What the cars said: the latest state of each signal, and its history.

Units at rest: kilometres, percent 0-100, kPa, litres. Datetimes are aware UTC.
"""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from integrations.models.vehicles import Vehicle


class Signal(models.Model):
    """The latest clean state of one signal of one vehicle, and whether we ask for it."""

    class Support(models.TextChoices):
        UNKNOWN = "unknown", _("Not read yet")
        OK = "ok", _("Readable")
        NOT_CAPABLE = "not_capable", _("The car cannot give it")
        NOT_GRANTED = "not_granted", _("The driver did not share it")

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="signals", verbose_name=_("vehicle")
    )
    code = models.CharField(_("signal"), max_length=80)
    value = models.FloatField(_("value"), null=True, blank=True)
    data = models.JSONField(_("data"), null=True, blank=True)
    recorded_at = models.DateTimeField(_("recorded by the car"), null=True, blank=True)
    fetched_at = models.DateTimeField(_("fetched"), null=True, blank=True)
    event_id = models.CharField(max_length=80, blank=True, editable=False)
    source = models.CharField(_("source"), max_length=12, blank=True)

    is_wanted = models.BooleanField(_("wanted by a rule"), default=False)
    urgency = models.PositiveSmallIntegerField(
        _("urgency"),
        default=0,
        help_text=_("The higher, the longer it is asked for when the month's calls run out."),
    )
    support = models.CharField(
        _("support"), max_length=16, choices=Support.choices, default=Support.UNKNOWN
    )
    recheck_at = models.DateTimeField(_("asked again"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=255, blank=True)

    # A doubtful reading waits here until a second one agrees with it.
    candidate_value = models.FloatField(null=True, blank=True, editable=False)
    candidate_recorded_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["code"]
        verbose_name = _("signal")
        verbose_name_plural = _("signals")
        constraints = [
            models.UniqueConstraint(fields=["vehicle", "code"], name="integrations_signal_once")
        ]

    def __str__(self) -> str:
        return self.code


class Reading(models.Model):
    """One thing a car said, as it was kept. Append-only."""

    class Quality(models.TextChoices):
        CLEAN = "clean", _("Clean")
        DOUBTFUL = "doubtful", _("Doubtful")
        REJECTED = "rejected", _("Rejected")

    class Source(models.TextChoices):
        POLL = "poll", _("Poll")
        WEBHOOK = "webhook", _("Webhook")
        IMPORT = "import", _("Import")

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="readings", verbose_name=_("vehicle")
    )
    code = models.CharField(_("signal"), max_length=80)
    value = models.FloatField(_("value"), null=True, blank=True)
    data = models.JSONField(_("data"), null=True, blank=True)
    recorded_at = models.DateTimeField(_("recorded by the car"))
    fetched_at = models.DateTimeField(_("fetched"))
    source = models.CharField(_("source"), max_length=12, choices=Source.choices)
    request_id = models.CharField(_("Smartcar request"), max_length=64, blank=True)
    event_id = models.CharField(max_length=80, blank=True, editable=False)
    quality = models.CharField(_("quality"), max_length=12, choices=Quality.choices)
    reason = models.CharField(_("why"), max_length=120, blank=True)

    class Meta:
        ordering = ["-recorded_at", "-pk"]
        verbose_name = _("reading")
        verbose_name_plural = _("readings")
        constraints = [
            models.UniqueConstraint(
                fields=["vehicle", "code", "recorded_at", "fetched_at", "event_id"],
                name="integrations_reading_once",
            )
        ]
        indexes = [models.Index(fields=["-recorded_at"], name="integrations_reading_recent")]

    def __str__(self) -> str:
        return f"{self.code} of {self.vehicle_id} at {self.recorded_at:%Y-%m-%d %H:%M}"

    @property
    def shown(self) -> Any:
        return self.data if self.value is None else self.value


class TroubleCode(models.Model):
    """A diagnostic trouble code (DTC) of one vehicle, from first seen to cleared.

    A code that was gone and comes back gets a new row; `count` says the how manieth it is.
    """

    vehicle = models.ForeignKey(
        Vehicle, on_delete=models.CASCADE, related_name="trouble_codes", verbose_name=_("vehicle")
    )
    code = models.CharField(_("code"), max_length=20)
    first_seen_at = models.DateTimeField(_("first seen"))
    last_seen_at = models.DateTimeField(_("last seen"))
    cleared_at = models.DateTimeField(_("cleared"), null=True, blank=True)
    count = models.PositiveIntegerField(
        _("times"), default=1, help_text=_("How often it has appeared, this time included.")
    )

    class Meta:
        ordering = ["-last_seen_at", "code"]
        verbose_name = _("trouble code")
        verbose_name_plural = _("trouble codes")
        constraints = [
            models.UniqueConstraint(
                fields=["vehicle", "code"],
                condition=Q(cleared_at__isnull=True),
                name="integrations_troublecode_active_once",
            )
        ]

    def __str__(self) -> str:
        return self.code
