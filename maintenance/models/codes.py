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
        error_messages={"unique": _("This code or pattern is in the list already.")},
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
        verbose_name = _("code override")
        verbose_name_plural = _("code overrides")

    def __str__(self) -> str:
        return self.pattern

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.tidy()
        super().save(*args, **kwargs)

    def tidy(self) -> None:
        """The pattern in its one form, the texts on one line each."""
        self.pattern = normal(self.pattern) or self.pattern.strip().upper()
        self.text = " ".join(self.text.split())
        self.note = " ".join(self.note.split())

    def clean_fields(self, exclude: Any = None) -> None:
        """Refuse a pattern that fits no code, before anybody asks whether it is there already."""
        self.tidy()
        super().clean_fields(exclude=exclude)
        if "pattern" not in (exclude or ()) and normal(self.pattern) is None:
            text = gettext("“%s” fits no code. Write it like P0420 or P04*.") % self.pattern
            raise ValidationError({"pattern": text})
