"""Limits and pauses that all workers share, and the pulse of the scheduler."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ProviderGate(models.Model):
    """One provider account: how fast we may call it, and whether we may at all.

    `paid_until` is the rate limit in one number (seconds since 1970): each call moves it one
    interval ahead, and a call is allowed while it is not further ahead of now than the bucket
    is deep. One conditional UPDATE takes a call, on any database.
    """

    name = models.CharField(_("provider"), max_length=20, unique=True)
    paid_until = models.FloatField(default=0)
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    paused_reason = models.CharField(_("why"), max_length=255, blank=True)
    refused_at = models.DateTimeField(_("refuses us since"), null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=64, blank=True)
    synced_until = models.DateTimeField(_("synced until"), null=True, blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name = _("provider")
        verbose_name_plural = _("providers")

    def __str__(self) -> str:
        return self.name


class Heartbeat(models.Model):
    """When the scheduler last reached a worker."""

    name = models.CharField(max_length=20, unique=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
