"""The rules of the kinds that came later, where no rule of that kind exists: fuel and charge are
there to be enabled. A car that went quiet or lost its consent is no matter for Fleetio.
"""

from django.db import migrations

RULES = [
    {
        "name": "Tire pressure low",
        "kind": "tire_pressure",
        "topic": "tire-pressure",
        "priority": "high",
    },
    {
        "name": "No fresh data",
        "kind": "stale_data",
        "topic": "stale-data",
        "issue_from_stage": "never",
    },
    {
        "name": "Connection lost or ending",
        "kind": "connection",
        "topic": "connection",
        "issue_from_stage": "never",
    },
    {
        "name": "Fuel low",
        "kind": "fuel_level",
        "topic": "fuel-level",
        "is_enabled": False,
    },
    {
        "name": "Battery charge low",
        "kind": "state_of_charge",
        "topic": "state-of-charge",
        "is_enabled": False,
    },
]


CONNECTION_LOST = "mail_connection_lost"  # the notice whose place the rule of connections takes
TIRES, TIRES_URGENCY = "wheel-tires", 35


def add(apps, schema_editor):
    rule = apps.get_model("maintenance", "Rule")
    known = set(rule.objects.values_list("kind", flat=True))
    missing = [rule(**columns) for columns in RULES if columns["kind"] not in known]
    rule.objects.bulk_create(missing)
    if any(each.kind == "tire_pressure" for each in missing):
        ask_for_tires(apps)
    notices = apps.get_model("integrations", "OutboxEntry").objects.filter(kind=CONNECTION_LOST)
    waiting = notices.exclude(state__in=["done", "dead", "cancelled"])
    waiting.update(state="cancelled", last_error="alerts tell of it now")


def ask_for_tires(apps):
    """Cars that are there already are asked for the new signal, as after any change of a rule."""
    signal = apps.get_model("integrations", "Signal")
    ids = apps.get_model("integrations", "Vehicle").objects.values_list("pk", flat=True)
    wanted = {"is_wanted": True, "urgency": TIRES_URGENCY}
    signal.objects.bulk_create(
        [signal(vehicle_id=pk, code=TIRES, **wanted) for pk in ids],
        update_conflicts=True,
        unique_fields=["vehicle", "code"],
        update_fields=list(wanted),
    )


class Migration(migrations.Migration):
    dependencies = [("maintenance", "0003_alert_life")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
