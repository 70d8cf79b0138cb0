"""Maintenance rules as rows: what a fleet wants to be told, about which cars, and how."""

from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, validate_email
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.models import Vehicle, VehicleGroup
from maintenance.engine import rules as engine
from maintenance.engine.scopes import Scope
from maintenance.models import rule_kinds

split = rule_kinds.split
MAX_DAYS = 36_500
PERCENT = [MinValueValidator(0), MaxValueValidator(100)]
PRESSURE = [MinValueValidator(50), MaxValueValidator(1500)]


class Severity(models.TextChoices):
    """How much it matters, in ascending order."""

    LOW = "low", _("Low")
    MEDIUM = "medium", _("Medium")
    HIGH = "high", _("High")
    CRITICAL = "critical", _("Critical")

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Stage(models.TextChoices):
    SOON = "soon", _("Due soon")
    DUE = "due", _("Due")
    OVERDUE = "overdue", _("Overdue")


class FromStage(models.TextChoices):
    SOON = "soon", _("from due soon")
    DUE = "due", _("from due")
    OVERDUE = "overdue", _("from overdue")
    NEVER = "never", _("never")

    def covers(self, stage: str) -> bool:
        """Whether something of this stage is announced."""
        return self != self.NEVER and engine.Stage(stage) >= engine.Stage(self.value)


class RuleQuerySet(models.QuerySet["Rule"]):
    def enabled(self) -> "RuleQuerySet":
        return self.filter(is_enabled=True)


class Rule(models.Model):
    """One rule. Columns that are empty take the default of the rule's kind."""

    class Kind(models.TextChoices):
        OIL_LIFE = "oil_life", _("Oil life")
        SERVICE_INTERVAL = "service_interval", _("Service interval")
        TROUBLE_CODE = "trouble_code", _("Trouble code")
        SYSTEM_STATUS = "system_status", _("System status")
        TIRE_PRESSURE = "tire_pressure", _("Tire pressure")
        FUEL_LEVEL = "fuel_level", _("Fuel level")
        STATE_OF_CHARGE = "state_of_charge", _("State of charge")
        STALE_DATA = "stale_data", _("No fresh data")
        CONNECTION = "connection", _("Connection")

    class OnClear(models.TextChoices):
        """What becomes of the Fleetio issue when the alert is over by itself."""

        COMMENT = "comment", _("leave it, with a comment")
        RESOLVE = "resolve", _("resolve it")
        CLOSE = "close", _("close it")

    class Priority(models.TextChoices):
        NONE = "no_priority", _("No priority")
        LOW = "low", _("Low")
        MEDIUM = "medium", _("Medium")
        HIGH = "high", _("High")
        CRITICAL = "critical", _("Critical")

    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=24, choices=Kind.choices)
    topic = models.SlugField(
        _("topic"),
        max_length=60,
        help_text=_(
            "Such as engine-oil. Rules of one kind and topic override each other;"
            " service records belong to the topic."
        ),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    vehicle = models.ForeignKey(
        Vehicle,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("vehicle"),
    )
    group = models.ForeignKey(
        VehicleGroup,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("group"),
    )
    make = models.CharField(_("make"), max_length=60, blank=True)
    model = models.CharField(_("model"), max_length=60, blank=True)
    year_from = models.PositiveSmallIntegerField(_("from year"), null=True, blank=True)
    year_to = models.PositiveSmallIntegerField(_("to year"), null=True, blank=True)

    soon_below = models.FloatField(_("soon below %"), null=True, blank=True, validators=PERCENT)
    due_below = models.FloatField(_("due below %"), null=True, blank=True, validators=PERCENT)
    overdue_below = models.FloatField(
        _("overdue below %"), null=True, blank=True, validators=PERCENT
    )
    clear_at = models.FloatField(_("clears at %"), null=True, blank=True, validators=PERCENT)

    distance_km = models.FloatField(
        _("every (km)"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    days = models.PositiveIntegerField(
        _("every (days)"), null=True, blank=True, validators=[MaxValueValidator(MAX_DAYS)]
    )

    due_on = models.DateField(
        _("once, on"), null=True, blank=True, help_text=_("A service that is due just once.")
    )
    due_odometer_km = models.FloatField(
        _("once, at (km)"), null=True, blank=True, validators=[MinValueValidator(1)]
    )

    placard_front_kpa = models.FloatField(
        _("placard, front (kPa)"), null=True, blank=True, validators=PRESSURE
    )
    placard_rear_kpa = models.FloatField(
        _("placard, rear (kPa)"), null=True, blank=True, validators=PRESSURE
    )
    low_kpa = models.FloatField(
        _("low at or below (kPa)"), null=True, blank=True, validators=PRESSURE
    )
    high_kpa = models.FloatField(
        _("high at or above (kPa)"), null=True, blank=True, validators=PRESSURE
    )

    patterns = models.TextField(
        _("which ones"),
        blank=True,
        help_text=_("Codes or systems, separated by commas; * stands for anything: P03*, B1*."),
    )
    ignored = models.TextField(_("except"), blank=True)
    critical = models.TextField(
        _("critical"), blank=True, help_text=_("These open at the first reading.")
    )

    hold_readings = models.PositiveSmallIntegerField(
        _("readings that must agree"), null=True, blank=True
    )
    hold_apart_hours = models.PositiveSmallIntegerField(
        _("hours between them"), null=True, blank=True
    )
    clear_readings = models.PositiveSmallIntegerField(_("readings to clear"), null=True, blank=True)
    freshness_hours = models.PositiveSmallIntegerField(_("readings count for (hours)"), default=72)
    reopen_days = models.PositiveSmallIntegerField(
        _("reopens within (days)"),
        default=14,
        validators=[MaxValueValidator(90)],
        help_text=_("What comes back within this time is the same alert, not a new one."),
    )

    priority = models.CharField(
        _("priority in Fleetio"), max_length=12, choices=Priority.choices, default=Priority.NONE
    )
    mail_from_stage = models.CharField(
        _("mail"), max_length=8, choices=FromStage.choices, default=FromStage.SOON
    )
    issue_from_stage = models.CharField(
        _("Fleetio issue"), max_length=8, choices=FromStage.choices, default=FromStage.DUE
    )
    staff = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="+", verbose_name=_("staff")
    )
    staff_groups = models.ManyToManyField(
        "auth.Group", blank=True, related_name="+", verbose_name=_("staff groups")
    )
    extra_addresses = models.TextField(
        _("more addresses"), blank=True, help_text=_("Separated by commas.")
    )
    notify_driver = models.BooleanField(_("tell the driver too"), default=False)
    severity = models.CharField(
        _("severity"),
        max_length=8,
        choices=Severity.choices,
        blank=True,
        help_text=_("Empty: by the stage, and for trouble codes by the code."),
    )
    repeat_days = models.PositiveSmallIntegerField(
        _("repeats every (days)"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(365)],
        help_text=_("Until somebody acknowledges it. Empty: the default of the kind; 0: never."),
    )
    escalate_after_hours = models.PositiveSmallIntegerField(
        _("escalates after (hours)"),
        null=True,
        blank=True,
        help_text=_("When nobody acknowledged it by then. Empty: never."),
    )
    escalate_to = models.TextField(
        _("escalates to"), blank=True, help_text=_("Addresses, separated by commas.")
    )
    on_clear = models.CharField(
        _("when it is over, the issue"),
        max_length=8,
        choices=OnClear.choices,
        default=OnClear.COMMENT,
    )
    contacts = models.TextField(
        _("assigned in Fleetio"),
        blank=True,
        help_text=_("Email addresses or names of Fleetio contacts, separated by commas."),
    )
    labels = models.TextField(
        _("labels in Fleetio"), blank=True, help_text=_("Separated by commas.")
    )
    makes_fault = models.BooleanField(
        _("fault in Fleetio too"),
        default=False,
        help_text=_("For trouble codes: the issue is linked to a fault of this code."),
    )
    service_names = models.TextField(
        _("also called"),
        blank=True,
        help_text=_(
            "What this service is called in Fleetio's service tasks and in the maker's records,"
            " separated by commas: Oil Change, Engine Oil & Filter."
        ),
    )
    updated_at = models.DateTimeField(_("changed"), null=True, editable=False)

    objects = RuleQuerySet.as_manager()

    class Meta:
        ordering = ["kind", "topic", "pk"]
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        indexes = [
            models.Index(
                fields=["is_enabled"], condition=Q(is_enabled=True), name="maintenance_rule_enabled"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a rule that could never fire, or would fire at the wrong moment."""
        errors = rule_kinds.mistakes(self)
        if self.year_from and self.year_to and self.year_from > self.year_to:
            errors["year_to"] = gettext("This is before the first year.")
        for name in ("extra_addresses", "escalate_to"):
            if bad := _first_bad_address(getattr(self, name)):
                errors[name] = gettext("“%s” is no email address.") % bad
        if self.escalate_after_hours is not None and not split(self.escalate_to):
            errors["escalate_to"] = gettext("Say who is told then.")
        if split(self.escalate_to) and self.escalate_after_hours is None:
            errors["escalate_after_hours"] = gettext("Say after how many hours.")
        if errors:
            raise ValidationError(errors)

    @property
    def scope(self) -> Scope:
        return Scope(
            vehicle_id=self.vehicle_id,
            group_id=self.group_id,
            make=self.make or None,
            model=self.model or None,
            year_from=self.year_from,
            year_to=self.year_to,
        )

    def to_spec(self) -> engine.RuleSpec:
        """The rule as the engine wants it, with the defaults of its kind filled in."""
        kind = engine.Kind(self.kind)
        hold = engine.DEFAULT_HOLD[kind]
        apart = self.hold_apart_hours
        return engine.RuleSpec(
            id=self.pk,
            kind=kind,
            topic=self.topic,
            condition=rule_kinds.condition_of(self),
            hold=engine.Hold(
                readings=self.hold_readings or hold.readings,
                apart=hold.apart if apart is None else timedelta(hours=apart),
                or_after=hold.or_after,
                zero_readings=hold.zero_readings,
            ),
            clear_readings=self.clear_readings or engine.DEFAULT_CLEAR_READINGS[kind],
            freshness=timedelta(hours=self.freshness_hours),
            reopen_window=timedelta(days=self.reopen_days),
            repeat=self._repeat(kind),
        )

    def _repeat(self, kind: engine.Kind) -> timedelta | None:
        if self.repeat_days is None:
            return engine.DEFAULT_REPEAT[kind]
        return timedelta(days=self.repeat_days) or None


def _first_bad_address(text: str) -> str:
    """The first of a list of addresses that is none; "" when all are."""
    for address in split(text):
        try:
            validate_email(address)
        except ValidationError:
            return address
    return ""
