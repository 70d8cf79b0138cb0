"""The rules that a new installation starts with, enabled, so that nobody has to tune on day one."""

from django.db import migrations

KM_PER_MILE = 1.609344

RULES = [
    {
        "name": "Engine oil life low",
        "kind": "oil_life",
        "topic": "engine-oil",
        "priority": "medium",
    },
    {
        "name": "Engine oil every 5,000 miles",
        "kind": "service_interval",
        "topic": "engine-oil",
        "distance_km": 5000 * KM_PER_MILE,
        "priority": "medium",
    },
    {
        "name": "Tire rotation every 7,500 miles",
        "kind": "service_interval",
        "topic": "tire-rotation",
        "distance_km": 7500 * KM_PER_MILE,
        "priority": "low",
    },
    {
        "name": "Any trouble code",
        "kind": "trouble_code",
        "topic": "trouble-codes",
        "priority": "high",
    },
    {
        "name": "Any system warning",
        "kind": "system_status",
        "topic": "system-status",
        "priority": "high",
    },
]


def add(apps, schema_editor):
    rule = apps.get_model("maintenance", "Rule")
    if not rule.objects.exists():
        rule.objects.bulk_create(rule(**columns) for columns in RULES)


class Migration(migrations.Migration):
    dependencies = [("maintenance", "0001_initial")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
