"""Outgoing work as rows: written with the decision, sent by workers, visible in the admin."""

from datetime import datetime

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from integrations.models.vehicles import Vehicle


class OutboxQuerySet(models.QuerySet["OutboxEntry"]):
    def due(self, now: datetime) -> "OutboxQuerySet":
        """What may be tried now: waiting rows, unclear ones, and those a dead worker left."""
        return self.filter(
            Q(state__in=[OutboxEntry.State.PENDING, OutboxEntry.State.UNKNOWN])
            | Q(state=OutboxEntry.State.SENDING, lease_until__lte=now),
            next_attempt_at__lte=now,
        )


class OutboxEntry(models.Model):
    """One effect in the outside world: a Fleetio call or a mail. It happens at most once."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        SENDING = "sending", _("Being sent")
        UNKNOWN = "unknown", _("Unclear whether it arrived")
        DONE = "done", _("Done")
        DEAD = "dead", _("Given up")
        CANCELLED = "cancelled", _("Cancelled")

    kind = models.CharField(_("kind"), max_length=40)
    lane = models.CharField(_("lane"), max_length=12)
    dedupe_key = models.CharField(_("key"), max_length=200, unique=True)
    payload = models.JSONField(_("payload"), default=dict)
    # Rows of one bundle may go out together; those of one parcel did, or are about to.
    bundle = models.CharField(max_length=80, blank=True, editable=False)
    parcel = models.CharField(max_length=40, blank=True, editable=False)
    state = models.CharField(
        _("state"), max_length=12, choices=State.choices, default=State.PENDING
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"))
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(_("last error"), blank=True)
    created_at = models.DateTimeField(_("written"))
    started_at = models.DateTimeField(_("first attempt"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    result = models.CharField(_("result"), max_length=255, blank=True)

    vehicle = models.ForeignKey(
        Vehicle,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="outbox",
        verbose_name=_("vehicle"),
    )
    content_type = models.ForeignKey(ContentType, on_delete=models.SET_NULL, null=True, blank=True)
    object_id = models.PositiveBigIntegerField(null=True, blank=True)
    about = GenericForeignKey("content_type", "object_id")

    objects = OutboxQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = _("outgoing message")
        verbose_name_plural = _("outgoing messages")
        indexes = [
            models.Index(
                fields=["lane", "next_attempt_at"],
                condition=Q(state__in=["pending", "sending", "unknown"]),
                name="integrations_outbox_due",
            ),
            models.Index(fields=["content_type", "object_id"], name="integrations_outbox_about"),
            models.Index(
                fields=["bundle", "finished_at"],
                condition=~Q(bundle=""),
                name="integrations_outbox_bundle",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
