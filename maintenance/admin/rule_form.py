"""The form of a rule: only what its kind needs, distances in the portal's unit."""

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator
from django.utils.translation import gettext_lazy as _

from maintenance.admin.distances import (
    DistanceField,
    DistanceFormMixin,
    PressureField,
    QuantityField,
)
from maintenance.engine import rules as engine
from maintenance.models import Rule
from maintenance.models.rule_kinds import COLUMNS

LONGEST_DAYS = 36_500
_TEXTS = ("patterns", "ignored", "critical")
OWNED = sorted({name for names in COLUMNS.values() for name in names})


class RuleForm(DistanceFormMixin, forms.ModelForm):
    distance_km = DistanceField(
        minimum=1,
        required=False,
        label=_("Every"),
        help_text=_("Since the last service of this topic. With days too: whichever comes first."),
    )
    due_odometer_km = DistanceField(
        minimum=1,
        required=False,
        label=_("Once, at"),
        help_text=_("A service that is due just once. With a day too: whichever comes first."),
    )
    placard_front_kpa = PressureField(
        required=False,
        label=_("Placard, front"),
        help_text=_("As on the sticker in the door. Low from 80 %, high from 125 % of it."),
    )
    placard_rear_kpa = PressureField(required=False, label=_("Placard, rear"))
    low_kpa = PressureField(
        required=False,
        label=_("Low at or below"),
        help_text=_("Where no placard is given. Empty: 28 psi, which is 193 kPa."),
    )
    high_kpa = PressureField(
        required=False,
        label=_("High at or above"),
        help_text=_("Empty: only by the placard."),
    )

    class Meta:
        model = Rule
        fields = "__all__"  # noqa: DJ007  the admin's fieldsets choose
        help_texts = {
            "days": _("Since the last service of this topic."),
            "vehicle": _("Only this one. The most specific rule of a kind and topic wins."),
            "make": _("As Smartcar writes it, such as FORD. Capitals do not matter."),
            "soon_below": _("Empty: 30."),
            "due_below": _("Empty: 20 of oil life, 10 of fuel and charge."),
            "overdue_below": _("Empty: 5."),
            "clear_at": _(
                "Empty: 40 of oil life, 20 of fuel and charge. The alert ends at this or above."
            ),
            "due_on": _("A service that is due just once."),
            "hold_readings": _("Empty: the default of the kind."),
            "hold_apart_hours": _("Empty: the default of the kind."),
            "clear_readings": _("Empty: the default of the kind."),
            "freshness_hours": _("What is older says nothing about now."),
            "staff": _("Nobody chosen at all: the addresses in MAINTENANCE_EMAILS."),
        }
        widgets = {
            name: forms.Textarea(attrs={"rows": 2, "cols": 60})
            for name in (
                "patterns",
                "ignored",
                "critical",
                "extra_addresses",
                "service_names",
                "escalate_to",
                "contacts",
                "labels",
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_portal_unit()
        if "days" in self.fields:
            self.fields["days"].validators.append(MaxValueValidator(LONGEST_DAYS))
        for name in ("hold_readings", "clear_readings", "freshness_hours"):
            if name in self.fields:
                self.fields[name].widget.attrs["min"] = 1

        if "on_clear" in self.fields:
            self.fields["on_clear"].required = False

    def clean_on_clear(self) -> str:
        return self.cleaned_data["on_clear"] or Rule.OnClear.COMMENT.value

    def clean_make(self) -> str:
        return str(self.cleaned_data["make"]).strip()

    def clean_model(self) -> str:
        return str(self.cleaned_data["model"]).strip()

    def clean_freshness_hours(self) -> Any:
        hours = self.cleaned_data["freshness_hours"]
        if hours is not None and hours < 1:
            raise forms.ValidationError(_("Readings must count for at least an hour."))
        return hours

    def clean(self) -> dict[str, Any]:
        """Forget what was typed for another kind, so that nothing unseen stays behind."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name, field in self.fields.items():
            if isinstance(field, QuantityField) and name in cleaned:
                cleaned[name] = self.kept(name)
        kind = cleaned.get("kind") or self.instance.kind
        if kind in Rule.Kind.values:
            for name in set(OWNED) - set(COLUMNS[engine.Kind(kind)]):
                if name in self.fields:
                    self.errors.pop(name, None)
                    cleaned[name] = "" if name in _TEXTS else None
        return cleaned

    def add_error(self, field: Any, error: Any) -> None:
        """The model names columns that this form may not show: say it above the form then."""
        named = getattr(error, "error_dict", None)
        if field is None and named:
            for name, errors in named.items():
                super().add_error(name if name in self.fields else None, errors)
            return
        super().add_error(field, error)
