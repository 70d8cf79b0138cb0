"""Alerts: episodes with a life, one unresolved at most for a vehicle, topic and subject."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from integrations.models import Vehicle
from maintenance.models.rules import Rule, Stage


class AlertQuerySet(models.QuerySet["Alert"]):
    def unresolved(self) -> "AlertQuerySet":
        return self.exclude(status=Alert.Status.RESOLVED)

    def announced(self) -> "AlertQuerySet":
        """Open for people to see: not waiting for a hold, not over."""
        return self.unresolved().exclude(status=Alert.Status.PENDING)


class Alert(models.Model):
    """One episode: from the first reading that fires to the moment it is over."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting to be sure")
        OPEN = "open", _("Open")
        ACKNOWLEDGED = "acknowledged", _("Acknowledged")
        SNOOZED = "snoozed", _("Snoozed")
        RESOLVED = "resolved", _("Resolved")

    class Resolution(models.TextChoices):
        CLEARED = "cleared", _("The car no longer reports it")
        SERVICED = "serviced", _("A service was recorded")
        FLEETIO = "fleetio", _("Resolved in Fleetio")
        PERSON = "person", _("Resolved by a person")
        RULE = "rule", _("No rule applies any more")

    rule = models.ForeignKey(
        Rule, on_delete=models.SET_NULL, null=True, related_name="alerts", verbose_name=_("rule")
    )
    vehicle = models.ForeignKey(
        Vehicle,
        on_delete=models.CASCADE,
        null=True,
        related_name="alerts",
        verbose_name=_("vehicle"),
    )
    kind = models.CharField(_("kind"), max_length=24, choices=Rule.Kind.choices)
    topic = models.SlugField(_("topic"), max_length=60)
    subject = models.CharField(_("subject"), max_length=60, blank=True, default="")
    summary = models.CharField(_("what"), max_length=200)
    status = models.CharField(
        _("status"), max_length=14, choices=Status.choices, default=Status.PENDING
    )
    stage = models.CharField(_("stage"), max_length=8, choices=Stage.choices)

    pending_since = models.DateTimeField(_("first noticed"))
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True)
    reported_at = models.DateTimeField(
        _("reading of"), null=True, blank=True, help_text=_("When the car recorded it.")
    )
    times_opened = models.PositiveIntegerField(_("times opened"), default=0)
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("acknowledged by"),
    )
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    resolution = models.CharField(
        _("how it ended"), max_length=12, choices=Resolution.choices, blank=True
    )
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("resolved by"),
    )
    note = models.TextField(_("note"), blank=True)

    evidence = models.JSONField(
        _("evidence"), default=dict, help_text=_("The readings, the threshold, the rule as it was.")
    )
    worst = models.FloatField(_("worst value"), null=True, blank=True)
    firing_count = models.PositiveIntegerField(default=0)
    first_firing_at = models.DateTimeField(null=True, blank=True)
    last_firing_at = models.DateTimeField(_("last confirmed"), null=True, blank=True)
    clear_count = models.PositiveIntegerField(default=0)
    last_clear_at = models.DateTimeField(null=True, blank=True)
    cleared_since_resolved = models.BooleanField(default=False)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "-pk"]
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(
                fields=["vehicle", "topic", "subject"],
                condition=~Q(status="resolved") & Q(vehicle__isnull=False),
                name="maintenance_alert_one_unresolved",
            ),
            models.UniqueConstraint(
                fields=["topic", "subject"],
                condition=~Q(status="resolved") & Q(vehicle__isnull=True),
                name="maintenance_alert_one_unresolved_fleetwide",
            ),
            models.CheckConstraint(
                condition=Q(status="resolved", resolved_at__isnull=False)
                | (~Q(status="resolved") & Q(resolved_at__isnull=True)),
                name="maintenance_alert_resolved_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["vehicle", "resolved_at"], name="maintenance_alert_vehicle"),
            models.Index(fields=["status"], name="maintenance_alert_status"),
        ]

    def __str__(self) -> str:
        return f"{self.summary}, {self.vehicle}" if self.vehicle_id else self.summary

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.summary = self.summary[:200]
        super().save(*args, **kwargs)

    def settled_status(self, now: datetime) -> Status:
        """The status that follows from the columns."""
        if self.resolved_at:
            return self.Status.RESOLVED
        if self.opened_at is None:
            return self.Status.PENDING
        if self.snoozed_until and self.snoozed_until > now:
            return self.Status.SNOOZED
        return self.Status.ACKNOWLEDGED if self.acknowledged_at else self.Status.OPEN


class FleetioIssue(models.Model):
    """The one issue that an alert has in Fleetio."""

    alert = models.OneToOneField(
        Alert, on_delete=models.CASCADE, related_name="fleetio_issue", verbose_name=_("alert")
    )
    fleetio_id = models.PositiveBigIntegerField(_("Fleetio id"), unique=True)
    number = models.CharField(_("number"), max_length=30, blank=True)
    state = models.CharField(_("state in Fleetio"), max_length=20, default="open")
    created_at = models.DateTimeField(_("created"))
    checked_at = models.DateTimeField(_("seen"), null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = _("Fleetio issue")
        verbose_name_plural = _("Fleetio issues")

    def __str__(self) -> str:
        return f"#{self.number or self.fleetio_id}"
