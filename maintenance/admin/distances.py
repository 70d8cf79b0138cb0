"""Distances and pressures typed and shown in the portal's unit, kept in kilometres and kPa."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from integrations.models import PortalSettings
from integrations.services.measures import KM_PER_MILE, KPA_PER_PSI

MILES, KILOMETRES = PortalSettings.Distance.MILES.value, PortalSettings.Distance.KILOMETRES.value
LONGEST_KM = 2_000_000
LOWEST_KPA, HIGHEST_KPA = 50, 1_500


class QuantityField(forms.FloatField):
    """Its value is in the unit at rest. Call `use` before the form is shown or cleaned."""

    # By the portal's unit of distances: what is typed, and how many units at rest one of it is.
    units: ClassVar[Mapping[str, tuple[str, float]]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use(MILES)

    def use(self, portal_unit: str) -> None:
        self.unit, self.at_rest = self.units[portal_unit]

    def shown(self, value: float) -> float:
        """What stands in the field: rounded, so that 5000 miles read 5000."""
        number = round(value / self.at_rest, 2)
        return int(number) if number == int(number) else number

    def prepare_value(self, value: Any) -> Any:
        return self.shown(value) if isinstance(value, float | int) else value

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        if number is None:
            return None
        self.check_typed(number)
        return number * self.at_rest

    def check_typed(self, number: float) -> None:
        """Raise ValidationError for what cannot be meant."""


class DistanceField(QuantityField):
    """Kilometres at rest."""

    units: ClassVar = {MILES: ("mi", KM_PER_MILE), KILOMETRES: ("km", 1.0)}

    def __init__(self, *, minimum: float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum = minimum

    def check_typed(self, number: float) -> None:
        if not number >= self.minimum:
            text = _("This must be at least %(minimum)g %(unit)s.")
            raise ValidationError(text % {"minimum": self.minimum, "unit": self.unit})
        if number * self.at_rest > LONGEST_KM:
            raise ValidationError(_("No car drives that far."))


class PressureField(QuantityField):
    """kPa at rest; psi where distances are in miles."""

    units: ClassVar = {MILES: ("psi", KPA_PER_PSI), KILOMETRES: ("kPa", 1.0)}

    def check_typed(self, number: float) -> None:
        if not LOWEST_KPA <= number * self.at_rest <= HIGHEST_KPA:
            text = _("No tire has that: it must be from %(low)d to %(high)d %(unit)s.")
            low, high = LOWEST_KPA / self.at_rest, HIGHEST_KPA / self.at_rest
            values = {"low": math.ceil(low), "high": math.floor(high), "unit": self.unit}
            raise ValidationError(text % values)


class DistanceFormMixin:
    """For model forms with such fields: sets the unit, and keeps what was not retyped."""

    fields: dict[str, forms.Field]
    instance: Any
    cleaned_data: dict[str, Any]

    def use_portal_unit(self) -> str:
        unit = PortalSettings.load().distance_unit
        for field in self.fields.values():
            if isinstance(field, QuantityField):
                field.use(unit)
                field.label = f"{field.label} ({field.unit})"
        return unit

    def kept(self, name: str) -> float | None:
        """What was typed, or exactly the stored one when it still reads the same."""
        field, typed = self.fields[name], self.cleaned_data[name]
        stored = getattr(self.instance, name)
        if isinstance(field, QuantityField) and typed is not None and stored is not None:
            return float(stored if field.shown(stored) == field.shown(typed) else typed)
        return None if typed is None else float(typed)
