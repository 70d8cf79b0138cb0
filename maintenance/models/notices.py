"""Words of notices that an admin may change."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class NoticeTemplate(models.Model):
    """The fleet's own words for one kind of notice, instead of the portal's."""

    class Name(models.TextChoices):
        ALERT = "alert", _("An alert opened, got worse, or is repeated")
        RESOLVED = "resolved", _("An alert is over")
        SUMMARY = "summary", _("Several alerts at once")

    name = models.CharField(_("for"), max_length=12, choices=Name.choices, unique=True)
    subject = models.CharField(_("subject"), max_length=200)
    body = models.TextField(_("text"))
    is_enabled = models.BooleanField(_("in use"), default=True)
    updated_at = models.DateTimeField(_("changed"), null=True, editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("changed by"),
    )

    class Meta:
        ordering = ["name"]
        verbose_name = _("notice template")
        verbose_name_plural = _("notice templates")

    def __str__(self) -> str:
        return self.get_name_display()
