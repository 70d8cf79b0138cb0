"""What a fleet decided about trouble codes."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from maintenance.engine.code_overrides import normal


class CodeOverride(models.Model):
    """One decision, for a code or a pattern of codes; the most specific one counts."""

    class Severity(models.TextChoices):
        LOW = "low", _("Low")
        MEDIUM = "medium", _("Medium")
        HIGH = "high", _("High")
        CRITICAL = "critical", _("Critical")

    pattern = models.CharField(
        _("code or pattern"),
        max_length=20,
        unique=True,
        help_text=_("Such as P0420, or P04* for all that begin so. The most specific one counts."),
    )
    severity = models.CharField(
        _("severity"),
        max_length=8,
        choices=Severity.choices,
        blank=True,
        help_text=_("Empty: as usual. Critical ones open at the first reading."),
    )
    is_ignored = models.BooleanField(
        _("ignored"), default=False, help_text=_("No alert; those that are open end.")
    )
    text = models.CharField(
        _("our own meaning"),
        max_length=120,
        blank=True,
        help_text=_("Instead of what the code means usually."),
    )
    note = models.CharField(_("note"), max_length=200, blank=True)
    updated_at = models.DateTimeField(_("changed"), null=True, editable=False)

    class Meta:
        ordering = ["pattern"]
        verbose_name = _("own word on a code")
        verbose_name_plural = _("own words on codes")

    def __str__(self) -> str:
        return self.pattern

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pattern = normal(self.pattern) or self.pattern.strip().upper()
        super().save(*args, **kwargs)

    def clean_fields(self, exclude: Any = None) -> None:
        """Bring the pattern into its one form before anybody asks whether it is there already."""
        super().clean_fields(exclude=exclude)
        pattern = normal(self.pattern)
        if pattern is None:
            text = gettext("“%s” fits no code. Write it like P0420 or P04*.") % self.pattern
            raise ValidationError({"pattern": text})
        self.pattern = pattern
