"""OAuth tokens: encrypted, versioned, refreshed under a lease."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from integrations.models.encryption import EncryptedTextField
from integrations.models.people import Connection


class OAuthTokenQuerySet(models.QuerySet["OAuthToken"]):
    def refreshable(self) -> "OAuthTokenQuerySet":
        """Tokens of connections that are still meant to work."""
        return self.exclude(refresh_token="").filter(
            Q(connection__isnull=True) | Q(connection__status=Connection.Status.ACTIVE)
        )


class OAuthToken(models.Model):
    """The pair of tokens of one connection, or the application's one token (v3), which has no
    connection and no refresh token. `version` counts exchanges.
    """

    connection = models.OneToOneField(
        Connection,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="token",
        verbose_name=_("connection"),
    )
    access_token = EncryptedTextField(blank=True, default="")
    access_expires_at = models.DateTimeField(_("access token expires"))
    refresh_token = EncryptedTextField(blank=True, default="")
    refresh_expires_at = models.DateTimeField(_("refresh token expires"), null=True, blank=True)
    issued_at = models.DateTimeField(_("last exchange"))
    version = models.PositiveIntegerField(_("version"), default=1)
    lease_until = models.DateTimeField(_("refresh under way until"), null=True, blank=True)
    next_attempt_at = models.DateTimeField(_("not before"), null=True, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    last_error = models.CharField(_("last error"), max_length=255, blank=True)

    objects = OAuthTokenQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        constraints = [
            # Of the rows without a connection there is one, too: nulls alone may repeat.
            models.UniqueConstraint(Coalesce("connection", 0), name="integrations_token_once")
        ]
        indexes = [
            models.Index(
                fields=["lease_until"],
                condition=Q(lease_until__isnull=False),
                name="integrations_token_leased",
            ),
            models.Index(fields=["access_expires_at"], name="integrations_token_expiry"),
        ]

    def __str__(self) -> str:
        return f"Token of {self.connection}" if self.connection_id else "Application token"
