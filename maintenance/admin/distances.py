"""A distance typed and shown in the portal's unit, kept in kilometres."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from integrations.models import PortalSettings
from integrations.services.measures import KM_PER_MILE

LONGEST_KM = 2_000_000


class DistanceField(forms.FloatField):
    """Its value is in kilometres. Call `use` before the form is shown or cleaned."""

    def __init__(self, *, minimum: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum = minimum
        self.use(PortalSettings.Distance.MILES)

    def use(self, unit: str) -> None:
        self.unit = unit
        self.km_per_unit = KM_PER_MILE if unit == PortalSettings.Distance.MILES else 1.0

    def shown(self, km: float) -> float:
        """What stands in the field: rounded, so that 5000 miles read 5000."""
        number = round(km / self.km_per_unit, 2)
        return int(number) if number == int(number) else number

    def prepare_value(self, value: Any) -> Any:
        return self.shown(value) if isinstance(value, float | int) else value

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        if number is None:
            return None
        if not number >= self.minimum:
            text = _("This must be at least %(minimum)g %(unit)s.")
            raise ValidationError(text % {"minimum": self.minimum, "unit": self.unit})
        if number * self.km_per_unit > LONGEST_KM:
            raise ValidationError(_("No car drives that far."))
        return number * self.km_per_unit


class DistanceFormMixin:
    """For model forms with DistanceFields: sets the unit, and keeps what was not retyped."""

    fields: dict[str, forms.Field]
    instance: Any
    cleaned_data: dict[str, Any]

    def use_portal_unit(self) -> str:
        unit = PortalSettings.load().distance_unit
        for field in self.fields.values():
            if isinstance(field, DistanceField):
                field.use(unit)
                field.label = f"{field.label} ({unit})"
        return unit

    def kept(self, name: str) -> float | None:
        """The typed distance, or exactly the stored one when it still reads the same."""
        field, typed = self.fields[name], self.cleaned_data[name]
        stored = getattr(self.instance, name)
        if isinstance(field, DistanceField) and typed is not None and stored is not None:
            return float(stored if field.shown(stored) == field.shown(typed) else typed)
        return None if typed is None else float(typed)
