"""The inbox: what providers said by themselves, kept before it is answered, worked off later."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from integrations.models.vehicles import Vehicle


class WebhookProvider(models.TextChoices):
    SMARTCAR = "smartcar", "Smartcar"
    FLEETIO = "fleetio", "Fleetio"


class WebhookEvent(models.Model):
    """One genuine event, once per `event_id` however often it is delivered."""

    class State(models.TextChoices):
        RECEIVED = "received", _("Waiting")
        PROCESSED = "processed", _("Processed")
        IGNORED = "ignored", _("Ignored")
        FAILED = "failed", _("Failed")

    provider = models.CharField(_("provider"), max_length=12, choices=WebhookProvider.choices)
    event_id = models.CharField(_("event"), max_length=80)
    kind = models.CharField(_("kind"), max_length=40, blank=True)
    state = models.CharField(
        _("state"), max_length=12, choices=State.choices, default=State.RECEIVED
    )
    body = models.TextField(_("as it came"))
    smartcar_id = models.CharField(_("Smartcar id"), max_length=64, blank=True)
    vehicle = models.ForeignKey(
        Vehicle,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="webhook_events",
        verbose_name=_("vehicle"),
        db_index=False,  # the one below leaves out what was not worked off: it comes fast
    )
    # By the provider's own clock: deliveries come late and in any order.
    occurred_at = models.DateTimeField(_("happened"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"))
    processed_at = models.DateTimeField(_("worked off"), null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    note = models.CharField(_("what it came to"), max_length=255, blank=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        ordering = ["-received_at", "-pk"]
        verbose_name = _("webhook event")
        verbose_name_plural = _("webhook events")
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "event_id"], name="integrations_webhookevent_once"
            )
        ]
        indexes = [
            models.Index(fields=["-received_at"], name="integrations_webhook_recent"),
            models.Index(
                fields=["vehicle"],
                condition=Q(vehicle__isnull=False),
                name="integrations_webhook_vehicle",
            ),
            models.Index(
                fields=["occurred_at"],
                condition=Q(state="received"),
                name="integrations_webhook_waiting",
            ),
            models.Index(
                fields=["provider"],
                condition=Q(state="failed"),
                name="integrations_webhook_failed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind or self.provider} {self.event_id}"


class WebhookEndpoint(models.Model):
    """How setting up one provider's webhook goes, and until when its check is answered."""

    class Verify(models.TextChoices):
        ANSWERED = "answered", _("answered")
        CLOSED = "closed", _("not answered: the window was closed")
        IMPLAUSIBLE = "implausible", _("not answered: its challenge does not look like one")
        NO_TOKEN = "no_token", _("not answered: SMARTCAR_MANAGEMENT_TOKEN is not set")

    provider = models.CharField(
        _("provider"), max_length=12, choices=WebhookProvider.choices, unique=True
    )
    window_until = models.DateTimeField(_("verification window until"), null=True, blank=True)
    verify_seen_at = models.DateTimeField(_("VERIFY seen"), null=True, blank=True)
    verify_outcome = models.CharField(max_length=12, choices=Verify.choices, blank=True)
    verified_at = models.DateTimeField(_("VERIFY answered"), null=True, blank=True)
    test_seen_at = models.DateTimeField(_("TEST seen"), null=True, blank=True)
    refused_at = models.DateTimeField(_("last delivery refused"), null=True, blank=True)
    refused_why = models.CharField(_("why"), max_length=120, blank=True)

    class Meta:
        ordering = ["provider"]
        verbose_name = _("webhook set-up")
        verbose_name_plural = _("webhook set-up")

    def __str__(self) -> str:
        return self.get_provider_display()
