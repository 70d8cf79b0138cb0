"""Alerts: episodes with a life, one unresolved at most for a vehicle, topic and subject."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from integrations.models import Vehicle
from maintenance.models.rules import Rule, Severity, Stage


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

    class Hold(models.TextChoices):
        """Why nobody is told for now."""

        MAINTENANCE = "maintenance", _("The vehicle is in the shop")
        CONNECTION = "connection", _("Its connection is lost")
        OUTAGE = "outage", _("Many vehicles of this make are quiet")

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
    severity = models.CharField(
        _("severity"), max_length=8, choices=Severity.choices, default=Severity.MEDIUM
    )

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
    acknowledged_name = models.CharField(_("acknowledged as"), max_length=254, blank=True)
    snoozed_until = models.DateTimeField(_("snoozed until"), null=True, blank=True)
    waived_at = models.DateTimeField(_("will not be fixed, since"), null=True, blank=True)
    waived_name = models.CharField(_("will not be fixed, says"), max_length=254, blank=True)
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
        _("evidence"),
        default=dict,
        encoder=DjangoJSONEncoder,  # a rule may name a day
        help_text=_("The readings, the threshold, the rule as it was."),
    )
    worst = models.FloatField(_("worst value"), null=True, blank=True)
    firing_count = models.PositiveIntegerField(default=0)
    first_firing_at = models.DateTimeField(null=True, blank=True)
    last_firing_at = models.DateTimeField(_("last confirmed"), null=True, blank=True)
    clear_count = models.PositiveIntegerField(default=0)
    last_clear_at = models.DateTimeField(null=True, blank=True)
    cleared_since_resolved = models.BooleanField(default=False)
    # A person opened it again: only what the car says after this moment can end it.
    reopened_by_person_at = models.DateTimeField(null=True, blank=True)
    # When it came back, ISO 8601, as far as the reopen window looks back.
    returns = models.JSONField(_("came back"), default=list, blank=True)
    flapping_since = models.DateTimeField(_("comes and goes since"), null=True, blank=True)

    held_because = models.CharField(
        _("nobody is told because"), max_length=12, choices=Hold.choices, blank=True
    )
    announced_stage = models.CharField(
        _("announced"), max_length=8, choices=Stage.choices, blank=True
    )
    remind_at = models.DateTimeField(_("next reminder"), null=True, blank=True)
    escalate_at = models.DateTimeField(_("escalates"), null=True, blank=True)
    escalated_at = models.DateTimeField(_("escalated"), null=True, blank=True)

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
            models.Index(
                fields=["remind_at"],
                condition=Q(remind_at__isnull=False),
                name="maintenance_alert_remind",
            ),
            models.Index(
                fields=["escalate_at"],
                condition=Q(escalate_at__isnull=False),
                name="maintenance_alert_escalate",
            ),
            models.Index(
                fields=["snoozed_until"],
                condition=Q(snoozed_until__isnull=False),
                name="maintenance_alert_snooze",
            ),
            models.Index(
                fields=["resolved_at"],
                condition=Q(flapping_since__isnull=False),
                name="maintenance_alert_flapping",
            ),
            models.Index(
                fields=["held_because"],
                condition=~Q(held_because=""),
                name="maintenance_alert_held",
            ),
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
        taken = self.acknowledged_at or self.waived_at
        return self.Status.ACKNOWLEDGED if taken else self.Status.OPEN


class FleetioIssue(models.Model):
    """The one issue that an alert has in Fleetio."""

    alert = models.OneToOneField(
        Alert, on_delete=models.CASCADE, related_name="fleetio_issue", verbose_name=_("alert")
    )
    fleetio_id = models.PositiveBigIntegerField(_("Fleetio id"), unique=True)
    number = models.CharField(_("number"), max_length=30, blank=True)
    state = models.CharField(_("state in Fleetio"), max_length=20, default="open")
    # Fleetio's own time of the record that `state` was taken from.
    changed_at = models.DateTimeField(_("changed in Fleetio"), null=True, blank=True)
    fault_id = models.PositiveBigIntegerField(_("fault"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    checked_at = models.DateTimeField(_("seen"), null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = _("Fleetio issue")
        verbose_name_plural = _("Fleetio issues")

    def __str__(self) -> str:
        return f"#{self.number or self.fleetio_id}"
