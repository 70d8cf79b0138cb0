from datetime import timedelta

from django.conf import settings
from django.db import migrations, models
from django.db.models import F
from django.utils import timezone


def announced_before(apps, schema_editor):
    """What was open before was announced at its stage: the end of a hold must not say it again."""
    alerts = apps.get_model("maintenance", "Alert").objects
    announced = alerts.filter(
        opened_at__isnull=False, resolved_at__isnull=True, announced_stage="", held_because=""
    )
    announced.filter(stage="soon").update(severity="low")
    announced.filter(stage="overdue").update(severity="high")
    announced.update(announced_stage=F("stage"))
    for place, alert in enumerate(alerts.filter(announced_stage=F("stage"), acknowledged_at=None)):
        # One by one over a week, so that the update itself is no storm.
        alert.remind_at = timezone.now() + timedelta(days=1 + place % 7)
        alert.save(update_fields=["remind_at"])


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0008_outbox_bundle_index"),
        ("maintenance", "0006_service_dismissed"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("flapping_since__isnull", False)),
                fields=["resolved_at"],
                name="maintenance_alert_flapping",
            ),
        ),
        migrations.RunPython(announced_before, migrations.RunPython.noop),
    ]
