"""What came of it, as a table."""

from django.db.models import Count
from rich.console import Console
from rich.table import Table

from integrations.models import Driver, OutboxEntry, Reading, Vehicle, WebhookEvent
from integrations.services import fleetio_odometers
from maintenance.models import Alert, FleetioIssue
from maintenance.services import notifying


def rows() -> list[tuple[str, str]]:
    """Drivers, vehicles, readings, alerts by rule, Fleetio issues and odometers, mails."""
    done = OutboxEntry.objects.filter(state=OutboxEntry.State.DONE)
    readings = dict(Reading.objects.order_by().values_list("quality").annotate(n=Count("pk")))
    quality = ", ".join(f"{count} {name}" for name, count in sorted(readings.items()))
    found = [
        ("Drivers", f"{Driver.objects.count()}"),
        ("Drivers connected", f"{Driver.objects.filter(connections__isnull=False).count()}"),
        ("Vehicles", f"{Vehicle.objects.count()}"),
        ("Vehicles matched in Fleetio", f"{Vehicle.objects.exclude(fleetio_id=None).count()}"),
        ("Webhook events", f"{WebhookEvent.objects.filter(state='processed').count()} processed"),
        ("Readings", quality),
    ]
    alerts = Alert.objects.exclude(status=Alert.Status.PENDING).order_by()
    for name, status, count in (
        alerts.values_list("rule__name", "status")
        .annotate(n=Count("pk"))
        .order_by("rule__name", "status")
    ):
        found.append((f"Alerts: {name}", f"{count} {Alert.Status(status).label.lower()}"))
    about_alerts = done.filter(kind__in=[notifying.MAIL, notifying.RESOLVED_MAIL])
    mails = about_alerts.order_by().values("parcel").distinct().count()
    return [
        *found,
        ("Fleetio issues", f"{FleetioIssue.objects.count()}"),
        ("Fleetio odometers", f"{done.filter(kind=fleetio_odometers.KIND).count()}"),
        ("Mails about alerts", f"{mails}"),
        ("Mails to drivers", f"{done.filter(kind='mail_connect_link').count()}"),
    ]


def show() -> None:
    table = Table(title="One cycle of the fleet", title_justify="left", show_header=False)
    table.add_column("What")
    table.add_column("How many", justify="right")
    for name, text in rows():
        table.add_row(name, text)
    Console(width=78).print(table)
