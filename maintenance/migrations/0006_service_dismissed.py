"""Services that somebody dismissed stay as rows; the default services get their usual names."""

from django.db import migrations, models

NAMES = {
    "engine-oil": (
        "Oil Change, Oil & Filter Change, Engine Oil & Filter, Engine Oil & Filter Replacement,"
        " Change Engine Oil, Change Engine Oil and Filter, Replace Engine Oil & Filter"
    ),
    "tire-rotation": "Rotate Tires, Tires Rotated, Tire Rotation Service",
}


def add(apps, schema_editor):
    rules = apps.get_model("maintenance", "Rule").objects.filter(kind="service_interval")
    for topic, names in NAMES.items():
        rules.filter(topic=topic, service_names="").update(service_names=names)


class Migration(migrations.Migration):
    dependencies = [("maintenance", "0005_code_override")]

    operations = [
        migrations.AddField(
            model_name="servicerecord",
            name="dismissed_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="dismissed"),
        ),
        migrations.AddConstraint(
            model_name="servicerecord",
            constraint=models.CheckConstraint(
                condition=models.Q(("dismissed_at", None), ("is_proposed", True), _connector="OR"),
                name="maintenance_service_dismissed",
            ),
        ),
        migrations.RunPython(add, migrations.RunPython.noop),
    ]
